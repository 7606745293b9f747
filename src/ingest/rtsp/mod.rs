//! RTSP (RFC 2326) in: encoders that push by ANNOUNCE and RECORD, and cameras that are pulled; and the port that
//! readers come to as well.
//!
//! [`server`] accepts and [`session`] talks to whoever comes: to publishers itself, while readers are handed over
//! behind a [`guard`]. [`pull`] is the client. [`receiver`] hands the packets of either to [`rtp`](super::rtp),
//! [`transport`] carries them over UDP. [`message`], [`auth`] and [`sdp`] are pure.
//!
//! Publishers are ours and not gst-rtsp-server's because it keeps no bounds on what a stranger sends, knows the
//! passwords of a digest only ahead, and would pass every packet through a pipeline.

pub mod auth;
mod guard;
pub mod message;
pub mod pull;
pub mod receiver;
pub mod sdp;
pub mod server;
pub mod session;
pub mod transport;

pub use guard::Readers;
pub use server::Server;
pub use session::Settings;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke.
    #[error("connection broke")]
    Io(#[from] std::io::Error),
    /// The peer closed it without a goodbye.
    #[error("peer closed the connection")]
    Closed,
    /// Not RTSP, or broken.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// More than a peer may ask for.
    #[error("over the limit: {0}")]
    Limit(&'static str),
    /// Nothing useful came in time.
    #[error("too slow: {0}")]
    Timeout(&'static str),
    /// The peer was told why; nothing is left to report.
    #[error("turned away: {0}")]
    Refused(&'static str),
    /// Another connection of the same publisher took over.
    #[error("another connection of this publisher took over")]
    Replaced(#[from] crate::stream::Replaced),
    /// The server that is pulled answered so.
    #[error("{method} is answered with {status}")]
    Status {
        /// What was asked.
        method: &'static str,
        /// Its status (RFC 2326 §7.1.1).
        status: u16,
    },
    /// What is offered cannot be taken.
    #[error("{0}")]
    Unusable(String),
}

/// 64 random bits as hexadecimal digits.
fn random() -> Result<String, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(std::io::Error::from)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}
