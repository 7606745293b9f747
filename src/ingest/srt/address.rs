//! Where a caller wants to go, from its stream id. Pure.

use percent_encoding::percent_decode_str;

use super::sys::Rejection;
use crate::{
    model::{InvalidName, StreamName},
    stream::Rank,
};

/// In place of a key: the passphrase is the channel's backup key. No key is so short.
const BACKUP: &str = "backup";

/// A channel and what opens it. No `Debug`: it holds the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The channel.
    pub channel: StreamName,
    /// The stream key; where there is none, it is the connection's passphrase.
    pub key: Option<String>,
    /// Which of the channel's keys the passphrase is, where there is no key.
    pub rank: Rank,
}

/// Why a stream id leads nowhere. Says nothing of what was sent, which may hold a key in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// None was sent, or in no form that is known.
    #[error("the stream id is not publish:NAME:KEY")]
    Form,
    /// It asks to play, or does not say what it wants, which means the same.
    #[error("the stream id does not ask to publish: write publish:NAME:KEY, or m=publish")]
    Mode,
    /// It is about files or authentication.
    #[error("the stream id asks for something else than a stream")]
    Kind,
    /// A channel's name that cannot be one.
    #[error("the stream id names no channel: names have 1–64 characters of a-z 0-9 - _")]
    Name,
}

impl From<InvalidName> for Invalid {
    fn from(_: InvalidName) -> Self {
        Self::Name
    }
}

impl Invalid {
    /// What the caller is told.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Form | Self::Name => Rejection::BadRequest,
            Self::Mode => Rejection::BadMode,
            Self::Kind => Rejection::NotStream,
        }
    }
}

impl Address {
    /// Reads a stream id: `publish:NAME:KEY`, or `#!::r=NAME,m=publish,s=KEY` of SRT's access control guidelines, in
    /// which other keys (`u`, `h`, …) are passed over. Either may go without the key, or have `backup` in its place.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn parse(stream_id: &str) -> Result<Self, Invalid> {
        // Some encoders send it as their URL has it, in which `#` has to be escaped.
        if let Some(escaped) = stream_id.strip_prefix("%23!::") {
            return Self::keyed(&percent_decode_str(escaped).decode_utf8_lossy());
        }
        if let Some(pairs) = stream_id.strip_prefix("#!::") {
            return Self::keyed(pairs);
        }
        let mut parts = stream_id.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("publish"), Some(name), key, None) => Self::new(name, key),
            (Some("read" | "play" | "request"), Some(_), ..) => Err(Invalid::Mode),
            _ => Err(Invalid::Form),
        }
    }

    fn keyed(pairs: &str) -> Result<Self, Invalid> {
        let (mut name, mut key, mut mode, mut kind) = (None, None, "request", "stream");
        for pair in pairs.split(',') {
            match pair.split_once('=') {
                Some(("r", value)) => name = Some(value),
                Some(("s", value)) => key = Some(value),
                Some(("m", value)) => mode = value,
                Some(("t", value)) => kind = value,
                Some(_) => {}
                None => return Err(Invalid::Form),
            }
        }
        match (mode, kind) {
            (_, "file" | "auth") => Err(Invalid::Kind),
            ("publish", _) => Self::new(name.ok_or(Invalid::Name)?, key),
            _ => Err(Invalid::Mode),
        }
    }

    fn new(name: &str, key: Option<&str>) -> Result<Self, Invalid> {
        let channel = StreamName::parse(name)?;
        Ok(match key.filter(|key| !key.is_empty()) {
            Some(BACKUP) => Self { channel, key: None, rank: Rank::Backup },
            key => Self { channel, key: key.map(Into::into), rank: Rank::Main },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream_id: &str, expected: Result<(&str, Option<&str>), Invalid>) {
        let parsed = Address::parse(stream_id);
        let seen = parsed.as_ref().map(|address| (address.channel.as_str(), address.key.as_deref()));
        assert_eq!(seen, expected.as_ref().copied(), "{stream_id}");
    }

    #[test]
    fn the_forms_encoders_send() {
        check("publish:maths:s3cret", Ok(("maths", Some("s3cret"))));
        check("publish:maths", Ok(("maths", None)));
        check("publish:maths:", Ok(("maths", None)));
        check("#!::r=maths,m=publish,s=s3cret", Ok(("maths", Some("s3cret"))));
        check("%23!::r=maths,m=publish,s=a%2Fb", Ok(("maths", Some("a/b"))));
        check("#!::m=publish,u=anna,h=host,r=maths,t=stream", Ok(("maths", None)));
    }

    #[test]
    fn the_passphrase_may_be_the_backup_key() {
        for (stream_id, rank) in [
            ("publish:maths", Rank::Main),
            ("publish:maths:backup", Rank::Backup),
            ("#!::r=maths,m=publish,s=backup", Rank::Backup),
        ] {
            check(stream_id, Ok(("maths", None)));
            assert!(Address::parse(stream_id).is_ok_and(|address| address.rank == rank), "{stream_id}");
        }
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        for stream_id in ["", "maths", "s3cret", "publish", "publish:a:b:c", "#!:{r=maths}", "#!::maths"] {
            check(stream_id, Err(Invalid::Form));
        }
        for stream_id in ["read:maths", "play:maths:s3cret", "#!::r=maths", "#!::r=maths,m=request,s=s3cret"] {
            check(stream_id, Err(Invalid::Mode));
        }
        check("#!::r=maths,m=publish,t=file", Err(Invalid::Kind));
        for stream_id in ["publish:", "publish:../etc:k", "publish:MATHS:k", "#!::m=publish", "#!::r=a/b,m=publish"] {
            check(stream_id, Err(Invalid::Name));
        }
        check(&format!("publish:{}:k", "x".repeat(500)), Err(Invalid::Name));
    }

    #[test]
    fn noise_never_panics_and_names_no_key() {
        let (pieces, mut state) =
            (["#!::", "publish", ":", ",", "=", "r=", "m=publish", "s3cret", "%23!::", "%", "é", "t="], 1_u32);
        for _ in 0..50_000 {
            let mut stream_id = String::new();
            for _ in 0..9 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                stream_id += pieces[(state >> 16) as usize % pieces.len()];
            }
            if let Err(invalid) = Address::parse(&stream_id) {
                assert!(!invalid.to_string().contains("s3cret"));
            }
        }
    }
}
