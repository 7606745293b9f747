use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{at, cue, lang, script::talk, word};
use crate::{
    captions::{Builder, Desk, Dress, Ids, Relay, Subscription, Target, TrackSpec, join, run, text},
    model::{Anchor, Cue, Hypothesis, MediaTime, Source, Word},
    translate::{Text, Translator, Worker, fx::Fx},
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
    let cues = relay.answer(request.ticket, Some("a água sobe e desce"));
    assert_eq!((cues[0].text.as_str(), cues[0].stable_len, cues[0].is_final), ("a água", 0, false));
    assert_eq!(cues[0].source, Source::Mt);
    relay.push(&Cue { rev: 2, ..cue(1, 0, 3_000, "the water goes up and down but stays.") });
    let request = relay.request(at(3_200)).unwrap();
    assert_eq!((request.text.text.as_str(), request.last), ("the water goes up and down but stays.", true));
    assert_eq!(request.text.before.as_deref(), Some("a água sobe e desce"), "what was said so far");
    let last = relay.answer(request.ticket, Some("a água sobe e desce, mas fica."));
    assert_eq!((last[0].id, last[0].rev, last[0].is_final), (cues[0].id, 2, true));
    assert_eq!((last[0].stable_len, last[0].start, last[0].end), (30, at(0), at(3_000)));
    assert!(relay.answer(request.ticket, Some("again")).is_empty());
}

#[test]
fn the_same_beginning_is_not_translated_twice_and_not_too_often() {
    let mut relay = relay();
    relay.push(&partial("one two three", "one two three four"));
    let first = relay.request(at(1_000)).unwrap();
    relay.answer(first.ticket, Some("um dois três"));
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
    relay.answer(request.ticket, Some("Um dois três."));
    relay.push(&Cue { id: 2, start: at(3_000), end: at(6_000), ..partial("six seven eight", "six seven eight nine") });
    assert_eq!(relay.request(at(6_000)), None);
    relay.set_patient(false);
    assert!(relay.request(at(6_000)).is_some(), "what was left out comes back");
}

#[test]
fn a_sentence_that_ends_while_it_is_translated_keeps_its_cues() {
    let mut relay = relay();
    relay.push(&partial("one two three four", "one two three four five"));
    let request = relay.request(at(1_000)).unwrap();
    relay.push(&cue(1, 0, 3_000, "one two three four five."));
    let early = relay.answer(request.ticket, Some("v w x y z"));
    let request = relay.request(at(1_000)).unwrap();
    let last = relay.answer(request.ticket, Some("V W X Y Z."));
    assert_eq!((early[0].text.as_str(), last[0].text.as_str()), ("v w", "V W X Y Z."));
    assert_eq!(early[0].id, last[0].id);
}

#[test]
fn a_translator_that_fails_is_asked_twice_and_the_sentence_after_is_not_lost() {
    let mut relay = relay();
    relay.push(&cue(1, 0, 1_000, "Lost."));
    relay.push(&cue(2, 1_000, 2_000, "Found."));
    for _ in 0..2 {
        let request = relay.request(at(2_000)).unwrap();
        assert_eq!(request.text.text, "Lost.");
        assert!(relay.answer(request.ticket, None).is_empty());
    }
    assert_eq!(relay.dropped(), 1);
    assert_eq!(relay.request(at(2_000)).unwrap().text.text, "Found.");
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
        relay.answer(request.ticket, Some("x y z w"));
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
    let cues = relay.answer(request.ticket, Some(&long));
    assert!(cues.len() == 3 && cues.iter().all(|cue| text::fits(&cue.text, &cue.lang)), "{cues:?}");
    assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start && pair[0].id < pair[1].id));
    assert_eq!((cues[0].start, cues[2].end), (at(0), at(8_000)));
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
        for cue in relay.answer(request.ticket, Some(&text)) {
            let old = latest.get(&cue.id);
            assert!(old.is_none_or(|old| !old.is_final && old.rev + 1 == cue.rev), "{old:?} then {cue:?}");
            latest.insert(cue.id, cue);
        }
    }
}

#[test]
fn a_real_model_translates_sentences_and_lower_case_speech() {
    let mut fx = Fx::load(&model("fx-en-pt")).unwrap();
    let texts =
        ["The third question is the most interesting one.", "good morning and welcome to this lecture on waves", ""]
            .map(Text::from);
    let translated = fx.translate(&texts).unwrap();
    expect_test::expect![[r#"
        A terceira questão é a mais interessante.
        bom dia e bem-vindo a esta palestra sobre ondas
    "#]]
    .assert_eq(&translated.join("\n"));
}

#[test]
fn a_model_that_is_not_there_says_where_it_was_looked_for() {
    let error = format!("{:#}", Fx::load(&model("fx-xx-yy")).err().unwrap());
    assert!(error.contains("fx-xx-yy"), "{error}");
}

#[tokio::test]
async fn a_worker_survives_a_model_that_panics_or_cannot_be_loaded() {
    struct Mine;
    impl Translator for Mine {
        fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
            assert_ne!(texts[0].text, "boom");
            Ok(texts.iter().map(|text| text.text.clone()).collect())
        }
    }
    let worker = Worker::start("mine", || Ok(Box::new(Mine))).unwrap();
    assert!(worker.translate(vec!["boom".into()]).await.unwrap_err().to_string().contains("panicked"));
    assert_eq!(worker.translate(vec!["a".into(), "b".into()]).await.unwrap(), ["a", "b"]);
    let broken = Worker::start("broken", || anyhow::bail!("no such file")).unwrap();
    assert_eq!(broken.translate(vec![]).await.unwrap_err().to_string(), "translator broken: no such file");
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
    let worker = Worker::start("fx-en-pt", || Ok(Box::new(Fx::load(&model("fx-en-pt"))?) as Box<_>)).unwrap();
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
