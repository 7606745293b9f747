use serde::{Deserialize, Serialize};

use super::LanguageTag;

/// How good one track of a live was, as far as a machine can tell: for people, and in coarse bands, since
/// a model that agrees with itself may still be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The track.
    pub lang: LanguageTag,
    /// What was compared.
    pub measure: Measure,
    /// How it came out.
    pub band: Band,
    /// Id of the track's model, with which both sides were made.
    pub model: String,
    /// How it was found.
    pub method: Method,
}

/// What an estimate compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Word error rate of what was heard.
    Wer,
    /// chrF2 of what was translated.
    Chrf,
}

/// How good, without more precision than an estimate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Band {
    /// Much is wrong.
    Poor,
    /// It can be followed.
    Fair,
    /// Hardly anything is wrong.
    Good,
}

/// How an estimate was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The live against what the same models make of its recording, heard whole.
    SecondPass,
}

impl Measure {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wer => "wer",
            Self::Chrf => "chrf",
        }
    }
}

impl Band {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
        }
    }
}

impl Method {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondPass => "second-pass",
        }
    }
}
