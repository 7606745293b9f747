//! WebRTC without signalling: UDP datagrams and SDP in, RTP of validated peers out, and the other way.
//!
//! A [`Port`] is the one address that all peers share, UDP and ICE over TCP; a [`Peer`] is one peer connection,
//! driven by the task of the session that owns it. The protocol itself (ICE, DTLS, SRTP) is the `rtc` crate, which
//! does no I/O and reads no clock. Who may connect, and what the media is for, is its users' affair.

mod asks;
mod connection;
mod feedback;
mod guard;
mod inbound;
mod media;
mod path;
mod peer;
mod port;
mod repeats;
pub mod sdp;
mod shared;
pub mod stun;
mod tcp;

pub use asks::PATIENCE;
pub use media::{Event, Incoming, Outgoing, Stream};
pub use peer::{Handle, Peer};
pub use port::{Port, Settings};

/// A codec that both ends know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6184, packetization modes 0 and 1.
    H264,
    /// RFC 7741.
    Vp8,
    /// RFC 7587.
    Opus,
}

impl Codec {
    /// Ticks of an RTP timestamp a second.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::H264 | Self::Vp8 => 90_000,
            Self::Opus => 48_000,
        }
    }

    /// Pictures, not sound.
    pub const fn is_video(self) -> bool {
        !matches!(self, Self::Opus)
    }
}

/// Which way media goes, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the peer: H.264, or VP8 where it has no H.264; Opus.
    Receive,
    /// To the peer: H.264 and Opus, as far as it asks for them.
    Send,
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no session description, or not one of WebRTC.
    #[error("the offer is no usable session description: {0}")]
    Malformed(String),
    /// Something in it can neither be sent nor received here.
    #[error("the offer cannot be taken as it is: {0}")]
    Unacceptable(&'static str),
    /// As many peers as the port takes are connected.
    #[error("the server has as many WebRTC peers as it takes: try again later")]
    Full,
}

#[cfg(test)]
mod tests;
