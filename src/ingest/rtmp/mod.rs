//! RTMP in, as OBS, ffmpeg, GStreamer and capture boxes speak it (RTMP 1.0, Enhanced RTMP v2), plain or in TLS,
//! and the client side that the demo publishes with.
//!
//! [`server`] accepts, [`session`] talks, [`media`] turns payloads into frames. Everything below
//! them is pure: [`handshake`], [`chunk`], [`message`], [`amf`], [`address`], [`capabilities`],
//! [`clock`].

pub mod address;
pub mod amf;
pub mod capabilities;
pub mod chunk;
pub mod client;
pub mod clock;
pub mod handshake;
pub mod media;
pub mod message;
pub mod server;
pub mod session;

pub use client::{Client, ClientError};
pub use server::Server;
pub use session::Settings;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke.
    #[error("connection broke")]
    Io(#[from] std::io::Error),
    /// The peer closed it without a goodbye.
    #[error("peer closed the connection")]
    Closed,
    /// Not RTMP, or broken.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// More than a peer may ask for.
    #[error("over the limit: {0}")]
    Limit(&'static str),
    /// Nothing useful came in time.
    #[error("too slow: {0}")]
    Timeout(&'static str),
    /// The peer was told why; nothing is left to report.
    #[error("turned away: {0}")]
    Refused(&'static str),
}

#[cfg(test)]
mod tests;
