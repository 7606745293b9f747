use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use super::{
    Producer,
    seats::{NotThere, Publisher, Rank, Seats},
};
use crate::model::{Anchor, MediaTime, StreamName};

/// Readers may fall this many events behind: about 13 s of a video, two rungs and an audio track.
const BUS_CAPACITY: usize = 2048;

/// Where a live is in its life: idle → live ⇄ reconnecting → ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A publisher is connected.
    Live,
    /// The publisher is gone since then; the live goes on if it returns within the grace.
    Reconnecting(Instant),
    /// Over. A publisher that comes now starts another live.
    Ended,
}

/// One live: from the first packet to the end of the last publisher's grace.
#[derive(Debug)]
pub struct Live {
    /// The channel.
    pub name: StreamName,
    /// Wall clock of media time zero.
    pub anchor: Anchor,
    /// The packet bus.
    pub producer: Producer,
    epoch: Instant,
    opened: watch::Sender<bool>,
    /// Counts the key frames that readers have asked for.
    pub(super) key_frames: watch::Sender<u64>,
    pub(super) condition: Mutex<Condition>,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub state: State,
    pub seats: Seats,
    pub end: MediaTime,
    pub stats: Stats,
}

/// What status reports about a live.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Media bytes received in this live.
    pub bytes: u64,
    /// Video frames received in this live.
    pub video_frames: u64,
    /// Times a publisher came back, or another took over.
    pub reconnects: u32,
}

impl Live {
    pub(super) fn new(name: StreamName, anchor: Anchor, seats: Seats, now: Instant) -> Arc<Self> {
        let condition = Condition { state: State::Live, seats, end: MediaTime::ZERO, stats: Stats::default() };
        Arc::new(Self {
            name,
            anchor,
            producer: Producer::new(BUS_CAPACITY),
            epoch: now,
            opened: watch::Sender::new(false),
            key_frames: watch::Sender::new(0),
            condition: Mutex::new(condition),
        })
    }

    /// Where the live is in its life.
    pub fn state(&self) -> State {
        self.condition().state
    }

    /// How much has come.
    pub fn stats(&self) -> Stats {
        self.condition().stats.clone()
    }

    /// Who is connected, the main publisher first. Empty while they are all away.
    pub fn publishers(&self) -> Vec<Publisher> {
        self.condition().seats.publishers()
    }

    /// Calls a publisher to the air; it goes on with its next key frame, behind a discontinuity, and the other one
    /// stands by.
    ///
    /// # Errors
    /// [`NotThere`]: the live stays with who is on the air.
    pub fn call(&self, rank: Rank) -> Result<(), NotThere> {
        self.condition().seats.call(rank)?;
        self.want_key_frame();
        Ok(())
    }

    /// Its readers are in place: packets may come.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Waits until its readers are in place. Cancel-safe.
    pub async fn opened(&self) {
        // The sender lives as long as the live.
        let _ = self.opened.subscribe().wait_for(|open| *open).await;
    }

    /// Asks publishers for a key frame soon; protocols that cannot ask let it pass.
    pub fn want_key_frame(&self) {
        self.key_frames.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Media time of an instant.
    pub fn at(&self, now: Instant) -> MediaTime {
        MediaTime::ZERO + now.saturating_duration_since(self.epoch)
    }

    /// Nobody is on the air.
    pub(super) fn vacate(&self, condition: &mut Condition, now: Instant) {
        if condition.state == State::Live {
            condition.state = State::Reconnecting(now);
            // Told under the lock, so that nothing of a successor's comes before.
            self.producer.away();
            self.want_key_frame();
        }
    }

    pub(super) fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
