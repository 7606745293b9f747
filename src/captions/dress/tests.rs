//! Dressed text is compared with what its author wrote.

use std::collections::BTreeMap;

use super::*;
use crate::model::MediaTime;

mod names;
mod score;
mod words;

fn lang(tag: &str) -> LanguageTag {
    LanguageTag::parse(tag).unwrap()
}

fn at(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

/// Words of 300 ms; `/400` is a pause of so many milliseconds.
fn said(script: &str) -> Vec<Word> {
    let (mut time, mut words) = (0, Vec::new());
    for piece in script.split_whitespace() {
        match piece.strip_prefix('/') {
            Some(pause) => time += pause.parse::<i64>().unwrap(),
            None => {
                words.push(Word { text: piece.into(), start: at(time), end: at(time + 300), confidence: 0.9 });
                time += 300;
            }
        }
    }
    words
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// As one utterance that is over.
fn dressed(tag: &str, words: &[Word]) -> Vec<Word> {
    let now = words.last().unwrap().end + Duration::from_millis(700);
    let heard = Hypothesis { words: words.to_vec(), stable: words.len(), last: true };
    Dresser::new(lang(tag), Names::default()).dress(&heard, now).remove(0).words
}

fn check(tag: &str, script: &str, expected: &str) {
    assert_eq!(joined(&dressed(tag, &said(script))), expected, "{tag}: {script}");
}
