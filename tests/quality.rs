//! The figures of captions are those of the field's tools: jiwer and sacrebleu of PyPI, on the same texts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use amphi::quality::{Bleu, Chrf, Normalise, Rate, Tokenizer};
use serde_json::{Value, json};

type Corpus = (Vec<String>, Vec<String>);

/// What each tool says of each corpus.
const REFERENCE: &str = "
import json, sys
import jiwer
from sacrebleu.metrics import BLEU, CHRF

def rate(found, rate):
    return [rate, found.hits, found.substitutions, found.deletions, found.insertions]

def bleu(ours, theirs, name):
    found = BLEU(tokenize=name).corpus_score(theirs, [ours])
    return [found.score, *found.precisions, found.bp, found.sys_len, found.ref_len]

for line in sys.stdin:
    ours, theirs = json.loads(line)
    words, characters = jiwer.process_words(ours, theirs), jiwer.process_characters(ours, theirs)
    print(json.dumps({
        'wer': rate(words, words.wer),
        'cer': rate(characters, characters.cer),
        'bleu': {name: bleu(ours, theirs, name) for name in ('13a', 'intl', 'char', 'none')},
        'chrf': CHRF().corpus_score(theirs, [ours]).score,
        'chrf++': CHRF(word_order=2).corpus_score(theirs, [ours]).score,
    }))
";

fn python() -> Command {
    let home = || std::env::home_dir().unwrap().join(".cache/amphi/venv");
    let tools = std::env::var_os("AMPHI_VENV").map_or_else(home, PathBuf::from);
    Command::new(tools.join("bin/python"))
}

fn said_by_the_tools(corpora: &[Corpus]) -> Vec<Value> {
    let mut python =
        python().args(["-X", "utf8", "-c", REFERENCE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    let lines: String = corpora.iter().map(|corpus| format!("{}\n", json!(corpus))).collect();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A generator without luck: the same words every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn line(&mut self, words: &[&str], most: usize) -> String {
        let spaces = [" ", " ", " ", "  ", "\u{a0}", "\t ", " \u{1f}"];
        (0..self.roll(most + 1)).map(|_| words[self.roll(words.len())].to_owned() + spaces[self.roll(7)]).collect()
    }
}

fn corpora() -> Vec<Corpus> {
    let plain: &[&str] = &["a", "b", "c", "wave", "waves"];
    let odd: &[&str] = &[
        "the",
        "The",
        "wave.",
        "(hi)",
        "3,400.5",
        "2010-2012",
        "e.g.",
        "&amp;",
        "&quot;x&quot;",
        "l’eau",
        "don't",
        "naïve",
        "nai\u{308}ve",
        "波の",
        "속도는",
        "हिन्दी",
        "€5",
        "½",
        "x-",
        "-",
        "…",
        "«oui»",
        "🙂",
        "$",
        "a/b",
        "“q”",
        "\u{200b}",
        "١٢",
        "foo_bar",
        "<skipped>",
        "100%",
        ".5",
        "5.",
        "{~}",
        "a,b",
    ];
    let mut dice = Dice(7);
    let mut corpora = Vec::new();
    for round in 0..120 {
        let (words, most) = (if round % 2 == 0 { plain } else { odd }, [3, 8, 25][round % 3]);
        let lines = 1 + dice.roll(5);
        let mut corpus: Corpus = Default::default();
        for nth in 0..lines {
            // A corpus without any reference word has no rates.
            corpus.0.push(if nth == 0 { "the wave".into() } else { dice.line(words, most) });
            let said =
                if dice.roll(3) == 0 { corpus.0[nth].replacen("wave", "whale", 1) } else { dice.line(words, most) };
            corpus.1.push(said);
        }
        corpora.push(corpus);
    }
    let lecture = include_str!("media/lecture-en.txt");
    let spoken = lecture.to_lowercase().replace("two", "2").replace(" the ", " a ").replace("crest", "breast");
    let lines = |text: &str| text.lines().map(Into::into).collect::<Vec<String>>();
    corpora.push((lines(lecture), lines(&spoken)));
    corpora.push((vec![lecture.replace('\n', " ")], vec![spoken.replace('\n', " ")]));
    corpora.push((lines(lecture), lines(lecture)));
    corpora.push((lines(lecture), vec![String::new(); lines(lecture).len()]));
    corpora
}

fn near(ours: f64, theirs: &Value, what: &str, corpus: &Corpus) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, but {theirs} of {corpus:?}");
}

#[test]
fn figures_are_those_of_jiwer_and_sacrebleu() {
    let corpora = corpora();
    let said = said_by_the_tools(&corpora);
    assert_eq!(said.len(), corpora.len());
    let mut above_nothing = 0;
    for (corpus, said) in corpora.iter().zip(&said) {
        let pairs = || corpus.0.iter().map(String::as_str).zip(corpus.1.iter().map(String::as_str));
        for (what, rate) in
            [("wer", Rate::words(pairs(), Normalise::None)), ("cer", Rate::characters(pairs(), Normalise::None))]
        {
            let rate = rate.unwrap();
            near(rate.rate().unwrap(), &said[what][0], what, corpus);
            let counts = json!([rate.hits, rate.substitutions, rate.deletions, rate.insertions]);
            assert_eq!(counts.as_array().unwrap()[..], said[what].as_array().unwrap()[1..], "{what} of {corpus:?}");
        }
        for tokenizer in [Tokenizer::V13a, Tokenizer::Intl, Tokenizer::Char, Tokenizer::None] {
            let (bleu, theirs) = (Bleu::corpus(pairs(), tokenizer), &said["bleu"][tokenizer.as_str()]);
            let what = format!("BLEU {}", tokenizer.as_str());
            let ours = [bleu.score].into_iter().chain(bleu.precisions).chain([bleu.brevity]);
            let sizes = [bleu.hypothesis as f64, bleu.reference as f64];
            for (nth, figure) in ours.chain(sizes).enumerate() {
                near(figure, &theirs[nth], &format!("{what}, figure {nth}"), corpus);
            }
            above_nothing += usize::from(bleu.score > 0.0);
        }
        near(Chrf::corpus(pairs()).score, &said["chrf"], "chrF2", corpus);
        near(Chrf::corpus_with_words(pairs()).score, &said["chrf++"], "chrF2++", corpus);
    }
    assert!(above_nothing > corpora.len(), "too few of these corpora have anything in common: {above_nothing}");
}

/// `amphi evaluate ARGS…`: whether it went well, what it printed, what it complained of.
fn evaluate(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_amphi")).arg("evaluate").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn figures(args: &[&str]) -> Value {
    let (good, printed, complaint) = evaluate(&[args, &["--json"]].concat());
    assert!(good, "{args:?}: {complaint}");
    serde_json::from_str(&printed).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const REFERENCE_TEXT: &str = "Good morning, and welcome.\nWhat is a wave?\nThe speed is 340 m/s.\n";
const HYPOTHESIS_TEXT: &str = "Good morning and welcome.\nWhat is the wave?\nThe speed is 340 m/s!\n";

#[test]
fn what_is_printed_is_what_sacrebleu_prints() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let (r, h) = (folder.write("ref.txt", REFERENCE_TEXT), folder.write("hyp.txt", HYPOTHESIS_TEXT));
    let (good, printed, _) = evaluate(&["--reference", &r, "--hypothesis", &h, "--normalise", "none"]);
    assert!(good, "{printed}");
    let figure = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for (name, arguments) in [
        ("BLEU", &["-m", "bleu"][..]),
        ("chrF2", &["-m", "chrf"]),
        ("chrF2++", &["-m", "chrf", "--chrf-word-order", "2"]),
    ] {
        let theirs =
            python().args(["-m", "sacrebleu", &r, "-i", &h, "-b", "-w", "2"]).args(arguments).output().unwrap();
        assert_eq!(figure(name), String::from_utf8_lossy(&theirs.stdout).trim(), "{name}");
    }
    // The program rounds in its own way; jiwer's share itself is compared above.
    assert_eq!(figure("WER"), "23.1");
}

#[test]
fn every_kind_of_file_says_the_same() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let reference = folder.write("ref.txt", REFERENCE_TEXT);
    let lines: Vec<&str> = HYPOTHESIS_TEXT.lines().collect();
    // Captions are cut elsewhere than the reference.
    let cues = [lines[0].to_owned(), format!("{} The\nspeed", lines[1]), "is 340 m/s!".into()];
    let timed = |comma: &str| {
        cues.iter()
            .zip(1..)
            .map(|(text, n)| format!("{n}\n00:00:0{n}{comma}000 --> 00:00:0{n}{comma}900\n{text}\n\n"))
            .collect::<String>()
    };
    let json = json!({"cues": cues.iter().zip(1..).map(|(text, n)| json!({"start": n, "end": n + 1, "text": text})).collect::<Vec<_>>()});
    let event = |(text, n): (&String, u32)| {
        json!({"type": "cue", "lang": "en", "id": n, "rev": 1, "final": true, "start": n, "end": n + 1, "text": text})
            .to_string()
            + "\n"
    };
    let events: String = cues.iter().zip(1..).map(event).collect();
    let known = figures(&["--reference", &reference, "--hypothesis", &folder.write("hyp.txt", HYPOTHESIS_TEXT)]);
    assert_eq!((&known["pair"], &known["wer"]["substitutions"]), (&json!("lines"), &json!(1)));
    for hypothesis in [
        folder.write("hyp.vtt", &format!("WEBVTT\n\n{}", timed("."))),
        folder.write("hyp.srt", &timed(",")),
        folder.write("hyp.json", &json.to_string()),
        folder.write("hyp.jsonl", &events),
    ] {
        let found = figures(&["--reference", &reference, "--hypothesis", &hypothesis]);
        assert_eq!(found["pair"], "aligned", "{hypothesis}");
        for metric in ["wer", "cer", "chrf", "chrf++", "bleu"] {
            assert_eq!(found[metric], known[metric], "{metric} of {hypothesis}");
        }
        assert_eq!(found["reading"]["captions"], 3, "{hypothesis}");
    }
    let found =
        figures(&["--reference", &reference, "--hypothesis", &folder.write("b.txt", HYPOTHESIS_TEXT), "--errors"]);
    let errors = json!([{"segment": 2, "kind": "substituted", "reference": "a", "hypothesis": "the"}]);
    assert_eq!(found["errors"], errors);
}

#[test]
fn what_cannot_be_compared_is_said_with_what_to_do() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let reference = folder.write("ref.txt", REFERENCE_TEXT);
    let cue = |lang: &str| json!({"type": "cue", "lang": lang, "id": 1, "rev": 1, "final": true, "start": 0, "end": 1, "text": "a"});
    let both = folder.write("both.jsonl", &format!("{}\n{}\n", cue("en"), cue("pt")));
    std::fs::write(folder.0.path().join("latin.txt"), b"caf\xe9\n").unwrap();
    let latin = folder.0.path().join("latin.txt").to_str().unwrap().to_owned();
    for (reference, hypothesis, more, says) in [
        (&reference, &folder.write("short.txt", "Good morning.\n"), &[][..], "--pair aligned"),
        (&reference, &folder.write("x.vtt", "WEBVTT\n"), &[], "holds no captions"),
        (&reference, &folder.write("x.docx", "PK"), &[], "give .txt, .vtt"),
        (&reference, &folder.write("x.json", "{}"), &[], "list of sentences"),
        (&reference, &latin, &[], "not UTF-8"),
        (&reference, &both, &[], "--language: there are en, pt"),
        (&reference, &both, &["--language", "fr"], "no track fr; there are en, pt"),
        (&reference, &reference, &["--metric", "reading"], "has no times"),
        (&folder.write("empty.txt", "\n \n"), &reference, &[], "no text to compare"),
        (&folder.write("marks.txt", "…\n"), &reference, &["--metric", "wer", "--pair", "whole"], "holds no words"),
        (&"/nowhere.txt".into(), &reference, &[], "/nowhere.txt"),
    ] {
        let (good, printed, complaint) =
            evaluate(&[&["--reference", reference, "--hypothesis", hypothesis], more].concat());
        assert!(!good && complaint.contains(says), "{hypothesis} {more:?}: {printed}{complaint}");
    }
    let (good, _, complaint) = evaluate(&["log", &reference]);
    assert!(!good && complaint.contains("line 1 is no caption event"), "{complaint}");
    let (good, _, complaint) = evaluate(&["record", "maths", "--server", "http://127.0.0.1:1", "--output", &reference]);
    assert!(!good && complaint.contains("is the server running?"), "{complaint}");
}

#[test]
fn models_are_as_good_as_the_manifest_says() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let amphi = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_amphi")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let models: Value = serde_json::from_str(&amphi(&["models", "list", "--json"])).unwrap();
    let mut measured = 0;
    for model in models["items"].as_array().unwrap().iter().filter(|model| model["installed"] == true) {
        let (id, said) = (model["id"].as_str().unwrap(), folder.write("said.txt", ""));
        // How fast a model is depends on the machine, on what else it does and on how the test was built, so no bound
        // here would hold: `scripts/bench` measures that.
        let stated = model["quality"].as_array().unwrap().iter().filter(|stated| stated["against"].is_string());
        let file =
            |name: &Value| Path::new(env!("CARGO_MANIFEST_DIR")).join(name.as_str().unwrap()).display().to_string();
        let mut heard = None;
        for stated in stated {
            let (of, against) = (file(&stated["of"]), file(&stated["against"]));
            if heard.replace(of.clone()) == Some(of.clone()) {
                // Another figure of the same words.
            } else if model["task"] == "speech" {
                // `lecture-en.opus` is English.
                let language = of.trim_end_matches(".opus").rsplit('-').next().unwrap();
                amphi(&["transcribe", &of, "--model", id, "--language", language, "--format", "txt", "-o", &said]);
            } else {
                let (from, to) = (model["languages"][0].as_str().unwrap(), model["languages"][1].as_str().unwrap());
                amphi(&["translate", &of, "--from", from, "--to", to, "--output", &said]);
            }
            let pair = if model["task"] == "speech" { "aligned" } else { "lines" };
            let found =
                figures(&["--reference", &against, "--hypothesis", &said, "--pair", pair, "--normalise", "english"]);
            let (value, slack) = match stated["metric"].as_str().unwrap() {
                "WER" => (found["wer"]["rate"].as_f64().unwrap() * 100.0, 1.0),
                "chrF2" => (found["chrf"]["score"].as_f64().unwrap(), 1.0),
                _ => (found["bleu"]["score"].as_f64().unwrap(), 2.0),
            };
            // Processors round int8 arithmetic in their own ways, which changes a word here and there.
            assert!((value - stated["value"].as_f64().unwrap()).abs() <= slack, "{id}: {value}, stated {stated}");
            measured += 1;
        }
    }
    assert!(measured >= 4, "the models this test needs are missing: run `make setup`");
}
