//! How good captions are: the field's figures, each computed once, for files and for lives. Pure.
//!
//! Texts: word and character error rate ([`Rate`]), [`Bleu`] and [`Chrf`] of segments that
//! [`segments::align_to`] pairs where files do not. Time: [`Lags`] and, from a recorded event log,
//! [`Log`]. Reading: [`erased`] (flicker) and [`Reading`]. What jiwer 4 and sacrebleu 2.5 also
//! compute is the same here, digit for digit.

mod align;
pub mod bands;
mod bleu;
mod chrf;
mod erasure;
mod lags;
mod log;
mod ngrams;
mod rate;
mod reading;
pub mod segments;
#[cfg(test)]
mod tests;
mod words;

pub use align::{Step, TooLong, align};
pub use bleu::{Bleu, Tokenizer};
pub use chrf::Chrf;
pub use erasure::{erased, pieces};
pub use lags::{Lags, centile};
pub use log::{Against, Arrivals, Cue, Distances, Log, LogError, Sentence, TimedWord, TrackLog};
pub use rate::Rate;
pub use reading::{Block, Reading};
pub use words::{Normalise, Token};
