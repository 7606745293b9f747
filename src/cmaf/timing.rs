use std::time::Duration;

/// How long frames and parts of a live last. Decided once, from its first frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// One frame of the reference track; 1/240 s to 1 s.
    pub frame: Duration,
    /// A full part of the reference track: a whole number of frames.
    pub part: Duration,
    /// PART-TARGET (rfc8216bis §4.4.3.7), a multiple of 1/64 s; no part of any rendition is longer.
    pub part_target: Duration,
}

/// What a frame lasts when nothing tells.
const DEFAULT: Duration = Duration::from_nanos(33_333_333);
const SHORTEST: Duration = Duration::from_nanos(4_166_667);
const LONGEST: Duration = Duration::from_secs(1);
/// Room for stamps rounded to milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);
/// 1/64 s is a whole number of nanoseconds and a short decimal number of seconds.
const STEP: u128 = 1_000_000_000 / 64;

impl Timing {
    /// Parts of at most `part` made of frames of `frame`; a longer frame is a part by itself.
    pub fn new(frame: Duration, part: Duration) -> Self {
        let frame = frame.clamp(SHORTEST, LONGEST);
        // A nanosecond a frame of leeway: 1/24 s is not a whole number of nanoseconds.
        let frames = (part.as_nanos() / frame.as_nanos().saturating_sub(1)).max(1) as u32;
        let part = frame * frames;
        let steps = (part + ROUNDING).as_nanos().div_ceil(STEP);
        Self { frame, part, part_target: Duration::from_nanos((steps * STEP) as u64) }
    }
}

/// The frame duration behind jittering, rounded or holey decoding times: what the stream states if
/// the stamps agree with it, else the mean of the deltas near their median. It sorts `deltas`.
pub(super) fn estimate(deltas: &mut [Duration], stated: Option<f64>) -> Duration {
    let stated = stated.filter(|rate| *rate > 0.0 && *rate <= 240.0).map(|rate| LONGEST.div_f64(rate.max(0.01)));
    deltas.sort_unstable();
    let Some(&median) = deltas.get(deltas.len() / 2) else { return stated.unwrap_or(DEFAULT) };
    let band = (median / 4).max(ROUNDING);
    let near = deltas.iter().filter(|delta| delta.abs_diff(median) <= band);
    let (sum, count) = near.fold((Duration::ZERO, 0), |(sum, count), delta| (sum.saturating_add(*delta), count + 1));
    // The median is near itself, so `count` is not zero.
    let mean = sum / count;
    stated.filter(|stated| stated.abs_diff(mean) <= mean / 10).unwrap_or(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn parts_fill_at_least_85_percent_of_their_target_at_every_rate() {
        for rate in [1.0, 5.0, 10.0, 12.5, 15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0] {
            let timing = Timing::new(LONGEST.div_f64(rate), Duration::from_millis(250));
            let share = timing.part.as_secs_f64() / timing.part_target.as_secs_f64();
            assert!((0.85..1.0).contains(&share), "{rate} fps: {timing:?} fills {share}");
        }
    }

    #[test]
    fn thirty_frames_a_second() {
        let timing = Timing::new(LONGEST / 30, Duration::from_millis(250));
        assert_eq!(timing.part, LONGEST / 30 * 7);
        assert_eq!(timing.part_target, Duration::from_millis(250));
        assert_eq!(Timing::new(LONGEST, Duration::from_millis(250)).part_target, Duration::from_nanos(1_015_625_000));
        assert_eq!(Timing::new(LONGEST / 24, Duration::from_millis(250)).part, LONGEST / 24 * 6);
    }

    #[test]
    fn the_stated_rate_counts_only_if_the_stamps_agree() {
        let ntsc = [33, 33, 34, 33, 34, 33, 33, 34, 33, 33, 34, 33, 34, 33];
        assert_eq!(estimate(&mut millis(&ntsc), Some(29.97)), LONGEST.div_f64(29.97));
        let alone = estimate(&mut millis(&ntsc), None).as_secs_f64();
        assert!((alone - 1.0 / 29.97).abs() < 0.0002, "{alone}");
        assert_eq!(estimate(&mut millis(&[40; 12]), Some(60.0)), Duration::from_millis(40));
    }

    #[test]
    fn lost_and_doubled_frames_do_not_move_the_estimate() {
        let holey = [33, 34, 33, 900, 33, 1, 34, 33, 67, 33];
        let frame = estimate(&mut millis(&holey), None).as_secs_f64();
        assert!((frame - 0.0333).abs() < 0.001, "{frame}");
    }

    #[test]
    fn nonsense_still_gives_a_frame() {
        for stated in [None, Some(f64::NAN), Some(-1.0), Some(0.0), Some(1e300), Some(f64::INFINITY)] {
            assert_eq!(estimate(&mut [], stated), DEFAULT, "{stated:?}");
        }
        assert_eq!(Timing::new(Duration::ZERO, Duration::ZERO).frame, SHORTEST);
        assert_eq!(Timing::new(Duration::MAX, Duration::MAX).frame, LONGEST);
    }
}
