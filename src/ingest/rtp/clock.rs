//! RTP time stamps of sound and picture as one clock.
//!
//! Each stream counts on a clock of its own from an arbitrary number on. Until the publisher has said how they
//! relate (sender reports, RFC 3550 §6.4.1), the first packets' arrival has to serve; then pictures are brought to
//! the sound, a little with every picture so that none jumps. The sound is never touched: a hole in it is heard.
//!
//! Some senders put the time of sending into their reports instead of that of capture. It is late by chance, never
//! early, so the earliest of the last reports counts.

use std::collections::VecDeque;

/// A clock of both streams of a publisher.
#[derive(Debug)]
pub struct Clock {
    sound: Line,
    picture: Line,
    /// What has been added to pictures' times so far, nanoseconds.
    correction: i64,
}

#[derive(Debug)]
struct Line {
    rate: i64,
    /// The last time stamp, its wraps undone.
    last: Option<i64>,
    /// A time stamp and its time.
    base: Option<(i64, i64)>,
    /// By how much the publisher's clock is ahead of this one's, as each of the last reports has it.
    reports: VecDeque<i64>,
}

impl Clock {
    /// What a picture's time moves by at most: 3 % at 30 frames a second.
    const STEP: i64 = 1_000_000;
    /// Reports that are looked back on; browsers send one a second on pictures and one in five on sound.
    const REPORTS: usize = 8;
    /// Reports that want more are wrong.
    const NONSENSE: i64 = 5_000_000_000;

    /// A clock for sound and pictures whose time stamps have so many ticks a second.
    pub fn new(sound: u32, picture: u32) -> Self {
        Self { sound: Line::new(sound), picture: Line::new(picture), correction: 0 }
    }

    /// The time of a piece of sound that arrived at `arrived`, both in nanoseconds.
    pub fn sound(&mut self, timestamp: u32, arrived: i64) -> i64 {
        let ticks = self.sound.unwrapped(timestamp);
        self.sound.time(ticks, arrived)
    }

    /// The time of a picture that arrived at `arrived`, both in nanoseconds.
    pub fn picture(&mut self, timestamp: u32, arrived: i64) -> i64 {
        let ticks = self.picture.unwrapped(timestamp);
        let time = self.picture.time(ticks, arrived);
        if let Some(error) = self.error(ticks, time).filter(|error| error.abs() < Self::NONSENSE) {
            self.correction += error.clamp(-Self::STEP, Self::STEP);
        }
        time + self.correction
    }

    /// Takes a sender report on the sound: `ntp` is seconds since 1900 in 32.32 bits.
    pub fn sound_report(&mut self, timestamp: u32, ntp: u64) {
        self.sound.reported(timestamp, ntp);
    }

    /// Takes a sender report on the pictures.
    pub fn picture_report(&mut self, timestamp: u32, ntp: u64) {
        self.picture.reported(timestamp, ntp);
    }

    /// By how much a picture is early (positive) against the sound, as far as reports tell.
    fn error(&self, ticks: i64, time: i64) -> Option<i64> {
        let (sound, picture) = (self.sound.ahead()?, self.picture.ahead()?);
        let (base_ticks, base_time) = self.sound.base?;
        let captured = self.picture.nanos(ticks).checked_add(picture)?;
        // What sounds at that moment of the publisher's clock has this time here.
        let wanted = captured.checked_sub(sound)?.checked_sub(self.sound.nanos(base_ticks))?.checked_add(base_time)?;
        wanted.checked_sub(time)?.checked_sub(self.correction)
    }
}

impl Line {
    fn new(rate: u32) -> Self {
        Self { rate: i64::from(rate.max(1)), last: None, base: None, reports: VecDeque::new() }
    }

    fn unwrapped(&mut self, timestamp: u32) -> i64 {
        let ticks = self.near(timestamp);
        self.last = Some(ticks);
        ticks
    }

    /// The nearer way round from the last one.
    fn near(&self, timestamp: u32) -> i64 {
        self.last.map_or(timestamp.into(), |last| last + i64::from(timestamp.wrapping_sub(last as u32) as i32))
    }

    fn time(&mut self, ticks: i64, arrived: i64) -> i64 {
        let (base, time) = *self.base.get_or_insert((ticks, arrived));
        time + self.nanos(ticks - base)
    }

    fn reported(&mut self, timestamp: u32, ntp: u64) {
        // One that precedes the first packet has nothing to count from.
        if self.last.is_some() {
            self.reports.truncate(Clock::REPORTS - 1);
            self.reports.push_front(nanos_of_ntp(ntp).saturating_sub(self.nanos(self.near(timestamp))));
        }
    }

    fn ahead(&self) -> Option<i64> {
        self.reports.iter().min().copied()
    }

    fn nanos(&self, ticks: i64) -> i64 {
        let (seconds, rest) = (ticks.div_euclid(self.rate), ticks.rem_euclid(self.rate));
        seconds.saturating_mul(1_000_000_000).saturating_add(rest * 1_000_000_000 / self.rate)
    }
}

fn nanos_of_ntp(ntp: u64) -> i64 {
    let (seconds, fraction) = (ntp >> 32, ntp & 0xffff_ffff);
    (seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn ntp(millis: u64) -> u64 {
        ((millis / 1000) << 32) + ((millis % 1000) << 32) / 1000
    }

    #[test]
    fn stamps_wrap_and_keep_their_distance() {
        let mut clock = Clock::new(48_000, 90_000);
        assert_eq!(clock.sound(u32::MAX - 479, 7 * MS), 7 * MS);
        assert_eq!(clock.sound(480, 999 * MS), 27 * MS);
        assert_eq!(clock.picture(1_000, 30 * MS), 30 * MS);
        assert_eq!(clock.picture(1_000 + 3_000, 500 * MS) / 1_000, 63_333);
        assert_eq!(clock.picture(1_000 + 1_500, 500 * MS) / 1_000, 46_666);
    }

    #[test]
    fn reports_bring_pictures_to_the_sound_without_a_jump() {
        let mut clock = Clock::new(48_000, 90_000);
        // Sound of 1,000 ms on the publisher's clock arrives at 0; the picture of the same moment 90 ms late.
        clock.sound(0, 0);
        let mut last = clock.picture(0, 90 * MS);
        clock.sound_report(48_000, ntp(2_000));
        clock.picture_report(90_000, ntp(2_000));
        for n in 1..=120_i64 {
            let time = clock.picture((n * 3_000) as u32, 0);
            assert!((32 * MS..36 * MS).contains(&(time - last)), "{}", time - last);
            last = time;
        }
        let moment = 120 * 3_000 * 1_000_000_000 / 90_000;
        assert!((last - moment).abs() < MS / 10, "{}", last - moment);
    }

    #[test]
    fn the_earliest_of_the_last_reports_counts() {
        let mut clock = Clock::new(48_000, 90_000);
        clock.sound(0, 0);
        clock.picture(0, 0);
        clock.sound_report(0, ntp(1_000));
        for (second, late) in [80, 30, 0, 50, 40, 70, 20].into_iter().enumerate() {
            clock.picture_report(second as u32 * 90_000, ntp(1_000 + second as u64 * 1_000 + late));
        }
        for n in 1..=100_u32 {
            let time = clock.picture(n * 3_000, 0);
            assert!((time - i64::from(n) * 100 * MS / 3).abs() < MS / 10, "{time}");
        }
    }

    #[test]
    fn reports_that_cannot_be_are_passed_over() {
        let mut clock = Clock::new(48_000, 90_000);
        clock.sound_report(0, u64::MAX);
        clock.sound(0, 0);
        clock.picture(0, 0);
        clock.sound_report(0, ntp(1_000));
        clock.picture_report(0, ntp(900_000));
        assert_eq!(clock.picture(90_000, 0), 1_000 * MS);
        clock.picture_report(0, u64::MAX);
        clock.picture(180_000, 0);
    }
}
