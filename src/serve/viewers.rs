//! How many watch a live, over every protocol.
//!
//! WebRTC and RTSP have sessions, which are counted where they are. HLS has none: a player is who asked for a
//! playlist lately, as nginx-rtmp's and MediaMTX's figures have it. Nothing that names a person is kept: a player is
//! a hash under a key that each live draws anew.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, header};
use serde::Serialize;

/// Names one playback. AVFoundation sends it, and so do our pages: a lecture hall behind one address counts right.
pub const PLAYBACK: HeaderName = HeaderName::from_static("x-playback-session-id");
/// Where a proxy says whom it asks for.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who watches a live now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Viewers {
    /// Players that have loaded a playlist within the last ten seconds; those behind a cache are not seen.
    pub hls: u32,
    /// WebRTC sessions that are connected.
    pub whep: u32,
    /// RTSP sessions.
    pub rtsp: u32,
}

impl Viewers {
    /// All of them.
    pub fn total(self) -> u32 {
        self.hls + self.whep + self.rtsp
    }
}

/// HLS players of one live. Whoever does not call again within [`Players::SEEN`] is gone.
#[derive(Debug, Default)]
pub struct Players {
    key: RandomState,
    seen: Mutex<HashMap<u64, Instant>>,
}

impl Players {
    /// Players that are told apart, at most: some 800 KiB while somebody invents that many. Further ones are not
    /// counted; a server takes 8,192 connections.
    pub const MOST: usize = 1 << 14;
    /// A player loads a playlist again after a target duration (4 s) at most, one and a half where nothing had changed
    /// (rfc8216bis §6.3.4).
    pub const SEEN: Duration = Duration::from_secs(10);

    /// A player has asked for a playlist. Who sends no [`PLAYBACK`] is told apart by its address and its program.
    pub fn ask(&self, address: Option<IpAddr>, headers: &HeaderMap, now: Instant) {
        let player = match headers.get(PLAYBACK) {
            Some(playback) => self.key.hash_one(playback.as_bytes()),
            None => {
                let header = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
                self.key.hash_one((address, header(&header::USER_AGENT), header(&FORWARDED)))
            }
        };
        let mut seen = self.lock();
        let full = seen.len() >= Self::MOST;
        match seen.entry(player) {
            Entry::Vacant(_) if full => metrics::counter!("amphi_hls_players_uncounted_total").increment(1),
            entry => *entry.or_insert(now) = now,
        }
    }

    /// Leaves out who is gone. Call it about twice a second: [`Players::ask`] does not look for them.
    pub fn expire(&self, now: Instant) {
        let mut seen = self.lock();
        seen.retain(|_, last| now.saturating_duration_since(*last) < Self::SEEN);
        let few = 2 * seen.len();
        seen.shrink_to(few);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.lock().len() as u32
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_player_counts_once_and_until_it_stops_asking() {
        let (players, start) = (Players::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let home = Some(Ipv4Addr::new(192, 0, 2, 1).into());
        let hall = Some(Ipv4Addr::new(192, 0, 2, 2).into());
        let vlc = headers(&[(header::USER_AGENT, "VLC/3.0")]);
        for _ in 0..3 {
            players.ask(home, &vlc, start);
            players.ask(home, &headers(&[(header::USER_AGENT, "mpv")]), start);
            // Two seats of a lecture hall: one address, one browser.
            for playback in ["one", "two"] {
                players.ask(hall, &headers(&[(header::USER_AGENT, "Chrome"), (PLAYBACK, playback)]), start);
            }
            // Two whom a proxy asks for.
            for client in ["198.51.100.1", "198.51.100.2"] {
                players.ask(hall, &headers(&[(header::USER_AGENT, "Chrome"), (FORWARDED, client)]), start);
            }
        }
        assert_eq!(players.count(), 6);
        players.ask(home, &vlc, at(9));
        players.expire(at(9));
        assert_eq!(players.count(), 6);
        players.expire(at(10));
        assert_eq!(players.count(), 1);
        players.expire(at(19));
        assert_eq!(players.count(), 0);
    }

    #[test]
    fn invented_players_take_bounded_memory_and_push_nobody_out() {
        let (players, start) = (Players::default(), Instant::now());
        let honest = Some(Ipv4Addr::LOCALHOST.into());
        players.ask(honest, &HeaderMap::new(), start);
        for number in 0..100_000_u32 {
            players.ask(Some(Ipv4Addr::from(number).into()), &HeaderMap::new(), start);
        }
        assert_eq!(players.count() as usize, Players::MOST);
        let later = start + Duration::from_secs(5);
        players.ask(honest, &HeaderMap::new(), later);
        players.expire(start + Players::SEEN);
        assert_eq!(players.count(), 1);
        assert!(players.lock().capacity() < 64, "the memory is given back");
    }
}
