use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::watch;

use super::{Desk, Event};
use crate::model::{LanguageTag, MediaTime};

/// The last events of a live, for all its subscribers together.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// Latest entry of each cue that is still in the log.
    latest: HashMap<u64, u64>,
    head: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    at: MediaTime,
    event: Arc<Event>,
}

/// One reader of a desk: first what it asked to be replayed, then what happens.
#[derive(Debug)]
pub struct Subscription {
    desk: Arc<Desk>,
    lang: Option<LanguageTag>,
    replay: VecDeque<Arc<Event>>,
    next: u64,
    head: watch::Receiver<u64>,
    dropped: u64,
    ended: bool,
}

/// The subscriber fell 30 s behind; it may come back with the last id it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the subscriber is more than 30 s behind; resume with the last cue id")]
pub struct TooSlow;

/// How long events are kept for those who are behind.
const KEPT: std::time::Duration = std::time::Duration::from_secs(30);
/// And how many: some 500 events a second for 30 s, above what any number of tracks makes.
const MOST: usize = 16_384;
/// A subscriber so many events behind is spared revisions that are already outdated.
const BEHIND: u64 = 32;

impl Log {
    pub fn new() -> Self {
        let (head, _) = watch::channel(0);
        Self { entries: VecDeque::new(), first: 0, latest: HashMap::new(), head }
    }

    pub fn push(&mut self, event: Arc<Event>, now: MediaTime) -> u64 {
        let number = self.first + self.entries.len() as u64;
        if let Some(id) = event.id {
            self.latest.insert(id, number);
        }
        self.entries.push_back(Entry { at: now, event });
        while self.entries.len() > MOST || self.entries.front().is_some_and(|oldest| now.since(oldest.at) > KEPT) {
            let Some(oldest) = self.entries.pop_front() else { break };
            if let Some(id) = oldest.event.id
                && self.latest.get(&id) == Some(&self.first)
            {
                self.latest.remove(&id);
            }
            self.first += 1;
        }
        self.head.send_replace(number + 1);
        number
    }

    /// Where a subscriber that wants everything from now on begins.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// The next event for a reader at `next`; counts what it skips.
    fn read(
        &self,
        next: &mut u64,
        lang: Option<&LanguageTag>,
        dropped: &mut u64,
    ) -> Result<Option<Arc<Event>>, TooSlow> {
        if *next < self.first {
            return Err(TooSlow);
        }
        while let Some(entry) = self.entries.get((*next - self.first) as usize) {
            let number = *next;
            *next += 1;
            let event = &entry.event;
            if lang.is_some() && event.lang.is_some() && lang != event.lang.as_ref() {
                continue;
            }
            let outdated = event.id.and_then(|id| self.latest.get(&id)).is_some_and(|latest| *latest > number);
            if event.is_partial() && outdated && self.end() - number > BEHIND {
                *dropped += 1;
                continue;
            }
            return Ok(Some(event.clone()));
        }
        Ok(None)
    }
}

impl Subscription {
    pub(super) fn new(
        desk: Arc<Desk>,
        lang: Option<LanguageTag>,
        replay: VecDeque<Arc<Event>>,
        dropped: u64,
        next: u64,
        head: watch::Receiver<u64>,
    ) -> Self {
        Self { desk, lang, replay, next, head, dropped, ended: false }
    }

    /// The next event, or `None` behind the end of the live. Cancel-safe.
    ///
    /// # Errors
    /// [`TooSlow`] when final cues would be lost.
    pub async fn recv(&mut self) -> Result<Option<Arc<Event>>, TooSlow> {
        loop {
            if let Some(event) = self.try_recv()? {
                return Ok(Some(event));
            }
            // The desk, which this subscription holds, holds the sender: it cannot be gone.
            if self.ended || self.head.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    /// As [`Subscription::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Arc<Event>>, TooSlow> {
        let event = match self.replay.pop_front() {
            Some(event) => event,
            None if self.ended => return Ok(None),
            None => {
                self.head.mark_unchanged();
                let read = self.desk.read(|log| log.read(&mut self.next, self.lang.as_ref(), &mut self.dropped))?;
                let Some(event) = read else { return Ok(None) };
                event
            }
        };
        self.ended = event.is_end();
        if self.dropped == 0 {
            return Ok(Some(event));
        }
        Ok(Some(Arc::new(event.with_dropped(self.dropped))))
    }

    /// Revisions this subscriber was spared because it was behind, and cues that were too many to be replayed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
