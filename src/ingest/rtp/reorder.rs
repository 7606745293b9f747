//! Packets back in order: what comes late is waited for, what does not come in time is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::rtc::Incoming;

/// Packets of one stream. Without loss and reordering it holds none.
#[derive(Debug)]
pub struct Reorder {
    /// How long a packet waits for those before it.
    patience: Duration,
    held: BTreeMap<i64, Incoming>,
    /// The highest sequence number so far, its wraps undone.
    highest: Option<i64>,
    /// The next one to hand out.
    next: i64,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next packet.
    Packet(Incoming),
    /// So many were lost, or the stream began anew (0).
    Lost(u64),
}

impl Reorder {
    /// Packets held at most; beyond that those missing are lost.
    const HELD: usize = 1_024;
    /// A step this large is another stream of numbers (RFC 3550 §A.1, MAX_DROPOUT).
    const JUMP: i64 = 3_000;

    /// An empty one.
    pub fn new(patience: Duration) -> Self {
        Self { patience, held: BTreeMap::new(), highest: None, next: 0 }
    }

    /// Takes a packet as it arrives.
    pub fn insert(&mut self, packet: Incoming) {
        let number = match self.highest {
            None => {
                self.next = packet.sequence.into();
                packet.sequence.into()
            }
            // The nearer way round.
            Some(highest) => highest + i64::from(packet.sequence.wrapping_sub(highest as u16) as i16),
        };
        if self.highest.is_some_and(|highest| (number - highest).abs() > Self::JUMP) {
            self.held.clear();
            self.highest = Some(number);
            // One less, so that the break is told as a loss.
            self.next = number - 1;
        }
        self.highest = self.highest.max(Some(number));
        if number >= self.next {
            self.held.insert(number, packet);
        }
    }

    /// What comes next, if it is there at `now`.
    pub fn next(&mut self, now: Instant) -> Option<Next> {
        let (first, packet) = self.held.first_key_value()?;
        let missing = first - self.next;
        if missing > 0 {
            if self.held.len() < Self::HELD && now < packet.at + self.patience {
                return None;
            }
            self.next = *first;
            return Some(Next::Lost(missing.unsigned_abs()));
        }
        self.next += 1;
        self.held.pop_first().map(|(_, packet)| Next::Packet(packet))
    }

    /// When what is missing will be given up, if anything is.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.first_key_value().map(|(_, packet)| packet.at + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rtc::Codec;

    const PATIENCE: Duration = Duration::from_millis(300);

    fn packet(sequence: u16, at: Instant) -> Incoming {
        Incoming { codec: Codec::Opus, ssrc: 1, sequence, timestamp: 0, marker: false, payload: Bytes::new(), at }
    }

    fn numbers(reorder: &mut Reorder, now: Instant) -> Vec<i32> {
        let next = std::iter::from_fn(|| reorder.next(now));
        next.map(|next| match next {
            Next::Packet(packet) => packet.sequence.into(),
            Next::Lost(count) => -(count as i32),
        })
        .collect()
    }

    #[test]
    fn in_order_nothing_waits_and_wraps_are_no_break() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for sequence in [65_534, 65_535, 0, 1] {
            reorder.insert(packet(sequence, now));
            assert_eq!(numbers(&mut reorder, now), [i32::from(sequence)]);
        }
        assert_eq!(reorder.deadline(), None);
    }

    #[test]
    fn what_comes_late_is_put_in_its_place_once() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for sequence in [10, 12, 13, 12] {
            reorder.insert(packet(sequence, now));
        }
        assert_eq!(numbers(&mut reorder, now), [10]);
        assert_eq!(reorder.deadline(), Some(now + PATIENCE));
        reorder.insert(packet(11, now));
        assert_eq!(numbers(&mut reorder, now), [11, 12, 13]);
        reorder.insert(packet(11, now));
        assert_eq!(numbers(&mut reorder, now), [0; 0]);
    }

    #[test]
    fn what_does_not_come_in_time_is_lost() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        reorder.insert(packet(1, now));
        reorder.insert(packet(4, now));
        assert_eq!(numbers(&mut reorder, now + PATIENCE / 2), [1]);
        assert_eq!(numbers(&mut reorder, now + PATIENCE), [-2, 4]);
        reorder.insert(packet(3, now));
        assert_eq!(numbers(&mut reorder, now + PATIENCE), [0; 0]);
    }

    #[test]
    fn a_flood_behind_a_gap_does_not_grow_memory() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        reorder.insert(packet(0, now));
        for sequence in 2..=1_100 {
            reorder.insert(packet(sequence, now));
            while reorder.next(now).is_some() {}
            assert!(reorder.held.len() <= Reorder::HELD);
        }
        assert_eq!(reorder.next, 1_101);
    }

    #[test]
    fn another_stream_of_numbers_begins_anew() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        reorder.insert(packet(100, now));
        reorder.insert(packet(30_000, now));
        reorder.insert(packet(30_001, now));
        assert_eq!(numbers(&mut reorder, now + PATIENCE), [-1, 30_000, 30_001]);
    }
}
