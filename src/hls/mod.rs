//! Low-latency HLS: parts in, playlists out (rfc8216bis).
//!
//! [`Window`] is pure and holds one live with all its renditions; every playlist renders from it. What has left it
//! stays addressable through a [`Shelf`], whose files others read.
//! [`Live`] shares a window between one publisher and any number of held requests.

mod live;
mod multivariant;
mod playlist;
mod rendition;
mod window;

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod rewind_tests;
#[cfg(test)]
mod tests;

pub use live::{Live, Refused};
pub use playlist::Playlist;
pub use rendition::{Back, Extent, Kind, Rewind, Shelf, Volume};
pub use window::{Captions, Settings, Window};

use std::time::Duration;

/// EXT-X-TARGETDURATION of every media playlist; it never changes (rfc8216bis §4.4.3.1).
pub const TARGET_DURATION: Duration = Duration::from_secs(4);
/// How long a request is held for a stalled encoder (rfc8216bis §6.2.5.2).
pub const HOLD: Duration = Duration::from_secs(12);
/// How far from the end of the playlist segments may be skipped; six target durations
/// (rfc8216bis §4.4.3.8).
const SKIP_UNTIL: Duration = Duration::from_secs(24);
/// How far from the end of the playlist parts are listed; three target durations (rfc8216bis §4.4.4.9).
const PARTS_LISTED: Duration = Duration::from_secs(12);

/// How far back a playlist goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As far as memory: small, for players at the edge.
    #[default]
    Edge,
    /// As far as players may go back.
    Back,
}

/// The delivery directives of a request for a media playlist (rfc8216bis §6.2.5).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: wait until this segment is there, or its `part`.
    pub msn: Option<u64>,
    /// `_HLS_part`: only together with `msn`.
    pub part: Option<u64>,
    /// `_HLS_skip`: a delta update will do.
    pub skip: bool,
}

/// What a window says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// Here it is.
    Ready(T),
    /// It does not exist yet and is expected: ask again after the next change of the rendition.
    Wait,
    /// The request contradicts rfc8216bis §6.2.5.2; the text says how.
    BadRequest(&'static str),
    /// There is no such thing, or no longer.
    NotFound,
}

impl Reach {
    /// The playlist's name beside its rendition.
    pub fn file(self) -> &'static str {
        match self {
            Self::Edge => "stream.m3u8",
            Self::Back => "rewind.m3u8",
        }
    }
}

impl Directives {
    /// Reads the directives out of a query string; parameters that are not directives are ignored.
    ///
    /// # Errors
    /// What is wrong: not a decimal integer, given twice, or a part without its segment.
    pub fn parse(query: &str) -> Result<Self, &'static str> {
        let mut directives = Self::default();
        let mut skip = None;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let twice = match name {
                "_HLS_msn" => directives.msn.replace(integer(value)?).is_some(),
                "_HLS_part" => directives.part.replace(integer(value)?).is_some(),
                "_HLS_skip" if value == "YES" || value == "v2" => skip.replace(()).is_some(),
                "_HLS_skip" => return Err("_HLS_skip takes YES or v2"),
                _ => false,
            };
            if twice {
                return Err("a delivery directive is given twice");
            }
        }
        directives.skip = skip.is_some();
        if directives.part.is_some() && directives.msn.is_none() {
            return Err("_HLS_part needs _HLS_msn");
        }
        Ok(directives)
    }
}

/// A decimal integer as rfc8216bis §4.2 writes it: digits alone, below 2^64.
fn integer(text: &str) -> Result<u64, &'static str> {
    const WRONG: &str = "_HLS_msn and _HLS_part take decimal integers below 2^64";
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WRONG);
    }
    text.parse().map_err(|_| WRONG)
}
