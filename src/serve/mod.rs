//! HTTP: delivery, captions, the API and the pages. Nothing below this room knows HTTP.

pub mod captions;
pub mod hls;
pub mod problem;
