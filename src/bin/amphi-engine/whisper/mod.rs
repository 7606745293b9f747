//! Whisper, live: the same few seconds decoded again and again, words stable once two decodings agree.

mod calls;
mod decode;
mod guard;
mod mel;
mod streaming;
mod turns;
mod vad;

pub use calls::calls;
pub use decode::Model;
pub use streaming::Streaming;
