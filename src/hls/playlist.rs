use std::{io::Write as _, sync::OnceLock, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

use crate::model::{Anchor, MediaTime};

/// A rendered playlist, shared by everyone who asks for the same one.
#[derive(Debug)]
pub struct Playlist {
    text: Bytes,
    gzip: OnceLock<Bytes>,
}

impl Playlist {
    pub(super) fn new(text: String) -> Self {
        Self { text: text.into(), gzip: OnceLock::new() }
    }

    /// The playlist, UTF-8.
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The playlist in gzip form (RFC 1952), compressed once on the first call.
    pub fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| compress(&self.text)).clone()
    }
}

/// Seconds with microseconds, rounded to the nearest, as decimal-floating-point (rfc8216bis §4.2).
pub(super) fn seconds(duration: Duration) -> String {
    let rounded = to_micros(duration);
    format!("{}.{:06}", rounded.as_secs(), rounded.subsec_micros())
}

/// What [`seconds`] makes of a duration.
pub(super) fn to_micros(duration: Duration) -> Duration {
    Duration::from_micros(((duration.as_nanos() + 500) / 1_000) as u64)
}

/// The programme date-time line of a media time, to the millisecond (rfc8216bis §4.4.4.6).
pub(super) fn date_time(anchor: Anchor, time: MediaTime) -> String {
    let rounded = time + Duration::from_micros(500);
    let stamp = Timestamp::try_from(anchor.wall(rounded)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", stamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default().into()
}
