//! The vocabulary every room shares: names, times, packets, parts, words and cues. No I/O.

mod caption;
mod chain;
mod estimate;
mod media;
mod name;
mod part;
mod time;

pub use caption::{Cue, Hypothesis, Pcm, Source, Word};
pub use chain::Chain;
pub use estimate::{Band, Estimate, Measure, Method};
pub use media::{AudioCodec, AudioFormat, Label, Packet, Track, TrackFormat, TrackId, VideoCodec, VideoFormat};
pub use name::{InvalidName, LanguageTag, RenditionId, StreamName};
pub use part::{Init, Part};
pub use time::{Anchor, MediaTime};
