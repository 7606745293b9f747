//! Bare words become text: sentences, questions, commas, capitals, digits.
//!
//! Some engines give lower-case words and nothing else. What they say besides is time: a pause, and the
//! words around it, tell where a sentence ends (Lea, 1980; Baldwin and Joseph, 2009, for casing).
//! The rules ([`rules`]) are tables a language, so that they cost microseconds and can be read; they are
//! made to leave a mark out rather than to set a wrong one.

mod korean;
mod marks;
mod names;
mod numbers;
mod numerals;
mod rules;
mod tables;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::{marks::Phrase, rules::Rules};
use super::text;
use crate::model::{Hypothesis, LanguageTag, MediaTime, Word};

pub use names::{Names, NamesError};

/// Dresses the hypotheses of one speech track whose engine gives bare words. Pure.
///
/// What is behind a word decides its mark, so a stable word stays unstable until the next one has a time,
/// and a number until the next one is stable; never for longer than [`Dresser::HOLD`]. Stable words keep
/// their dress. Several words may become one, as numbers do; it then spans them. Keeps one utterance.
#[derive(Debug)]
pub struct Dresser {
    style: Style,
    /// The sentence in progress; it may have begun utterances ago.
    phrase: Phrase,
    /// The utterance as last heard, and how much of it is stable.
    heard: Vec<Word>,
    stable: usize,
    /// Words of it that are dressed for good, and what they became.
    taken: usize,
    dressed: Vec<Word>,
    /// Since when a stable word waits for what follows it.
    waits: Option<MediaTime>,
    /// Where the last word that was taken ends.
    said: MediaTime,
}

/// How a track is written.
#[derive(Debug)]
struct Style {
    lang: LanguageTag,
    rules: &'static Rules,
    names: Names,
}

/// One or several words that are written as one.
struct Token {
    texts: Vec<String>,
    /// Words it was made of.
    count: usize,
    /// A number that the next word may still be part of.
    open: bool,
}

/// What follows a word.
enum Next<'a> {
    /// These words; there is at least one.
    Words(&'a [Word]),
    /// Nothing, for at least so long.
    Silence(Duration),
    /// It is not known yet.
    Unknown,
}

impl Dresser {
    /// The longest a stable word waits to be dressed.
    pub const HOLD: Duration = Duration::from_millis(600);
    /// An utterance has ended because nothing was said for about this long.
    const ENDED: Duration = Duration::from_millis(500);
    /// Who begins to speak again after this long begins a sentence.
    const AFRESH: Duration = Duration::from_secs(2);

    /// A dresser for `lang`; `names` are written with capitals.
    pub fn new(lang: LanguageTag, names: Names) -> Self {
        let rules = Rules::of(&lang);
        Self {
            style: Style { lang, rules, names },
            phrase: Phrase::default(),
            heard: Vec::new(),
            stable: 0,
            taken: 0,
            dressed: Vec::new(),
            waits: None,
            said: MediaTime::ZERO,
        }
    }

    /// Takes what the recogniser believes at `now` and returns the same dressed: one hypothesis, or two if the
    /// engine began another utterance without having ended the last.
    pub fn dress(&mut self, heard: &Hypothesis, now: MediaTime) -> Vec<Hypothesis> {
        let stable = if heard.last { heard.words.len() } else { heard.stable.min(heard.words.len()) };
        let stable = heard.words[..stable].iter().filter(|word| is_word(word)).count();
        let said: Vec<Word> = heard.words.iter().filter(|word| is_word(word)).cloned().collect();
        let mut out = Vec::with_capacity(1);
        let until = self.stable.checked_sub(1).map(|last| self.heard[last].end);
        if until.is_some_and(|until| said.first().is_some_and(|first| first.start >= until)) {
            let words = self.heard[..self.stable].to_vec();
            out.push(self.advance(words, self.stable, true, now));
        }
        out.push(self.advance(said, stable, heard.last, now));
        out
    }

    /// Lets go of a word that has waited for [`Dresser::HOLD`]. Call it a few times a second.
    pub fn settle(&mut self, now: MediaTime) -> Option<Hypothesis> {
        self.waits.filter(|since| now.since(*since) >= Self::HOLD)?;
        Some(self.advance(self.heard.clone(), self.stable, false, now))
    }

    fn advance(&mut self, heard: Vec<Word>, stable: usize, last: bool, now: MediaTime) -> Hypothesis {
        let words = heard.as_slice();
        let beyond = last.then(|| self.beyond(words).cloned()).flatten();
        while self.taken < stable {
            let late = last || self.waits.is_some_and(|since| now.since(since) >= Self::HOLD);
            let Some(token) = self.ready(words, stable, last, late) else {
                self.waits.get_or_insert(now);
                break;
            };
            let behind = self.taken + token.count;
            let next = match (&words[behind..], beyond.as_slice()) {
                (next @ [_, ..], _) | ([], next @ [_, ..]) => Next::Words(next),
                _ if last => Next::Silence(now.since(words[behind - 1].end).max(Self::ENDED)),
                _ => Next::Unknown,
            };
            let fresh = self.style.write(&mut self.phrase, &token, &words[self.taken..behind], &next, self.said);
            self.dressed.extend(fresh);
            self.said = words[behind - 1].end;
            self.taken = behind;
            // What is behind a word that came too late has waited as long as it.
            self.waits.take_if(|_| !late);
        }
        self.waits.take_if(|_| self.taken >= stable);
        let mut out = Hypothesis { words: self.dressed.clone(), stable: self.dressed.len(), last };
        if last {
            self.heard.clear();
            self.dressed.clear();
            (self.stable, self.taken) = (0, 0);
        } else {
            out.words.extend(self.preview(words, now));
            // An engine that takes stable words back breaks its word; they stay as they were.
            if stable >= self.stable {
                self.heard = heard;
                self.stable = stable;
            }
        }
        out
    }

    /// The next token, if it and what follows it are known, or it comes too late for that.
    fn ready(&self, words: &[Word], stable: usize, last: bool, late: bool) -> Option<Token> {
        let token = self.token(self.phrase.last(), &words[self.taken..], last);
        let behind = self.taken + token.count;
        let word = &words[self.taken].text;
        let number = token.texts.first() != Some(word);
        let followed = words.get(behind).map_or(last, |next| timed(next) && (!number || behind < stable));
        match behind <= stable && !token.open {
            true if followed || late => Some(token),
            // Half a number is better in words, since the other half may follow.
            false if late => Some(Token { texts: vec![word.clone()], count: 1, open: false }),
            _ => None,
        }
    }

    /// The token at the beginning of `words`; there are no more of them if `last`.
    fn token(&self, before: &str, words: &[Word], last: bool) -> Token {
        let texts: Vec<&str> = words.iter().take(numbers::REACH).map(|word| word.text.as_str()).collect();
        match numbers::read(&self.style.lang, before, &texts) {
            Some(number) => Token { open: number.open && !last, texts: number.texts, count: number.count },
            None => Token { texts: vec![words[0].text.clone()], count: 1, open: false },
        }
    }

    /// What was heard behind the words that turn out to be the utterance: it was cut, and they go on.
    fn beyond(&self, words: &[Word]) -> Option<&Word> {
        let (place, text) = words.len().checked_sub(1).map(|last| (last, &words[last].text))?;
        self.heard.get(place).filter(|known| known.text == *text)?;
        self.heard.get(words.len())
    }

    /// The words that are not stable, dressed as far as that is known. A number shows when it is complete.
    fn preview(&self, words: &[Word], now: MediaTime) -> Vec<Word> {
        let mut phrase = self.phrase.clone();
        let (mut at, mut said) = (self.taken, self.said);
        let mut out = Vec::new();
        while at < words.len() {
            let token = self.token(phrase.last(), &words[at..], false);
            let behind = at + token.count;
            let end = words[behind - 1].end;
            if token.open && now.since(end) < 2 * Self::HOLD {
                break;
            }
            let next = match &words[behind..] {
                next @ [first, ..] if timed(first) => Next::Words(next),
                _ => Next::Unknown,
            };
            out.extend(self.style.write(&mut phrase, &token, &words[at..behind], &next, said));
            (at, said) = (behind, end);
        }
        out
    }
}

/// Models have names in brackets for sounds that are no words: `[noise]`, `<unk>`.
fn is_word(word: &Word) -> bool {
    !(word.text.starts_with(['[', '<']) && word.text.ends_with([']', '>']))
}

/// Engines have no confidence in words of which they do not know the time.
fn timed(word: &Word) -> bool {
    word.confidence > 0.0
}

impl Style {
    /// A token as it is written in its sentence, with times; the word before it ended at `said`.
    fn write(&self, phrase: &mut Phrase, token: &Token, words: &[Word], next: &Next<'_>, said: MediaTime) -> Vec<Word> {
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return Vec::new() };
        if first.start.since(said) >= Dresser::AFRESH {
            *phrase = Phrase::default();
        }
        let (upcoming, gap) = match *next {
            Next::Words(next) => {
                let gap = if timed(&next[0]) { next[0].start.since(last.end) } else { Duration::ZERO };
                (next.iter().take(marks::AHEAD).map(|word| word.text.as_str()).collect(), Some(gap))
            }
            Next::Silence(pause) => (Vec::new(), Some(pause)),
            Next::Unknown => (Vec::new(), None),
        };
        let confidence = words.iter().map(|word| word.confidence).fold(1.0, f32::min);
        let count = token.texts.len();
        let mut out = Vec::with_capacity(count);
        for (nth, text) in token.texts.iter().enumerate() {
            // Each text has its own word's time; the last has the rest.
            let own = |nth: usize| &words[nth.min(words.len() - 1)];
            let start = if nth == 0 { first.start } else { own(nth).start };
            let end = if nth + 1 == count { last.end } else { own(nth).end };
            let text = match token.texts.get(nth + 1) {
                Some(next) => phrase.write(self, text, &[next.as_str()], Some(Duration::ZERO)),
                None => phrase.write(self, text, &upcoming, gap),
            };
            out.push(Word { text, start, end, confidence });
        }
        out
    }

    /// A word as it is written within a sentence.
    fn cased(&self, word: &str) -> String {
        let pronoun = self.lang.primary() == "en" && (word == "i" || word.starts_with("i'"));
        if pronoun { text::capitalise(word) } else { self.names.cased(word) }
    }
}

/// A word of an engine that dresses its own, without marks before it and without any mark twice. Empty if it
/// is nothing but marks.
pub(super) fn tidy(word: &str) -> String {
    const STRAY: [char; 7] = ['.', ',', ';', ':', '!', '?', '…'];
    let decimal = word.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let bare = if decimal { word } else { word.trim_start_matches(STRAY) };
    let mut out = String::with_capacity(bare.len());
    for c in bare.replace("...", "…").chars() {
        if !(STRAY.contains(&c) && out.ends_with(c)) {
            out.push(c);
        }
    }
    out
}
