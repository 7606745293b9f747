//! Whisper, live: the same few seconds decoded again and again, words stable once two decodings agree.

mod decode;
mod guard;
mod mel;
mod streaming;
mod vad;

pub use decode::Model;
pub use streaming::Streaming;
