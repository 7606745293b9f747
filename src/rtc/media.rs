//! What goes to a peer, and what comes from it.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::Codec;

/// A codec that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The codec.
    pub codec: Codec,
    /// The payload type of its packets.
    pub payload_type: u8,
    /// Its parameters as the offer states them: `packetization-mode=1;profile-level-id=42e01f`.
    pub parameters: String,
    /// What packets to the peer carry; 0 where they come from it.
    pub ssrc: u32,
}

/// What happens to a peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// ICE has validated this address and DTLS has keys: media may flow.
    Connected(SocketAddr),
    /// A packet, in the order in which it arrived.
    Rtp(Incoming),
    /// The peer says which RTP time is which time of its clock (RFC 3550 §6.4.1).
    SenderReport {
        /// Of this stream.
        ssrc: u32,
        /// In ticks of its clock rate.
        rtp_time: u32,
        /// NTP time stamp: seconds since 1900 in 32.32 bits.
        ntp: u64,
    },
    /// The peer says how packets arrive (§6.4.2).
    ReceiverReport {
        /// Those of this stream.
        ssrc: u32,
        /// Share lost since its last report, 0–1.
        loss: f64,
        /// In ticks of the stream's clock rate.
        jitter: u32,
    },
    /// The peer cannot go on without a key frame (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    KeyFrameWanted,
}

/// A packet from the peer; what repeats a lost one is the lost one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// By its payload type.
    pub codec: Codec,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Rises by one a packet, and wraps.
    pub sequence: u16,
    /// In ticks of the codec's clock rate; wraps.
    pub timestamp: u32,
    /// The last of a picture.
    pub marker: bool,
    /// Empty where it only probes the path.
    pub payload: Bytes,
    /// When it came.
    pub at: Instant,
}

/// A packet for the peer; payload type and source are the stream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Rises by one a packet, and wraps.
    pub sequence: u16,
    /// In ticks of the codec's clock rate; wraps.
    pub timestamp: u32,
    /// The last of a picture.
    pub marker: bool,
    /// At most some 1,200 bytes, so that the datagram fits any path.
    pub payload: Bytes,
}
