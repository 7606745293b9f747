//! Readers of a live that are no HTTP files: each protocol takes packets off the bus in its own folder.

pub mod whep;
pub mod rtsp;
