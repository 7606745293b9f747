//! Which of a publisher's packets are asked for again, and when (RFC 4585 §6.2.1). Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Packets overtake each other: one that is missing is asked for after this, and requests are no closer together.
const SETTLING: Duration = Duration::from_millis(10);
/// From one request for a packet to the next, at least; never less than the path's round trip.
const AGAIN: Duration = Duration::from_millis(30);
/// How long after it is found missing a packet is of use, so long is it asked for. Who puts packets in order has given
/// it up then.
pub const PATIENCE: Duration = Duration::from_millis(400);
/// Packets behind the newest one that are asked for.
const WINDOW: i64 = 512;

/// What is missing of each stream.
#[derive(Debug, Default)]
pub struct Asks {
    /// By source.
    streams: HashMap<u32, Stream>,
    due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Its number, with its wraps undone.
    newest: Option<i64>,
    missing: BTreeMap<i64, Missing>,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    asked: Option<Instant>,
}

impl Asks {
    /// Packets of this source are asked for from now on.
    pub fn begin(&mut self, source: u32) {
        self.streams.insert(source, Stream::default());
    }

    /// They are not any more.
    pub fn end(&mut self, source: u32) {
        self.streams.remove(&source);
    }

    /// A packet has come at `now`: the one of this number, whether for the first time or again.
    pub fn arrived(&mut self, source: u32, number: u16, now: Instant) {
        let Some(stream) = self.streams.get_mut(&source) else { return };
        if stream.arrived(number, now) {
            let due = now + SETTLING;
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
        }
    }

    /// When [`Asks::due`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The numbers to ask for now, by source, in order. `round_trip` is the path's, zero where it is not known: what
    /// was asked for before cannot be there sooner, and what would come too late is not asked for again.
    pub fn due(&mut self, now: Instant, round_trip: Duration) -> Vec<(u32, Vec<u16>)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let streams = self.streams.iter_mut();
        let asked = streams.map(|(source, stream)| (*source, stream.due(now, round_trip))).collect::<Vec<_>>();
        let next = self.streams.values().flat_map(|stream| stream.missing.values());
        let next = next.map(|missing| missing.next(round_trip)).min();
        self.due = next.map(|next| next.max(now + SETTLING));
        asked.into_iter().filter(|(_, numbers)| !numbers.is_empty()).collect()
    }
}

impl Stream {
    /// True if packets before it are missing that were not before.
    fn arrived(&mut self, number: u16, now: Instant) -> bool {
        let newest = *self.newest.get_or_insert_with(|| number.into());
        let step = number.wrapping_sub(newest as u16) as i16;
        let number = newest + i64::from(step);
        if step <= 0 {
            self.missing.remove(&number);
            return false;
        }
        self.newest = Some(number);
        let oldest = number - WINDOW;
        let missing = (newest + 1).max(oldest)..number;
        let is_gap = !missing.is_empty();
        self.missing.extend(missing.map(|number| (number, Missing { since: now, asked: None })));
        while self.missing.first_key_value().is_some_and(|(number, _)| *number < oldest) {
            self.missing.pop_first();
        }
        is_gap
    }

    fn due(&mut self, now: Instant, round_trip: Duration) -> Vec<u16> {
        self.missing.retain(|_, missing| missing.is_of_use(now, round_trip));
        let due = self.missing.iter_mut().filter(|(_, missing)| missing.next(round_trip) <= now);
        due.map(|(number, missing)| {
            missing.asked = Some(now);
            *number as u16
        })
        .collect()
    }
}

impl Missing {
    /// When it is asked for next.
    fn next(&self, round_trip: Duration) -> Instant {
        self.asked.map_or(self.since + SETTLING, |asked| asked + AGAIN.max(round_trip))
    }

    /// Whether it would come in time if it were asked for at `now`. It is asked for once, however far the peer is.
    fn is_of_use(&self, now: Instant, round_trip: Duration) -> bool {
        let end = self.since + PATIENCE;
        if self.asked.is_none() { now < end } else { now + round_trip < end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: u32 = 7;
    const TICK: Duration = Duration::from_millis(1);

    /// What is missing of a stream, and a clock.
    struct Receiver {
        asks: Asks,
        now: Instant,
        round_trip: Duration,
    }

    impl Receiver {
        fn new(round_trip: Duration) -> Self {
            let mut asks = Asks::default();
            asks.begin(STREAM);
            Self { asks, now: Instant::now(), round_trip }
        }

        fn gets(&mut self, numbers: impl IntoIterator<Item = u16>) {
            numbers.into_iter().for_each(|number| self.asks.arrived(STREAM, number, self.now));
        }

        /// The milliseconds, from now on, at which something is asked for, and what.
        fn asks_for(&mut self, time: Duration) -> Vec<(u128, Vec<u16>)> {
            let (begin, mut asked) = (self.now, Vec::new());
            while self.now < begin + time {
                self.now += TICK;
                // As its owner does: no sooner than it is told to.
                if self.asks.deadline().is_some_and(|deadline| deadline <= self.now) {
                    for (source, numbers) in self.asks.due(self.now, self.round_trip) {
                        assert_eq!(source, STREAM);
                        asked.push(((self.now - begin).as_millis(), numbers));
                    }
                }
            }
            asked
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_once_a_round_trip_until_it_is_given_up() {
        for (round_trip, times) in
            [(0, 13), (20, 13), (30, 12), (60, 6), (100, 3), (150, 2), (200, 1), (390, 1), (2_000, 1)]
        {
            let round_trip = Duration::from_millis(round_trip);
            let mut receiver = Receiver::new(round_trip);
            receiver.gets([1, 3]);
            let asked = receiver.asks_for(Duration::from_secs(3));
            assert_eq!(asked.len(), times, "{round_trip:?}: {asked:?}");
            assert!(asked.iter().all(|(at, numbers)| *at < 400 && *numbers == [2]), "{asked:?}");
            let apart = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
            assert!(apart.is_none_or(|apart| apart >= 30 && apart >= round_trip.as_millis()), "{asked:?}");
            assert_eq!(receiver.asks.deadline(), None, "nothing is left to do");
        }
    }

    #[test]
    fn what_comes_is_asked_for_no_more() {
        let mut receiver = Receiver::new(Duration::ZERO);
        receiver.gets([1, 3, 2]);
        assert!(receiver.asks_for(PATIENCE).is_empty(), "it was overtaken");
        receiver.gets([5, 8]);
        assert_eq!(receiver.asks_for(SETTLING), [(10, vec![4, 6, 7])]);
        receiver.gets([6]);
        assert_eq!(receiver.asks_for(AGAIN), [(30, vec![4, 7])]);
        receiver.gets([7, 7, 4]);
        assert!(receiver.asks_for(PATIENCE).is_empty());
    }

    #[test]
    fn another_gap_does_not_wait_for_the_one_before() {
        let mut receiver = Receiver::new(Duration::from_millis(150));
        receiver.gets([1, 3]);
        receiver.asks_for(SETTLING * 2);
        receiver.gets([5]);
        assert_eq!(receiver.asks_for(SETTLING), [(10, vec![4])]);
    }

    #[test]
    fn numbers_wrap() {
        let mut receiver = Receiver::new(Duration::ZERO);
        receiver.gets([65_533, 2]);
        assert_eq!(receiver.asks_for(SETTLING), [(10, vec![65_534, 65_535, 0, 1])]);
        receiver.gets([0, 65_535]);
        assert_eq!(receiver.asks_for(AGAIN), [(30, vec![65_534, 1])]);
    }

    #[test]
    fn as_many_are_remembered_as_a_window_holds() {
        let mut receiver = Receiver::new(Duration::ZERO);
        let missing = |receiver: &Receiver| receiver.asks.streams[&STREAM].missing.len();
        for number in (0..60_000).step_by(9_000) {
            receiver.gets([number]);
            assert!(missing(&receiver) <= WINDOW as usize);
        }
        for number in (0..60_000).step_by(2) {
            receiver.gets([number]);
            assert!(missing(&receiver) <= WINDOW as usize);
        }
        receiver.asks.arrived(STREAM + 1, 1, receiver.now);
        receiver.asks.arrived(STREAM + 1, 3, receiver.now);
        assert_eq!(receiver.asks.streams.len(), 1, "a source that nobody asked about");
        receiver.asks.end(STREAM);
        assert!(receiver.asks_for(PATIENCE).is_empty() && receiver.asks.deadline().is_none());
    }
}
