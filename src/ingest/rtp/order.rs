//! Packets of one sender back in order: what comes late is waited for, what does not come in time is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Packet;
use crate::rtc;

/// How long a packet waits for those before it where the path may reorder and lose, repeated ones included: two round
/// trips around the earth. A browser is asked for them as long.
pub const PATIENCE: Duration = rtc::PATIENCE;
/// Packets that may wait; beyond that those missing are lost. What is older than so many is of no use.
const HELD: usize = 1_024;
/// A step forward in sequence numbers that is no loss but a new beginning (RFC 3550 §A.1, MAX_DROPOUT).
const DROPOUT: i64 = 3_000;
/// Packets of nobody known that are kept until it shows whether a sender begins with them.
const STRANGERS: usize = 256;
/// How long they are kept.
const MEMORY: Duration = Duration::from_secs(5);
/// A sender that has just been heard is not replaced. Its last packets may come among the first of the next.
const SILENCE: Duration = Duration::from_millis(250);

/// Puts packets in order. Without loss and reordering it holds none.
///
/// Packets of another sender, or of sequence numbers far away, are believed when two of them follow each other (RFC
/// 3550 §A.1) while the sender so far is silent. The first packet of all is believed at once: whoever is not the
/// sender is then replaced.
#[derive(Debug)]
pub struct Order {
    /// Ticks a second of the payload's clock.
    rate: f64,
    patience: Duration,
    sender: Option<Sender>,
    strangers: Vec<(Packet, Instant)>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next packet, and when it arrived.
    Packet(Packet, Instant),
    /// So many are missing for good.
    Lost(u64),
    /// Another sender took over, or the same one counts anew: nothing goes on.
    Anew,
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

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    /// It is not the first one, which nobody has been told yet.
    anew: bool,
    /// Sequence numbers, their wraps undone: the first, the highest, and the next to hand out.
    first: i64,
    highest: i64,
    next: i64,
    waiting: BTreeMap<i64, (Packet, Instant)>,
    received: i64,
    /// Expected and received when the last report was made.
    reported: (i64, i64),
    begun: Instant,
    heard: Instant,
    transit: Option<f64>,
    /// Ticks (§A.8).
    jitter: f64,
}

impl Order {
    /// For a payload of `rate` ticks a second. `patience` is zero where the path keeps the order.
    pub fn new(rate: u32, patience: Duration) -> Self {
        Self { rate: rate.max(1).into(), patience, sender: None, strangers: Vec::new() }
    }

    /// Who sends.
    pub fn ssrc(&self) -> Option<u32> {
        self.sender.as_ref().map(|sender| sender.ssrc)
    }

    /// Takes a packet that arrived at `now`.
    pub fn push(&mut self, packet: Packet, now: Instant) {
        let rate = self.rate;
        let sender = self.sender.get_or_insert_with(|| Sender::new(&packet, false, now));
        if sender.knows(&packet) {
            return sender.take(packet, now, rate);
        }
        let silent = now.saturating_duration_since(sender.heard) >= SILENCE;
        self.strangers.retain(|(_, at)| now.saturating_duration_since(*at) < MEMORY);
        if self.strangers.len() == STRANGERS {
            self.strangers.remove(0);
        }
        let distance = |other: &Packet| i64::from(other.sequence.wrapping_sub(packet.sequence) as i16);
        let near = |other: &Packet| other.ssrc == packet.ssrc && distance(other).unsigned_abs() <= HELD as u64;
        let follows = |(other, _): &(Packet, _)| near(other) && distance(other).abs() == 1;
        let proven = self.strangers.iter().any(follows);
        self.strangers.push((packet.clone(), now));
        if !(silent && proven) {
            return;
        }
        let mut own: Vec<_> =
            std::mem::take(&mut self.strangers).into_iter().filter(|(other, _)| near(other)).collect();
        own.sort_by_key(|(other, _)| distance(other));
        let begun = own.iter().map(|(_, at)| *at).min().unwrap_or(now);
        let mut sender = Sender::new(own.first().map_or(&packet, |(first, _)| first), true, begun);
        own.into_iter().for_each(|(packet, at)| sender.take(packet, at, rate));
        self.sender = Some(sender);
    }

    /// What comes next, if it is there at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Next> {
        let sender = self.sender.as_mut()?;
        if std::mem::take(&mut sender.anew) {
            return Some(Next::Anew);
        }
        let (&number, (_, arrived)) = sender.waiting.first_key_value()?;
        let missing = number - sender.next;
        if missing > 0 {
            if sender.waiting.len() < HELD && now < *arrived + self.patience {
                return None;
            }
            sender.next = number;
            return Some(Next::Lost(missing.unsigned_abs()));
        }
        sender.next += 1;
        sender.waiting.pop_first().map(|(_, (packet, at))| Next::Packet(packet, at))
    }

    /// When what is missing will be given up, if anything is.
    pub fn deadline(&self) -> Option<Instant> {
        let sender = self.sender.as_ref()?;
        sender.waiting.first_key_value().map(|(_, (_, arrived))| *arrived + self.patience)
    }

    /// How packets came since the last call. `None` before the first.
    pub fn figures(&mut self) -> Option<Figures> {
        let sender = self.sender.as_mut()?;
        let expected = sender.highest - sender.first + 1;
        let (before, then) = std::mem::replace(&mut sender.reported, (expected, sender.received));
        let (expected_since, received_since) = (expected - before, sender.received - then);
        let loss = if expected_since > 0 { 1.0 - received_since as f64 / expected_since as f64 } else { 0.0 };
        Some(Figures {
            loss: loss.clamp(0.0, 1.0),
            lost: expected - sender.received,
            highest: sender.highest as u32,
            jitter: sender.jitter as u32,
            jitter_time: Duration::from_secs_f64(sender.jitter / self.rate),
            ssrc: sender.ssrc,
        })
    }
}

impl Sender {
    fn new(first: &Packet, anew: bool, begun: Instant) -> Self {
        let number = i64::from(first.sequence);
        Self {
            ssrc: first.ssrc,
            anew,
            first: number,
            highest: number,
            next: number,
            waiting: BTreeMap::new(),
            received: 0,
            reported: (0, 0),
            begun,
            heard: begun,
            transit: None,
            jitter: 0.0,
        }
    }

    fn knows(&self, packet: &Packet) -> bool {
        let distance = self.unwrapped(packet.sequence) - self.highest;
        self.ssrc == packet.ssrc && (-(HELD as i64)..=DROPOUT).contains(&distance)
    }

    fn take(&mut self, packet: Packet, now: Instant, rate: f64) {
        let number = self.unwrapped(packet.sequence);
        self.measure(packet.timestamp, now, rate);
        self.heard = self.heard.max(now);
        self.received += 1;
        self.highest = self.highest.max(number);
        // What comes too late or twice counts as received, and is of no use.
        if number >= self.next {
            self.waiting.entry(number).or_insert((packet, now));
        }
    }

    /// The number nearest to the highest so far.
    fn unwrapped(&self, sequence: u16) -> i64 {
        self.highest + i64::from(sequence.wrapping_sub(self.highest as u16) as i16)
    }

    /// RFC 3550 §A.8, with the time of arrival in ticks.
    fn measure(&mut self, timestamp: u32, now: Instant, rate: f64) {
        let arrival = now.saturating_duration_since(self.begun).as_secs_f64() * rate;
        let transit = arrival - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let wrap = 4_294_967_296.0;
            let difference = (transit - before + wrap / 2.0).rem_euclid(wrap) - wrap / 2.0;
            self.jitter += (difference.abs() - self.jitter) / 16.0;
        }
    }
}
