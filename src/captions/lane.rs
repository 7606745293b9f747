use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{phrase, text, vtt};
use crate::model::{Cue, LanguageTag, MediaTime, Part, RenditionId};

/// The append-only WebVTT rendition of one track, in lock step with the video: a part for every
/// part of the reference rendition, on time, with a cue that says nothing if need be. Pure.
///
/// Stable words are gathered into phrases of at most 42 characters and three seconds. A phrase is
/// published in the first part at or after it is known, once, under an id of its own; where it
/// stays on the screen through several parts, each repeats it identically, so that a reader may
/// begin anywhere. Where players stay behind, it stays for a second when they have the whole of its
/// segment. Late text starts where its part starts; when phrases queue up they leave two at a time
/// as two lines, and faster, until the lane has caught up. Nothing overlaps, nothing is dropped, a
/// published part never changes.
#[derive(Debug)]
pub struct Lane {
    lang: LanguageTag,
    rendition: RenditionId,
    /// How far before its part a cue may start.
    hold: Duration,
    number: u64,
    intake: Intake,
    /// Stable words that make no phrase yet.
    words: VecDeque<Token>,
    phrases: VecDeque<Phrase>,
    /// On the screen, already published.
    active: Vec<Published>,
    /// The segment that its parts belong to, where it began, and how long the one before it was.
    segment: u64,
    begun: MediaTime,
    length: Duration,
    /// Where the last published cue ends.
    cursor: MediaTime,
    published: u64,
    dropped: u64,
}

/// A word on its way into a phrase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub text: String,
    pub start: MediaTime,
    pub end: MediaTime,
    /// The cue it comes from ends with it.
    pub last: bool,
}

/// Takes the stable words out of a track's cues, each once and in order, as they become known.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Words taken of cues that are not final yet.
    open: BTreeMap<u64, Open>,
    /// Every cue up to this id is done.
    done: u64,
}

#[derive(Debug)]
struct Open {
    taken: usize,
    cue: Cue,
}

#[derive(Debug)]
struct Phrase {
    text: String,
    start: MediaTime,
    end: MediaTime,
}

#[derive(Debug)]
struct Published {
    id: String,
    start: MediaTime,
    end: MediaTime,
    text: String,
}

/// A phrase holds at most this much speech: what a cue of recognised speech holds.
const SPAN: Duration = phrase::CLOSING;
/// Words that wait longer for the end of their phrase are one. Pieces of phrases stay as long as whole ones, and
/// hold up what follows.
const PATIENCE: Duration = Duration::from_secs(4);
/// A silence that ends a phrase.
const PAUSE: Duration = Duration::from_millis(500);
/// A phrase stays at least this long.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long segments are taken to be before one is known.
const SEGMENT: Duration = Duration::from_secs(2);
/// No segment is longer for long.
const LONGEST: Duration = Duration::from_secs(4);
/// Phrases that may wait; at one line each far more than a live ever owes.
const BACKLOG: usize = 10_000;
/// Cues that may be open at once before the oldest is taken as it is.
const OPEN: usize = 16;
/// How long a cue lasts that says nothing.
const BLINK: Duration = Duration::from_millis(1);
/// Behind every media time.
const FOREVER: MediaTime = MediaTime::from_nanos(i64::MAX);
/// WebVTT counts milliseconds.
const TICK: i64 = 1_000_000;

impl Lane {
    /// A lane for `lang` whose cues start at most `hold` before their part: zero where the
    /// player may be right behind the newest part, the hold-back where it never is.
    pub fn new(lang: LanguageTag, hold: Duration) -> Self {
        Self {
            rendition: RenditionId::captions(&lang),
            lang,
            hold,
            number: 0,
            intake: Intake::default(),
            words: VecDeque::new(),
            phrases: VecDeque::new(),
            active: Vec::new(),
            segment: 0,
            begun: MediaTime::ZERO,
            length: SEGMENT,
            cursor: MediaTime::ZERO,
            published: 0,
            dropped: 0,
        }
    }

    /// Takes a cue of the track: what is stable in it and was not yet taken. Corrections by
    /// people come too late for a lane and change nothing.
    pub fn push(&mut self, cue: &Cue) {
        self.words.extend(self.intake.take(cue, &self.lang));
        while let Some(phrase) = self.phrase(None) {
            self.queue(phrase);
        }
    }

    /// The part that accompanies `reference`, a part of the video (or of the audio where there
    /// is no video). Call it once for each, in order.
    pub fn part(&mut self, reference: &Part) -> Part {
        let end = reference.start + reference.duration;
        if let Some(phrase) = self.phrase(Some(end)) {
            self.queue(phrase);
        }
        self.make(reference, end)
    }

    /// The part that accompanies the live's last one: everything that still waits goes with it,
    /// though the picture ends before it is shown.
    pub fn last_part(&mut self, reference: &Part) -> Part {
        while let Some(phrase) = self.phrase(Some(FOREVER)) {
            self.queue(phrase);
        }
        self.make(reference, FOREVER)
    }

    /// A part with the cues on the screen and those that begin before `end`.
    fn make(&mut self, reference: &Part, end: MediaTime) -> Part {
        let start = reference.start;
        // Behind a discontinuity players count a repeated id as another cue.
        let discontinuity = reference.discontinuity;
        self.active.retain(|cue| !discontinuity && cue.end > start);
        if reference.msn != self.segment {
            (self.length, self.begun) = (start.since(self.begun).clamp(SHORTEST, LONGEST), start);
            self.segment = reference.msn;
        }
        let mut fresh = self.schedule(start, end);
        self.active.append(&mut fresh);
        let mut data = String::from(vtt::LIVE_HEAD);
        for cue in &self.active {
            vtt::block(&mut data, &cue.id, cue.start, cue.end, "", &cue.text);
        }
        let number = self.number;
        if self.active.is_empty() {
            // A part without any cue tells video.js that its whole segment has none: it skips the parts behind it.
            let at = ceil(start);
            vtt::block(&mut data, &format!("{}-none-{number}", self.lang), at, at + BLINK, "", "");
        }
        self.number += 1;
        Part {
            rendition: self.rendition.clone(),
            number,
            independent: true,
            init: 0,
            data: data.into(),
            ..reference.clone()
        }
    }

    /// Words that wait for a part.
    pub fn pending(&self) -> usize {
        self.words.len() + self.phrases.iter().map(|phrase| text::words(&phrase.text).count()).sum::<usize>()
    }

    /// Phrases lost to the bound on the backlog.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn queue(&mut self, phrase: Phrase) {
        if self.phrases.len() == BACKLOG {
            self.phrases.pop_front();
            self.dropped += 1;
        }
        self.phrases.push_back(phrase);
    }

    /// The next phrase out of the waiting words, if it is complete; at media time `now` one that
    /// has waited for four seconds is.
    fn phrase(&mut self, now: Option<MediaTime>) -> Option<Phrase> {
        let first = self.words.front()?.start;
        let joiner = text::joiner(&self.lang);
        let mut line = String::new();
        let mut count = 0;
        let mut complete = now.is_some_and(|now| now.since(first) >= PATIENCE);
        for (nth, word) in self.words.iter().enumerate() {
            let gap = if nth == 0 { "" } else { joiner };
            let pause = nth > 0 && word.start.since(self.words[nth - 1].end) >= PAUSE;
            let long = text::chars(&line) + text::chars(gap) + text::chars(&word.text) > text::LINE;
            if nth > 0 && (pause || long || word.end.since(first) > SPAN) {
                complete = true;
                break;
            }
            line.push_str(gap);
            line.push_str(&word.text);
            count = nth + 1;
            if word.last {
                complete = true;
                break;
            }
        }
        if !complete {
            return None;
        }
        let end = self.words.drain(..count).next_back()?.end;
        Some(Phrase { text: line, start: first, end })
    }

    /// Gives phrases whose turn falls into the part their final times.
    fn schedule(&mut self, start: MediaTime, end: MediaTime) -> Vec<Published> {
        let mut fresh = Vec::new();
        let earliest = ceil(start - self.hold);
        while let Some(phrase) = self.phrases.front() {
            let appears = ceil(phrase.start).max(earliest).max(self.cursor);
            if appears >= end {
                break;
            }
            let Some(mut phrase) = self.phrases.pop_front() else { break };
            let late = appears.since(phrase.start) >= SHORTEST;
            if late && let Some(second) = self.phrases.pop_front() {
                phrase.text = format!("{}\n{}", phrase.text, second.text);
                phrase.end = second.end;
            }
            let goes = (appears + self.stay(&phrase, appears)).max(self.seen(end) + SHORTEST);
            self.cursor = floor(goes).max(appears + BLINK);
            self.published += 1;
            let id = format!("{}-{}", self.lang, self.published);
            fresh.push(Published { id, start: appears, end: self.cursor, text: phrase.text });
        }
        fresh
    }

    /// Where the picture is of players that load captions by whole segments, as hls.js and Shaka do, when they have the
    /// part that ends at `end`; nowhere if none is behind for certain, or others wait to be shown.
    fn seen(&self, end: MediaTime) -> MediaTime {
        if self.hold.is_zero() || self.phrases.len() > 1 {
            return MediaTime::ZERO;
        }
        (self.begun + self.length).max(end.min(self.begun + LONGEST)) - self.hold
    }

    /// How long a phrase that appears now stays: until it has been spoken, and as long as reading takes; readers
    /// have to hurry while others wait.
    fn stay(&self, phrase: &Phrase, appears: MediaTime) -> Duration {
        let speed = match self.phrases.len() {
            0..=1 => 20,
            2..=5 => 28,
            _ => 42,
        };
        let reading = Duration::from_secs(text::chars(&phrase.text) as u64) / speed;
        let spoken = if self.phrases.is_empty() { phrase.end.since(appears).min(2 * SPAN) } else { Duration::ZERO };
        reading.max(spoken).max(SHORTEST)
    }
}

impl Intake {
    /// The words of `cue` that are stable, complete and not yet taken, with those of later cues
    /// that waited for it.
    pub fn take(&mut self, cue: &Cue, lang: &LanguageTag) -> Vec<Token> {
        if cue.id <= self.done {
            return Vec::new();
        }
        self.open.entry(cue.id).or_insert_with(|| Open { taken: 0, cue: cue.clone() }).cue = cue.clone();
        let mut out = Vec::new();
        loop {
            let crowded = self.open.len() > OPEN;
            let Some(mut first) = self.open.first_entry() else { break };
            let open = first.get_mut();
            open.cue.is_final |= crowded;
            let is_final = open.cue.is_final;
            let mut tokens = tokens(&open.cue, lang);
            let whole = tokens.len();
            let fresh = tokens.drain(open.taken.min(whole)..);
            let before = out.len();
            out.extend(fresh);
            open.taken += out.len() - before;
            if !is_final {
                break;
            }
            if let Some(last) = out.last_mut() {
                last.last = true;
            }
            self.done = *first.key();
            first.remove();
        }
        out
    }
}

/// A cue's stable words, without the last one as long as something may yet be appended to it.
fn tokens(cue: &Cue, lang: &LanguageTag) -> Vec<Token> {
    let stable_len = if cue.is_final { usize::MAX } else { cue.stable_len };
    let at = cue.text.char_indices().nth(stable_len).map_or(cue.text.len(), |(at, _)| at);
    let (stable, rest) = cue.text.split_at(at);
    let mut words: Vec<&str> = if text::spaceless(lang) {
        stable.split_inclusive(|_: char| true).filter(|c| !c.trim().is_empty()).collect()
    } else {
        text::words(stable).collect()
    };
    if !cue.is_final && !rest.starts_with(text::is_break) {
        words.pop();
    }
    let timed = cue.words.len() == text::words(&cue.text).count() && !text::spaceless(lang);
    let span = cue.end.since(cue.start);
    let total = text::chars(&cue.text).max(1) as f64;
    let mut passed = 0;
    let mut out = Vec::with_capacity(words.len());
    for (nth, word) in words.into_iter().enumerate() {
        let length = text::chars(word);
        let (start, end) = match cue.words.get(nth) {
            Some(word) if timed => (word.start, word.end),
            _ => {
                let at = |chars: usize| cue.start + span.mul_f64((chars as f64 / total).min(1.0));
                (at(passed), at(passed + length))
            }
        };
        passed += length + usize::from(!text::spaceless(lang));
        let end = end.max(start + Duration::from_millis(1));
        for piece in text::pieces(word, text::LINE) {
            out.push(Token { text: piece.into(), start, end, last: false });
        }
    }
    out
}

fn ceil(time: MediaTime) -> MediaTime {
    MediaTime::from_nanos(time.as_nanos().max(0).saturating_add(TICK - 1) / TICK * TICK)
}

fn floor(time: MediaTime) -> MediaTime {
    MediaTime::from_nanos(time.as_nanos().max(0) / TICK * TICK)
}
