use std::{collections::VecDeque, time::Duration};

use super::{
    Ids,
    lane::{Intake, Token},
    text,
    translation::{Span, Translation},
};
use crate::{
    model::{Cue, LanguageTag, MediaTime},
    translate::Text,
};

/// Carries one track's words through a translator into another language's track. Pure.
///
/// It works sentence by sentence. The stable beginning of the sentence in progress is translated again
/// about once a second (re-translation, arXiv 1912.03393), more seldom where the translator is busy;
/// [`Translation`] tells what of it is shown and what stays. When the sentence is over its translation
/// is final. At most one request is out at a time.
#[derive(Debug)]
pub struct Relay {
    from: LanguageTag,
    to: LanguageTag,
    ids: Ids,
    intake: Intake,
    /// Complete sentences that wait, oldest first, then the one in progress.
    closed: VecDeque<Sentence>,
    open: Sentence,
    /// Of the oldest of these sentences.
    translation: Translation,
    /// What is being translated.
    out: Option<Pending>,
    tickets: u64,
    asked: Option<MediaTime>,
    /// Only complete sentences are translated.
    patient: bool,
    /// How long the last answer took.
    took: Duration,
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
    /// Words that were in the last request.
    asked: usize,
    tries: u32,
}

#[derive(Debug)]
struct Pending {
    ticket: u64,
    last: bool,
    end: MediaTime,
}

/// The sentence in progress is translated again at most this often,
const PACE: Duration = Duration::from_millis(700);
/// and as many times more seldom as the translator takes for an answer.
const PATIENCE: u32 = 4;
/// Shorter beginnings are not translated.
const FEWEST: usize = 3;
/// A sentence without an end ends after so many words,
const WORDS: usize = 20;
/// so much time where a cue ends,
const SPAN: Duration = Duration::from_secs(8);
/// or in any case here.
const MOST_WORDS: usize = 40;
/// A silence ends a sentence,
const PAUSE: Duration = Duration::from_millis(1_200);
/// and so does one that may only be words that are not recognised yet, so that nobody waits for the last ones.
const SILENCE: Duration = Duration::from_secs(4);
/// Sentences that may wait for the translator: minutes of speech.
const QUEUE: usize = 32;
/// How often a sentence is offered to a translator that fails.
const TRIES: u32 = 2;

impl Relay {
    /// A relay between two tracks of one live, whose cue ids are `ids`.
    pub fn new(from: LanguageTag, to: LanguageTag, ids: Ids) -> Self {
        Self {
            translation: Translation::new(to.clone(), MediaTime::ZERO),
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
            took: Duration::ZERO,
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
        // Where recognition is behind, words that are late are no silence.
        let silence = if self.patient { SPAN } else { SILENCE };
        let late = self.open.words.last().is_some_and(|last| now.since(last.end) >= silence);
        if self.closed.is_empty() && late {
            self.close();
        }
        let last = !self.closed.is_empty();
        let pace = PACE.max(PATIENCE * self.took);
        let due = self.asked.is_none_or(|asked| now.since(asked) >= pace);
        let sentence = self.closed.front_mut().unwrap_or(&mut self.open);
        if !last && (self.patient || !due || sentence.words.len() < FEWEST || sentence.words.len() == sentence.asked) {
            return None;
        }
        sentence.asked = sentence.words.len();
        let words: Vec<&str> = sentence.words.iter().map(|word| word.text.as_str()).collect();
        let text = Text {
            begin: self.translation.begin(),
            before: self.translation.before(),
            ..words.join(text::joiner(&self.from)).into()
        };
        self.tickets += 1;
        self.asked = Some(now);
        self.out = Some(Pending { ticket: self.tickets, last, end: sentence.end() });
        Some(Request { ticket: self.tickets, text, last })
    }

    /// Takes at `now` the translation of a request, `None` if there is none to be had, and returns the
    /// cues of the target track that changed.
    pub fn answer(&mut self, ticket: u64, translation: Option<&str>, now: MediaTime) -> Vec<Cue> {
        let Some(out) = self.out.take_if(|out| out.ticket == ticket) else { return Vec::new() };
        self.took = self.asked.map_or(Duration::ZERO, |asked| now.since(asked));
        let span = self.span(out.end, now);
        let cues = match translation {
            Some(text) => self.translation.take(&text::plain(text, 4_000), span, out.last, &self.ids),
            None if out.last && self.gives_up() => self.translation.give_up(span, &self.ids),
            None => {
                // Whatever was not translated is asked for again.
                self.open.asked = 0;
                return Vec::new();
            }
        };
        if out.last {
            self.closed.pop_front();
            self.translation = Translation::new(self.to.clone(), self.translation.floor());
        }
        cues
    }

    /// The language it translates into.
    pub fn to(&self) -> &LanguageTag {
        &self.to
    }

    /// Sentences no translation came for since it was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// No more words come: what was begun is a sentence now.
    pub fn finish(&mut self) {
        self.close();
    }

    /// Nor do answers: what was shown of the oldest sentence stays, and is final.
    pub fn end(&mut self, now: MediaTime) -> Vec<Cue> {
        self.close();
        self.out = None;
        let Some(end) = self.closed.front().map(Sentence::end) else { return Vec::new() };
        let cues = self.translation.give_up(self.span(end, now), &self.ids);
        self.dropped += self.closed.len() as u64;
        self.closed.clear();
        self.translation = Translation::new(self.to.clone(), self.translation.floor());
        cues
    }

    /// Where the oldest sentence lies, translated as far as `end`. A sentence whose beginning was asked for may
    /// have been completed meanwhile.
    fn span(&self, end: MediaTime, now: MediaTime) -> Span {
        let mut sentences = self.closed.iter().chain([&self.open]).filter(|sentence| !sentence.words.is_empty());
        let start = sentences.next().map_or(end, Sentence::start);
        Span { start, end, room: sentences.next().map_or(now, Sentence::start) }
    }

    /// The oldest sentence was offered to a translator that failed: whether that was the last time.
    fn gives_up(&mut self) -> bool {
        let Some(sentence) = self.closed.front_mut() else { return false };
        sentence.tries += 1;
        let last = sentence.tries == TRIES;
        self.dropped += u64::from(last);
        last
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
}

impl Sentence {
    fn start(&self) -> MediaTime {
        self.words.first().map_or(MediaTime::ZERO, |word| word.start)
    }

    fn end(&self) -> MediaTime {
        self.words.last().map_or(MediaTime::ZERO, |word| word.end)
    }
}
