use std::time::Duration;

use super::{at, cue, word};
use crate::{
    captions::{Quality, figures::Figures},
    model::{Cue, Source},
};

const HOLD: Option<Duration> = Some(Duration::from_millis(800));

fn said(id: u64, text: &str, start: i64, stable: bool, is_final: bool) -> Cue {
    let words: Vec<_> = text
        .split_whitespace()
        .zip(0..)
        .map(|(text, nth)| word(text, start + nth * 200, start + nth * 200 + 200))
        .collect();
    let stable_len = if stable { text.chars().count() } else { 0 };
    Cue { words, stable_len, is_final, ..cue(id, start, start + 1_000, text) }
}

#[test]
fn a_word_counts_once_when_it_is_published_for_good() {
    let mut figures = Figures::default();
    assert_eq!(figures.quality(at(0), HOLD), Quality::default());
    figures.take(&said(1, "a whale", 1_000, false, false), at(1_500));
    assert_eq!(figures.quality(at(1_500), HOLD).lag_p50, None);
    figures.take(&said(1, "a wave", 1_000, true, false), at(2_000));
    figures.take(&said(1, "a wave is", 1_000, true, true), at(3_000));
    let quality = figures.quality(at(3_000), HOLD);
    // Words end at 1.2, 1.4 and 1.6 s: two are stable at 2 s, the third at 3 s.
    let millis = |lag: Option<Duration>| lag.map(|lag| lag.as_millis());
    assert_eq!((millis(quality.lag_p50), millis(quality.lag_p95)), (Some(800), Some(1_400)));
    assert_eq!((millis(quality.final_lag_p50), millis(quality.final_lag_p95)), (Some(1_600), Some(1_800)));
    // "whale" was taken back; three words stayed.
    assert_eq!((quality.ahead, quality.erasure), (Some(2.0 / 3.0), Some(1.0 / 3.0)));
    assert!((quality.confidence.unwrap() - 0.9).abs() < 1e-6);
    assert_eq!(figures.quality(at(3_000), None).ahead, None);
}

#[test]
fn a_cue_to_come_does_not_hide_what_becomes_of_the_one_before() {
    let mut figures = Figures::default();
    figures.take(&said(1, "a wave", 1_000, false, false), at(1_500));
    figures.take(&said(2, "is", 1_400, false, false), at(1_500));
    figures.take(&said(1, "a wave", 1_000, true, false), at(2_000));
    figures.take(&said(1, "a wave", 1_000, true, true), at(2_400));
    let quality = figures.quality(at(2_400), HOLD);
    let millis = |lag: Option<Duration>| lag.map(|lag| lag.as_millis());
    assert_eq!((millis(quality.lag_p50), millis(quality.lag_p95)), (Some(600), Some(800)));
    assert_eq!((millis(quality.final_lag_p95), quality.erasure), (Some(1_200), Some(0.0)));
}

#[test]
fn the_words_of_a_translation_are_spread_over_its_cue() {
    let mut figures = Figures::default();
    let translated = Cue { source: Source::Mt, ..cue(2, 1_000, 2_000, "onda onda") };
    figures.take(&Cue { is_final: false, stable_len: 4, ..translated.clone() }, at(2_000));
    // What is shown ahead settles nothing.
    figures.take(&Cue { is_final: false, stable_len: 0, ..cue(3, 2_000, 3_000, "que") }, at(2_000));
    figures.take(&translated, at(2_500));
    let quality = figures.quality(at(2_500), HOLD);
    assert_eq!((quality.lag_p50, quality.ahead), (Some(Duration::from_millis(500)), Some(1.0)));
    assert_eq!(quality.final_lag_p95, Some(Duration::from_millis(1_000)));
    assert_eq!((quality.confidence, quality.erasure), (None, Some(0.0)));
    // What a person writes later is not the translator's doing.
    figures.take(&Cue { source: Source::Human, rev: 2, ..translated }, at(60_000));
    assert_eq!(figures.quality(at(60_000), HOLD).lag_p95, Some(Duration::from_millis(500)));
}

#[test]
fn what_is_long_ago_is_forgotten_and_memory_is_bounded() {
    let mut figures = Figures::default();
    for nth in 0..10_000 {
        figures.take(&said(nth, "word", nth as i64 * 100, true, true), at(nth as i64 * 100 + 5_200));
        figures.take(&said(nth, "never final", nth as i64 * 100, true, false), at(nth as i64 * 100 + 5_200));
    }
    let end = at(10_000 * 100 + 5_200);
    assert_eq!(figures.quality(end, HOLD).lag_p50, Some(Duration::from_secs(5)));
    assert!(figures.size() < 7_000, "{}", figures.size());
    assert_eq!(figures.quality(end + Duration::from_secs(301), HOLD), Quality::default());
}
