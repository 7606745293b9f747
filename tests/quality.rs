//! The figures are those of the field's tools: jiwer and sacrebleu of PyPI, on the same texts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    io::Write as _,
    path::PathBuf,
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
