use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{LanguageTag, MediaTime};

/// Speech as recognisers take it: 16 kHz mono.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// When the first sample sounds.
    pub start: MediaTime,
    /// Signed 16-bit samples.
    pub samples: Arc<[i16]>,
}

impl Pcm {
    /// Samples a second.
    pub const RATE: u32 = 16_000;

    /// When the last sample has sounded.
    pub fn end(&self) -> MediaTime {
        self.start + Self::duration_of(self.samples.len())
    }

    /// How long so many samples last.
    pub fn duration_of(samples: usize) -> Duration {
        Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(Self::RATE))
    }
}

/// A word as heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// As the engine writes it, punctuation included where it gives any; no spaces around it.
    pub text: String,
    /// When it begins.
    pub start: MediaTime,
    /// When it has been said; `start < end`.
    pub end: MediaTime,
    /// 0 to 1.
    pub confidence: f32,
}

/// What a recogniser believes about the utterance in progress.
///
/// Each one restates the utterance whole. Words before `stable` never change in a later one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The utterance so far, in order, not overlapping.
    pub words: Vec<Word>,
    /// How many leading words will not change; at most `words.len()`.
    pub stable: usize,
    /// The utterance is over: every word is stable and the next hypothesis begins another.
    pub last: bool,
}

/// Who wrote a cue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A speech recogniser.
    Asr,
    /// A translator.
    Mt,
    /// A person, whose word stands.
    Human,
}

/// A caption: one text on the screen for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// Stays through every revision; rises with time within a track.
    pub id: u64,
    /// A higher revision replaces a lower one.
    pub rev: u32,
    /// The track it belongs to.
    pub lang: LanguageTag,
    /// When it appears.
    pub start: MediaTime,
    /// When it goes; `start < end`.
    pub end: MediaTime,
    /// One line of plain text; layout is the player's and the WebVTT writer's.
    pub text: String,
    /// Leading characters (Unicode scalar values) that will not change.
    pub stable_len: usize,
    /// Only a person may revise it from here on.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The words, where the source has times for them.
    pub words: Vec<Word>,
    /// Who wrote it.
    pub source: Source,
}
