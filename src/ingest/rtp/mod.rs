//! RTP (RFC 3550) into frames of a live, whoever sends it: browsers over WebRTC, encoders and cameras over RTSP.
//!
//! What enters are the packets and sender reports of one publisher as they arrive ([`Receiver`]). `order` puts packets
//! into order and counts what never came, `depacketizer` makes access units of them, `media` says how to decode these
//! and when, and `clock` brings the time stamps of all tracks onto one clock. What leaves are frames of
//! a [`Publication`](crate::stream::Publication), and figures of the link. `now` is an argument.

mod aac;
mod clock;
mod decoding;
mod depacketizer;
mod media;
mod nal;
mod order;
mod packet;
mod receiver;
pub mod rtcp;
mod vp8;

pub use depacketizer::{Codec, Depacketizer};
pub use media::Content;
pub use order::{Figures, Next, Order};
pub use packet::Packet;
pub use receiver::{Loss, Receiver, Report};

use bytes::Bytes;

/// One access unit as its packets brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// In ticks of the payload's clock; wraps.
    pub timestamp: u32,
    /// NAL units without start codes or lengths of H.264 and H.265; of others the one piece. Never empty.
    pub pieces: Vec<Bytes>,
}

/// The largest picture; level 6.2 at its highest rate stays far below. A larger one is dropped.
const MAX_PICTURE: usize = 16 << 20;

#[cfg(test)]
mod tests;
