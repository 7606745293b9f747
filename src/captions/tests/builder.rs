use std::collections::BTreeMap;

use super::{at, lang, script::talk, word};
use crate::{
    captions::{Builder, Dress, Ids, Names, phrase, text},
    model::{Cue, Hypothesis, Word},
};

fn builder(tag: &str, dress: Dress) -> Builder {
    Builder::new(lang(tag), dress, Ids::new())
}

fn hypothesis(words: &[Word], stable: usize, last: bool) -> Hypothesis {
    Hypothesis { words: words.to_vec(), stable, last }
}

fn shown(cues: &[Cue]) -> Vec<String> {
    let mark = |cue: &Cue| if cue.is_final { "!" } else { "" };
    cues.iter().map(|cue| format!("{}.{}{} {}|{}", cue.id, cue.rev, mark(cue), cue.text, cue.stable_len)).collect()
}

fn sentence(text: &str, start: i64, pace: i64) -> Vec<Word> {
    let timed = |(nth, text): (usize, &str)| word(text, start + nth as i64 * pace, start + (nth as i64 + 1) * pace);
    text.split(' ').enumerate().map(timed).collect()
}

#[test]
fn a_cue_grows_and_is_resent_only_when_it_changes() {
    let mut builder = builder("en", Dress::AsGiven);
    let words = sentence("The eigenvalues of a", 1_000, 300);
    assert_eq!(shown(&builder.apply(&hypothesis(&words[..2], 1, false), at(2_000))), ["1.1 The eigenvalues|3"]);
    assert!(builder.apply(&hypothesis(&words[..2], 1, false), at(2_100)).is_empty());
    assert_eq!(shown(&builder.apply(&hypothesis(&words, 3, false), at(2_300))), ["1.2 The eigenvalues of a|18"]);
    assert_eq!(shown(&builder.apply(&hypothesis(&words, 4, true), at(2_500))), ["1.3! The eigenvalues of a|20"]);
}

#[test]
fn what_is_not_stable_keeps_its_look_while_it_sounds_the_same() {
    let mut builder = builder("en", Dress::AsGiven);
    let mut apply = |text: &str, stable: usize| {
        shown(&builder.apply(&hypothesis(&sentence(text, 1_000, 300), stable, false), at(3_000)))
    };
    assert_eq!(apply("Waves meet.", 1), ["1.1 Waves meet|5"], "no mark where the sound ends so far");
    assert_eq!(apply("Waves, Meet. And then,", 1), ["1.2 Waves meet And then|5"]);
    assert_eq!(apply("Waves meat and then they.", 1), ["1.3 Waves meat And then they|5"], "another word is another");
    assert_eq!(apply("Waves meet, and then they part.", 3), ["1.4 Waves meet, and then they part|15"]);
}

#[test]
fn bare_words_are_dressed_before_they_are_laid_into_cues() {
    let mut builder = builder("fr", Dress::Bare(Names::default()));
    let words = sentence("écoute la mer", 0, 400);
    assert_eq!(shown(&builder.apply(&hypothesis(&words, 3, false), at(1_300))), ["1.1 Écoute la mer|9"]);
    let last = builder.apply(&hypothesis(&words, 3, true), at(2_000));
    assert_eq!(shown(&last), ["1.2! Écoute la mer.|14"]);
    assert_eq!(last[0].words[2].text, "mer.");
    let mut korean = self::builder("ko", Dress::Bare(Names::default()));
    assert_eq!(korean.apply(&hypothesis(&sentence("안녕 하세요", 0, 500), 2, true), at(0))[0].text, "안녕 하세요.");
}

#[test]
fn a_word_that_waits_for_the_next_one_is_stable_after_a_while() {
    let mut builder = builder("en", Dress::Bare(Names::default()));
    let words = sentence("so what is a wave", 0, 300);
    assert_eq!(shown(&builder.apply(&hypothesis(&words, 5, false), at(2_000))), ["1.1 So what is a wave|12"]);
    assert!(builder.settle(at(2_500)).is_empty());
    assert_eq!(shown(&builder.settle(at(2_600))), ["1.2 So what is a wave|17"]);
    assert!(builder.settle(at(9_000)).is_empty());
}

#[test]
fn sentences_of_bare_words_end_their_cues() {
    let mut builder = builder("en", Dress::Bare(Names::default()));
    let mut words = sentence("so what is a wave", 0, 300);
    words.extend(sentence("it moves about one hundred and twenty meters", 2_000, 300));
    let cues = builder.apply(&hypothesis(&words, words.len(), true), at(6_000));
    let texts: Vec<&str> = cues.iter().map(|cue| cue.text.as_str()).collect();
    assert_eq!(texts, ["So what is a wave?", "It moves about 120 meters."]);
}

#[test]
fn cues_end_with_sentences_and_pauses_but_not_at_abbreviations() {
    let mut builder = builder("en", Dress::AsGiven);
    let mut words = sentence("Ask Dr. No about it. He knows the", 0, 300);
    words.push(word("answer", 4_000, 4_400));
    let cues = builder.apply(&hypothesis(&words, words.len(), true), at(5_000));
    let texts: Vec<&str> = cues.iter().map(|cue| cue.text.as_str()).collect();
    assert_eq!(texts, ["Ask Dr. No about it.", "He knows the", "answer"]);
    assert!(cues.iter().all(|cue| cue.is_final));
}

/// The finals of an utterance whose words are heard one by one, each stable when the next one is known.
fn phrases(lang: &str, text: &str) -> Vec<String> {
    let mut builder = builder(lang, Dress::AsGiven);
    let words = sentence(text, 0, 300);
    let step = |heard| hypothesis(&words[..heard], heard - usize::from(heard < words.len()), heard == words.len());
    let cues = (1..=words.len()).flat_map(|heard| builder.apply(&step(heard), words[heard - 1].end));
    cues.filter(|cue| cue.is_final).map(|cue| cue.text).collect()
}

#[test]
fn long_sentences_come_in_phrases_that_no_small_word_ends() {
    let english = phrases("en", "The amplitude is the height of a crest above the resting surface of the water.");
    assert_eq!(english, ["The amplitude is the height", "of a crest above the resting surface", "of the water."]);
    let french =
        phrases("fr", "Les ondes stationnaires apparaissent dans les cordes de la guitare, donc elles chantent.");
    assert_eq!(
        french,
        ["Les ondes stationnaires apparaissent", "dans les cordes de la guitare,", "donc elles chantent."]
    );
    let elided =
        phrases("fr", "La vitesse du signal correspond exactement à celle d’une onde qui se propage librement.");
    assert_eq!(
        elided,
        ["La vitesse du signal correspond exactement", "à celle d’une onde", "qui se propage librement."]
    );
}

#[test]
fn what_is_not_stable_yet_is_shown_in_cues_to_come_and_stays_in_them() {
    let mut builder = builder("en", Dress::AsGiven);
    let words = sentence("We describe a wave with three numbers that", 0, 350);
    let known = builder.apply(&hypothesis(&words, 2, false), at(2_800));
    assert_eq!(shown(&known), ["1.1 We describe a wave|11", "2.1 with three numbers that|0"]);
    // Where the first cue ends is known; that words turn out to be spoken sooner moves none of them.
    let sooner = sentence("We describe a wave with three numbers that", 0, 200);
    let known = builder.apply(&hypothesis(&sooner, 6, false), at(2_900));
    assert_eq!(shown(&known), ["1.2! We describe a wave|18", "2.2 with three numbers that|10"]);
    // Taken back, the cue is empty; the next one has its id.
    let known = builder.apply(&hypothesis(&sooner[..6], 6, true), at(3_000));
    assert_eq!(shown(&known), ["2.3! with three|10"]);
}

#[test]
fn a_guess_is_shown_when_it_is_likely_or_heard_again() {
    let mut builder = builder("en", Dress::AsGiven);
    let mut words = sentence("A wave is uh disturbance", 0, 200);
    words[3].confidence = 0.2;
    assert_eq!(shown(&builder.apply(&hypothesis(&words, 1, false), at(1_000))), ["1.1 A wave is|1"]);
    words[3].text = "a".into();
    assert!(builder.apply(&hypothesis(&words, 1, false), at(1_700)).is_empty(), "another guess");
    let again = builder.apply(&hypothesis(&words, 1, false), at(2_400));
    assert_eq!(shown(&again), ["1.2 A wave is a disturbance|1"]);
}

#[test]
fn a_sentence_begins_with_a_capital_whatever_the_engine_says() {
    let mut builder = builder("en", Dress::AsGiven);
    builder.apply(&hypothesis(&sentence("It does not move.", 0, 300), 4, true), at(1_200));
    let cues = builder.apply(&hypothesis(&sentence("when you drop a stone", 1_500, 300), 5, true), at(3_000));
    assert_eq!(cues[0].text, "When you drop a stone");
}

#[test]
fn a_short_cue_stays_as_long_as_there_is_room() {
    let mut builder = builder("en", Dress::AsGiven);
    let cues = builder.apply(&hypothesis(&[word("Yes", 0, 200)], 1, true), at(2_000));
    assert_eq!(cues[0].end, at(1_000));
    let cues = builder.apply(&hypothesis(&[word("No", 3_000, 3_200)], 1, true), at(3_400));
    assert_eq!(cues[0].end, at(3_400), "speech may have begun again by now");
}

#[test]
fn a_guess_that_is_taken_back_leaves_an_empty_cue_whose_id_goes_on() {
    let mut builder = builder("en", Dress::AsGiven);
    let guess = [word("Hm", 0, 300)];
    assert_eq!(shown(&builder.apply(&hypothesis(&guess, 0, false), at(400))), ["1.1 Hm|0"]);
    assert_eq!(shown(&builder.apply(&hypothesis(&[], 0, true), at(900))), ["1.2 |0"]);
    assert_eq!(shown(&builder.apply(&hypothesis(&guess, 1, true), at(1_900))), ["1.3! Hm|2"]);
}

#[test]
fn a_cue_without_words_is_over_when_they_come_from_elsewhere() {
    let mut builder = builder("en", Dress::AsGiven);
    builder.apply(&hypothesis(&[word("Hm", 0, 300)], 0, false), at(400));
    builder.apply(&hypothesis(&[], 0, true), at(900));
    assert_eq!(shown(&builder.leave()), ["1.3! |0"]);
    assert!(builder.leave().is_empty());
    assert_eq!(shown(&builder.apply(&hypothesis(&[word("So", 2_000, 2_300)], 1, true), at(3_000))), ["2.1! So|2"]);
}

#[test]
fn an_engine_that_breaks_its_word_changes_nothing_that_was_stable() {
    let mut builder = builder("en", Dress::AsGiven);
    let words = sentence("one two three", 0, 300);
    builder.apply(&hypothesis(&words, 2, false), at(1_000));
    let cues = builder.apply(&hypothesis(&sentence("uno dos", 0, 300), 9, false), at(1_100));
    assert_eq!(shown(&cues), ["1.2 one two|7"]);
    let cues = builder.apply(&hypothesis(&sentence("x", 0, 300), 1, true), at(1_200));
    assert_eq!(shown(&cues), ["1.3! one two|7"]);
}

#[test]
fn an_utterance_its_engine_never_ended_swallows_none_of_the_next() {
    let mut builder = builder("en", Dress::AsGiven);
    builder.apply(&hypothesis(&sentence("cut off in the", 0, 300), 4, false), at(1_500));
    let cues = builder.apply(&hypothesis(&sentence("middle of it", 2_000, 300), 1, false), at(3_000));
    assert_eq!(shown(&cues), ["1.2! cut off in the|14", "2.1 middle of it|6"]);
}

#[test]
fn whatever_is_said_stable_text_stays_and_every_word_comes_once() {
    // Bare words change their look, never their sound.
    let plain = |text: &str| text.to_lowercase().replace(['.', ',', '?'], "");
    for seed in 0..60 {
        let script = talk(seed, 25);
        let dress = if seed % 2 == 0 { Dress::AsGiven } else { Dress::Bare(Names::default()) };
        let mut builder = builder("en", dress);
        let mut latest: BTreeMap<u64, Cue> = BTreeMap::new();
        let mut erased = 0;
        for (now, hypothesis) in &script.heard {
            let waited = builder.settle(*now);
            for cue in waited.into_iter().chain(builder.apply(hypothesis, *now)) {
                assert!(cue.start < cue.end, "{cue:?}");
                assert!(text::chars(&cue.text) <= text::LINE, "{cue:?}");
                let spoken = |words: &[Word]| words[words.len() - 1].end.since(words[0].start);
                assert!(cue.words.len() < 2 || spoken(&cue.words) <= phrase::CLOSING, "{cue:?}");
                assert!(cue.stable_len == 0 || latest.range(..cue.id).all(|(_, before)| before.is_final), "{cue:?}");
                assert!(cue.stable_len <= text::chars(&cue.text));
                if let Some(old) = latest.get(&cue.id) {
                    assert_eq!(cue.rev, old.rev + 1);
                    assert!(!old.is_final, "{old:?} then {cue:?}");
                    let stable: String = old.text.chars().take(old.stable_len).collect();
                    assert!(cue.text.starts_with(&stable) && cue.stable_len >= old.stable_len, "{old:?} then {cue:?}");
                    erased += usize::from(!cue.text.starts_with(&old.text));
                } else {
                    assert_eq!(cue.id, latest.last_key_value().map_or(0, |(id, _)| *id) + 1);
                }
                latest.insert(cue.id, cue);
            }
        }
        let finals: Vec<&Cue> = latest.values().filter(|cue| cue.is_final).collect();
        let said: String = script.words.iter().map(|word| word.text.as_str()).collect();
        let written: String = finals.iter().flat_map(|cue| cue.text.split(' ')).collect();
        assert_eq!(plain(&written), plain(&said), "seed {seed}");
        assert!(finals.windows(2).all(|pair| pair[0].end <= pair[1].start), "seed {seed}");
        assert!(erased > 0, "the script is meant to flicker");
    }
}
