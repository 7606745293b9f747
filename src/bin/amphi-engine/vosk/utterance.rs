//! Which words of an utterance in progress are stable, and where it may be cut. Pure.

use std::time::Duration;

use amphi::{
    model::{Hypothesis, MediaTime, Word},
    speech::Tally,
};

/// What is known of one utterance while the decoder is at it.
///
/// The decoder tells two things: its best path, which has a word half a second after it was said
/// and often changes its mind; and the words of the lattice, which come later, with times and with
/// the probability that they are right. A word is stable once both have it and the lattice is sure.
/// Measured by `scripts/bench words` and `vosk_delay`: with less certainty the final result, a consensus over the
/// whole lattice (Mangu, Brill, Stolcke, 2000), takes back one stable word in twelve of unclear speech.
#[derive(Debug, Default)]
pub struct Utterance {
    /// Cannot change any more.
    stable: Vec<Word>,
    /// Everything shown last, the stable words first.
    shown: Vec<Word>,
    tally: Tally,
}

/// A word of the lattice is stable if it is as probable as this.
const SURE: f32 = 0.95;
/// How far behind the audio the best path has a word.
const DELAY: Duration = Duration::from_millis(500);
/// An utterance longer than this ends at the next pause …
const LONG: Duration = Duration::from_secs(10);
/// … of this length …
const PAUSE: Duration = Duration::from_millis(200);
/// … and when it is longer than this, between the two words that are furthest apart.
const TOO_LONG: Duration = Duration::from_secs(14);
/// A speaker who has said nothing for so long is about to end it, which costs nothing.
const QUIET: Duration = Duration::from_secs(1);
/// A cut lies at most so far behind the audio, since what is behind it is decoded again.
const REACH: Duration = Duration::from_secs(4);

impl Utterance {
    /// Takes what the decoder believes with the audio before `now`; what that changes.
    pub fn partial(&mut self, path: &[&str], lattice: &[Word], now: MediaTime) -> Option<Hypothesis> {
        let mut words = self.timed(path, lattice, now);
        self.keep_stable(&mut words);
        let known = self.stable.len();
        let agree = words.iter().zip(lattice).take_while(|(word, heard)| word.text == heard.text);
        let sure = agree.skip(known).take_while(|(_, heard)| heard.confidence >= SURE);
        self.stable.extend(sure.map(|(word, _)| word.clone()));
        let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        let changed = self.stable.len() > known || texts(&words) != texts(&self.shown);
        self.shown = words;
        changed.then(|| self.hypothesis(false))
    }

    /// The utterance is over and these are its words; nothing if it never had any. Stable words stand.
    pub fn last(&mut self, mut words: Vec<Word>) -> Option<Hypothesis> {
        let confirmed = |stable: &&Word| {
            words.iter().any(|word| word.text == stable.text && word.start < stable.end && stable.start < word.end)
        };
        let overruled = self.stable.len() - self.stable.iter().filter(confirmed).count();
        self.tally.stable += self.stable.len() as u64;
        self.tally.overruled += overruled as u64;
        self.keep_stable(&mut words);
        self.stable.clear();
        let anything = !words.is_empty() || !self.shown.is_empty();
        self.shown = words;
        let said = anything.then(|| self.hypothesis(true));
        self.shown.clear();
        said
    }

    /// Whether every word shown is stable.
    pub fn is_settled(&self) -> bool {
        self.stable.len() == self.shown.len()
    }

    /// Whether the utterance, which has `lattice` in it, should end by now.
    pub fn is_long(&self, lattice: &[Word], now: MediaTime) -> bool {
        let Some(first) = lattice.first() else { return false };
        let length = now.since(first.start);
        let at_once = length >= TOO_LONG;
        let pauses = self.shown.last().is_some_and(|word| now.since(word.end) >= QUIET);
        let least = if at_once { Duration::ZERO } else { PAUSE };
        length >= LONG && (at_once || !pauses) && self.cut(lattice, now).is_some_and(|at| gap(lattice, at) >= least)
    }

    /// Behind how many of `words` the utterance is best cut: where two are furthest apart, neither
    /// within the stable ones nor far behind the audio. The last word may not be complete.
    pub fn cut(&self, words: &[Word], now: MediaTime) -> Option<usize> {
        let floor = self.stable.last().map_or(MediaTime::from_nanos(i64::MIN), |word| word.end);
        let may = |at: &usize| words[at - 1].end >= floor && now.since(words[at - 1].end) <= REACH;
        (1..words.len()).filter(may).max_by_key(|at| gap(words, *at))
    }

    /// What became of stable words since this was last asked.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The best path with times: the lattice's where it has the word, later the time it was first
    /// in its place, as far as the decoder lies behind the audio.
    fn timed(&self, path: &[&str], lattice: &[Word], now: MediaTime) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::with_capacity(path.len());
        let mut fresh = 0;
        for (nth, text) in path.iter().enumerate() {
            let before = self.shown.get(nth).filter(|word| word.text == **text);
            let heard = lattice.get(nth).filter(|word| word.text == **text);
            match heard.or(before) {
                Some(word) if fresh == 0 => words.push(word.clone()),
                _ => {
                    fresh += 1;
                    words.push(Word {
                        text: (*text).to_owned(),
                        start: MediaTime::ZERO,
                        end: MediaTime::ZERO,
                        confidence: 0.0,
                    });
                }
            }
        }
        // New words share the time since the last one that has its own.
        let known = words.len() - fresh;
        let from = words[..known].last().map_or(now - Duration::from_secs(1), |word| word.end);
        let span = (now - DELAY).since(from).max(Duration::from_millis(50) * fresh as u32);
        for (nth, word) in words[known..].iter_mut().enumerate() {
            word.start = from + span * nth as u32 / fresh as u32;
            word.end = from + span * (nth as u32 + 1) / fresh as u32;
        }
        words
    }

    /// Puts the stable words in front of what the decoder has behind them, in order of time.
    fn keep_stable(&self, words: &mut Vec<Word>) {
        let known = self.stable.len();
        let begins = words.len() >= known && words.iter().zip(&self.stable).all(|(word, kept)| word.text == kept.text);
        if let Some(floor) = self.stable.last().map(|word| word.end) {
            let passed = |word: &Word| word.start + word.end.since(word.start) / 2 <= floor;
            let behind = if begins { known } else { words.iter().take_while(|word| passed(word)).count() };
            words.splice(..behind, self.stable.iter().cloned());
        }
        let mut after = MediaTime::from_nanos(i64::MIN);
        for word in words {
            word.start = word.start.max(after);
            word.end = word.end.max(word.start + Duration::from_millis(10));
            after = word.end;
        }
    }

    fn hypothesis(&self, last: bool) -> Hypothesis {
        let stable = if last { self.shown.len() } else { self.stable.len() };
        Hypothesis { words: self.shown.clone(), stable, last }
    }
}

/// The silence before the word at `at`.
fn gap(words: &[Word], at: usize) -> Duration {
    words[at].start.since(words[at - 1].end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// Words of 400 ms, as `text/start in ms/percent`.
    fn lattice(words: &str) -> Vec<Word> {
        let word = |word: &str| {
            let mut parts = word.split('/');
            let text = parts.next().unwrap_or_default().into();
            let mut number = |or: i64| parts.next().and_then(|part| part.parse().ok()).unwrap_or(or);
            let (start, percent) = (number(0), number(100));
            Word { text, start: at(start), end: at(start + 400), confidence: percent as f32 / 100.0 }
        };
        words.split_whitespace().map(word).collect()
    }

    fn partial(utterance: &mut Utterance, path: &str, words: &str, now: i64) -> String {
        let path: Vec<&str> = path.split_whitespace().collect();
        told(utterance.partial(&path, &lattice(words), at(now)))
    }

    fn told(said: Option<Hypothesis>) -> String {
        said.map_or("-".into(), |said| {
            assert!(said.words.iter().all(|word| word.start < word.end), "{said:?}");
            assert!(said.words.windows(2).all(|pair| pair[0].end <= pair[1].start), "{said:?}");
            let texts: Vec<_> = said.words.iter().map(|word| word.text.as_str()).collect();
            format!("{} {}{}", texts.join(" "), said.stable, if said.last { " last" } else { "" })
        })
    }

    #[test]
    fn words_are_shown_at_once_and_stable_when_the_lattice_is_sure() {
        let mut utterance = Utterance::default();
        assert_eq!(partial(&mut utterance, "a bee", "", 1_000), "a bee 0");
        assert_eq!(partial(&mut utterance, "a bee", "", 1_100), "-", "nothing new");
        assert!(!utterance.is_settled());
        assert_eq!(
            partial(&mut utterance, "a be sea", "a/0 bee/500", 2_000),
            "a be sea 1",
            "they disagree about the second"
        );
        assert_eq!(
            partial(&mut utterance, "a be sea", "a/0 be/500/60 sea/1000", 2_500),
            "-",
            "the lattice is not sure"
        );
        assert_eq!(partial(&mut utterance, "a be sea", "a/0 be/500/96 sea/1000/99", 2_600), "a be sea 3");
        assert!(utterance.is_settled());
        assert_eq!(told(utterance.last(lattice("a/0 be/500 sea/1000 dee/1500"))), "a be sea dee 4 last");
        assert_eq!(utterance.tally(), Tally { stable: 3, overruled: 0 });
        assert_eq!(utterance.tally(), Tally::default());
    }

    #[test]
    fn stable_words_stand_and_what_the_end_says_of_them_is_counted() {
        let mut utterance = Utterance::default();
        assert_eq!(partial(&mut utterance, "a b", "a/0 b/500", 1_500), "a b 2");
        assert_eq!(
            partial(&mut utterance, "x b c", "x/0 b/500 c/1000", 2_000),
            "a b c 2",
            "the path has changed its mind"
        );
        assert_eq!(told(utterance.last(lattice("x/0 why/450 c/1000"))), "a b c 3 last");
        assert_eq!(utterance.tally(), Tally { stable: 2, overruled: 2 });
    }

    #[test]
    fn what_was_shown_and_is_nothing_in_the_end_is_taken_back() {
        let mut utterance = Utterance::default();
        assert_eq!(told(utterance.last(Vec::new())), "-");
        assert_eq!(partial(&mut utterance, "um", "", 1_000), "um 0");
        assert_eq!(told(utterance.last(Vec::new())), " 0 last");
        assert_eq!(told(utterance.last(Vec::new())), "-");
    }

    #[test]
    fn a_long_utterance_is_cut_at_a_pause_and_a_very_long_one_where_it_can_be() {
        let utterance = Utterance::default();
        let steady: String = (0..25).map(|n| format!("w/{} ", n * 450)).collect();
        let words = lattice(&steady);
        assert!(!utterance.is_long(&words, at(11_600)), "no pause within reach");
        assert!(utterance.is_long(&words, at(14_000)));
        let words = lattice(&format!("{steady} w/11750 w/12200"));
        assert!(utterance.is_long(&words, at(12_900)));
        assert_eq!(utterance.cut(&words, at(12_900)), Some(25), "at the pause");
        assert!(!utterance.is_long(&lattice("w/6000 w/7000"), at(8_500)), "silence before it does not count");
        assert_eq!(utterance.cut(&lattice("w/0"), at(20_000)), None, "a word is never cut");
    }

    #[test]
    fn a_speaker_who_pauses_ends_a_long_utterance_without_a_cut() {
        let mut utterance = Utterance::default();
        let words = "a/0 b/8600 c/9500";
        partial(&mut utterance, "a b c", &words.replace("b/8600", "b/8600/10"), 10_000);
        assert!(utterance.is_long(&lattice(words), at(10_800)), "there may be more");
        assert!(!utterance.is_long(&lattice(words), at(10_900)));
        assert!(
            utterance.is_long(&lattice(&format!("{words} d/10500 e/11000")), at(14_000)),
            "the decoder does not notice"
        );
    }

    #[test]
    fn a_cut_keeps_stable_words_together() {
        let mut utterance = Utterance::default();
        let words = "a/0 b/1000 c/1450 d/1900";
        partial(&mut utterance, "a b c d", &words.replace("d/1900", "d/1900/10"), 2_500);
        assert_eq!(utterance.cut(&lattice(words), at(2_500)), Some(3), "not in the wider pause before b");
    }
}
