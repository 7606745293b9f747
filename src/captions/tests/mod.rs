//! Captions are held to their promises by made-up speech, by real speech and by other tools.

mod builder;
mod desk;
mod figures;
mod join;
mod lane;
mod relay;
mod script;

pub(super) use script::Dice;
mod vtt;

use crate::model::{Cue, LanguageTag, MediaTime, Source, Word};

fn lang(tag: &str) -> LanguageTag {
    LanguageTag::parse(tag).unwrap()
}

fn at(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn word(text: &str, start: i64, end: i64) -> Word {
    Word { text: text.into(), start: at(start), end: at(end), confidence: 0.9 }
}

/// A final cue without word times.
fn cue(id: u64, start: i64, end: i64, text: &str) -> Cue {
    Cue {
        id,
        rev: 1,
        lang: lang("en"),
        start: at(start),
        end: at(end),
        text: text.into(),
        stable_len: text.chars().count(),
        is_final: true,
        words: Vec::new(),
        source: Source::Asr,
    }
}
