use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::ingest::site;

/// How many peers are remembered.
const PEERS: usize = 1024;
/// A peer that shows no wrong key for this long is forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// The first wrong key waits this long for its answer, each further one twice as long as the last.
const FIRST: Duration = Duration::from_millis(100);
/// No answer waits longer than this.
const LONGEST: Duration = Duration::from_secs(3);

/// Slows those down who try keys. Only wrong keys wait: a lecturer behind the same address as a
/// guesser is never kept out.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    peers: HashMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// Counts a wrong key of a peer; says how long its answer waits.
    pub(super) fn failed(&mut self, peer: IpAddr, now: Instant) -> Duration {
        let peer = site(peer);
        if !self.peers.contains_key(&peer) && self.peers.len() >= PEERS {
            self.make_room(now);
        }
        let failures = self.peers.entry(peer).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= MEMORY {
            failures.count = 0;
        }
        let delay = FIRST.saturating_mul(1 << failures.count.min(16)).min(LONGEST);
        failures.count += 1;
        failures.last = now;
        delay
    }

    /// Forgets the quiet ones, and the quietest if none is quiet enough.
    fn make_room(&mut self, now: Instant) {
        self.peers.retain(|_, failures| now.saturating_duration_since(failures.last) < MEMORY);
        if self.peers.len() >= PEERS
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, failures)| failures.last).map(|(peer, _)| *peer)
        {
            self.peers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_key_waits_longer_until_the_peer_was_quiet() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(throttle.failed(peer, start), FIRST);
        assert_eq!(throttle.failed(neighbour, start), FIRST * 2);
        for _ in 0..100 {
            throttle.failed(peer, start);
        }
        assert_eq!(throttle.failed(peer, start), LONGEST);
        assert_eq!(throttle.failed(peer, start + MEMORY), FIRST);
    }

    #[test]
    fn the_table_stays_bounded() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for n in 0..5_000u32 {
            throttle.failed(IpAddr::V4(n.into()), start + Duration::from_millis(n.into()));
        }
        assert_eq!(throttle.peers.len(), PEERS);
    }
}
