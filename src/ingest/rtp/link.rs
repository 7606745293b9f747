//! How packets travel (RFC 3550 §6.4.1): share lost, variation of the time they take.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::rtc::Incoming;

/// Counts over the last seconds.
#[derive(Debug)]
pub struct Meter {
    /// Since when the current count runs, and what it counted: come, lost.
    since: Instant,
    current: (u64, u64),
    before: (u64, u64),
    streams: BTreeMap<u32, Transit>,
}

#[derive(Debug, Default)]
struct Transit {
    /// Of the last packet: arrival and time stamp, both in seconds.
    last: Option<(Instant, u32)>,
    jitter: f64,
}

impl Meter {
    /// Half of the time that [`Meter::loss`] looks back on.
    const SPAN: Duration = Duration::from_secs(5);
    /// Streams that are watched; a peer has two.
    const STREAMS: usize = 8;

    /// Begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { since: now, current: (0, 0), before: (0, 0), streams: BTreeMap::new() }
    }

    /// Notes a packet as it arrives.
    pub fn arrived(&mut self, packet: &Incoming) {
        self.turn(packet.at);
        self.current.0 += 1;
        if self.streams.len() >= Self::STREAMS && !self.streams.contains_key(&packet.ssrc) {
            return;
        }
        let stream = self.streams.entry(packet.ssrc).or_default();
        let last = stream.last.replace((packet.at, packet.timestamp));
        let Some((at, timestamp)) = last else { return };
        let media = f64::from(packet.timestamp.wrapping_sub(timestamp) as i32) / f64::from(packet.codec.clock_rate());
        let difference = (packet.at.saturating_duration_since(at).as_secs_f64() - media).abs();
        // Packets of one picture leave one after the other; a step of seconds is the clock's, not the path's.
        if media != 0.0 && difference < 1.0 {
            stream.jitter += (difference - stream.jitter) / 16.0;
        }
    }

    /// Notes packets that never came.
    pub fn lost(&mut self, count: u64, now: Instant) {
        self.turn(now);
        self.current.1 += count;
    }

    /// Share of the packets of the last five to ten seconds that never came, 0–1.
    pub fn loss(&self) -> f64 {
        let (come, lost) = (self.current.0 + self.before.0, self.current.1 + self.before.1);
        lost as f64 / (come + lost).max(1) as f64
    }

    /// The variation of the time packets take, of the stream that varies most.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.streams.values().map(|stream| stream.jitter).fold(0.0, f64::max))
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= Self::SPAN {
            self.since = now;
            self.before = std::mem::take(&mut self.current);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rtc::Codec;

    fn packet(timestamp: u32, at: Instant) -> Incoming {
        let (sequence, payload) = (0, Bytes::new());
        Incoming { codec: Codec::Opus, ssrc: 1, sequence, timestamp, marker: false, payload, at }
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_a_shaken_one_has() {
        let begin = Instant::now();
        let (mut even, mut shaken) = (Meter::new(begin), Meter::new(begin));
        for n in 0..500_u32 {
            let at = begin + Duration::from_millis(20) * n;
            even.arrived(&packet(n.wrapping_mul(960).wrapping_sub(9_000), at));
            shaken.arrived(&packet(n * 960, at + Duration::from_millis(10) * (n % 2)));
        }
        assert!(even.jitter() < Duration::from_micros(10), "{:?}", even.jitter());
        assert!((9..=11).contains(&shaken.jitter().as_millis()), "{:?}", shaken.jitter());
    }

    #[test]
    fn loss_is_that_of_the_last_seconds() {
        let begin = Instant::now();
        let mut meter = Meter::new(begin);
        for n in 0..95 {
            meter.arrived(&packet(n, begin));
        }
        meter.lost(5, begin);
        assert!((meter.loss() - 0.05).abs() < 1e-9);
        for seconds in [6, 12] {
            meter.arrived(&packet(0, begin + Duration::from_secs(seconds)));
        }
        assert_eq!(meter.loss(), 0.0);
    }
}
