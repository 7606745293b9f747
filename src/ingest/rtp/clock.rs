//! RTP time stamps of all tracks of a publisher as one clock.
//!
//! Each track counts on a clock of its own from an arbitrary number on. How they relate its sender says in reports
//! (RFC 3550 §6.4.1). Until they have come for two tracks, arrival has to do: packets are late by chance and never
//! early, so those of each track that came soonest of late count, and the path's jitter is left out. Some senders put
//! the time of sending into their reports instead of that of capture; the same holds for these.
//!
//! The leading track (sound, where a hole is heard) is never touched. The others are brought to it a little with each
//! access unit, so that none jumps and their order stays.

use std::collections::VecDeque;

use super::rtcp::SenderReport;

/// A clock of all tracks of a publisher, in nanoseconds.
#[derive(Debug, Default)]
pub struct Clock {
    lines: Vec<Line>,
    /// Two tracks have had reports: arrival tells nothing any more.
    reported: bool,
}

#[derive(Debug)]
struct Line {
    rate: i64,
    leads: bool,
    /// The last time stamp in ticks, its wraps undone.
    last: Option<i64>,
    /// The newest time of an access unit, on the track's own clock.
    newest: i64,
    /// The common clock minus the track's own.
    offset: Option<i64>,
    arrivals: Arrivals,
    reports: Reports,
    /// A report that came ahead of the first packet.
    early: Option<SenderReport>,
}

/// The least that arrival was behind the track's own clock over the last seconds.
#[derive(Debug, Default)]
struct Arrivals {
    /// When the current span began.
    since: i64,
    current: Option<i64>,
    before: Option<i64>,
}

/// By how much the sender's wall clock is ahead of the track's own, as each of the last reports has it.
#[derive(Debug, Default)]
struct Reports {
    recent: VecDeque<i64>,
    /// One that is far too early for the others.
    odd: Option<i64>,
}

impl Clock {
    /// A track moves by one in so many nanoseconds of its own at most. Up to seven pictures may wait for one that is
    /// shown before them without changing places with those before (ISO 14496-10 §A.3.1 allows more; nobody sends it).
    const SLEW: i64 = 8;
    /// Of an error so much is made good with each access unit.
    const SHARE: i64 = 8;
    /// Time that goes back so far is no order of pictures.
    const BREAK: i64 = 1_000_000_000;
    /// An error this large is none: reports or stamps are wrong.
    const NONSENSE: i64 = 5_000_000_000;

    /// One more track, of `rate` ticks a second; its index. Of those that lead the first does.
    pub fn add(&mut self, rate: u32, leads: bool) -> usize {
        self.lines.push(Line {
            rate: i64::from(rate.max(1)),
            leads,
            last: None,
            newest: i64::MIN,
            offset: None,
            arrivals: Arrivals::default(),
            reports: Reports::default(),
            early: None,
        });
        self.lines.len() - 1
    }

    /// A time stamp in nanoseconds of its track's own clock, its wraps undone. Steps back are followed.
    ///
    /// # Panics
    /// On an index that [`Clock::add`] did not give, as all others do.
    pub fn unwrapped(&mut self, track: usize, timestamp: u32) -> i64 {
        let line = &mut self.lines[track];
        let ticks = line.near(timestamp);
        line.last = Some(ticks);
        if let Some(report) = line.early.take() {
            self.report(track, &report);
        }
        self.lines[track].nanos(ticks)
    }

    /// What brings an access unit of `track` onto the common clock, which is decoded at `time` of the track's own and
    /// arrived at `arrived`, nanoseconds of any clock that all calls share.
    pub fn offset(&mut self, track: usize, time: i64, arrived: i64) -> i64 {
        let line = &mut self.lines[track];
        line.arrivals.note(arrived.saturating_sub(time), arrived);
        let advance = time.saturating_sub(line.newest).clamp(0, Self::NONSENSE);
        // Far behind the last one it is another clock, which the live's timeline places anew.
        let goes_on = time.saturating_add(Self::BREAK) >= line.newest;
        line.newest = if goes_on { line.newest.max(time) } else { time };
        let wanted = self.wanted(track);
        let line = &mut self.lines[track];
        let Some(offset) = line.offset else {
            return *line.offset.insert(wanted.unwrap_or(arrived.saturating_sub(time)));
        };
        let error = wanted.map_or(0, |wanted| wanted.saturating_sub(offset));
        if line.leads || error.abs() >= Self::NONSENSE {
            return offset;
        }
        let most = advance / Self::SLEW;
        *line.offset.insert(offset.saturating_add((error / Self::SHARE).clamp(-most, most)))
    }

    /// A track's sender tells how its clock relates to the wall's.
    pub fn report(&mut self, track: usize, report: &SenderReport) {
        // Senders without a clock, or that have sent nothing yet, say zero.
        if report.ntp == 0 {
            return;
        }
        let line = &mut self.lines[track];
        if line.last.is_none() {
            line.early = Some(*report);
            return;
        }
        let wall = ((u128::from(report.ntp) * 1_000_000_000) >> 32) as i64;
        let ahead = wall.saturating_sub(line.nanos(line.near(report.timestamp)));
        if line.reports.note(ahead) {
            // The wall clock was set. Those of other tracks from before do not compare; until others come, all stay.
            let others = self.lines.iter_mut().enumerate().filter(|(index, _)| *index != track);
            others.for_each(|(_, line)| line.reports = Reports::default());
        }
    }

    /// A track begins anew: its sender was replaced, whose wall clock is another.
    pub fn restart(&mut self, track: usize) {
        let line = &mut self.lines[track];
        (line.last, line.newest, line.offset, line.arrivals) = (None, i64::MIN, None, Arrivals::default());
        self.lines.iter_mut().for_each(|line| line.reports = Reports::default());
        self.reported = false;
    }

    /// The offset that puts a track in step with the leading one; where that is the track itself, with any other, which
    /// counts only until it has one.
    fn wanted(&mut self, track: usize) -> Option<i64> {
        let others = || self.lines.iter().enumerate().filter(|(index, line)| *index != track && line.offset.is_some());
        let (_, other) = others().find(|(_, line)| line.leads).or_else(|| others().next())?;
        let line = &self.lines[track];
        let reports = line.reports.ahead().zip(other.reports.ahead());
        let arrivals = line.arrivals.behind().zip(other.arrivals.behind());
        let wanted = |(own, its): (i64, i64)| Some(other.offset?.saturating_add(own).saturating_sub(its));
        let wanted = reports.or(arrivals.filter(|_| !self.reported)).and_then(wanted);
        self.reported |= reports.is_some();
        wanted
    }
}

impl Line {
    /// The nearer way round from the last one.
    fn near(&self, timestamp: u32) -> i64 {
        self.last.map_or(timestamp.into(), |last| last + i64::from(timestamp.wrapping_sub(last as u32) as i32))
    }

    fn nanos(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000 / i128::from(self.rate)) as i64
    }
}

impl Arrivals {
    /// Half of the time that is looked back on: long enough for a packet that met no queue, short enough to follow
    /// clocks that drift.
    const SPAN: i64 = 5_000_000_000;

    fn note(&mut self, behind: i64, now: i64) {
        if self.current.is_none() || now.saturating_sub(self.since) >= Self::SPAN {
            (self.since, self.before) = (now, self.current.take());
        }
        self.current = Some(self.current.map_or(behind, |least| least.min(behind)));
    }

    fn behind(&self) -> Option<i64> {
        self.current.into_iter().chain(self.before).min()
    }
}

impl Reports {
    /// Reports that are looked back on; browsers send one a second on pictures and one in five on sound.
    const KEPT: usize = 8;
    /// Smaller steps a wall clock is not set by: NTP slews what is below 128 ms.
    const STEP: i64 = 100_000_000;

    /// Takes another one. True: the wall clock was set, and only reports since then are left.
    fn note(&mut self, ahead: i64) -> bool {
        let before = self.ahead();
        if before.is_some_and(|before| ahead < before - Self::STEP) {
            // Never early, so either it was set back, or this one is wrong. The next one tells.
            let agrees = self.odd.replace(ahead).is_some_and(|odd| (odd - ahead).abs() < Self::STEP);
            if agrees {
                (self.recent, self.odd) = ([ahead].into(), None);
            }
            return agrees;
        }
        self.odd = None;
        self.recent.truncate(Self::KEPT - 1);
        self.recent.push_front(ahead);
        before.zip(self.ahead()).is_some_and(|(before, now)| now > before + Self::STEP)
    }

    fn ahead(&self) -> Option<i64> {
        self.recent.iter().min().copied()
    }
}
