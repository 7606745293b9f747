//! Ways out that are no HTTP files: one folder a protocol. Each reads a live's packets from its bus.

pub mod rtsp;
