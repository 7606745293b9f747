use std::sync::LazyLock;

use regex::Regex;

use super::{ngrams::Matches, words::is_space};

/// Corpus BLEU (Papineni et al. 2002) with one reference, to four words, as sacrebleu computes it by default:
/// case as it is, smoothing `exp` (an order without a match counts half a match, then a quarter, …).
#[derive(Debug, Clone, PartialEq)]
pub struct Bleu {
    /// 0 to 100.
    pub score: f64,
    /// Precision of one to four words, in percent.
    pub precisions: [f64; 4],
    /// What short hypotheses cost: 0 to 1.
    pub brevity: f64,
    /// Tokens of the hypothesis.
    pub hypothesis: usize,
    /// Tokens of the reference.
    pub reference: usize,
}

/// How BLEU divides a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokenizer {
    /// mteval-v13a, sacrebleu's default, for languages that write spaces.
    #[default]
    V13a,
    /// mteval-v14 with `--international-tokenization`: punctuation and symbols of every script.
    Intl,
    /// Every character: for Chinese, Japanese, Thai.
    Char,
    /// At spaces alone.
    None,
}

const ORDERS: usize = 4;

impl Bleu {
    /// Over segments, hypothesis and reference paired as they are.
    pub fn corpus<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, tokenizer: Tokenizer) -> Self {
        let mut matches = [Matches::default(); ORDERS];
        let (mut hypothesis, mut reference) = (0, 0);
        for (wanted, given) in pairs {
            let (wanted, given) = (tokenizer.tokens(wanted), tokenizer.tokens(given));
            reference += wanted.len();
            hypothesis += given.len();
            for (order, matches) in (1..).zip(&mut matches) {
                matches.add(Matches::count(&given, &wanted, order));
            }
        }
        let brevity = match hypothesis {
            0 if reference > 0 => 0.0,
            _ if hypothesis < reference => (1.0 - reference as f64 / hypothesis as f64).exp(),
            _ => 1.0,
        };
        let precisions = precisions(&matches);
        let score = match precisions.iter().all(|precision| *precision > 0.0) {
            true => brevity * (precisions.iter().map(|precision| precision.ln()).sum::<f64>() / ORDERS as f64).exp(),
            false => 0.0,
        };
        Self { score, precisions, brevity, hypothesis, reference }
    }
}

impl Tokenizer {
    /// As sacrebleu's signature writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    fn tokens(self, segment: &str) -> Vec<String> {
        let segment = segment.trim_end_matches(is_space);
        let divided = match self {
            Self::V13a => v13a(segment),
            Self::Intl => rewrite(segment, &INTL),
            Self::Char => segment.chars().flat_map(|c| [c, ' ']).collect(),
            Self::None => segment.into(),
        };
        divided.split(is_space).filter(|token| !token.is_empty()).map(Into::into).collect()
    }
}

/// Smoothed precisions in percent; zeros where nothing matches, and for orders no segment is long enough for.
fn precisions(matches: &[Matches; ORDERS]) -> [f64; ORDERS] {
    let mut precisions = [0.0; ORDERS];
    if matches.iter().all(|matches| matches.both == 0) {
        return precisions;
    }
    let mut smoothing = 1.0;
    for (precision, matches) in precisions.iter_mut().zip(matches).take_while(|(_, matches)| matches.hypothesis > 0) {
        let total = matches.hypothesis as f64;
        *precision = if matches.both == 0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total)
        } else {
            100.0 * matches.both as f64 / total
        };
    }
    precisions
}

type Rules = LazyLock<Vec<(Regex, &'static str)>>;

static V13A: Rules = LazyLock::new(|| {
    rules(&[
        (r"([{-~\[-` -&(-+:-@/])", " $1 "),
        (r"([^0-9])([.,])", "$1 $2 "),
        (r"([.,])([^0-9])", " $1 $2"),
        (r"([0-9])(-)", "$1 $2 "),
    ])
});

static INTL: Rules =
    LazyLock::new(|| rules(&[(r"(\P{N})(\p{P})", "$1 $2 "), (r"(\p{P})(\P{N})", " $1 $2"), (r"(\p{S})", " $1 ")]));

fn rules(patterns: &[(&str, &'static str)]) -> Vec<(Regex, &'static str)> {
    patterns.iter().filter_map(|(pattern, with)| Some((Regex::new(pattern).ok()?, *with))).collect()
}

fn v13a(segment: &str) -> String {
    let mut line = segment.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (escaped, plain) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        line = line.replace(escaped, plain);
    }
    rewrite(&format!(" {line} "), &V13A)
}

fn rewrite(line: &str, rules: &Rules) -> String {
    rules.iter().fold(line.to_owned(), |line, (pattern, with)| pattern.replace_all(&line, *with).into_owned())
}
