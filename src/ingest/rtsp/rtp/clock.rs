use super::rtcp::SenderReport;

/// A step between two tracks that is no drift: the sender set its clock.
const STEP: i64 = 1_000_000_000;
/// Of a drift so much is made good at each report, so that none is heard.
const SHARE: i64 = 16;

/// Brings the time stamps of a publisher's tracks onto one clock, in nanoseconds.
///
/// Until sender reports say how their clocks relate (RFC 3550 §5.1) tracks are laid side by side as they arrive.
/// The first report of a track moves it to its place, later ones correct the drift a little at a time.
#[derive(Debug, Default)]
pub struct Clock {
    tracks: Vec<Track>,
    /// Our nanoseconds minus the sender's wall clock.
    wall: Option<i64>,
}

#[derive(Debug)]
struct Track {
    rate: u32,
    last: Option<(u32, i64)>,
    /// Our nanoseconds minus those of its ticks.
    offset: Option<i64>,
    reported: bool,
    /// A report that came ahead of the first packet.
    early: Option<SenderReport>,
}

impl Clock {
    /// One more track, of `rate` ticks a second; its index.
    pub fn add(&mut self, rate: u32) -> usize {
        self.tracks.push(Track { rate: rate.max(1), last: None, offset: None, reported: false, early: None });
        self.tracks.len() - 1
    }

    /// Nanoseconds of a track's time stamp that arrived at `now`, nanoseconds of any clock that all calls share.
    /// An index that [`Clock::add`] did not give says nothing: `now`.
    pub fn time(&mut self, track: usize, timestamp: u32, now: i64) -> i64 {
        let index = track;
        let Some(track) = self.tracks.get_mut(index) else { return now };
        let ticks = track.unwrapped(timestamp);
        let nanos = track.nanos(ticks);
        track.offset.get_or_insert(now.saturating_sub(nanos));
        if let Some(report) = track.early.take() {
            self.report(index, &report);
        }
        self.tracks.get(index).and_then(|track| track.offset).map_or(now, |offset| nanos.saturating_add(offset))
    }

    /// A track's sender tells how its clock relates to the wall's.
    pub fn report(&mut self, track: usize, report: &SenderReport) {
        // Senders without a clock say zero (RFC 3550 §6.4.1).
        if report.ntp == 0 {
            return;
        }
        let Some(track) = self.tracks.get_mut(track) else { return };
        let Some(offset) = track.offset else {
            track.early = Some(*report);
            return;
        };
        let ticks = track.near(report.timestamp);
        let wall = ((u128::from(report.ntp) * 1_000_000_000) >> 32) as i64;
        // What our clock would show at the report if the track lay where it does.
        let apart = track.nanos(ticks).saturating_sub(wall);
        let reference = *self.wall.get_or_insert(offset.saturating_add(apart));
        let error = reference.saturating_sub(apart).saturating_sub(offset);
        let step = !track.reported || error.abs() >= STEP;
        track.offset = Some(offset.saturating_add(if step { error } else { error / SHARE }));
        track.reported = true;
    }

    /// A track begins anew: its sender was replaced.
    pub fn restart(&mut self, track: usize) {
        if let Some(track) = self.tracks.get_mut(track) {
            (track.last, track.offset, track.reported) = (None, None, false);
        }
        // The other sender's wall clock is another one.
        self.wall = None;
        self.tracks.iter_mut().for_each(|track| track.reported = false);
    }
}

impl Track {
    fn unwrapped(&mut self, timestamp: u32) -> i64 {
        let ticks = self.near(timestamp);
        self.last = Some((timestamp, ticks));
        ticks
    }

    /// The ticks nearest to the last packet's.
    fn near(&self, timestamp: u32) -> i64 {
        let Some((last, ticks)) = self.last else { return i64::from(timestamp) };
        ticks + i64::from(timestamp.wrapping_sub(last) as i32)
    }

    fn nanos(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000 / i128::from(self.rate)) as i64
    }
}
