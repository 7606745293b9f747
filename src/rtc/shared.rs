//! What a peer and its interceptors tell each other past the crate, which stands between them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Of one peer. All of it is used by the peer's task alone.
#[derive(Debug, Default)]
pub struct Shared {
    genuine: AtomicU64,
    /// In microseconds.
    round_trip: AtomicU64,
}

impl Shared {
    /// A packet has come with the session's keys.
    pub fn hear(&self) {
        self.genuine.fetch_add(1, Ordering::Relaxed);
    }

    /// Packets that have come with the session's keys. It wraps.
    pub fn genuine(&self) -> u64 {
        self.genuine.load(Ordering::Relaxed)
    }

    /// So long it takes to the peer and back, at least.
    pub fn measure(&self, round_trip: Duration) {
        let microseconds = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip.store(microseconds, Ordering::Relaxed);
    }

    /// The same; zero while it is not known.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.load(Ordering::Relaxed))
    }
}
