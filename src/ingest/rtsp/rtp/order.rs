use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Packet;

/// Packets that may wait for one that is missing.
const WAITING: usize = 128;
/// How long they wait for it: a resend or a detour takes no longer to be of use.
const PATIENCE: Duration = Duration::from_millis(200);
/// A step in sequence numbers that is no loss but another sender (RFC 3550 §A.1).
const DROPOUT: i64 = 3000;
/// So much older than the newest is a straggler, not a restart.
const MISORDER: i64 = 500;

/// Brings one sender's packets back into their order and counts what never came.
#[derive(Debug)]
pub struct Order {
    /// Ticks a second of the payload's clock.
    rate: u32,
    /// Wait for what is missing; over TCP nothing can be.
    waits: bool,
    ssrc: Option<u32>,
    /// The next packet wanted, its wraps undone.
    next: Option<i64>,
    first: i64,
    highest: i64,
    waiting: BTreeMap<i64, (Packet, Instant)>,
    received: i64,
    /// Expected and received when the last report was made.
    reported: (i64, i64),
    /// Ticks (RFC 3550 §A.8).
    jitter: f64,
    transit: Option<f64>,
    epoch: Option<Instant>,
}

/// What a report says (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Share of the packets expected since the last report that did not come, 0–1.
    pub loss: f64,
    /// Packets that did not come, ever.
    pub lost: i64,
    /// Highest sequence number, with its wraps.
    pub highest: u32,
    /// In ticks of the payload's clock.
    pub jitter: u32,
    /// The same as a time.
    pub jitter_time: Duration,
    /// Who is reported on.
    pub ssrc: u32,
}

impl Order {
    /// For a payload of `rate` ticks a second; `waits` where the transport may reorder and lose.
    pub fn new(rate: u32, waits: bool) -> Self {
        Self {
            rate: rate.max(1),
            waits,
            ssrc: None,
            next: None,
            first: 0,
            highest: 0,
            waiting: BTreeMap::new(),
            received: 0,
            reported: (0, 0),
            jitter: 0.0,
            transit: None,
            epoch: None,
        }
    }

    /// Takes a packet that arrived at `now`. False: another sender took over, whose packets begin anew.
    pub fn push(&mut self, packet: Packet, now: Instant) -> bool {
        let (same, near) = (self.ssrc == Some(packet.ssrc), self.unwrapped(packet.sequence));
        let distance = near - self.highest;
        let continues = same && (-MISORDER..=DROPOUT).contains(&distance);
        let began = self.ssrc.is_some();
        let sequence = if continues { near } else { self.restart(&packet) };
        self.measure(packet.timestamp, now);
        self.received += 1;
        self.highest = self.highest.max(sequence);
        // What comes too late or twice counts as received, and is of no use.
        if self.next.is_none_or(|next| sequence >= next) {
            self.waiting.entry(sequence).or_insert((packet, now));
        }
        continues || !began
    }

    /// The next packet in order, and whether some before it are missing for good.
    pub fn pop(&mut self, now: Instant) -> Option<(Packet, bool)> {
        let (&sequence, (_, arrived)) = self.waiting.first_key_value()?;
        let missing = self.next.is_some_and(|next| sequence > next);
        let patient = self.waits && self.waiting.len() < WAITING && now.duration_since(*arrived) < PATIENCE;
        if missing && patient {
            return None;
        }
        let (packet, _) = self.waiting.remove(&sequence)?;
        self.next = Some(sequence + 1);
        Some((packet, missing))
    }

    /// How packets came since the last call. `None` before the first.
    pub fn figures(&mut self) -> Option<Figures> {
        let ssrc = self.ssrc?;
        let expected = self.highest - self.first + 1;
        let (before, then) = std::mem::replace(&mut self.reported, (expected, self.received));
        let (expected_since, received_since) = (expected - before, self.received - then);
        let loss = if expected_since > 0 { 1.0 - received_since as f64 / expected_since as f64 } else { 0.0 };
        Some(Figures {
            loss: loss.clamp(0.0, 1.0),
            lost: expected - self.received,
            highest: self.highest as u32,
            jitter: self.jitter as u32,
            jitter_time: Duration::from_secs_f64(self.jitter / f64::from(self.rate)),
            ssrc,
        })
    }

    /// The sequence number nearest to the highest so far.
    fn unwrapped(&self, sequence: u16) -> i64 {
        self.highest + i64::from(sequence.wrapping_sub(self.highest as u16) as i16)
    }

    fn restart(&mut self, packet: &Packet) -> i64 {
        let sequence = i64::from(packet.sequence);
        *self =
            Self { ssrc: Some(packet.ssrc), first: sequence, highest: sequence, ..Self::new(self.rate, self.waits) };
        sequence
    }

    /// RFC 3550 §A.8, with the time of arrival in ticks.
    fn measure(&mut self, timestamp: u32, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        let arrival = now.duration_since(epoch).as_secs_f64() * f64::from(self.rate);
        let transit = arrival - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let wrap = 4_294_967_296.0;
            let difference = (transit - before + wrap / 2.0).rem_euclid(wrap) - wrap / 2.0;
            self.jitter += (difference.abs() - self.jitter) / 16.0;
        }
    }
}
