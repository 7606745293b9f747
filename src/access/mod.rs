//! Who may publish and administer: the admin token, stream keys, and the door publishers knock at.

mod door;
mod keys;
mod secrets;
#[cfg(test)]
mod tests;
mod throttle;

use std::path::PathBuf;

use crate::{model::StreamName, store};

pub use door::Door;
pub use keys::{Keys, NewChannel, StreamKey};
pub use secrets::Secrets;

/// Why access was refused or could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No channel has this name.
    #[error("there is no channel {0}")]
    UnknownChannel(StreamName),
    /// The key opens no channel.
    #[error("the stream key opens no channel")]
    UnknownKey,
    /// The channel exists and this is not its key.
    #[error("wrong stream key for channel {0}")]
    WrongKey(StreamName),
    /// Its stored key or source was not sealed with this server's secret for this channel.
    #[error(
        "what channel {0} keeps sealed cannot be opened: secret.key is another one; rotate the channel's key and set its source again"
    )]
    Sealed(StreamName),
    /// A secret file cannot be read or made.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A secret file does not hold what it should.
    #[error("{path} is damaged: restore it from a backup, or remove it and rotate every stream key")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The database failed.
    #[error("cannot look up channels")]
    Store(#[from] store::Error),
}

/// What an access operation gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Crockford's base 32: no letter looks like a digit or another letter.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// So many random characters of five bits each.
fn random_text(characters: usize) -> Result<String> {
    let mut random = vec![0; characters];
    getrandom::fill(&mut random).map_err(Error::Random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}
