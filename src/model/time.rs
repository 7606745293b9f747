use std::{
    ops::{Add, AddAssign, Sub},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

/// An instant on one live's timeline, in nanoseconds; zero is when its first
/// publisher was let in.
///
/// It runs on across a publisher's reconnects. Other scales appear only at the edges:
/// ticks inside CMAF boxes, 90 kHz inside WebVTT, wall clock through [`Anchor`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(i64);

impl MediaTime {
    /// When the live's first publisher was let in.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds; not-a-number is zero, what does not fit saturates.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9).round() as i64)
    }

    /// From `ticks` of a clock with `scale` ticks a second (not zero), rounded to the nearest nanosecond.
    pub fn from_ticks(ticks: i64, scale: u32) -> Self {
        let scale = i128::from(scale.max(1));
        Self(((i128::from(ticks) * 1_000_000_000 + scale / 2).div_euclid(scale)) as i64)
    }

    /// Nanoseconds since zero.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds since zero.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Ticks of a clock with `scale` ticks a second, rounded to the nearest.
    pub fn to_ticks(self, scale: u32) -> i64 {
        ((i128::from(self.0) * i128::from(scale) + 500_000_000).div_euclid(1_000_000_000)) as i64
    }

    /// Time since `earlier`, zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for MediaTime {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl AddAssign<Duration> for MediaTime {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for MediaTime {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Wall clock of a live's media time zero.
///
/// It is set once a live, so that programme date-time never steps (rfc8216bis §4.4.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anchor(SystemTime);

impl Anchor {
    /// Media time zero is `wall`.
    pub const fn new(wall: SystemTime) -> Self {
        Self(wall)
    }

    /// Wall clock of a media time.
    pub fn wall(self, time: MediaTime) -> SystemTime {
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        let wall = if time.0 >= 0 { self.0.checked_add(distance) } else { self.0.checked_sub(distance) };
        wall.unwrap_or(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_trip() {
        for scale in [1_000, 44_100, 48_000, 90_000] {
            for ticks in [0, 1, 1_024, 123_456_789, -5] {
                assert_eq!(MediaTime::from_ticks(ticks, scale).to_ticks(scale), ticks);
            }
        }
    }

    #[test]
    fn wall_clock_follows_media_time() {
        let anchor = Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_secs(10));
        assert_eq!(anchor.wall(MediaTime::from_millis(1_500)), SystemTime::UNIX_EPOCH + Duration::from_millis(11_500));
        assert_eq!(anchor.wall(MediaTime::from_millis(-500)), SystemTime::UNIX_EPOCH + Duration::from_millis(9_500));
    }
}
