use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::h264::Packetiser;
use crate::model::MediaTime;

/// Which of the two media of a live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// H.264, RTP clock 90 kHz.
    Video,
    /// Opus, RTP clock 48 kHz.
    Audio,
}

impl Kind {
    /// Ticks of its RTP clock in a second.
    pub const fn clock(self) -> u32 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }
}

/// An access unit as every viewer gets it: cut into payloads once, when the first one does. While nobody watches,
/// nothing is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Which medium.
    pub kind: Kind,
    /// When it is shown or heard.
    pub time: MediaTime,
    /// A decoder can start here.
    pub key: bool,
    /// Bytes of it.
    pub size: usize,
    /// What it is cut of, and by what.
    whole: Option<(Bytes, Arc<Packetiser>)>,
    payloads: OnceLock<Vec<Bytes>>,
}

impl Unit {
    /// A picture that shows something ([`h264::shows`](super::h264::shows)).
    pub fn picture(time: MediaTime, key: bool, data: Bytes, packetiser: Arc<Packetiser>) -> Self {
        let (size, whole) = (data.len(), Some((data, packetiser)));
        Self { kind: Kind::Video, time, key, size, whole, payloads: OnceLock::new() }
    }

    /// One that is cut already.
    pub fn cut(kind: Kind, time: MediaTime, key: bool, payloads: Vec<Bytes>) -> Self {
        let size = payloads.iter().map(Bytes::len).sum();
        Self { kind, time, key, size, whole: None, payloads: payloads.into() }
    }

    /// RTP payloads in order, at least one.
    pub fn payloads(&self) -> &[Bytes] {
        let cut = |(data, packetiser): &(Bytes, Arc<Packetiser>)| packetiser.packetise(data, self.key);
        self.payloads.get_or_init(|| self.whole.as_ref().map(cut).unwrap_or_default())
    }
}

/// The pictures since the last key frame: with them a viewer sees something at once. Pure.
///
/// Bounded: where a publisher sends key frames so seldom that this would grow beyond [`Recent::BYTES`], it is empty
/// up to the next one.
#[derive(Debug, Default)]
pub struct Recent {
    units: Vec<Arc<Unit>>,
    bytes: usize,
}

impl Recent {
    /// Bytes of payload kept: ten seconds of 6 Mbit/s.
    pub const BYTES: usize = 8 << 20;
    /// Pictures kept.
    pub const UNITS: usize = 600;

    /// Takes a picture.
    pub fn push(&mut self, unit: Arc<Unit>) {
        if unit.key {
            self.clear();
        } else if self.units.is_empty() {
            return;
        }
        self.bytes += unit.size;
        self.units.push(unit);
        if self.bytes > Self::BYTES || self.units.len() > Self::UNITS {
            self.clear();
        }
    }

    /// What came before is of no use for what follows.
    pub fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    /// The last key frame and what followed it; empty if there is none.
    pub fn units(&self) -> &[Arc<Unit>] {
        &self.units
    }
}
