use super::{cue, word};
use crate::{
    captions::{join, text},
    model::{Cue, Source},
};

/// Phrases that follow each other, two seconds each.
fn phrases(texts: &[&str]) -> Vec<Cue> {
    let timed = |(nth, text): (usize, &&str)| {
        let start = nth as i64 * 2_000;
        Cue { words: vec![word(text, start, start + 1_900)], ..cue(nth as u64 + 1, start, start + 2_000, text) }
    };
    texts.iter().enumerate().map(timed).collect()
}

fn shown(cues: &[Cue]) -> Vec<String> {
    let shown =
        |cue: &Cue| format!("{} {:?}-{:?} {}", cue.id, cue.start.as_secs_f64(), cue.end.as_secs_f64(), cue.text);
    cues.iter().map(shown).collect()
}

#[test]
fn phrases_of_a_sentence_are_one_caption_of_two_lines() {
    let cues = phrases(&[
        "When you drop a big stone into some pond,",
        "the water there goes up and down a lot,",
        "but stays.",
        "Now",
        "this.",
    ]);
    let joined = join(&cues);
    assert_eq!(
        shown(&joined),
        [
            "1 0.0-2.0 When you drop a big stone into some pond,",
            "2 2.0-6.0 the water there goes up and down a lot, but stays.",
            "4 6.0-10.0 Now this.",
        ],
        "no sentence ends alone"
    );
    assert_eq!((joined[1].words.len(), joined[1].stable_len), (2, 50));
    assert_eq!(join(&joined), joined);
}

#[test]
fn no_caption_is_longer_than_two_lines_or_six_seconds() {
    let cues = phrases(&["a phrase of speech that never ends and"; 9]);
    let joined = join(&cues);
    assert!(joined.len() >= 5);
    for cue in &joined {
        assert!(text::fits(&cue.text, &cue.lang) && cue.end.since(cue.start).as_secs() <= 6, "{cue:?}");
    }
    assert_eq!(joined.iter().map(|cue| cue.words.len()).sum::<usize>(), 9);
    let words = phrases(&["one", "two", "three", "four", "five"]);
    assert_eq!(join(&words).iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>(), ["one two three", "four five"]);
}

#[test]
fn pauses_and_what_people_corrected_stay_apart() {
    let mut cues = phrases(&["one", "two", "three", "four", ""]);
    cues[1].source = Source::Human;
    cues[3].start = cues[2].end + std::time::Duration::from_secs(1);
    cues[3].end = cues[3].start + std::time::Duration::from_secs(1);
    let ids: Vec<u64> = join(&cues).iter().map(|cue| cue.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
}
