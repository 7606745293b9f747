//! What libsrt counts, as the state of a link. Pure.

use std::time::Duration;

use super::sys::Travel;
use crate::stream::Link;

/// How many readings the loss is taken over.
const READINGS: usize = 5;

/// Makes a [`Link`] of readings, one a second.
#[derive(Debug, Default)]
pub struct Meter {
    last: [Travel; READINGS],
    count: usize,
    jitter: Duration,
}

impl Meter {
    /// The link by this reading and those before it. SRT states no jitter to its user: the variation of the round
    /// trip between readings stands for it, smoothed as RFC 3550 §6.4.1 does.
    pub fn read(&mut self, travel: Travel) -> Link {
        let before = if self.count == 0 { travel } else { self.last[(self.count - 1) % READINGS] };
        let change = travel.round_trip.abs_diff(before.round_trip);
        self.jitter = if change > self.jitter {
            self.jitter + (change - self.jitter) / 16
        } else {
            self.jitter - (self.jitter - change) / 16
        };
        let oldest = if self.count < READINGS { Travel::default() } else { self.last[self.count % READINGS] };
        let dropped = travel.dropped.saturating_sub(oldest.dropped);
        let all = travel.received.saturating_sub(oldest.received) + dropped;
        self.last[self.count % READINGS] = travel;
        self.count += 1;
        let loss = if all == 0 { 0.0 } else { dropped as f64 / all as f64 };
        Link { loss: Some(loss), jitter: Some(self.jitter), round_trip: Some(travel.round_trip) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn travel(received: u64, dropped: u64, millis: u64) -> Travel {
        Travel { received, dropped, round_trip: Duration::from_millis(millis) }
    }

    #[test]
    fn loss_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(travel(0, 0, 20)).loss, Some(0.0));
        assert_eq!(meter.read(travel(90, 10, 20)).loss, Some(0.1));
        for second in 2..7 {
            meter.read(travel(90 + second * 100, 10, 20));
        }
        let link = meter.read(travel(890, 10, 20));
        let (still, millis) = (Some(Duration::ZERO), Some(Duration::from_millis(20)));
        assert_eq!((link.loss, link.jitter, link.round_trip), (Some(0.0), still, millis));
    }

    #[test]
    fn jitter_is_how_much_the_round_trip_varies() {
        let mut meter = Meter::default();
        let links: Vec<_> = (0..200).map(|n| meter.read(travel(0, 0, if n % 2 == 0 { 20 } else { 30 }))).collect();
        let jitter = links[199].jitter.unwrap().as_secs_f64();
        assert!((0.0095..=0.0101).contains(&jitter), "{jitter}");
    }
}
