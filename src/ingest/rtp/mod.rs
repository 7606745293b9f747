//! RTP into access units: order, loss, times, and what packets hold. Pure; `now` is an argument.

pub mod clock;
pub mod h264;
pub mod link;
pub mod reorder;
pub mod vp8;

use bytes::Bytes;

/// One picture as its packets brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// In ticks of 90 kHz; wraps.
    pub timestamp: u32,
    /// Its NAL units without start codes or lengths (H.264), or the one frame (VP8). Never empty.
    pub units: Vec<Bytes>,
}

/// The largest picture; level 6.2 at its highest rate stays far below. A larger one is dropped.
const MAX_PICTURE: usize = 16 << 20;
/// NAL units of one picture, at most.
const MAX_UNITS: usize = 4_096;
