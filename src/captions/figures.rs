use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::text;
use crate::{
    model::{Cue, MediaTime, Source},
    quality::{centile, erased, pieces},
};

/// How a track has done over the last five minutes. What nothing is known of yet is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// End of a word to its text published for good, median.
    pub lag_p50: Option<Duration>,
    /// The same, 95th percentile.
    pub lag_p95: Option<Duration>,
    /// End of a word to its cue's last revision, median.
    pub final_lag_p50: Option<Duration>,
    /// The same, 95th percentile.
    pub final_lag_p95: Option<Duration>,
    /// Share of words, 0 to 1, published for good before a player reached their end: one that stays as near as
    /// PART-HOLD-BACK allows (rfc8216bis §4.4.3.8). None until that is known.
    pub ahead: Option<f64>,
    /// Mean of what the engine says of its words, 0 to 1; none of translations.
    pub confidence: Option<f64>,
    /// Normalized erasure, see [`erased`]: words taken back for each word that stayed.
    pub erasure: Option<f64>,
}

/// Gathers what [`Quality`] says. Pure; at most some 300 KiB, however long the live.
#[derive(Debug, Default)]
pub(super) struct Figures {
    stable: Recent<(Duration, Option<f32>)>,
    last: Recent<Duration>,
    /// Words taken back, and words that stayed.
    revised: Recent<(usize, usize)>,
    /// Cues that may still change.
    open: BTreeMap<u64, Open>,
}

/// A cue as it was published last.
#[derive(Debug, Default)]
struct Open {
    text: String,
    /// Its stable characters: each word's lag counts once.
    stable: usize,
}

/// What happened lately, the newest last.
#[derive(Debug)]
struct Recent<T>(VecDeque<(MediaTime, T)>);

/// How long anything counts.
const WINDOW: Duration = Duration::from_secs(300);
/// And how many of it: seven words a second.
const MOST: usize = 2_100;
/// Cues that may change at once.
const OPEN: usize = 64;

impl Figures {
    /// Takes a cue as it is published at `now`; people's corrections are not the track's doing.
    pub fn take(&mut self, cue: &Cue, now: MediaTime) {
        if cue.source == Source::Human {
            return;
        }
        let before = self.open.remove(&cue.id).unwrap_or_default();
        self.lag(cue, before.stable, now);
        let kept = if cue.is_final { pieces(&cue.text).len() } else { 0 };
        let lost = erased(&before.text, &cue.text);
        if lost + kept > 0 {
            self.revised.push(now, (lost, kept));
        }
        if !cue.is_final && !cue.text.is_empty() {
            self.open.insert(cue.id, Open { text: cue.text.clone(), stable: before.stable.max(cue.stable_len) });
            if self.open.len() > OPEN {
                self.open.pop_first();
            }
        }
    }

    /// What is known at `now`, for players that stay `hold_back` behind the newest part.
    pub fn quality(&self, now: MediaTime, hold_back: Option<Duration>) -> Quality {
        let stable: Vec<_> = self.stable.since(now).collect();
        let mut lags: Vec<Duration> = stable.iter().map(|(lag, _)| *lag).collect();
        lags.sort_unstable();
        let mut last: Vec<Duration> = self.last.since(now).copied().collect();
        last.sort_unstable();
        let ahead = |hold: Duration| lags.partition_point(|lag| *lag <= hold) as f64 / lags.len() as f64;
        let sure: Vec<f64> = stable.iter().filter_map(|(_, confidence)| confidence.map(f64::from)).collect();
        let (lost, kept) =
            self.revised.since(now).fold((0, 0), |(lost, kept), revised| (lost + revised.0, kept + revised.1));
        Quality {
            lag_p50: centile(&lags, 50),
            lag_p95: centile(&lags, 95),
            final_lag_p50: centile(&last, 50),
            final_lag_p95: centile(&last, 95),
            ahead: hold_back.filter(|_| !lags.is_empty()).map(ahead),
            confidence: (!sure.is_empty()).then(|| sure.iter().sum::<f64>() / sure.len() as f64),
            erasure: (kept > 0).then(|| lost as f64 / kept as f64),
        }
    }

    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.stable.0.len() + self.last.0.len() + self.revised.0.len() + self.open.len()
    }

    /// Notes the lag of every word that is stable or final for the first time; the first `known` characters were
    /// stable before.
    fn lag(&mut self, cue: &Cue, known: usize, now: MediaTime) {
        let stable = if cue.is_final { usize::MAX } else { cue.stable_len };
        let mut position = 0;
        for (word, end, confidence) in timed(cue) {
            position += text::chars(word);
            if position > known && position <= stable {
                self.stable.push(now, (now.since(end), confidence));
            }
            if cue.is_final {
                self.last.push(now, now.since(end));
            }
            position += text::joiner(&cue.lang).len();
        }
    }
}

/// A cue's words with their ends and how sure the engine is. Words without times, as translations have them, are
/// spread over the cue by their letters.
fn timed(cue: &Cue) -> Vec<(&str, MediaTime, Option<f32>)> {
    if !cue.words.is_empty() {
        return cue.words.iter().map(|word| (word.text.as_str(), word.end, Some(word.confidence))).collect();
    }
    let words = pieces(&cue.text);
    let (span, whole) = (cue.end.since(cue.start), words.iter().map(|word| text::chars(word)).sum::<usize>());
    let mut passed = 0;
    let spread = |word| {
        passed += text::chars(word);
        (word, cue.start + span.mul_f64(passed as f64 / whole as f64), None)
    };
    words.into_iter().map(spread).collect()
}

impl<T> Recent<T> {
    fn push(&mut self, at: MediaTime, what: T) {
        while self.0.len() >= MOST || self.0.front().is_some_and(|(oldest, _)| at.since(*oldest) > WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back((at, what));
    }

    fn since(&self, now: MediaTime) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(at, _)| now.since(*at) <= WINDOW).map(|(_, what)| what)
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}
