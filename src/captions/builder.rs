use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    dress::{self, Dresser, Names},
    phrase, text,
};
use crate::model::{Cue, Hypothesis, LanguageTag, MediaTime, Source, Word};

/// Numbers cues; every track of a live draws from the same one, so that an id names one cue
/// and rises with time in all of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ids(Arc<AtomicU64>);

/// What an engine leaves to do on its words.
#[derive(Debug, Clone)]
pub enum Dress {
    /// Casing and punctuation come with the words.
    AsGiven,
    /// Its words are bare and lower case: a [`Dresser`] makes text of them, which knows these names.
    Bare(Names),
}

/// Turns the hypotheses of one speech track into cues. Pure.
///
/// A cue is a phrase of one line, about two seconds of speech at most, so that it is soon final:
/// see [`phrase`] for where it ends, always behind a stable word. Stable words are laid into the
/// open cue in order and never leave it. The unstable words behind them are shown in it and, where
/// it will end before them, in cues of their own.
#[derive(Debug)]
pub struct Builder {
    lang: LanguageTag,
    dresser: Option<Dresser>,
    ids: Ids,
    /// Words of the utterance that are stable and taken, in closed cues or the open one.
    taken: usize,
    /// Stable words of the open cue.
    open: Vec<Word>,
    /// Cues that were sent and are not final, in order: first the open one.
    shown: VecDeque<Shown>,
    /// Unstable words are shown.
    guesses: bool,
    /// The unstable words of the last hypothesis.
    guessed: Vec<String>,
    /// The last stable word ended a sentence.
    full_stop: bool,
    /// Where the last closed cue ends.
    floor: MediaTime,
    /// Where the last stable word ends.
    heard: MediaTime,
}

/// A cue as far as it was sent.
#[derive(Debug)]
struct Shown {
    id: u64,
    rev: u32,
    text: String,
    words: Vec<String>,
    stable_len: usize,
}

/// A cue shall stay this long where there is room.
const SHORTEST: Duration = Duration::from_secs(1);
/// Characters a second people read.
const READING_SPEED: u32 = 20;
/// An unstable word is shown if it is as probable as this.
const LIKELY: f32 = 0.7;
/// A word as the builder takes it; longer ones are cut.
const WORD: usize = 420;

impl Ids {
    /// Begins with 1.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// The next id.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

/// How long `text` has to stay to be read: at least a second, at most 20 characters a second.
pub(super) fn reading_time(text: &str) -> Duration {
    SHORTEST.max(Duration::from_secs(text::chars(text) as u64) / READING_SPEED)
}

impl Dress {
    fn dresser(self, lang: &LanguageTag) -> Option<Dresser> {
        match self {
            Self::AsGiven => None,
            Self::Bare(names) => Some(Dresser::new(lang.clone(), names)),
        }
    }
}

impl Builder {
    /// A builder for speech in `lang`.
    pub fn new(lang: LanguageTag, dress: Dress, ids: Ids) -> Self {
        Self {
            dresser: dress.dresser(&lang),
            lang,
            ids,
            taken: 0,
            open: Vec::new(),
            shown: VecDeque::new(),
            guesses: true,
            guessed: Vec::new(),
            full_stop: false,
            floor: MediaTime::ZERO,
            heard: MediaTime::ZERO,
        }
    }

    /// Takes what the recogniser believes at `now` and returns the cues that changed, in order.
    ///
    /// Ids rise, revisions of an id rise, stable prefixes never change whatever the engine
    /// does. A cue whose words were all taken back comes with an empty text and keeps its id.
    pub fn apply(&mut self, hypothesis: &Hypothesis, now: MediaTime) -> Vec<Cue> {
        let mut changed = Vec::new();
        match self.dresser.as_mut().map(|dresser| dresser.dress(hypothesis, now)) {
            Some(dressed) => dressed.iter().for_each(|dressed| self.lay(dressed, now, &mut changed)),
            None => self.lay(hypothesis, now, &mut changed),
        }
        changed
    }

    /// Time has gone by without a hypothesis: words that wait for the next one need not wait for ever. Returns
    /// the cues that changed. Call it a few times a second.
    pub fn settle(&mut self, now: MediaTime) -> Vec<Cue> {
        let mut changed = Vec::new();
        if let Some(dressed) = self.dresser.as_mut().and_then(|dresser| dresser.settle(now)) {
            self.lay(&dressed, now, &mut changed);
        }
        changed
    }

    /// Its track's words may come from elsewhere from now on: cues of which every word was taken back, and that keep
    /// their ids for words to come, are over. Returns them; call it between two utterances.
    pub fn leave(&mut self) -> Vec<Cue> {
        let mut over = Vec::new();
        while !self.shown.is_empty() {
            let cue = Cue { is_final: true, ..self.withdrawn(0) };
            self.shown.pop_front();
            over.push(cue);
        }
        over
    }

    /// What the words need from now on; call it between two utterances.
    pub fn set_dress(&mut self, dress: Dress) {
        self.dresser = dress.dresser(&self.lang);
    }

    /// Whether words that may still change are shown from now on.
    pub fn set_guesses(&mut self, shown: bool) {
        self.guesses = shown;
    }

    /// The language of its words.
    pub fn lang(&self) -> &LanguageTag {
        &self.lang
    }

    /// Lays the words of a hypothesis into cues.
    fn lay(&mut self, hypothesis: &Hypothesis, now: MediaTime, changed: &mut Vec<Cue>) {
        let words = &hypothesis.words;
        if self.taken > 0 && words.first().is_some_and(|first| first.start >= self.heard) {
            // An engine that crashed never ended the utterance that this one would continue.
            self.end(now, changed);
        }
        let stable = if hypothesis.last { words.len() } else { hypothesis.stable.min(words.len()) };
        while self.taken < stable {
            for word in self.fitted(&words[self.taken], self.heard, self.full_stop) {
                if self.ends_before(0, &self.open, &word) {
                    self.close(word.start, changed);
                }
                self.heard = word.end;
                self.full_stop = text::ends_sentence(&word.text);
                self.open.push(word);
            }
            self.taken += 1;
            self.guessed.drain(..self.guessed.len().min(1));
        }
        if hypothesis.last {
            self.end(now, changed);
        } else {
            self.preview(words.get(self.taken..).unwrap_or_default(), changed);
        }
    }

    /// A word fit for a cue: clean, timed, behind `heard`, with a capital if it is the `first` of a sentence; in
    /// pieces if longer than a line.
    fn fitted(&self, word: &Word, heard: MediaTime, first: bool) -> Vec<Word> {
        let mut plain = dress::tidy(&text::plain(&word.text, WORD));
        if first {
            plain = text::capitalise(&plain);
        }
        if plain.is_empty() {
            return Vec::new();
        }
        let start = word.start.max(heard);
        let span = word.end.since(start).max(Duration::from_millis(1));
        let pieces = text::pieces(&plain, text::LINE);
        let count = pieces.len() as u32;
        let piece = |(nth, text): (usize, &str)| Word {
            text: text.into(),
            start: start + span * nth as u32 / count,
            end: start + span * (nth as u32 + 1) / count,
            confidence: if word.confidence.is_finite() { word.confidence.clamp(0.0, 1.0) } else { 0.0 },
        };
        pieces.into_iter().enumerate().map(piece).collect()
    }

    /// The `nth` cue that is not final, of `words`, ends before `next`. A word that was shown stays in its cue
    /// while it sounds the same, unless it turns out that it cannot.
    fn ends_before(&self, nth: usize, words: &[Word], next: &Word) -> bool {
        if phrase::must_end(words, next, &self.lang) {
            return true;
        }
        let stood = |nth: usize, place: usize| {
            let shown = self.shown.get(nth).and_then(|shown| shown.words.get(place));
            shown.is_some_and(|shown| text::sound_alike(shown, &next.text))
        };
        if stood(nth, words.len()) {
            return false;
        }
        let all = self.shown.get(nth).is_some_and(|shown| shown.words.len() == words.len());
        all && stood(nth + 1, 0) || phrase::may_end(words, next, &self.lang)
    }

    fn joined(&self, words: &[Word]) -> String {
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        texts.join(text::joiner(&self.lang))
    }

    /// Ends the utterance.
    fn end(&mut self, now: MediaTime, changed: &mut Vec<Cue>) {
        self.close(now, changed);
        self.retract(0, changed);
        self.taken = 0;
        self.guessed.clear();
    }

    /// Closes the open cue; it may stay on the screen until `room` if its text needs the time.
    fn close(&mut self, room: MediaTime, changed: &mut Vec<Cue>) {
        if self.open.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.open);
        let mut cue = self.cue(0, words, usize::MAX);
        let wanted = cue.start + reading_time(&cue.text);
        cue.end = cue.end.max(wanted.min(room));
        cue.is_final = true;
        self.floor = cue.end;
        self.shown.pop_front();
        changed.push(cue);
    }

    /// Shows the open cue and the unstable words that follow, as far as that changes anything.
    fn preview(&mut self, unstable: &[Word], changed: &mut Vec<Cue>) {
        let mut pieces = self.likely(if self.guesses { unstable } else { &[] });
        match pieces.first() {
            Some(next) if self.ends_before(0, &self.open, next) => self.close(next.start, changed),
            None if phrase::is_whole(&self.open) => self.close(self.heard, changed),
            _ => {}
        }
        let mut cues = vec![self.open.clone()];
        let stable = self.open.len();
        if let Some(last) = pieces.last_mut() {
            // Engines put a mark behind whatever they have heard so far.
            last.text.truncate(text::unmarked(&last.text).len());
        }
        for piece in pieces {
            let nth = cues.len() - 1;
            if self.ends_before(nth, &cues[nth], &piece) {
                cues.push(vec![piece]);
            } else {
                cues[nth].push(piece);
            }
        }
        cues.retain(|words| !words.is_empty());
        let count = cues.len();
        for (nth, mut words) in cues.into_iter().enumerate() {
            let stable = if nth == 0 { stable } else { 0 };
            self.steady(nth, &mut words[stable..], stable);
            let (text, stable_len) = (self.joined(&words), text::chars(&self.joined(&words[..stable])));
            let stands = |shown: &Shown| shown.text == text && shown.stable_len == stable_len;
            if !self.shown.get(nth).is_some_and(stands) {
                let cue = self.cue(nth, words, stable_len);
                changed.push(cue);
            }
        }
        self.retract(count, changed);
    }

    /// The first unstable words, as far as they are worth showing: each is rather right than wrong by the engine's
    /// account, or heard for the second time.
    fn likely(&mut self, unstable: &[Word]) -> Vec<Word> {
        let known = unstable.iter().zip(&self.guessed).take_while(|(word, guess)| text::sound_alike(&word.text, guess));
        let known = known.count();
        let sure = |(place, word): &(usize, &Word)| *place < known || word.confidence >= LIKELY;
        let mut pieces: Vec<Word> = Vec::with_capacity(unstable.len());
        for (_, word) in unstable.iter().enumerate().take_while(sure) {
            let last = pieces.last();
            let heard = last.map_or(self.heard, |last| last.end);
            let first = last.map_or(self.full_stop, |last| text::ends_sentence(&last.text));
            pieces.extend(self.fitted(word, heard, first));
        }
        self.guessed = unstable.iter().map(|word| word.text.clone()).collect();
        pieces
    }

    /// Keeps unstable words, those of the `nth` cue that was sent from `place` on, from flickering: one that
    /// sounds as it did keeps the casing and the marks it was shown with until it is stable.
    fn steady(&self, nth: usize, words: &mut [Word], place: usize) {
        let shown = self.shown.get(nth).into_iter().flat_map(|shown| shown.words.iter().skip(place));
        for (word, shown) in words.iter_mut().zip(shown).filter(|(word, shown)| text::sound_alike(&word.text, shown)) {
            word.text.clone_from(shown);
        }
    }

    /// Takes back the cues from the `nth` on, of which no word is stable.
    fn retract(&mut self, nth: usize, changed: &mut Vec<Cue>) {
        for nth in nth..self.shown.len() {
            if !self.shown[nth].text.is_empty() {
                changed.push(self.withdrawn(nth));
            }
        }
    }

    /// The `nth` cue that is not final, without any words.
    fn withdrawn(&mut self, nth: usize) -> Cue {
        let start = self.floor.max(self.heard);
        Cue { start, end: start + Duration::from_millis(1), ..self.cue(nth, Vec::new(), 0) }
    }

    /// The next revision of the `nth` cue that is not final.
    fn cue(&mut self, nth: usize, words: Vec<Word>, stable_len: usize) -> Cue {
        let text = self.joined(&words);
        let stable_len = stable_len.min(text::chars(&text));
        if nth == self.shown.len() {
            let id = self.ids.next();
            self.shown.push_back(Shown { id, rev: 0, text: String::new(), words: Vec::new(), stable_len: 0 });
        }
        let shown = &mut self.shown[nth];
        shown.rev += 1;
        shown.text.clone_from(&text);
        shown.words = words.iter().map(|word| word.text.clone()).collect();
        shown.stable_len = stable_len;
        let start = words.first().map_or(self.heard, |word| word.start).max(self.floor);
        let end = words.last().map_or(self.heard, |word| word.end).max(start + Duration::from_millis(1));
        Cue {
            id: shown.id,
            rev: shown.rev,
            lang: self.lang.clone(),
            start,
            end,
            text,
            stable_len,
            is_final: false,
            words,
            source: Source::Asr,
        }
    }
}
