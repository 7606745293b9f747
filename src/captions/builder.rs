use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    dress::{self, Dresser, Names},
    text,
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
/// Stable words are laid into the open cue in order and never leave it; the cue closes at a
/// sentence's end, at a pause, at two lines of 42 characters or at six seconds, always behind
/// a stable word. Unstable words are shown behind them as far as the same cue reaches.
#[derive(Debug)]
pub struct Builder {
    lang: LanguageTag,
    dresser: Option<Dresser>,
    ids: Ids,
    /// Words of the utterance that are stable and taken, in closed cues or the open one.
    taken: usize,
    /// Stable words of the open cue.
    open: Vec<Word>,
    /// Identity of the open cue as far as it was sent.
    shown: Option<Shown>,
    /// Where the last closed cue ends.
    floor: MediaTime,
    /// Where the last stable word ends.
    heard: MediaTime,
}

#[derive(Debug)]
struct Shown {
    id: u64,
    rev: u32,
    text: String,
    words: Vec<String>,
    stable_len: usize,
}

/// A cue ends behind a silence as long as this.
const PAUSE: Duration = Duration::from_millis(800);
/// A cue that is half full ends behind a shorter one.
const BREATH: Duration = Duration::from_millis(300);
/// Longest cue.
const LONGEST: Duration = Duration::from_secs(6);
/// A cue shall stay this long where there is room.
const SHORTEST: Duration = Duration::from_secs(1);
/// A cue shorter than this does not end at a sentence's end unless a pause follows.
const CRUMB: Duration = Duration::from_millis(700);
/// Characters a second people read.
const READING_SPEED: u32 = 20;
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

impl Builder {
    /// A builder for speech in `lang`.
    pub fn new(lang: LanguageTag, dress: Dress, ids: Ids) -> Self {
        let dresser = match dress {
            Dress::AsGiven => None,
            Dress::Bare(names) => Some(Dresser::new(lang.clone(), names)),
        };
        Self {
            lang,
            dresser,
            ids,
            taken: 0,
            open: Vec::new(),
            shown: None,
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
            let followers = &words[self.taken + 1..];
            let last = hypothesis.last && followers.is_empty();
            for word in self.fitted(&words[self.taken], self.heard) {
                if self.breaks_before(&self.open, &word) {
                    self.close(word.start, changed);
                }
                self.heard = word.end;
                self.open.push(word);
            }
            self.taken += 1;
            if self.is_full() {
                let room = followers.first().map_or(if last { now } else { self.heard }, |next| next.start);
                self.close(room, changed);
            }
        }
        if hypothesis.last {
            self.end(now, changed);
        } else {
            self.preview(words.get(self.taken..).unwrap_or_default(), changed);
        }
    }

    /// A word fit for a cue: clean, timed, behind `heard`; in pieces if longer than a line.
    fn fitted(&self, word: &Word, heard: MediaTime) -> Vec<Word> {
        let plain = dress::tidy(&text::plain(&word.text, WORD));
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

    /// A cue of `words` ends before `next`.
    fn breaks_before(&self, words: &[Word], next: &Word) -> bool {
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
        let pause = next.start.since(last.end);
        if pause >= PAUSE || next.end.since(first.start) > LONGEST {
            return true;
        }
        let text = self.joined(words);
        let length = text::chars(&text);
        let longer = format!("{text}{}{}", text::joiner(&self.lang), next.text);
        !text::fits(&longer, &self.lang)
            || pause >= BREATH && (length >= text::LINE || text::ends_sentence(&last.text))
            || text::ends_sentence(&last.text) && last.end.since(first.start) >= CRUMB
            || text::ends_clause(&last.text) && length >= text::LINE + 8
    }

    /// The open cue ends behind its last word, whatever follows.
    fn is_full(&self) -> bool {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return false };
        text::ends_sentence(&last.text) && last.end.since(first.start) >= CRUMB
    }

    fn joined(&self, words: &[Word]) -> String {
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        texts.join(text::joiner(&self.lang))
    }

    /// Ends the utterance.
    fn end(&mut self, now: MediaTime, changed: &mut Vec<Cue>) {
        self.close(now, changed);
        self.retract(changed);
        self.taken = 0;
    }

    /// Closes the open cue; it may stay on the screen until `room` if its text needs the time.
    fn close(&mut self, room: MediaTime, changed: &mut Vec<Cue>) {
        if self.open.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.open);
        let mut cue = self.cue(words, usize::MAX);
        let wanted = cue.start + reading_time(&cue.text);
        cue.end = cue.end.max(wanted.min(room));
        cue.is_final = true;
        self.floor = cue.end;
        self.shown = None;
        changed.push(cue);
    }

    /// Shows the open cue with the unstable words that follow, if that changes anything.
    fn preview(&mut self, unstable: &[Word], changed: &mut Vec<Cue>) {
        let mut words = self.open.clone();
        let stable = words.len();
        'shown: for word in unstable {
            let heard = words.last().map_or(self.heard, |last| last.end);
            for piece in self.fitted(word, heard) {
                if self.breaks_before(&words, &piece) {
                    break 'shown;
                }
                words.push(piece);
            }
        }
        if words.is_empty() {
            self.retract(changed);
            return;
        }
        self.steady(&mut words[stable..], stable);
        let (text, stable_len) = (self.joined(&words), text::chars(&self.joined(&words[..stable])));
        if self.shown.as_ref().is_none_or(|shown| shown.text != text || shown.stable_len != stable_len) {
            let cue = self.cue(words, stable_len);
            changed.push(cue);
        }
    }

    /// Keeps unstable words, the open cue's from `place` on, from flickering: one that sounds as it did keeps
    /// the casing and the marks it was shown with until it is stable, and the last one shows no mark, since
    /// engines put one behind whatever they have heard so far.
    fn steady(&self, words: &mut [Word], place: usize) {
        if let Some(last) = words.last_mut() {
            last.text.truncate(text::unmarked(&last.text).len());
        }
        let shown = self.shown.iter().flat_map(|shown| shown.words.iter().skip(place));
        for (word, shown) in words.iter_mut().zip(shown).filter(|(word, shown)| text::sound_alike(&word.text, shown)) {
            word.text.clone_from(shown);
        }
    }

    /// Takes back a cue of which no word was stable.
    fn retract(&mut self, changed: &mut Vec<Cue>) {
        if self.shown.as_ref().is_some_and(|shown| !shown.text.is_empty()) {
            let (start, end) = (self.floor.max(self.heard), self.floor.max(self.heard) + Duration::from_millis(1));
            let mut cue = self.cue(Vec::new(), 0);
            (cue.start, cue.end) = (start, end);
            changed.push(cue);
        }
    }

    fn cue(&mut self, words: Vec<Word>, stable_len: usize) -> Cue {
        let text = self.joined(&words);
        let stable_len = stable_len.min(text::chars(&text));
        let (id, rev) = match &self.shown {
            Some(shown) => (shown.id, shown.rev + 1),
            None => (self.ids.next(), 1),
        };
        let texts = words.iter().map(|word| word.text.clone()).collect();
        self.shown = Some(Shown { id, rev, text: text.clone(), words: texts, stable_len });
        let start = words.first().map_or(self.heard, |word| word.start).max(self.floor);
        let end = words.last().map_or(self.heard, |word| word.end).max(start + Duration::from_millis(1));
        Cue {
            id,
            rev,
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
