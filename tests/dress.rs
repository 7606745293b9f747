//! Bare words as text, held to other tools: numbers to num2words, translations to a model and chrF, captions to
//! the reading limits of `amphi evaluate`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use amphi::{
    captions::{Builder, Dress, Dresser, Ids, Names, Relay, vtt},
    model::{Cue, Hypothesis, LanguageTag, MediaTime, Word},
    quality::{Chrf, segments},
    translate::{Translator as _, fx::Fx},
};

fn lang(tag: &str) -> LanguageTag {
    LanguageTag::parse(tag).unwrap()
}

fn home(variable: &str, folder: &str) -> PathBuf {
    std::env::var_os(variable)
        .map_or_else(|| std::env::home_dir().unwrap().join(".cache/amphi").join(folder), Into::into)
}

fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

fn word(text: &str, start: f64, end: f64) -> Word {
    let at = |seconds: f64| MediaTime::from_millis((seconds * 1_000.0).round() as i64);
    Word { text: text.into(), start: at(start), end: at(end), confidence: 0.9 }
}

/// The lecture's words as a recogniser gives them.
fn lecture() -> Vec<Word> {
    let bare = |text: &str| text.to_lowercase().trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    written().into_iter().map(|word| Word { text: bare(&word.text), ..word }).collect()
}

/// The same as its author wrote them, with the times of the recording.
fn written() -> Vec<Word> {
    let text = std::fs::read_to_string(media("lecture-en.words")).unwrap();
    let fields = |line: &str| -> Option<Word> {
        let mut fields = line.split(' ');
        let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(word(fields.next()?, start, end))
    };
    text.lines().filter_map(fields).collect()
}

/// In utterances as an endpointer that waits for `silence` makes them, laid into cues.
fn cues(words: &[Word], silence: Duration, dress: Dress) -> Vec<Cue> {
    let mut builder = Builder::new(lang("en"), dress, Ids::new());
    let mut cues: BTreeMap<u64, Cue> = BTreeMap::new();
    for words in words.chunk_by(|word, next| next.start.since(word.end) < silence) {
        let now = words.last().unwrap().end + silence;
        let heard = Hypothesis { words: words.to_vec(), stable: words.len(), last: true };
        cues.extend(builder.apply(&heard, now).into_iter().map(|cue| (cue.id, cue)));
    }
    cues.into_values().filter(|cue| !cue.text.is_empty()).collect()
}

/// Number words by num2words, and the digits they stand for.
fn spelled(tag: &str, values: &[u64]) -> Vec<String> {
    let script = "
import sys
from num2words import num2words
for value in sys.argv[2:]:
    print(num2words(int(value), lang=sys.argv[1]).replace(',', ''))";
    let mut python = Command::new(home("AMPHI_VENV", "venv").join("bin/python"));
    let output = python.args(["-c", script, tag]).args(values.iter().map(ToString::to_string)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(Into::into).collect()
}

#[test]
fn numbers_as_num2words_says_them_are_written_in_digits() {
    // It says dicotto for diciotto.
    let misspelled = |tag: &str, said: &str| tag == "it" && said.contains("dicotto");
    let odd = (0..90).map(|n: u64| (n * n * 7_919 + 13) % 1_000_000);
    let values: Vec<u64> =
        (21..130).chain([180, 199, 221, 342, 471, 699, 999, 1_001, 1_998, 2_024]).chain(odd).collect();
    for (tag, group, least) in [
        ("en", ",", 10),
        ("fr", "", 10),
        ("fr_BE", "", 10),
        ("fr_CH", "", 10),
        ("de", ".", 13),
        ("es", ".", 10),
        ("pt", ".", 10),
        ("pt_BR", ".", 10),
        ("it", ".", 10),
        ("nl", ".", 21),
    ] {
        let texts = spelled(tag, &values);
        assert_eq!(texts.len(), values.len());
        for (value, said) in values.iter().zip(&texts).filter(|(_, said)| !misspelled(tag, said)) {
            let words: Vec<Word> =
                said.split(' ').enumerate().map(|(n, text)| word(text, n as f64, n as f64 + 0.9)).collect();
            // A hundred and a thousand alone stay words, as do numbers that most texts spell.
            if words.len() == 1 && [100, 1_000].contains(value) || *value < least {
                continue;
            }
            let heard = Hypothesis { stable: words.len(), words, last: true };
            let now = heard.words.last().unwrap().end;
            let written = Dresser::new(lang(&tag[..2]), Names::default()).dress(&heard, now).remove(0).words;
            let digits = match value {
                0..10_000 => value.to_string(),
                _ => format!("{}{group}{:03}", value / 1_000, value % 1_000),
            };
            let texts: Vec<&str> = written.iter().map(|word| word.text.trim_end_matches('.')).collect();
            assert_eq!(texts.join(" "), digits, "{tag}: {said}");
        }
    }
}

/// What viewers of the Portuguese track read, in lines like the reference's, and its chrF2.
fn translated(cues: &[Cue]) -> f64 {
    let mut fx = Fx::load(&home("AMPHI_MODELS_DIR", "models").join("fx-en-pt")).unwrap();
    let mut relay = Relay::new(lang("en"), lang("pt"), Ids::new());
    let mut shown: BTreeMap<u64, Cue> = BTreeMap::new();
    let mut answer = |relay: &mut Relay, now: MediaTime| {
        while let Some(request) = relay.request(now) {
            let text = fx.translate(&[request.text]).unwrap().remove(0);
            shown.extend(relay.answer(request.ticket, Some(&text), now).into_iter().map(|cue| (cue.id, cue)));
        }
    };
    for cue in cues {
        relay.push(cue);
        answer(&mut relay, cue.end);
    }
    relay.finish();
    answer(&mut relay, cues.last().unwrap().end);
    assert_eq!(relay.take_dropped(), 0);
    let text: Vec<&str> = shown.values().filter(|cue| cue.is_final).map(|cue| cue.text.as_str()).collect();
    let reference = std::fs::read_to_string(media("lecture-pt.txt")).unwrap();
    let reference: Vec<&str> = reference.lines().collect();
    let lines = segments::align_to(&reference, &text.join(" ")).unwrap();
    Chrf::corpus(reference.iter().copied().zip(lines.iter().map(String::as_str))).score
}

#[test]
fn what_is_dressed_is_translated_better() {
    // A speaker whose sentences end with pauses that an endpointer takes for the end, and one in a hurry.
    for (speaker, silence) in [("pauses", 500), ("hurries", 2_000)] {
        let silence = Duration::from_millis(silence);
        let bare = translated(&cues(&lecture(), silence, Dress::AsGiven));
        let dressed = translated(&cues(&lecture(), silence, Dress::Bare(Names::default())));
        println!("en to pt, a speaker who {speaker}: chrF2 {bare:.1} of bare words, {dressed:.1} of dressed ones");
        assert!(dressed > bare + 2.0 && dressed > 70.0, "{speaker}: {bare} {dressed}");
    }
}

/// What `amphi evaluate` says of how these captions read.
fn reading(cues: &[Cue]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("captions.vtt");
    std::fs::write(&file, vtt::document(cues)).unwrap();
    let mut amphi = Command::new(env!("CARGO_BIN_EXE_amphi"));
    amphi.args(["evaluate", "--metric", "reading", "--json", "--reference"]).arg(media("lecture-en.txt"));
    let output = amphi.arg("--hypothesis").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{}", figures["reading"]);
    figures["reading"].clone()
}

#[test]
fn dressed_captions_read_as_well_as_their_authors_text() {
    for silence in [500, 2_000] {
        let silence = Duration::from_millis(silence);
        let author = reading(&cues(&written(), silence, Dress::AsGiven));
        let dressed = reading(&cues(&lecture(), silence, Dress::Bare(Names::default())));
        assert!(dressed["captions"].as_u64().unwrap() > 30, "{dressed}");
        assert_eq!((&dressed["too_wide"], &dressed["too_high"]), (&0.into(), &0.into()), "{dressed}");
        // This voice says 19 characters a second: where it goes on at once a caption cannot stay for longer.
        for limit in ["too_fast", "too_short"] {
            let of = |reading: &serde_json::Value| reading[limit].as_u64().unwrap();
            assert!(of(&dressed) <= of(&author) + 1 && of(&dressed) <= 3, "{limit}: {dressed}");
        }
    }
}
