use std::sync::Arc;

use crate::model::MediaTime;

use bytes::Bytes;

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

/// An access unit as every viewer gets it: cut into payloads once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Which medium.
    pub kind: Kind,
    /// When it is shown or heard.
    pub time: MediaTime,
    /// A decoder can start here.
    pub key: bool,
    /// RTP payloads in order, at least one.
    pub payloads: Vec<Bytes>,
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
        self.bytes += unit.payloads.iter().map(Bytes::len).sum::<usize>();
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
