//! How often one place may knock. Pure.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::ingest::site;

/// Places that are remembered.
const SITES: usize = 1024;
/// Handshakes at once.
const BURST: u32 = 32;
/// Time after which one more is due.
const PACE: Duration = Duration::from_millis(125);

/// Bounds what wrong passphrases cost: libsrt derives a key from each, a millisecond of its one receiving thread.
/// Encoders try once a second at most, and a hall of them behind one address still comes in.
#[derive(Debug, Default)]
pub struct Knocks {
    /// When each place is quiet again.
    sites: HashMap<IpAddr, Instant>,
}

impl Knocks {
    /// Whether a handshake from there may go on at `now`.
    pub fn admit(&mut self, peer: IpAddr, now: Instant) -> bool {
        let site = site(peer);
        if self.sites.len() >= SITES && !self.sites.contains_key(&site) {
            self.make_room(now);
        }
        let quiet = self.sites.entry(site).or_insert(now);
        let next = (*quiet).max(now) + PACE;
        let admitted = next <= now + PACE * BURST;
        if admitted {
            *quiet = next;
        }
        admitted
    }

    /// Forgets the quiet ones, and the quietest if none is.
    fn make_room(&mut self, now: Instant) {
        self.sites.retain(|_, quiet| *quiet > now);
        if self.sites.len() >= SITES
            && let Some(quietest) = self.sites.iter().min_by_key(|(_, quiet)| **quiet).map(|(site, _)| *site)
        {
            self.sites.remove(&quietest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_held_to_its_pace_and_others_do_not_notice() {
        let (mut knocks, begin) = (Knocks::default(), Instant::now());
        let (flood, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let admitted = |knocks: &mut Knocks, peer, second: u64| {
            (0..1_000_u64).filter(|n| knocks.admit(peer, begin + Duration::from_millis(second * 1_000 + n))).count()
        };
        assert_eq!(admitted(&mut knocks, flood, 0), 32 + 7);
        assert_eq!(admitted(&mut knocks, flood, 1), 8);
        assert!(knocks.admit(other, begin + Duration::from_secs(2)));
        assert_eq!(admitted(&mut knocks, flood, 60), 32 + 7, "after a pause");
    }

    #[test]
    fn the_table_stays_bounded() {
        let (mut knocks, begin) = (Knocks::default(), Instant::now());
        for n in 0..5_000_u32 {
            assert!(knocks.admit(IpAddr::V4(n.into()), begin));
            assert!(knocks.sites.len() <= SITES);
        }
    }
}
