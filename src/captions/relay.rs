use std::{collections::VecDeque, time::Duration};

use super::{
    Ids,
    lane::{Intake, Token},
    text, vtt,
};
use crate::{
    model::{Cue, LanguageTag, MediaTime, Source},
    translate::Text,
};

/// Carries one track's words through a translator into another language's track. Pure.
///
/// It works sentence by sentence. The stable beginning of the sentence in progress is translated
/// again about once a second and shown as far as two translations agree, so that it does not
/// flicker; when the sentence is over its translation is final. At most one request is out at a time.
#[derive(Debug)]
pub struct Relay {
    from: LanguageTag,
    to: LanguageTag,
    ids: Ids,
    intake: Intake,
    /// Complete sentences that wait, oldest first, then the one in progress.
    closed: VecDeque<Sentence>,
    open: Sentence,
    /// What is being translated.
    out: Option<Pending>,
    tickets: u64,
    asked: Option<MediaTime>,
    /// Only complete sentences are translated.
    patient: bool,
    dropped: u64,
}

/// A text to translate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Comes back with the answer.
    pub ticket: u64,
    /// A sentence, or the beginning of one, with what was said of it before.
    pub text: Text,
    /// The sentence is complete.
    pub last: bool,
}

#[derive(Debug, Default)]
struct Sentence {
    words: Vec<Token>,
    /// Cues of its translation as far as they were shown.
    shown: Vec<Shown>,
    /// The translation of its last beginning.
    said: Option<String>,
    /// Words that were in the last request.
    asked: usize,
    tries: u32,
}

#[derive(Debug)]
struct Shown {
    id: u64,
    rev: u32,
    text: String,
}

#[derive(Debug)]
struct Pending {
    ticket: u64,
    last: bool,
    end: MediaTime,
}

/// The sentence in progress is translated again at most this often.
const PACE: Duration = Duration::from_millis(1_000);
/// Last words of a first translation that are kept back; shorter beginnings are not translated.
const MASK: usize = 3;
/// A sentence without an end ends after so many words,
const WORDS: usize = 20;
/// so much time where a cue ends,
const SPAN: Duration = Duration::from_secs(8);
/// or in any case here.
const MOST_WORDS: usize = 40;
/// A silence ends a sentence.
const PAUSE: Duration = Duration::from_millis(1_200);
/// Sentences that may wait for the translator: minutes of speech.
const QUEUE: usize = 32;
/// How often a sentence is offered to a translator that fails.
const TRIES: u32 = 2;

impl Relay {
    /// A relay between two tracks of one live, whose cue ids are `ids`.
    pub fn new(from: LanguageTag, to: LanguageTag, ids: Ids) -> Self {
        Self {
            from,
            to,
            ids,
            intake: Intake::default(),
            closed: VecDeque::new(),
            open: Sentence::default(),
            out: None,
            tickets: 0,
            asked: None,
            patient: false,
            dropped: 0,
        }
    }

    /// Takes a cue of the source track. People's corrections of what is translated already
    /// change nothing.
    pub fn push(&mut self, cue: &Cue) {
        for word in self.intake.take(cue, &self.from) {
            if self.open.words.last().is_some_and(|last| word.start.since(last.end) >= PAUSE) {
                self.close();
            }
            let (ends, cue_ends) = (text::ends_sentence(&word.text), word.last);
            self.open.words.push(word);
            let (count, span) = (self.open.words.len(), self.open.end().since(self.open.start()));
            if ends || count >= MOST_WORDS || cue_ends && (count >= WORDS || span >= SPAN) {
                self.close();
            }
        }
    }

    /// Whether only complete sentences are translated from now on.
    pub fn set_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    /// What to translate now, if anything. Follow every [`Relay::push`] and [`Relay::answer`],
    /// and about every half second, with a call.
    pub fn request(&mut self, now: MediaTime) -> Option<Request> {
        if self.out.is_some() {
            return None;
        }
        let late = self.open.words.last().is_some_and(|last| now.since(last.end) >= SPAN);
        if self.closed.is_empty() && late {
            self.close();
        }
        let last = !self.closed.is_empty();
        let due = self.asked.is_none_or(|asked| now.since(asked) >= PACE);
        let sentence = self.closed.front_mut().unwrap_or(&mut self.open);
        if !last && (self.patient || !due || sentence.words.len() < MASK || sentence.words.len() == sentence.asked) {
            return None;
        }
        sentence.asked = sentence.words.len();
        let words: Vec<&str> = sentence.words.iter().map(|word| word.text.as_str()).collect();
        let text = Text { text: words.join(text::joiner(&self.from)), before: sentence.said.clone() };
        self.tickets += 1;
        self.asked = Some(now);
        self.out = Some(Pending { ticket: self.tickets, last, end: sentence.end() });
        Some(Request { ticket: self.tickets, text, last })
    }

    /// Takes the translation of a request, `None` if there is none to be had, and returns the
    /// cues of the target track that changed.
    pub fn answer(&mut self, ticket: u64, translation: Option<&str>) -> Vec<Cue> {
        let Some(out) = self.out.take_if(|out| out.ticket == ticket) else { return Vec::new() };
        let Some(translation) = translation.map(|text| text::plain(text, 4_000)) else {
            return self.failed(&out);
        };
        if out.last {
            let Some(sentence) = self.closed.pop_front() else { return Vec::new() };
            return self.show(sentence, &translation, out.end, true).1;
        }
        // The sentence may have been completed meanwhile: it is then the first of those.
        let completed = self.closed.pop_front();
        let was_completed = completed.is_some();
        let sentence = completed.unwrap_or_else(|| std::mem::take(&mut self.open));
        let kept = masked(&translation, sentence.said.as_deref(), &self.to);
        let (mut sentence, cues) = self.show(sentence, &kept, out.end, false);
        sentence.said = Some(translation);
        if was_completed {
            self.closed.push_front(sentence);
        } else {
            self.open = sentence;
        }
        cues
    }

    /// The language it translates into.
    pub fn to(&self) -> &LanguageTag {
        &self.to
    }

    /// Sentences no translation came for.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The live is over: what was begun is a sentence now.
    pub fn finish(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        if self.open.words.is_empty() {
            return;
        }
        self.closed.push_back(std::mem::take(&mut self.open));
        if self.closed.len() > QUEUE {
            // The first may be at the translator and may have been shown: it stays.
            self.closed.remove(1);
            self.dropped += 1;
        }
    }

    /// The translator failed: a complete sentence is tried again, then what was shown of it stays.
    fn failed(&mut self, out: &Pending) -> Vec<Cue> {
        if !out.last {
            return Vec::new();
        }
        let Some(mut sentence) = self.closed.pop_front() else { return Vec::new() };
        sentence.tries += 1;
        if sentence.tries < TRIES {
            self.closed.push_front(sentence);
            return Vec::new();
        }
        self.dropped += 1;
        let texts: Vec<&str> = sentence.shown.iter().map(|shown| shown.text.as_str()).collect();
        let kept = texts.join(text::joiner(&self.to));
        self.show(sentence, &kept, out.end, true).1
    }

    /// Lays a translation into the sentence's cues and returns those that changed.
    fn show(&self, mut sentence: Sentence, text: &str, end: MediaTime, last: bool) -> (Sentence, Vec<Cue>) {
        let texts = portions(text, &self.to, last);
        let start = sentence.start();
        let end = end.max(start + Duration::from_millis(1));
        let total = texts.iter().map(|text| text::chars(text)).sum::<usize>().max(1) as f64;
        let mut passed = 0;
        let mut cues = Vec::new();
        for nth in 0..texts.len().max(sentence.shown.len()) {
            let text = texts.get(nth).cloned().unwrap_or_default();
            if nth == sentence.shown.len() {
                sentence.shown.push(Shown { id: self.ids.next(), rev: 0, text: String::new() });
            }
            let shown = &mut sentence.shown[nth];
            let at = |chars: usize| start + end.since(start).mul_f64(chars as f64 / total);
            let length = text::chars(&text);
            let (cue_start, cue_end) = (at(passed), at(passed + length).max(at(passed) + Duration::from_millis(1)));
            passed += length;
            if shown.text == text && !last {
                continue;
            }
            shown.rev += 1;
            shown.text.clone_from(&text);
            cues.push(Cue {
                id: shown.id,
                rev: shown.rev,
                lang: self.to.clone(),
                start: cue_start,
                end: cue_end,
                stable_len: if last { length } else { 0 },
                text,
                is_final: last,
                words: Vec::new(),
                source: Source::Mt,
            });
        }
        (sentence, cues)
    }
}

impl Sentence {
    fn start(&self) -> MediaTime {
        self.words.first().map_or(MediaTime::ZERO, |word| word.start)
    }

    fn end(&self) -> MediaTime {
        self.words.last().map_or(MediaTime::ZERO, |word| word.end)
    }
}

/// An unfinished translation without the words that the next ones will change: what it shares
/// with the one before, or without its last words if it is the first.
fn masked(translation: &str, before: Option<&str>, lang: &LanguageTag) -> String {
    let joiner = text::joiner(lang);
    let units = |text: &str| -> Vec<String> {
        if joiner.is_empty() {
            text.chars().map(String::from).collect()
        } else {
            text.split(' ').map(Into::into).collect()
        }
    };
    let words = units(translation);
    let kept = match before {
        Some(before) => words.iter().zip(units(before)).take_while(|(now, before)| *now == before).count(),
        None => words.len().saturating_sub(MASK),
    };
    words[..kept].join(joiner)
}

/// A sentence in portions that fit two lines. A complete one is divided evenly; an unfinished
/// one is filled up from the front, so that earlier portions stay as they are.
fn portions(text: &str, lang: &LanguageTag, last: bool) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    if text::spaceless(lang) {
        return text::pieces(text, text::CUE).into_iter().map(Into::into).collect();
    }
    let mut filled: Vec<String> = vec![String::new()];
    for word in text.split_whitespace().flat_map(|word| text::pieces(word, text::LINE)) {
        let Some(portion) = filled.last_mut() else { break };
        let longer = if portion.is_empty() { word.into() } else { format!("{portion} {word}") };
        if text::fits(&longer, lang) {
            *portion = longer;
        } else {
            filled.push(word.into());
        }
    }
    let crumb = filled.last().is_some_and(|tail| text::chars(tail) < text::LINE / 2);
    if last && crumb && filled.len() > 1 {
        let even = vtt::divide(text, &vec![1; filled.len()]);
        if even.iter().all(|portion| !portion.is_empty() && text::fits(portion, lang)) {
            return even;
        }
    }
    filled
}
