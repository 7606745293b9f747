//! What one stream has said to its engine and heard from it, so that a crash loses nothing. Pure.

use std::{collections::VecDeque, time::Duration};

use crate::model::{Hypothesis, MediaTime, Pcm, Word};

/// One stream's audio that a restarted engine must hear again, and the words already given away.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Not yet settled, oldest first: taken in, then under way, then not yet sent.
    audio: VecDeque<Pcm>,
    /// How many of `audio` the engine has taken in.
    taken: usize,
    /// How many of `audio` it has been sent.
    sent: usize,
    /// How many of the last of `audio` no engine has been sent yet.
    fresh: usize,
    /// Samples sent and not taken in.
    under_way: usize,
    /// Samples sent and kept.
    kept: usize,
    /// The end of what was under way at the last crash that the audio may have caused.
    danger: Option<MediaTime>,
    /// Stable words of the open utterance.
    stable: Vec<Word>,
    /// Where the last word that cannot change ends.
    floor: Option<MediaTime>,
    /// The last words from this engine are final.
    pausing: bool,
    /// The engine is being told again what an earlier process knew.
    recovering: bool,
}

/// Audio given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// From here.
    pub start: MediaTime,
    /// To here.
    pub end: MediaTime,
}

impl Ledger {
    /// The most audio an engine is sent ahead of what it has taken in.
    const AHEAD: Duration = Duration::from_secs(10);
    /// The same where audio is suspected of crashing it, so that little needs to be skipped.
    const AHEAD_IN_DANGER: Duration = Duration::from_secs(1);
    /// The most audio kept for a replay.
    const KEPT: Duration = Duration::from_secs(30);

    /// Takes audio to be sent; the caller bounds how much waits.
    pub fn push(&mut self, pcm: Pcm) {
        self.audio.push_back(pcm);
        self.fresh += 1;
    }

    /// The next audio to send, if the engine may have more, and whether it is sent for the first time.
    pub fn next(&mut self) -> Option<(Pcm, bool)> {
        let ahead = if self.danger.is_some() { Self::AHEAD_IN_DANGER } else { Self::AHEAD };
        if self.under_way > 0 && Pcm::duration_of(self.under_way) >= ahead {
            return None;
        }
        let pcm = self.audio.get(self.sent)?.clone();
        let first = self.sent + self.fresh >= self.audio.len();
        self.fresh -= usize::from(first);
        self.sent += 1;
        self.under_way += pcm.samples.len();
        self.kept += pcm.samples.len();
        while Pcm::duration_of(self.kept) > Self::KEPT && self.taken > 0 {
            self.forget_first();
        }
        Some((pcm, first))
    }

    /// The engine owes an answer.
    pub fn is_waiting(&self) -> bool {
        self.under_way > 0
    }

    /// Everything pushed has been sent.
    pub fn is_sent(&self) -> bool {
        self.sent == self.audio.len()
    }

    /// How much audio the engine has not taken in yet.
    pub fn behind(&self) -> Duration {
        Pcm::duration_of(self.audio.iter().skip(self.taken).map(|pcm| pcm.samples.len()).sum())
    }

    /// The engine has given words, and they are final: now it is replaced at the least cost. One
    /// that was started lately and has not given any is not, so that every engine brings the live forward.
    pub fn is_pausing(&self) -> bool {
        self.pausing
    }

    /// The engine has taken in the audio before `until` and needs none before `settled` again.
    /// Returns how much is taken in by that.
    pub fn progress(&mut self, until: MediaTime, settled: MediaTime) -> Duration {
        let slack = Duration::from_millis(1);
        let before = self.under_way;
        while let Some(pcm) =
            self.audio.get(self.taken).filter(|pcm| self.taken < self.sent && pcm.end() <= until + slack)
        {
            self.under_way -= pcm.samples.len();
            self.taken += 1;
        }
        while self.taken > 0 && self.audio.front().is_some_and(|pcm| pcm.end() <= settled) {
            self.forget_first();
        }
        if self.danger.is_some_and(|danger| until >= danger) {
            self.danger = None;
        }
        Pcm::duration_of(before - self.under_way)
    }

    /// What the engine says, as the outside may hear it: after a restart nothing is said twice
    /// and no stable word changes.
    pub fn heard(&mut self, heard: Hypothesis) -> Option<Hypothesis> {
        let said = if self.recovering { self.reconcile(heard)? } else { heard };
        if let Some(word) = said.words[..said.stable.min(said.words.len())].last() {
            self.floor = Some(word.end);
        }
        self.pausing = said.last;
        if said.last {
            self.stable.clear();
            self.recovering = false;
        } else {
            self.stable = said.words.iter().take(said.stable).cloned().collect();
        }
        Some(said)
    }

    /// The process is gone; the next one gets everything unsettled again. `blame`: the audio
    /// under way may be the cause; the second time it is skipped and returned.
    pub fn crashed(&mut self, blame: bool) -> Option<Lost> {
        let mut lost = None;
        if blame && self.taken < self.sent {
            let (start, end) = (self.audio[self.taken].start, self.audio[self.sent - 1].end());
            if self.danger.is_some_and(|danger| start < danger) {
                self.audio.drain(self.taken..self.sent);
                self.danger = None;
                lost = Some(Lost { start, end });
            } else {
                self.danger = Some(end);
            }
        }
        (self.taken, self.sent, self.under_way, self.kept) = (0, 0, 0, 0);
        self.recovering = self.floor.is_some();
        self.pausing = false;
        lost
    }

    fn reconcile(&mut self, heard: Hypothesis) -> Option<Hypothesis> {
        let floor = self.floor?;
        let new = |word: &Word| word.start + word.end.since(word.start) / 2 > floor;
        let known = heard.words.iter().take_while(|word| !new(word)).count();
        let ended = heard.words.last().map_or(floor, |word| word.end);
        let tail = heard.words.into_iter().skip(known).map(|word| Word { start: word.start.max(floor), ..word });
        let mut words = self.stable.clone();
        words.extend(tail);
        if words.len() == self.stable.len()
            && (!heard.last || words.is_empty() || ended + Duration::from_millis(500) < floor)
        {
            return None;
        }
        let stable = if heard.last { words.len() } else { self.stable.len() + heard.stable.saturating_sub(known) };
        Some(Hypothesis { stable: stable.min(words.len()), last: heard.last, words })
    }

    fn forget_first(&mut self) {
        if let Some(pcm) = self.audio.pop_front() {
            self.kept = self.kept.saturating_sub(pcm.samples.len());
            self.taken -= 1;
            self.sent -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn second(start: i64) -> Pcm {
        Pcm { start: at(start * 1_000), samples: vec![0; 16_000].into() }
    }

    /// One word a second from `from`, half a second long.
    fn said(text: &str, from: i64, stable: usize, last: bool) -> Hypothesis {
        let word = |(n, text): (usize, &str)| {
            let start = at((from + n as i64) * 1_000);
            Word { text: text.into(), start, end: start + Duration::from_millis(500), confidence: 1.0 }
        };
        Hypothesis { words: text.split(' ').enumerate().map(word).collect(), stable, last }
    }

    fn texts(heard: Option<Hypothesis>) -> String {
        heard.map_or("-".into(), |heard| {
            let words: Vec<_> = heard.words.iter().map(|word| word.text.as_str()).collect();
            format!("{} {}{}", words.join(" "), heard.stable, if heard.last { " last" } else { "" })
        })
    }

    fn starts(ledger: &mut Ledger) -> Vec<i64> {
        std::iter::from_fn(|| ledger.next()).map(|(pcm, _)| pcm.start.as_nanos() / 1_000_000_000).collect()
    }

    #[test]
    fn no_more_is_sent_than_the_engine_keeps_up_with() {
        let mut ledger = Ledger::default();
        (0..15).for_each(|n| ledger.push(second(n)));
        assert_eq!(starts(&mut ledger), (0..10).collect::<Vec<_>>());
        ledger.progress(at(2_000), at(0));
        assert_eq!(starts(&mut ledger), [10, 11]);
        assert!(!ledger.is_sent() && ledger.is_waiting());
    }

    #[test]
    fn what_is_not_taken_in_is_behind_whether_it_was_sent_or_not() {
        let mut ledger = Ledger::default();
        (0..15).for_each(|n| ledger.push(second(n)));
        starts(&mut ledger);
        assert_eq!(ledger.behind(), Duration::from_secs(15));
        assert_eq!(ledger.progress(at(3_000), at(1_000)), Duration::from_secs(3));
        assert_eq!(ledger.behind(), Duration::from_secs(12));
        ledger.crashed(false);
        assert_eq!(ledger.behind(), Duration::from_secs(14), "what is replayed has to be heard again");
    }

    #[test]
    fn a_pause_is_where_every_word_is_final() {
        let mut ledger = Ledger::default();
        assert!(!ledger.is_pausing());
        ledger.heard(said("a b", 0, 2, false));
        assert!(!ledger.is_pausing());
        ledger.heard(said("a b", 0, 2, true));
        assert!(ledger.is_pausing());
        ledger.crashed(false);
        assert!(!ledger.is_pausing(), "a new engine has not said anything");
    }

    #[test]
    fn a_crash_replays_what_is_not_settled() {
        let mut ledger = Ledger::default();
        (0..5).for_each(|n| ledger.push(second(n)));
        starts(&mut ledger);
        ledger.progress(at(4_000), at(2_500));
        assert_eq!(ledger.crashed(false), None);
        assert_eq!(starts(&mut ledger), [2, 3, 4]);
    }

    #[test]
    fn the_replay_is_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..100 {
            ledger.push(second(n));
            starts(&mut ledger);
            ledger.progress(at((n + 1) * 1_000), at(0));
        }
        ledger.crashed(false);
        for _ in 0..40 {
            ledger.progress(at(0), at(0));
        }
        assert!(ledger.audio.len() <= 30, "{}", ledger.audio.len());
    }

    #[test]
    fn audio_that_crashes_the_engine_twice_is_skipped() {
        let mut ledger = Ledger::default();
        (0..4).for_each(|n| ledger.push(second(n)));
        starts(&mut ledger);
        assert_eq!(ledger.crashed(true), None);
        assert_eq!(starts(&mut ledger), [0], "little at a time now");
        ledger.progress(at(1_000), at(0));
        assert_eq!(starts(&mut ledger), [1]);
        assert_eq!(ledger.crashed(true), Some(Lost { start: at(1_000), end: at(2_000) }));
        assert_eq!(starts(&mut ledger), [0, 2, 3]);
        assert_eq!(ledger.crashed(true), None, "a new suspicion");
    }

    #[test]
    fn a_killed_engine_blames_no_audio() {
        let mut ledger = Ledger::default();
        ledger.push(second(0));
        for _ in 0..5 {
            assert_eq!(starts(&mut ledger), [0]);
            assert_eq!(ledger.crashed(false), None);
        }
    }

    #[test]
    fn after_a_restart_stable_words_stand_and_nothing_is_said_twice() {
        let mut ledger = Ledger::default();
        assert_eq!(texts(ledger.heard(said("zero one", 0, 2, true))), "zero one 2 last");
        assert_eq!(texts(ledger.heard(said("two three for", 2, 2, false))), "two three for 2");
        ledger.crashed(false);
        assert_eq!(texts(ledger.heard(said("one", 1, 0, false))), "-", "final long ago");
        assert_eq!(texts(ledger.heard(said("one too", 1, 1, false))), "-");
        assert_eq!(texts(ledger.heard(said("too tree four", 2, 1, false))), "two three four 2");
        assert_eq!(texts(ledger.heard(said("too tree four five", 2, 3, false))), "two three four five 3");
        assert_eq!(texts(ledger.heard(said("too tree four five", 2, 4, true))), "two three four five 4 last");
        assert_eq!(texts(ledger.heard(said("six", 6, 1, false))), "six 1");
    }

    #[test]
    fn an_utterance_the_restarted_engine_cuts_earlier_goes_on() {
        let mut ledger = Ledger::default();
        ledger.heard(said("a b c d", 0, 4, false));
        ledger.crashed(false);
        assert_eq!(texts(ledger.heard(said("a b", 0, 2, true))), "-");
        assert_eq!(texts(ledger.heard(said("c d e", 2, 1, false))), "a b c d e 4");
        assert_eq!(texts(ledger.heard(said("c d e", 2, 3, true))), "a b c d e 5 last");
    }

    #[test]
    fn an_utterance_that_was_complete_is_closed() {
        let mut ledger = Ledger::default();
        ledger.heard(said("a b", 0, 2, false));
        ledger.crashed(false);
        assert_eq!(texts(ledger.heard(said("a b", 0, 2, true))), "a b 2 last");
    }
}
