//! Payloads into access units.

use bytes::Bytes;

use super::{
    Packet, Unit,
    aac::{self, Form},
    nal, vp8,
};
use crate::ingest::parameter_sets::Family;

/// What a track's packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264 (RFC 6184), packetization modes 0 and 1.
    H264,
    /// H.265 (RFC 7798), without decoding order numbers.
    Hevc,
    /// VP8 (RFC 7741).
    Vp8,
    /// AAC in `mpeg4-generic` (RFC 3640), with the bits of a header's size and index.
    Aac {
        /// Bits of `AU-size`.
        size: u32,
        /// Bits of `AU-Index` and of `AU-Index-delta`.
        index: u32,
    },
    /// AAC in `MP4A-LATM` (RFC 6416) whose configuration is in the session description.
    Latm,
    /// MPEG audio (RFC 2250 §3.5).
    Mpa,
    /// Samples of 16 bits, big-endian (RFC 3551 §4.5.11).
    L16,
    /// A packet is an access unit: Opus (RFC 7587), G.711 (RFC 3551 §4.5.14).
    Whole,
}

/// Puts access units together again from one track's packets in order.
#[derive(Debug)]
pub enum Depacketizer {
    /// H.264 and H.265.
    Nal(nal::Depacketizer),
    /// VP8.
    Vp8(vp8::Depacketizer),
    /// AAC.
    Aac(aac::Depacketizer),
    /// What needs nothing put together; with what makes an access unit of a payload, and how many were none.
    Plain(fn(&Bytes) -> Option<Bytes>, u64),
}

impl Depacketizer {
    /// For packets that carry `codec`.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::H264 => Self::Nal(nal::Depacketizer::new(Family::Avc)),
            Codec::Hevc => Self::Nal(nal::Depacketizer::new(Family::Hevc)),
            Codec::Vp8 => Self::Vp8(vp8::Depacketizer::default()),
            Codec::Aac { size, index } => Self::Aac(aac::Depacketizer::new(Form::Headers(size, index))),
            Codec::Latm => Self::Aac(aac::Depacketizer::new(Form::Latm)),
            // A piece of a frame that was cut is of no use alone.
            Codec::Mpa => Self::Plain(|payload| matches!(payload[..], [_, _, 0, 0, ..]).then(|| payload.slice(4..)), 0),
            Codec::L16 => Self::Plain(
                |payload| Some(payload.chunks_exact(2).flat_map(|sample| [sample[1], sample[0]]).collect()),
                0,
            ),
            Codec::Whole => Self::Plain(|payload| Some(payload.clone()), 0),
        }
    }

    /// Takes the next packet, and gives the access units that are whole now. One without a payload only probes the path.
    pub fn take(&mut self, packet: &Packet) -> Vec<Unit> {
        if packet.payload.is_empty() {
            return Vec::new();
        }
        match self {
            Self::Nal(nal) => nal.take(packet),
            Self::Vp8(vp8) => vp8.take(packet),
            Self::Aac(aac) => aac.take(packet),
            Self::Plain(unit, dropped) => {
                let unit = unit(&packet.payload).filter(|unit| !unit.is_empty());
                *dropped += u64::from(unit.is_none());
                unit.map(|unit| Unit { timestamp: packet.timestamp, pieces: vec![unit] }).into_iter().collect()
            }
        }
    }

    /// Packets are missing here.
    pub fn lost(&mut self) {
        match self {
            Self::Nal(nal) => nal.lost(),
            Self::Vp8(vp8) => vp8.lost(),
            Self::Aac(aac) => aac.lost(),
            Self::Plain(..) => {}
        }
    }

    /// Another stream begins: what is not whole by now never will be.
    pub fn restart(&mut self) {
        match self {
            Self::Nal(nal) => nal.restart(),
            Self::Vp8(vp8) => vp8.restart(),
            Self::Aac(aac) => aac.lost(),
            Self::Plain(..) => {}
        }
    }

    /// Access units that could not be put together.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::Nal(nal) => nal.dropped(),
            Self::Vp8(vp8) => vp8.dropped(),
            Self::Aac(aac) => aac.dropped(),
            Self::Plain(_, dropped) => *dropped,
        }
    }
}
