//! The regular times of audio. Pure.

use crate::model::{AudioFormat, MediaTime};

const MILLI: i64 = 1_000_000;

/// Gives audio back the regular times that milliseconds and jittering encoders took from it:
/// access units of 1024 samples follow each other without gaps while their stamps agree.
#[derive(Debug)]
pub struct Grid {
    rate: u32,
    /// Where unit 0 lies, and how many have followed.
    anchor: Option<i64>,
    count: i64,
    /// Stamps in a row that disagreed, all on the same side if positive or negative.
    astray: i32,
}

impl Grid {
    /// Rounding to milliseconds, both ways; nothing moves.
    const ROUNDING: i64 = 2 * MILLI;
    /// The clocks of samples and stamps drift apart; the grid follows slowly.
    const DRIFT: i64 = 5 * MILLI;
    /// Jitter, unless it lasts.
    const JITTER: i64 = 60 * MILLI;
    /// This many stamps on one side are a gap of lost units, no jitter.
    const LASTING: i32 = 16;

    /// A grid of `rate` samples a second.
    pub fn new(rate: u32) -> Self {
        Self { rate, anchor: None, count: 0, astray: 0 }
    }

    /// The grid time of the next access unit, which the publisher stamped `time` (nanoseconds).
    pub fn snapped(&mut self, time: i64) -> i64 {
        let Some(anchor) = self.anchor else { return self.start(time) };
        self.count += 1;
        let samples = self.count * i64::from(AudioFormat::FRAME);
        let expected = anchor.saturating_add(MediaTime::from_ticks(samples, self.rate).as_nanos());
        let error = time.saturating_sub(expected);
        let distance = error.saturating_abs();
        if distance > Self::JITTER {
            return self.start(time);
        }
        if distance > Self::DRIFT {
            let side = if error > 0 { 1 } else { -1 };
            self.astray = if self.astray.signum() == side { self.astray + side } else { side };
            if self.astray.abs() >= Self::LASTING {
                return self.start(time);
            }
        } else {
            self.astray = 0;
            if distance > Self::ROUNDING {
                self.anchor = Some(anchor.saturating_add(error / 64));
            }
        }
        expected
    }

    fn start(&mut self, time: i64) -> i64 {
        *self = Self { anchor: Some(time), ..Self::new(self.rate) };
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snaps stamps made by `stamp` from (index, exact time in ms) and returns grid times in ms.
    fn snapped(rate: u32, count: i64, stamp: impl Fn(i64, f64) -> f64) -> Vec<f64> {
        let mut grid = Grid::new(rate);
        let unit = 1_024_000.0 / f64::from(rate);
        (0..count).map(|n| grid.snapped((stamp(n, n as f64 * unit).floor() * 1e6) as i64) as f64 / 1e6).collect()
    }

    #[test]
    fn whole_milliseconds_become_exact_again() {
        for rate in [44_100, 48_000, 22_050, 16_000] {
            let times = snapped(rate, 100_000, |_, exact| exact + 5_000.0);
            let unit = 1_024_000.0 / f64::from(rate);
            for (n, time) in times.iter().enumerate() {
                assert!((time - 5_000.0 - n as f64 * unit).abs() < 0.001, "{rate}: {n} at {time}");
            }
        }
    }

    #[test]
    fn jitter_is_smoothed_away() {
        let times = snapped(48_000, 5_000, |n, exact| exact + 1_000.0 + [0.0, 18.0, -17.0, 9.0, -6.0][n as usize % 5]);
        for pair in times.windows(2) {
            assert!((20.0..22.7).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
    }

    #[test]
    fn a_drifting_clock_is_followed_without_steps() {
        // A sound card 200 ppm slow: over an hour its stamps run 720 ms away from its samples.
        let times = snapped(48_000, 168_750, |_, exact| exact * 1.0002);
        for pair in times.windows(2) {
            assert!((21.2..21.5).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
        assert!((times[168_749] - 168_749.0 * 64.0 / 3.0 * 1.0002).abs() < 5.0);
    }

    #[test]
    fn lost_units_leave_a_gap() {
        let large = snapped(48_000, 100, |n, exact| if n >= 50 { exact + 500.0 } else { exact });
        assert!((large[50] - large[49] - 521.3).abs() < 1.0, "at once if it is large");
        let small = snapped(48_000, 100, |n, exact| if n >= 50 { exact + 21.4 } else { exact });
        assert!((small[99] - 99.0 * 64.0 / 3.0 - 21.0).abs() < 1.5, "soon if it is one unit");
    }
}
