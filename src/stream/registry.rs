use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::mpsc;

use super::{
    Busy, Live, Publication, State,
    live::Condition,
    seats::{Rank, Seats},
};
use crate::model::{Anchor, StreamName};

/// Encoders send a key frame within this time.
const KEY_FRAME: Duration = Duration::from_secs(15);

/// Every live of this server, by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lives: Mutex<HashMap<StreamName, Arc<Live>>>,
    started: mpsc::Sender<Arc<Live>>,
    grace: Duration,
}

/// Someone who was let in and wants to publish.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Which key was shown.
    pub rank: Rank,
    /// Replaces a connection of the same rank even if it is not silent.
    pub takeover: bool,
    /// `rtmp`, …
    pub protocol: &'static str,
    /// The other end.
    pub peer: SocketAddr,
}

impl Registry {
    /// An empty registry whose lives wait `grace` for a publisher that went away, and its lives as
    /// they begin; 64 may wait there, beyond that publishers are refused.
    pub fn new(grace: Duration) -> (Self, mpsc::Receiver<Arc<Live>>) {
        let (started, lives) = mpsc::channel(64);
        (Self { inner: Arc::new(Inner { lives: Mutex::default(), started, grace }) }, lives)
    }

    /// The live of a channel, unless it has none or it has ended.
    pub fn get(&self, name: &StreamName) -> Option<Arc<Live>> {
        self.table().get(name).cloned()
    }

    /// Every live that has not ended.
    pub fn lives(&self) -> Vec<Arc<Live>> {
        self.table().values().cloned().collect()
    }

    /// Gives a publisher that was let in its hold on the channel's live, which begins or goes on. While a publisher
    /// of the other rank is on the air, it stands by.
    ///
    /// # Errors
    /// [`Busy`] while another connection of its rank is publishing, or too many lives begin at once.
    pub fn publish(&self, name: &StreamName, claim: Claim, now: Instant) -> Result<Publication, Busy> {
        let Claim { rank, takeover, protocol, peer } = claim;
        let mut lives = self.table();
        if let Some(live) = lives.get(name) {
            let mut condition = live.condition();
            if condition.state != State::Ended {
                let before = condition.seats.on_air().is_some();
                let seat = condition.seats.sit(rank, protocol, peer, takeover, now)?;
                if !before || condition.seats.on_air_is(seat) {
                    condition.state = State::Live;
                    condition.stats.reconnects += 1;
                }
                drop(condition);
                return Ok(Publication::new(live.clone(), seat));
            }
        }
        let mut seats = Seats::default();
        let seat = seats.sit(rank, protocol, peer, takeover, now)?;
        let live = Live::new(name.clone(), Anchor::new(SystemTime::now()), seats, now);
        // Nobody there to present it is the server's affair; a crowd at the door is not.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.inner.started.try_send(live.clone()) {
            return Err(Busy);
        }
        lives.insert(name.clone(), live.clone());
        Ok(Publication::new(live, seat))
    }

    /// Finds publishers that have fallen silent, and ends every live whose grace has run out at `now`. Call it about
    /// twice a second.
    pub fn expire(&self, now: Instant) {
        let grace = self.inner.grace;
        self.end_where(|live, condition| {
            // One that has not begun yet is not missed.
            if condition.stats.bytes > 0 && condition.seats.drop_silent(now) {
                tracing::warn!(stream = %live.name, "the publisher has fallen silent");
                live.vacate(condition, now);
            }
            let State::Reconnecting(since) = condition.state else { return false };
            let away = now.saturating_duration_since(since);
            // Who is about to go on the air waits for its next key frame.
            let due = condition.seats.is_due(now);
            let waits = due.is_some_and(|heard| away < grace + KEY_FRAME || heard < KEY_FRAME);
            away >= grace && !waits && !condition.seats.may_return(now)
        });
    }

    /// Ends every live at once: the server is shutting down.
    pub fn end_all(&self) {
        self.end_where(|_, _| true);
    }

    /// Ends one live at once: it cannot be presented. Its publisher finds itself replaced.
    pub fn end(&self, live: &Arc<Live>) {
        self.end_where(|candidate, _| Arc::ptr_eq(candidate, live));
    }

    fn end_where(&self, over: impl Fn(&Arc<Live>, &mut Condition) -> bool) {
        self.table().retain(|_, live| {
            let mut condition = live.condition();
            let ends = over(live, &mut condition);
            if ends {
                condition.state = State::Ended;
                condition.seats.clear();
                live.producer.end();
            }
            !ends
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<StreamName, Arc<Live>>> {
        self.inner.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
