//! Amphi: a live streaming and real-time subtitling media server.
//!
//! Modules stand in the order in which data flows. Arrows between them point only
//! up this list; `tests/tidy.rs` holds them.

pub mod model;
pub mod stream;
pub mod ingest;
pub mod speech;
pub mod translate;
pub mod archive;
pub mod store;
pub mod access;
pub mod serve;
