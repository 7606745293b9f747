use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{at, cue, lang, script::talk, word};
use crate::{
    captions::{Builder, Desk, Dress, Ids, Lane, Phase, Relay, Subscription, Target, TrackSpec, join, run, text},
    model::{Anchor, Cue, Hypothesis, MediaTime, Source, Word},
    translate::{Patience, Text, Translator, Worker, fx::Fx},
};

fn relay() -> Relay {
    Relay::new(lang("en"), lang("pt"), Ids::new())
}

fn model(name: &str) -> PathBuf {
    let folder = std::env::var_os("AMPHI_MODELS_DIR").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/amphi/models");
    folder.unwrap_or_else(home).join(name)
}

fn partial(stable: &str, text: &str) -> Cue {
    Cue { stable_len: stable.len(), is_final: false, text: text.into(), ..cue(1, 0, 3_000, "") }
}

#[test]
fn a_growing_sentence_is_shown_without_its_last_words_and_then_as_a_whole() {
    let mut relay = relay();
    relay.push(&partial("the water goes up and down", "the water goes up and down but"));
    let request = relay.request(at(3_000)).unwrap();
    assert_eq!((request.text.text.as_str(), request.last), ("the water goes up and down", false));
    assert_eq!(relay.request(at(3_000)), None, "one at a time");
    let cues = relay.answer(request.ticket, Some("a água sobe e desce"), at(3_000));
    assert_eq!((cues[0].text.as_str(), cues[0].stable_len, cues[0].is_final), ("a água sobe", 0, false));
    assert_eq!(cues[0].source, Source::Mt);
    relay.push(&Cue { rev: 2, ..cue(1, 0, 3_000, "the water goes up and down but stays.") });
    let request = relay.request(at(3_200)).unwrap();
    assert_eq!((request.text.text.as_str(), request.last), ("the water goes up and down but stays.", true));
    assert_eq!(request.text.before.as_deref(), Some("a água sobe e desce"), "what was said so far");
    let last = relay.answer(request.ticket, Some("a água sobe e desce, mas fica."), at(3_200));
    assert_eq!((last[0].id, last[0].rev, last[0].is_final), (cues[0].id, 2, true));
    assert_eq!((last[0].stable_len, last[0].start, last[0].end), (30, at(0), at(3_000)));
    assert!(relay.answer(request.ticket, Some("again"), at(3_200)).is_empty());
}

/// Translates what `relay` asks for at `now` as `said`; what it asked, and the cues.
fn told(relay: &mut Relay, now: i64, said: &str) -> (Text, Vec<Cue>) {
    let request = relay.request(at(now)).unwrap();
    let cues = relay.answer(request.ticket, Some(said), at(now));
    (request.text, cues)
}

#[test]
fn what_translations_agree_on_stays_and_the_next_one_has_to_go_on_from_there() {
    let mut relay = relay();
    let mut lane = Lane::new(lang("pt"), Duration::ZERO);
    relay.push(&partial("a b c d e f g h", "a b c d e f g h i"));
    told(&mut relay, 1_000, "A B C D E F G H");
    relay.push(&partial("a b c d e f g h i", "a b c d e f g h i j"));
    let (asked, cues) = told(&mut relay, 2_000, "A B C D E F G H I");
    assert_eq!((asked.begin.as_str(), asked.before.as_deref()), ("", Some("A B C D E F G H")));
    assert_eq!((cues[0].text.as_str(), cues[0].stable_len), ("A B C D E F G H", "A B C D".len()));
    cues.iter().for_each(|cue| lane.push(cue));
    assert_eq!(lane.pending(), 4, "WebVTT has them before the sentence is over");
    relay.push(&Cue { rev: 3, ..cue(1, 0, 3_000, "a b c d e f g h i jam.") });
    let (asked, cues) = told(&mut relay, 3_000, "A B C D, X Y.");
    assert_eq!(asked.begin, "A B C D ");
    assert_eq!(
        (cues[0].text.as_str(), cues[0].is_final),
        ("A B C D X Y.", true),
        "a mark is no reason to say it again"
    );
}

#[test]
fn a_translation_that_takes_stable_words_back_is_gone_into_where_it_is_nearest() {
    for (last, expected) in [
        ("A B Z D E.", "A B C D E."),
        ("Z A B C D E F.", "A B C D E F."),
        ("D E.", "A B C D E."),
        ("A B C D.", "A B C D"),
    ] {
        let mut relay = relay();
        for nth in 8..10 {
            let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i"][..nth].join(" ");
            relay.push(&partial(&words, &format!("{words} more")));
            told(&mut relay, nth as i64 * 1_000 - 5_000, "A B C D E F G H I");
        }
        relay.push(&Cue { rev: 3, ..cue(1, 0, 3_000, "a b c d e f g h i jam.") });
        let (_, cues) = told(&mut relay, 5_000, last);
        assert_eq!(cues[0].text, expected);
    }
}

#[test]
fn a_cue_full_of_stable_words_is_closed_and_never_divided_again() {
    let mut relay = relay();
    let (source, said) = ("word ".repeat(30), "palavra ".repeat(30));
    let mut latest: BTreeMap<u64, Cue> = BTreeMap::new();
    let mut early = 0;
    for count in (6..=30).step_by(3) {
        let (stable, last) = (source[..count * 5 - 1].trim(), count == 30);
        relay.push(&match last {
            true => Cue { rev: 9, ..cue(1, 0, 12_000, &format!("{stable}.")) },
            false => Cue { end: at(count as i64 * 400), ..partial(stable, &source) },
        });
        let (_, cues) = told(&mut relay, count as i64 * 400 + 500, said[..count * 8].trim());
        for cue in cues {
            let old = latest.insert(cue.id, cue.clone());
            assert!(old.is_none_or(|old| !old.is_final && cue.text.starts_with(&old.text[..old.stable_len])));
            early += usize::from(cue.is_final && !last);
        }
    }
    assert!(early >= 2 && latest.values().all(|cue| cue.is_final && text::fits(&cue.text, &cue.lang)), "{latest:?}");
    let cues: Vec<&Cue> = latest.values().filter(|cue| !cue.text.is_empty()).collect();
    assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start), "{cues:?}");
    assert_eq!(cues.iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>().join(" "), said.trim());
}

#[test]
fn the_last_words_before_a_silence_do_not_wait_for_the_next_ones() {
    let mut relay = relay();
    relay.push(&partial("one two three", "one two three four"));
    told(&mut relay, 3_000, "um dois três");
    assert_eq!(relay.request(at(6_000)), None);
    let (_, cues) = told(&mut relay, 6_300, "um dois três");
    assert_eq!((cues[0].text.as_str(), cues[0].is_final), ("um dois três", true), "no mark is made up");
}

#[test]
fn the_same_beginning_is_not_translated_twice_and_not_too_often() {
    let mut relay = relay();
    relay.push(&partial("one two three", "one two three four"));
    let first = relay.request(at(1_000)).unwrap();
    relay.answer(first.ticket, Some("um dois três"), at(1_000));
    assert_eq!(relay.request(at(9_000 - 6_001)), None);
    relay.push(&partial("one two three four", "one two three four five"));
    assert_eq!(relay.request(at(1_500)), None);
    assert!(relay.request(at(2_000)).is_some());
}

#[test]
fn a_patient_relay_translates_only_what_is_complete() {
    let mut relay = relay();
    relay.set_patient(true);
    relay.push(&partial("one two three four", "one two three four five"));
    assert_eq!(relay.request(at(1_000)), None);
    relay.push(&cue(1, 0, 3_000, "one two three four five."));
    let request = relay.request(at(1_000)).unwrap();
    assert_eq!((request.text.text.as_str(), request.last), ("one two three four five.", true));
    relay.answer(request.ticket, Some("Um dois três."), at(1_000));
    relay.push(&Cue { id: 2, start: at(3_000), end: at(6_000), ..partial("six seven eight", "six seven eight nine") });
    assert_eq!(relay.request(at(6_000)), None);
    relay.set_patient(false);
    assert!(relay.request(at(6_000)).is_some(), "what was left out comes back");
}

#[test]
fn a_busy_translator_is_asked_more_seldom_for_beginnings_but_for_sentences_at_once() {
    let mut relay = relay();
    relay.push(&partial("one two three", "one two three four"));
    let first = relay.request(at(1_000)).unwrap();
    relay.answer(first.ticket, Some("um dois três"), at(1_500));
    relay.push(&partial("one two three four", "one two three four five"));
    assert_eq!(relay.request(at(2_900)), None);
    let second = relay.request(at(3_000)).unwrap();
    assert!(relay.answer(second.ticket, None, at(3_000)).is_empty());
    assert_eq!(relay.request(at(3_000)), None);
    let again = relay.request(at(3_700)).unwrap();
    assert_eq!(again.text.text, "one two three four", "what was shed is asked for again");
    relay.answer(again.ticket, None, at(3_700));
    relay.push(&cue(1, 0, 3_000, "One two three four five."));
    assert!(relay.request(at(3_700)).unwrap().last);
}

#[test]
fn a_sentence_that_ends_while_it_is_translated_keeps_its_cues() {
    let mut relay = relay();
    relay.push(&partial("one two three four", "one two three four five"));
    let request = relay.request(at(1_000)).unwrap();
    relay.push(&cue(1, 0, 3_000, "one two three four five."));
    let early = relay.answer(request.ticket, Some("v w x y z"), at(1_000));
    let request = relay.request(at(1_000)).unwrap();
    let last = relay.answer(request.ticket, Some("V W X Y Z."), at(1_000));
    assert_eq!((early[0].text.as_str(), last[0].text.as_str()), ("v w x", "V W X Y Z."));
    assert_eq!(early[0].id, last[0].id);
}

#[test]
fn a_short_sentence_stays_long_enough_to_be_read_where_there_is_room() {
    let mut relay = relay();
    relay.push(&cue(1, 0, 300, "Yes."));
    let (_, cues) = told(&mut relay, 5_000, "Sim.");
    assert_eq!((cues[0].start, cues[0].end), (at(0), at(1_000)));
    relay.push(&cue(2, 5_000, 5_300, "Sure."));
    relay.push(&cue(3, 5_400, 6_000, "Why?"));
    let (_, cues) = told(&mut relay, 6_000, "Claro.");
    assert_eq!((cues[0].start, cues[0].end), (at(5_000), at(5_400)));
}

#[test]
fn a_translator_that_fails_is_asked_twice_and_the_sentence_after_is_not_lost() {
    let mut relay = relay();
    relay.push(&cue(1, 0, 1_000, "Lost."));
    relay.push(&cue(2, 1_000, 2_000, "Found."));
    for _ in 0..2 {
        let request = relay.request(at(2_000)).unwrap();
        assert_eq!(request.text.text, "Lost.");
        assert!(relay.answer(request.ticket, None, at(2_000)).is_empty());
    }
    assert_eq!(relay.take_dropped(), 1);
    assert_eq!(relay.request(at(2_000)).unwrap().text.text, "Found.");
}

#[test]
fn what_was_shown_of_a_sentence_stays_when_its_translator_fails() {
    let mut relay = relay();
    relay.push(&partial("one two three four five", "one two three four five six"));
    told(&mut relay, 1_000, "um dois três quatro cinco");
    relay.push(&Cue { rev: 2, ..cue(1, 0, 3_000, "One two three four five six.") });
    let mut last = Vec::new();
    for _ in 0..2 {
        let request = relay.request(at(3_000)).unwrap();
        last = relay.answer(request.ticket, None, at(3_000));
    }
    assert_eq!((last[0].text.as_str(), last[0].is_final), ("um dois três", true));
}

#[test]
fn talk_without_end_is_cut_where_cues_end_and_silence_closes_it() {
    let mut relay = relay();
    for nth in 0..11 {
        relay.push(&cue(nth + 1, nth as i64 * 2_000, nth as i64 * 2_000 + 1_900, "five words and no end"));
    }
    let mut texts = Vec::new();
    while let Some(request) = relay.request(at(24_000)) {
        texts.push((request.text.text.split(' ').count(), request.last));
        relay.answer(request.ticket, Some("x y z w"), at(24_000));
    }
    assert_eq!(texts, [(20, true), (20, true)]);
    let rest = relay.request(at(40_000)).unwrap();
    assert_eq!((rest.text.text.split(' ').count(), rest.last), (15, true));
}

#[test]
fn long_translations_fill_cues_of_two_lines_that_do_not_overlap() {
    let mut relay = relay();
    relay.push(&cue(1, 0, 8_000, "One long sentence."));
    let request = relay.request(at(8_000)).unwrap();
    let long = "palavra ".repeat(25);
    let cues = relay.answer(request.ticket, Some(&long), at(8_000));
    assert!(cues.len() == 3 && cues.iter().all(|cue| text::fits(&cue.text, &cue.lang)), "{cues:?}");
    assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start && pair[0].id < pair[1].id));
    assert_eq!((cues[0].start, cues[2].end), (at(0), at(8_000)));
}

#[test]
fn a_last_word_alone_is_no_cue() {
    let mut relay = relay();
    relay.push(&cue(1, 0, 8_000, "One long sentence."));
    let request = relay.request(at(8_000)).unwrap();
    let cues = relay.answer(request.ticket, Some(&"palavra ".repeat(11)), at(8_000));
    let words: Vec<usize> = cues.iter().map(|cue| cue.text.split_whitespace().count()).collect();
    assert!(words.len() == 2 && words.iter().all(|count| (5..=6).contains(count)), "{cues:?}");
}

#[test]
fn what_was_shown_is_final_when_no_answer_comes_any_more() {
    let mut relay = relay();
    relay.push(&partial("one two three four five", "one two three four five six"));
    let (_, shown) = told(&mut relay, 3_000, "um dois três quatro cinco");
    let cues = relay.end(at(4_000));
    assert_eq!((cues.len(), cues[0].id, cues[0].is_final, &cues[0].text), (1, shown[0].id, true, &shown[0].text));
    assert_eq!((relay.take_dropped(), relay.take_dropped()), (1, 0), "but it was not translated to its end");
    assert!(relay.end(at(5_000)).is_empty() && relay.request(at(9_000)).is_none());
}

/// Says every word twice, so that translations are longer than their sources and still checkable.
struct Echo;

impl Translator for Echo {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        let twice = |text: &Text| text.text.split(' ').flat_map(|word| [word, word]).collect::<Vec<_>>().join(" ");
        Ok(texts.iter().map(twice).collect())
    }
}

#[test]
fn whatever_is_said_every_word_is_translated_once_and_in_order() {
    for seed in 200..230 {
        let script = talk(seed, 20);
        let ids = Ids::new();
        let mut builder = Builder::new(lang("en"), Dress::AsGiven, ids.clone());
        let mut relay = Relay::new(lang("en"), lang("pt"), ids);
        let mut latest: BTreeMap<u64, Cue> = BTreeMap::new();
        let mut now = MediaTime::ZERO;
        for (at, hypothesis) in &script.heard {
            now = *at;
            builder.apply(hypothesis, now).iter().for_each(|cue| relay.push(cue));
            pump(&mut relay, now, &mut latest);
        }
        relay.finish();
        pump(&mut relay, now + Duration::from_secs(2), &mut latest);
        let said: Vec<&str> = script.words.iter().flat_map(|word| text::pieces(&word.text, text::LINE)).collect();
        let said: String = said.iter().flat_map(|word| [*word, *word]).collect();
        let translated: String = latest.values().map(|cue| cue.text.replace(' ', "")).collect();
        assert_eq!(translated, said, "seed {seed}");
        assert!(latest.values().all(|cue| cue.is_final));
    }
}

fn pump(relay: &mut Relay, now: MediaTime, latest: &mut BTreeMap<u64, Cue>) {
    while let Some(request) = relay.request(now) {
        let text = Echo.translate(&[request.text]).unwrap().remove(0);
        for cue in relay.answer(request.ticket, Some(&text), now) {
            let old = latest.get(&cue.id);
            assert!(old.is_none_or(|old| !old.is_final && old.rev + 1 == cue.rev), "{old:?} then {cue:?}");
            let stays = |old: &Cue| old.text.chars().take(old.stable_len).collect::<String>();
            assert!(old.is_none_or(|old| cue.text.starts_with(&stays(old))), "{old:?} then {cue:?}");
            latest.insert(cue.id, cue);
        }
    }
}

#[tokio::test]
async fn a_lecture_runs_through_the_desk_into_portuguese() {
    let spec = |tag: &str, engine: &str| TrackSpec {
        lang: lang(tag),
        engine: engine.into(),
        model: engine.into(),
        dress: Dress::AsGiven,
    };
    let anchor = Anchor::new(SystemTime::UNIX_EPOCH);
    let desk = Desk::new(anchor, [spec("en", "whisper"), spec("pt", "fx")], Duration::ZERO);
    let worker =
        Worker::start("fx-en-pt", Patience::default(), || Ok(Box::new(Fx::load(&model("fx-en-pt"))?) as Box<_>))
            .unwrap();
    // While a model is loaded the live goes on, and its first words are no beginning any more.
    worker.translate(vec!["Good evening.".into()]).await.unwrap();
    let (hypotheses, receiver) = mpsc::channel(8);
    let now = Arc::new(AtomicI64::new(0));
    let clock = {
        let now = now.clone();
        move || at(now.load(Ordering::Relaxed))
    };
    let targets = vec![Target { lang: lang("pt"), worker }];
    // A translation is seen while the first sentence lasts.
    let mut readers = desk.subscribe(Some(lang("pt")), None, MediaTime::ZERO);
    let running = tokio::spawn(run(desk.clone(), lang("en"), receiver, targets, clock, CancellationToken::new()));
    for (nth, sentence) in lecture().iter().take(4).enumerate() {
        for known in 1..=sentence.len() {
            let last = known == sentence.len();
            if last && nth == 0 {
                // Time must go on for the rate limit to let a second request through.
                while seen_nothing(&mut readers).await {
                    now.fetch_add(100, Ordering::Relaxed);
                }
            }
            let words = sentence[..known].to_vec();
            now.store(words[known - 1].end.as_nanos() / 1_000_000 + 800, Ordering::Relaxed);
            hypotheses.send(Hypothesis { words, stable: known.saturating_sub(2), last }).await.unwrap();
        }
    }
    drop(hypotheses);
    running.await.unwrap();
    desk.end(at(20_000));
    let mut finals = Vec::new();
    while let Some(event) = readers.recv().await.unwrap() {
        let value: serde_json::Value = serde_json::from_slice(&event.json).unwrap();
        if value["final"] == true {
            finals.push(value["text"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(join(&desk.track(&lang("en")).unwrap()).len(), 5);
    expect_test::expect![[r#"
        Bom dia, e bem-vindo a esta palestra sobre ondas.
        Hoje vamos responder a três perguntas simples.
        O que é uma onda, quão rápido ela viaja, e por que duas ondas às vezes se cancelam?
        Vamos começar com a primeira pergunta."#]]
    .assert_eq(&finals.join("\n"));
    assert!(desk.document(&lang("pt")).unwrap().contains("00:00:00.000 --> "));
}

#[tokio::test]
async fn a_translation_that_fails_shows_in_its_own_track_until_it_works() {
    let spec = |tag: &str| TrackSpec { lang: lang(tag), engine: "".into(), model: "".into(), dress: Dress::AsGiven };
    let desk = Desk::new(Anchor::new(SystemTime::UNIX_EPOCH), ["en", "pt"].map(spec), Duration::ZERO);
    let there = Arc::new(AtomicBool::new(false));
    let found = there.clone();
    let load = move || {
        anyhow::ensure!(found.load(Ordering::Relaxed), "no such file");
        Ok(Box::new(Echo) as Box<_>)
    };
    let patience =
        Patience { first: Duration::from_millis(1), longest: Duration::from_millis(4), ..Patience::default() };
    let targets = vec![Target { lang: lang("pt"), worker: Worker::start("late", patience, load).unwrap() }];
    let (words, hypotheses) = mpsc::channel(1);
    let mut told = desk.subscribe(Some(lang("pt")), None, at(0));
    let running = tokio::spawn(run(desk.clone(), lang("en"), hypotheses, targets, || at(0), CancellationToken::new()));
    let mut until = async |state: &str| {
        let state = format!(r#""state":"{state}""#);
        while !String::from_utf8_lossy(&told.recv().await.unwrap().unwrap().json).contains(&state) {}
    };
    let states = || (desk.phase_of(&lang("en")), desk.phase_of(&lang("pt")));
    // Nobody has said a word yet.
    until("failed").await;
    assert_eq!(states(), (Phase::Live, Phase::Failed));
    there.store(true, Ordering::Relaxed);
    until("live").await;
    assert_eq!(states(), (Phase::Live, Phase::Live));
    drop(words);
    running.await.unwrap();
}

/// No cue has come for a while.
async fn seen_nothing(readers: &mut Subscription) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(50), readers.recv()).await;
    !next.is_ok_and(|event| event.unwrap().is_some_and(|event| event.id.is_some()))
}

/// The bundled lecture: its sentences with evenly spread words.
fn lecture() -> Vec<Vec<Word>> {
    let json = include_str!("../../../tests/media/lecture-en.json");
    let sentences: serde_json::Value = serde_json::from_str(json).unwrap();
    let sentence = |sentence: &serde_json::Value| {
        let millis = |key: &str| (sentence[key].as_f64().unwrap() * 1e3) as i64;
        let words: Vec<&str> = sentence["text"].as_str().unwrap().split(' ').collect();
        let (start, pace) = (millis("start"), (millis("end") - millis("start")) / words.len() as i64);
        let timed =
            |(nth, text): (usize, &&str)| word(text, start + nth as i64 * pace, start + (nth as i64 + 1) * pace);
        words.iter().enumerate().map(timed).collect()
    };
    sentences.as_array().unwrap().iter().map(sentence).collect()
}
