use std::sync::LazyLock;

use regex::Regex;

/// What makes two words the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalise {
    /// Nothing is changed, as jiwer does by default: words end at spaces, `Waves.` is not `waves`.
    None,
    /// Lower case, without punctuation; apostrophes inside words stay. Each character of a script that writes
    /// no spaces is a word.
    #[default]
    Words,
    /// As [`Normalise::Words`], and whole numbers below a million in English words: `340` is
    /// `three hundred and forty`.
    English,
}

/// A word as it is compared, and where it ends in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Normalised.
    pub word: String,
    /// Characters (Unicode scalar values) of the text up to the word's end.
    pub end: usize,
}

static WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\p{Nd}+(?:,\p{Nd}{3})*|[\p{L}\p{M}\p{Nl}\p{No}]+(?:['’][\p{L}\p{M}]+)*").ok());

impl Normalise {
    /// A text's words, in order.
    pub fn tokens(self, text: &str) -> Vec<Token> {
        match (self, &*WORD) {
            (Self::None, _) | (_, None) => spaced(text),
            (Self::Words | Self::English, Some(pattern)) => {
                let mut counted = (0, 0);
                let mut tokens = Vec::new();
                for found in pattern.find_iter(text) {
                    counted = (found.end(), counted.1 + text[counted.0..found.end()].chars().count());
                    self.push(found.as_str(), counted.1, &mut tokens);
                }
                tokens
            }
        }
    }

    /// The words alone.
    pub fn words(self, text: &str) -> Vec<String> {
        self.tokens(text).into_iter().map(|token| token.word).collect()
    }

    /// The characters a character error rate compares: of the text as it is, without spaces around it, or of
    /// its words, with a space between those that have one.
    pub fn characters(self, text: &str) -> Vec<char> {
        if self == Self::None {
            return text.trim_matches(is_space).chars().collect();
        }
        let mut out: Vec<char> = Vec::new();
        for word in self.words(text) {
            let apart = |c: Option<char>| c.is_some_and(|c| !is_unspaced(c));
            if apart(out.last().copied()) || !out.is_empty() && apart(word.chars().next()) {
                out.push(' ');
            }
            out.extend(word.chars());
        }
        out
    }

    fn push(self, found: &str, end: usize, tokens: &mut Vec<Token>) {
        if found.chars().all(|c| c.is_numeric() || c == ',') {
            let digits = found.replace(',', "");
            match digits.parse() {
                Ok(number) if self == Self::English && number < 1_000_000 => {
                    let spelled = spell(number).into_iter().map(|word| Token { word: word.into(), end });
                    tokens.extend(spelled);
                }
                _ => tokens.push(Token { word: digits, end }),
            }
            return;
        }
        // Ends are counted before lower case is made: that may be longer, as that of `İ` is.
        let lower = |run: &str| run.to_lowercase().replace('’', "'");
        let start = end - found.chars().count();
        let mut run = String::new();
        for (at, c) in (start..).zip(found.chars()) {
            if is_unspaced(c) {
                tokens.extend((!run.is_empty()).then(|| Token { word: lower(&run), end: at }));
                run.clear();
                tokens.push(Token { word: c.into(), end: at + 1 });
            } else {
                run.push(c);
            }
        }
        tokens.extend((!run.is_empty()).then(|| Token { word: lower(&run), end }));
    }
}

/// Space as Python's `str` knows it, whose tools these figures are compared with.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The script writes no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3134f)
}

/// As jiwer divides a text: two or more spaces of any kind, or one plain space, end a word.
fn spaced(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let characters: Vec<char> = text.chars().collect();
    let lead = characters.iter().take_while(|c| is_space(**c)).count();
    let trail = characters.iter().rev().take_while(|c| is_space(**c)).count().min(characters.len() - lead);
    let inner = lead..characters.len() - trail;
    for (at, c) in characters.iter().copied().enumerate().take(inner.end).skip(inner.start) {
        let beside = |at: Option<usize>| at.is_some_and(|at| inner.contains(&at) && is_space(characters[at]));
        if c == ' ' || is_space(c) && (beside(at.checked_sub(1)) || beside(Some(at + 1))) {
            tokens.extend((!word.is_empty()).then(|| Token { word: std::mem::take(&mut word), end: at }));
        } else {
            word.push(c);
        }
    }
    tokens.extend((!word.is_empty()).then_some(Token { word, end: inner.end }));
    tokens
}

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number below a million in words.
fn spell(number: usize) -> Vec<&'static str> {
    for (unit, name) in [(1_000, "thousand"), (100, "hundred")] {
        if number >= unit {
            let mut words = spell(number / unit);
            words.push(name);
            let rest = number % unit;
            if (1..100).contains(&rest) {
                words.push("and");
            }
            if rest > 0 {
                words.extend(spell(rest));
            }
            return words;
        }
    }
    match number {
        0..20 => vec![ONES[number]],
        _ if number.is_multiple_of(10) => vec![TENS[number / 10]],
        _ => vec![TENS[number / 10], ONES[number % 10]],
    }
}
