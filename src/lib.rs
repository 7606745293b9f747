//! Amphi: a live streaming and real-time subtitling media server.
//!
//! Modules stand in the order in which data flows. Arrows between them point only
//! up this list; `tests/tidy.rs` holds them.

pub mod model;
pub mod stream;
pub mod ingest;
pub mod media;
pub mod cmaf;
pub mod still;
pub mod egress;
pub mod hls;
pub mod pipe;
pub mod speech;
pub mod translate;
pub mod quality;
pub mod captions;
pub mod store;
pub mod archive;
pub mod access;
pub mod serve;
pub mod app;
