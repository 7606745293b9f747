//! Everything HTTP.

pub mod problem;
pub mod vod;
