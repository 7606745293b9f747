use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Lags, Normalise, Step, TooLong, align, erased, pieces};

/// A recorded event log: what a subscriber to a live's captions received, and when.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Its tracks by language.
    pub tracks: BTreeMap<String, TrackLog>,
}

/// One track of a log.
#[derive(Debug, Clone, Default)]
pub struct TrackLog {
    /// The newest revision of each cue, people's corrections left out.
    pub cues: BTreeMap<u64, Cue>,
    /// Cue messages.
    pub revisions: usize,
    /// Words that were taken back, see [`erased`].
    pub erased: usize,
    /// Text the server lost, by its last account.
    pub dropped: u64,
    words: BTreeMap<u64, Vec<Shown>>,
    /// Wall clock of media time zero by each cue's account, in Unix seconds.
    anchors: Vec<f64>,
}

/// A cue message. Only what the figures need is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Cue {
    /// Its language.
    pub lang: String,
    /// Stays through every revision.
    pub id: u64,
    /// A higher revision replaces a lower one.
    pub rev: u32,
    /// Only a person may revise it.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Seconds of media time.
    pub start: f64,
    /// Seconds of media time.
    pub end: f64,
    /// Wall clock of its start.
    start_pdt: Option<jiff::Timestamp>,
    /// Plain text.
    pub text: String,
    /// Leading characters that will not change.
    #[serde(default)]
    stable_len: usize,
    /// The words, where the track has times for them.
    #[serde(default)]
    pub words: Vec<TimedWord>,
    #[serde(default)]
    source: String,
}

/// A word and when it has been said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TimedWord {
    /// As written.
    pub text: String,
    /// Seconds; none where only its end is known.
    #[serde(default)]
    pub start: Option<f64>,
    /// Seconds.
    pub end: f64,
    /// 0 to 1.
    #[serde(default)]
    pub confidence: Option<f64>,
}

/// A sentence as it was truly said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sentence {
    /// Seconds from the beginning of the recording that was played.
    pub start: f64,
    /// When it has been said.
    pub end: f64,
    /// Its text.
    pub text: String,
    /// Its words, where their ends are known; otherwise they are spread over the sentence by their letters.
    #[serde(default)]
    pub words: Vec<TimedWord>,
}

/// How long after words their text came, by the wall clock.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Arrivals {
    /// To where it stayed from then on, casing and punctuation aside.
    pub shown: Option<Lags>,
    /// To where the server promised that it will not change.
    pub stable: Option<Lags>,
    /// To its cue's last revision.
    pub last: Option<Lags>,
}

/// A track held against what was truly said, as far as it was understood.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Against {
    /// Lags of all words.
    pub words: Arrivals,
    /// Lags of the last words of sentences behind the sentence's end, which a reference knows best.
    pub sentences: Arrivals,
    /// How far from the sentence's start the track has its first word, either way.
    pub starts: Option<Distances>,
    /// How far from its end the track has its last word.
    pub ends: Option<Distances>,
}

/// How far times are off. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Distances {
    /// Words measured.
    pub words: usize,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// The furthest.
    pub max: f64,
}

/// Why a line of a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is not an event.
    #[error("line {0} is no caption event: one JSON object a line is expected, as `amphi evaluate record` writes")]
    Line(usize, #[source] serde_json::Error),
    /// No line is a cue.
    #[error("the log holds no cue: record it while words are spoken")]
    Empty,
}

/// Unix seconds; none of what came unobserved.
type Noted = Option<f64>;

/// A word on the screen, and when it became what it is.
#[derive(Debug, Clone)]
struct Shown {
    text: String,
    /// When it began by the engine's account, in media time; none where there is none, as in translations.
    begun: Option<f64>,
    /// When it had been said: by the engine's account, else by its place in the cue.
    said: f64,
    shown: Noted,
    /// None: not yet.
    stable: Option<Noted>,
    last: Option<Noted>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message {
    Cue {
        received: Option<jiff::Timestamp>,
        #[serde(flatten)]
        cue: Cue,
    },
    Status {
        lang: Option<String>,
        #[serde(default)]
        dropped: u64,
    },
    #[serde(other)]
    Other,
}

impl Log {
    /// Reads JSON lines; blank ones and events of other kinds are passed over. Cues before the first status are
    /// a subscriber's replay of what was said before it came: they have no arrival.
    ///
    /// # Errors
    /// The first line that is no event; a log without cues.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let mut log = Self::default();
        let mut messages = Vec::new();
        for (nth, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            messages.push(serde_json::from_str(line).map_err(|error| LogError::Line(nth + 1, error))?);
        }
        let replayed = messages.iter().position(|message| matches!(message, Message::Status { .. })).unwrap_or(0);
        for (nth, message) in messages.into_iter().enumerate() {
            match message {
                Message::Cue { received, cue } => {
                    let at = received.filter(|_| nth >= replayed).map(|time| time.as_microsecond() as f64 / 1e6);
                    log.tracks.entry(cue.lang.clone()).or_default().take(at, cue);
                }
                Message::Status { lang: Some(lang), dropped } => {
                    log.tracks.entry(lang).or_default().dropped = dropped;
                }
                Message::Status { .. } | Message::Other => {}
            }
        }
        log.tracks.retain(|_, track| track.revisions > 0);
        if log.tracks.is_empty() { Err(LogError::Empty) } else { Ok(log) }
    }
}

impl TrackLog {
    /// Words of the cues as they stand.
    pub fn words(&self) -> usize {
        self.in_order().map(|cue| pieces(&cue.text).len()).sum()
    }

    /// Normalized erasure, see [`erased`]; none without words.
    pub fn erasure(&self) -> Option<f64> {
        (self.words() > 0).then(|| self.erased as f64 / self.words() as f64)
    }

    /// The text of the cues, in order.
    pub fn text(&self) -> String {
        self.in_order().map(|cue| cue.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Cues with text, in order.
    pub fn in_order(&self) -> impl Iterator<Item = &Cue> {
        self.cues.values().filter(|cue| !cue.text.is_empty())
    }

    /// Mean confidence of the engine in its words; none where it gives none.
    pub fn confidence(&self) -> Option<f64> {
        let known: Vec<f64> =
            self.cues.values().flat_map(|cue| &cue.words).filter_map(|word| word.confidence).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Lags against the engine's own word times; words without them, as translations have, are spread over their
    /// cue by their letters. None of a log without arrivals.
    pub fn arrivals(&self) -> Arrivals {
        let Some(zero) = self.anchor() else { return Arrivals::default() };
        let words = self.screen().map(|word| (word, zero + word.said));
        arrivals(words)
    }

    /// Lags and times against what was truly said. `offset` is where in media time, in seconds, the reference begins.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn against(&self, truth: &[Sentence], offset: f64) -> Result<Against, TooLong> {
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        for sentence in truth {
            let words = spread(sentence);
            let count = words.len();
            for (nth, (word, end)) in words.into_iter().enumerate() {
                wanted.push(word);
                places.push((end, (nth == 0).then_some(sentence.start), (nth + 1 == count).then_some(sentence.end)));
            }
        }
        // A number that is one word on the screen is several in the comparison.
        let heard: Vec<(String, &Shown)> = self
            .screen()
            .flat_map(|shown| Normalise::English.words(&shown.text).into_iter().map(move |word| (word, shown)))
            .collect();
        let said: Vec<&String> = heard.iter().map(|(word, _)| word).collect();
        let (mut all, mut last, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut t, mut s) = (0, 0);
        for step in align(&wanted.iter().collect::<Vec<_>>(), &said)? {
            if step == Step::Equal {
                let (word, (until, first_from, last_until)) = (heard[s].1, places[t]);
                all.push((word, offset + until));
                last.extend(last_until.map(|end| (word, offset + end)));
                let timed = word.begun.map(|begun| (begun - offset, word.said - offset));
                starts.extend(first_from.zip(timed).map(|(truth, (begun, _))| (begun - truth).abs()));
                ends.extend(last_until.zip(timed).map(|(truth, (_, said))| (said - truth).abs()));
            }
            t += usize::from(step != Step::Insert);
            s += usize::from(step != Step::Delete);
        }
        let arrivals = |words: Vec<(&Shown, f64)>| match self.anchor() {
            Some(zero) => arrivals(words.into_iter().map(|(word, end)| (word, zero + end))),
            None => Arrivals::default(),
        };
        let (words, sentences) = (arrivals(all), arrivals(last));
        Ok(Against { words, sentences, starts: Distances::of(starts), ends: Distances::of(ends) })
    }

    /// Wall clock of media time zero, in Unix seconds: the median of what cues say, which agree to a millisecond.
    fn anchor(&self) -> Option<f64> {
        let mut anchors = self.anchors.clone();
        anchors.sort_by(f64::total_cmp);
        super::centile(&anchors, 50)
    }

    fn screen(&self) -> impl Iterator<Item = &Shown> {
        self.words.values().flatten()
    }

    fn take(&mut self, at: Noted, cue: Cue) {
        if cue.source == "human" || self.cues.get(&cue.id).is_some_and(|known| known.rev >= cue.rev) {
            return;
        }
        self.revisions += 1;
        let before = self.cues.get(&cue.id).map_or("", |known| known.text.as_str());
        self.erased += erased(before, &cue.text);
        self.anchors.extend(cue.start_pdt.map(|wall| wall.as_microsecond() as f64 / 1e6 - cue.start));
        let old = self.words.remove(&cue.id).unwrap_or_default();
        self.words.insert(cue.id, revise(old, at, &cue));
        self.cues.insert(cue.id, cue);
    }
}

impl Distances {
    /// Of what was measured; none of nothing.
    fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let (p50, p95) = (super::centile(&seconds, 50)?, super::centile(&seconds, 95)?);
        Some(Self { words: seconds.len(), p50, p95, max: *seconds.last()? })
    }
}

/// The words of a revision; those that stand where they stood keep their times.
fn revise(old: Vec<Shown>, at: Noted, cue: &Cue) -> Vec<Shown> {
    let timed = cue.words.iter().map(|word| (word.text.as_str(), word.start, word.end));
    let bare = if cue.words.is_empty() { pieces(&cue.text) } else { Vec::new() };
    let (mut passed, whole) = (0, bare.iter().map(|word| word.chars().count()).sum::<usize>());
    let bare = bare.into_iter().map(|word| {
        passed += word.chars().count();
        (word, None, cue.start + (cue.end - cue.start) * passed as f64 / whole as f64)
    });
    let mut old = old.into_iter();
    let mut position = 0;
    let mut shown = Vec::new();
    for (text, begun, said) in timed.chain(bare) {
        position = cue.text[position..].find(text).map_or(position, |found| position + found + text.len());
        let known = old.next().filter(|old| same(&old.text, text));
        let stable = cue.is_final || cue.text[..position].chars().count() <= cue.stable_len;
        let (first, promised, last) = known.map_or((at, None, None), |old| (old.shown, old.stable, old.last));
        shown.push(Shown {
            text: text.into(),
            begun,
            said,
            shown: first,
            stable: promised.or(stable.then_some(at)),
            last: last.or(cue.is_final.then_some(at)),
        });
    }
    shown
}

/// Casing and punctuation aside: they do not make a reader read again.
fn same(before: &str, after: &str) -> bool {
    before == after || Normalise::Words.words(before) == Normalise::Words.words(after)
}

fn arrivals<'a>(words: impl IntoIterator<Item = (&'a Shown, f64)>) -> Arrivals {
    let (mut shown, mut stable, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (word, said) in words {
        shown.extend(word.shown.map(|at| at - said));
        stable.extend(word.stable.flatten().map(|at| at - said));
        last.extend(word.last.flatten().map(|at| at - said));
    }
    Arrivals { shown: Lags::of(shown), stable: Lags::of(stable), last: Lags::of(last) }
}

/// A sentence's words as they are compared, with their ends.
fn spread(sentence: &Sentence) -> Vec<(String, f64)> {
    if !sentence.words.is_empty() {
        let words = sentence.words.iter();
        return words
            .flat_map(|word| Normalise::English.words(&word.text).into_iter().map(|text| (text, word.end)))
            .collect();
    }
    let words = Normalise::English.words(&sentence.text);
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let mut until = 0;
    let end = |word: String| {
        until += word.chars().count();
        let end = sentence.start + (sentence.end - sentence.start) * until as f64 / letters.max(1) as f64;
        (word, end)
    };
    words.into_iter().map(end).collect()
}
