//! Times as encoders meant them. Pure.

use crate::model::{AudioFormat, MediaTime};

const MILLI: i64 = 1_000_000;

/// Undoes the wrap of 32-bit milliseconds after 49.7 days. All tracks share it, so that one that
/// begins late begins in the same turn.
#[derive(Debug, Default)]
pub struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// Nanoseconds of the publisher's clock, its wraps undone.
    pub fn unwrapped(&mut self, timestamp: u32) -> i64 {
        let millis = match self.last {
            None => i64::from(timestamp),
            // The nearer way round: a step back of seconds is jitter between tracks, not a wrap.
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(millis);
        millis.saturating_mul(MILLI)
    }
}

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

    /// A grid for access units of so many samples a second.
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
