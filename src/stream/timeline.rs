use std::{collections::BTreeMap, time::Duration};

use crate::model::{MediaTime, TrackId};

/// Maps one publisher's clock onto the live's media time. Pure.
///
/// Encoders' clocks start anywhere, wrap, jump by days and repeat themselves; media time only
/// rises, at about the pace of the wall clock, without steps larger than [`Timeline::JUMP`].
#[derive(Debug)]
pub struct Timeline {
    /// Media time minus publisher time, newest first. The older one serves a track that has not
    /// jumped yet when another one has.
    offsets: Vec<i64>,
    /// Nothing may lie before this: where the previous publisher stopped.
    floor: MediaTime,
    last: BTreeMap<TrackId, MediaTime>,
}

/// Where a packet lies in media time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Decoding time; rises strictly within a track.
    pub dts: MediaTime,
    /// What to add to the publisher's presentation time.
    pub offset: i64,
    /// The publisher's clock broke just before this packet.
    pub jumped: bool,
}

impl Timeline {
    /// The largest step forward that still counts as one clock.
    pub const JUMP: Duration = Duration::from_secs(10);
    /// The largest step back that still counts as jitter.
    const JITTER: Duration = Duration::from_secs(1);
    /// Decoding times that repeat are set apart by this much.
    const STEP: Duration = Duration::from_millis(1);

    /// A timeline on which nothing lies before `floor`.
    pub fn new(floor: MediaTime) -> Self {
        Self { offsets: Vec::new(), floor, last: BTreeMap::new() }
    }

    /// How much older than the newest that could be there at media time `now` a packet is that the publisher stamped
    /// `dts`, by its clock as it was known last; none before anything is known of it.
    pub fn lag(&self, dts: i64, now: MediaTime) -> Option<Duration> {
        let offset = self.offsets.first()?;
        Some(now.since(MediaTime::from_nanos(dts.saturating_add(*offset))))
    }

    /// Maps a packet of `track` that the publisher stamped `dts` (nanoseconds of its own clock) and
    /// that arrived at media time `now`. `None`: it lies before the floor and must be dropped.
    pub fn map(&mut self, track: TrackId, dts: i64, now: MediaTime) -> Option<Mapped> {
        let reference = self.last.get(&track).or_else(|| self.last.values().max()).copied();
        // A track may pause while others go on.
        let newest = self.last.values().max().copied();
        let continuous = |offset: &&i64| {
            let time = MediaTime::from_nanos(dts.saturating_add(**offset));
            let rises = reference.is_none_or(|last| time >= last - Self::JITTER);
            rises && newest.is_none_or(|newest| time <= newest + Self::JUMP)
        };
        let (offset, jumped) = match self.offsets.iter().find(continuous) {
            Some(offset) => (*offset, false),
            None => {
                let first = self.offsets.is_empty();
                let at = self.last.values().max().map_or(now.max(self.floor), |last| now.max(*last + Self::STEP));
                let offset = at.as_nanos().saturating_sub(dts);
                self.offsets.insert(0, offset);
                self.offsets.truncate(2);
                (offset, !first)
            }
        };
        let mut time = MediaTime::from_nanos(dts.saturating_add(offset));
        if time < self.floor {
            return None;
        }
        if let Some(last) = self.last.get(&track) {
            time = time.max(*last + Self::STEP);
        }
        self.last.insert(track, time);
        Some(Mapped { dts: time, offset, jumped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const DAY: i64 = 86_400_000 * MS;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn dts(timeline: &mut Timeline, track: TrackId, source: i64, now: i64) -> Option<(i64, bool)> {
        timeline.map(track, source * MS, at(now)).map(|m| (m.dts.as_nanos() / MS, m.jumped))
    }

    #[test]
    fn a_clock_that_starts_anywhere_starts_now() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        assert_eq!(dts(&mut timeline, TrackId::VIDEO, 5_000, 0), Some((0, false)));
        assert_eq!(dts(&mut timeline, TrackId::AUDIO, 5_010, 3), Some((10, false)));
        assert_eq!(dts(&mut timeline, TrackId::VIDEO, 5_033, 40), Some((33, false)));
    }

    #[test]
    fn what_lies_before_the_first_packet_is_dropped() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        dts(&mut timeline, TrackId::VIDEO, 5_000, 0);
        assert_eq!(dts(&mut timeline, TrackId::AUDIO, 4_990, 0), None);
    }

    #[test]
    fn repeats_and_small_steps_back_still_rise() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        let times: Vec<_> = [0, 33, 33, 20, 66].map(|t| dts(&mut timeline, TrackId::VIDEO, t, t)).into();
        assert_eq!(times, [(0, false), (33, false), (34, false), (35, false), (66, false)].map(Some));
    }

    #[test]
    fn a_jump_of_days_goes_on_at_the_wall_clock_for_both_tracks_in_turn() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        dts(&mut timeline, TrackId::VIDEO, 0, 0);
        dts(&mut timeline, TrackId::AUDIO, 0, 0);
        let later = 6 * DAY / MS;
        assert_eq!(dts(&mut timeline, TrackId::VIDEO, later, 50), Some((50, true)));
        assert_eq!(dts(&mut timeline, TrackId::AUDIO, 60, 60), Some((60, false)), "not jumped yet");
        assert_eq!(dts(&mut timeline, TrackId::AUDIO, later + 30, 80), Some((80, false)));
        assert_eq!(dts(&mut timeline, TrackId::VIDEO, 90, 90), Some((90, false)), "and back");
    }

    #[test]
    fn a_picture_that_stands_for_a_minute_is_no_jump_while_sound_goes_on() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        dts(&mut timeline, TrackId::VIDEO, 0, 0);
        for at in (0..60_000).step_by(1_000) {
            assert_eq!(dts(&mut timeline, TrackId::AUDIO, at, at), Some((at, false)));
        }
        assert_eq!(dts(&mut timeline, TrackId::VIDEO, 59_500, 59_500), Some((59_500, false)));
    }

    #[test]
    fn a_burst_after_a_stall_keeps_its_own_times() {
        let mut timeline = Timeline::new(MediaTime::ZERO);
        for n in 0..100 {
            let now = if n < 10 { n * 33 } else { 20_000 };
            assert_eq!(dts(&mut timeline, TrackId::VIDEO, n * 33, now), Some((n * 33, false)));
        }
    }
}
