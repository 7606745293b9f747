use std::time::Duration;

use crate::model::{MediaTime, Pcm};

/// Cuts decoded sound into blocks of 100 ms on one sample-exact timeline. Pure.
///
/// Time is counted in samples from the first stamp. A stamp that strays by more than [`Blocks::TOLERANCE`]
/// moves the timeline: a gap up to [`Blocks::SILENCE`] becomes silence, a longer one a jump of
/// [`Pcm::start`], and sound that was already given out is dropped.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    base: Option<MediaTime>,
    /// Samples since `base`, those in `pending` included.
    counted: usize,
    pending: Vec<i16>,
}

impl Blocks {
    /// Samples in a block.
    pub const LENGTH: usize = Pcm::RATE as usize / 10;
    /// Half of what the decoder tolerates before it follows the stamps, so that whatever it lets through is seen.
    const TOLERANCE: Duration = Duration::from_millis(25);
    /// Short gaps are filled: a recogniser takes a jump for the end of an utterance.
    const SILENCE: Duration = Duration::from_secs(1);

    /// Takes samples of which the first sounds `at`, and gives out the blocks they complete.
    pub fn push(&mut self, at: MediaTime, mut samples: &[i16], mut out: impl FnMut(Pcm)) {
        let expected = self.position().unwrap_or(at);
        let gap = at.since(expected);
        let overlap = expected.since(at);
        if self.base.is_none() {
            self.base = Some(at);
        } else if gap > Self::SILENCE {
            self.finish_padded(&mut out);
            *self = Self { base: Some(at), ..Self::default() };
        } else if gap > Self::TOLERANCE {
            self.append(&vec![0; samples_in(gap)], &mut out);
        } else if overlap > Self::TOLERANCE {
            samples = samples.get(samples_in(overlap)..).unwrap_or_default();
        }
        self.append(samples, &mut out);
    }

    /// The sound is over: the rest, filled up with silence to a whole block.
    pub fn finish_padded(&mut self, mut out: impl FnMut(Pcm)) {
        if !self.pending.is_empty() {
            let lacking = Self::LENGTH - self.pending.len();
            self.append(&vec![0; lacking], &mut out);
        }
    }

    /// The sound is over: the rest as it is, shorter than a block.
    pub fn finish(&mut self) -> Option<Pcm> {
        (!self.pending.is_empty()).then(|| self.cut(self.pending.len()))
    }

    fn position(&self) -> Option<MediaTime> {
        Some(self.base? + Pcm::duration_of(self.counted))
    }

    fn append(&mut self, samples: &[i16], out: &mut impl FnMut(Pcm)) {
        self.pending.extend_from_slice(samples);
        self.counted += samples.len();
        while self.pending.len() >= Self::LENGTH {
            out(self.cut(Self::LENGTH));
        }
    }

    fn cut(&mut self, length: usize) -> Pcm {
        let first = self.counted - self.pending.len();
        let start = self.base.unwrap_or_default() + Pcm::duration_of(first);
        Pcm { start, samples: self.pending.drain(..length).collect() }
    }
}

fn samples_in(time: Duration) -> usize {
    // At most a day or so of samples; what calls this has compared `time` with a bound or only skips.
    usize::try_from((time.as_nanos() * u128::from(Pcm::RATE) + 500_000_000) / 1_000_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes runs of `(millisecond, samples, value)` and shows blocks as `(start in µs, samples, leading value, trailing value)`.
    fn blocks(runs: &[(i64, usize, i16)]) -> Vec<(i64, usize, i16, i16)> {
        let mut blocks = Blocks::default();
        let mut seen = Vec::new();
        let mut out = |pcm: Pcm| {
            let (first, last) = (pcm.samples[0], pcm.samples[pcm.samples.len() - 1]);
            seen.push((pcm.start.as_nanos() / 1_000, pcm.samples.len(), first, last));
        };
        for (at, length, value) in runs {
            blocks.push(MediaTime::from_millis(*at), &vec![*value; *length], &mut out);
        }
        blocks.finish_padded(&mut out);
        seen
    }

    #[test]
    fn jittering_stamps_do_not_move_the_sound() {
        let runs: Vec<_> = [0, 25, 49, 88, 98].map(|at| (at, 400, 1)).into();
        assert_eq!(blocks(&runs), [(0, 1_600, 1, 1), (100_000, 1_600, 1, 0)]);
    }

    #[test]
    fn a_short_gap_is_silence_and_what_follows_is_in_time() {
        assert_eq!(
            blocks(&[(0, 800, 1), (150, 2_400, 2)]),
            [(0, 1_600, 1, 0), (100_000, 1_600, 0, 2), (200_000, 1_600, 2, 2)]
        );
    }

    #[test]
    fn a_long_gap_is_a_jump() {
        assert_eq!(blocks(&[(0, 800, 1), (90_007, 1_600, 2)]), [(0, 1_600, 1, 0), (90_007_000, 1_600, 2, 2)]);
    }

    #[test]
    fn sound_that_comes_twice_is_heard_once() {
        assert_eq!(blocks(&[(0, 1_600, 1), (50, 1_600, 2)]), [(0, 1_600, 1, 1), (100_000, 1_600, 2, 0)]);
        assert_eq!(blocks(&[(0, 1_600, 1), (-9_000, 1_600, 2)]), [(0, 1_600, 1, 1)]);
    }

    #[test]
    fn a_day_of_blocks_stays_exact() {
        let mut blocks = Blocks { base: Some(MediaTime::ZERO), counted: 86_400 * 16_000, pending: Vec::new() };
        let mut starts = Vec::new();
        blocks.push(MediaTime::from_millis(86_400_003), &[1; 1_600], |pcm| starts.push(pcm.start));
        assert_eq!(starts, [MediaTime::from_millis(86_400_000)]);
    }

    #[test]
    fn the_end_of_a_file_is_not_padded() {
        let mut blocks = Blocks::default();
        blocks.push(MediaTime::ZERO, &[1; 1_000], |_| panic!("no whole block"));
        assert_eq!(blocks.finish().unwrap().samples.len(), 1_000);
        assert!(blocks.finish().is_none());
    }
}
