use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::watch, time};

use super::{Answer, Back, Captions, Directives, HOLD, Kind, Playlist, Reach, Window};
use crate::model::{Init, Part, RenditionId};

/// A [`Window`] between one publisher and any number of held requests.
///
/// Every change wakes the requests held on its rendition once. A request that is cut off leaves
/// nothing behind: all it holds is a receiver.
#[derive(Debug)]
pub struct Live {
    state: Mutex<State>,
    hold: Duration,
}

#[derive(Debug)]
struct State {
    window: Option<Window>,
    /// The live has ended, with a window or without.
    over: bool,
    /// One for each rendition somebody has waited for; as many as the window has at most.
    changes: HashMap<RenditionId, watch::Sender<()>>,
    /// Every change before the multivariant playlist is there.
    any: watch::Sender<()>,
}

/// Why a request got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such thing, or no longer.
    #[error("no such playlist, segment or part in this live: load the multivariant playlist again")]
    NotFound,
    /// The directives contradict rfc8216bis §6.2.5.2.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Nothing came for three target durations.
    #[error("the live does not move: its encoder has stalled or is just starting; try again in a second")]
    Stalled,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(HOLD)
    }
}

impl Live {
    /// A live without a window yet: the multivariant playlist is waited for, anything else is not found.
    /// Requests are held for `hold` at most; [`HOLD`] is what rfc8216bis asks for.
    pub fn new(hold: Duration) -> Self {
        let (any, _) = watch::channel(());
        Self { state: Mutex::new(State { window: None, over: false, changes: HashMap::new(), any }), hold }
    }

    /// Gives the live its window, as soon as the length of its parts is known.
    pub fn open(&self, mut window: Window) {
        let mut state = self.lock();
        if state.over {
            window.end();
        }
        state.window = Some(window);
        state.any.send_replace(());
    }

    /// Publishes an initialisation segment. False: the live has no window yet.
    pub fn init(&self, init: Init) -> bool {
        let mut state = self.lock();
        let Some(window) = &mut state.window else { return false };
        window.init(init);
        state.any.send_replace(());
        true
    }

    /// Publishes a part. False: it was dropped, see [`Window::part`], or the live has no window yet.
    pub fn part(&self, part: Part) -> bool {
        let mut state = self.lock();
        let rendition = part.rendition.clone();
        let taken = state.window.as_mut().is_some_and(|window| window.part(part));
        if taken {
            if let Some(change) = state.changes.get(&rendition) {
                change.send_replace(());
            }
            state.any.send_replace(());
        }
        taken
    }

    /// Other caption tracks, see [`Window::captions`]. Nothing happens before the live has its window.
    pub fn captions(&self, tracks: impl IntoIterator<Item = Captions>) {
        if let Some(window) = &mut self.lock().window {
            window.captions(tracks);
        }
    }

    /// Ends the live for every request, held or to come.
    pub fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        if let Some(window) = &mut state.window {
            window.end();
        }
        for change in state.changes.values().chain([&state.any]) {
            change.send_replace(());
        }
    }

    /// The live is over.
    pub fn ended(&self) -> bool {
        self.lock().over
    }

    /// What a rendition holds; `None` if there is no such rendition, or it has not begun.
    pub fn kind(&self, id: &RenditionId) -> Option<Kind> {
        self.lock().window.as_ref()?.kind(id)
    }

    /// A query names this live, or none: those of the channel's other lives name other bytes.
    pub fn serves(&self, query: &str) -> bool {
        let state = self.lock();
        let own = state.window.as_ref().map(Window::query);
        query.split('&').all(|pair| !pair.starts_with("l=") || Some(pair) == own)
    }

    /// Requests held now.
    pub fn held(&self) -> usize {
        let state = self.lock();
        state.any.receiver_count() + state.changes.values().map(watch::Sender::receiver_count).sum::<usize>()
    }

    /// Media bytes held.
    pub fn bytes(&self) -> usize {
        self.lock().window.as_ref().map_or(0, Window::bytes)
    }

    /// How far players may go back now; `None` where they may not.
    pub fn reach(&self) -> Option<Duration> {
        self.lock().window.as_ref()?.reach()
    }

    /// The multivariant playlist over playlists that go back so far, waited for while the live begins. Cancel-safe.
    ///
    /// # Errors
    /// [`Refused::Stalled`] when nothing has come, [`Refused::NotFound`] when the live ended without media, or
    /// players may not go back.
    pub async fn multivariant(&self, reach: Reach) -> Result<Arc<Playlist>, Refused> {
        let until = time::Instant::now() + self.hold;
        let mut change = None;
        loop {
            let deadline = {
                let mut state = self.lock();
                let now = Instant::now();
                let refuses = |window: &Window| reach == Reach::Back && window.reach().is_none();
                if state.window.as_ref().is_some_and(refuses) {
                    return Err(Refused::NotFound);
                }
                if let Some(playlist) = state.window.as_mut().and_then(|window| window.multivariant(reach, now)) {
                    return Ok(playlist);
                }
                if state.over {
                    return Err(Refused::NotFound);
                }
                // Subscribed under the lock, so that no change falls between the answer and the wait.
                change.get_or_insert_with(|| state.any.subscribe());
                state.window.as_ref().map(Window::deadline).filter(|deadline| *deadline > now)
            };
            if time::Instant::now() >= until {
                return Err(Refused::Stalled);
            }
            let wake = deadline.map_or(until, |deadline| until.min(deadline.into()));
            wait(&mut change, wake).await;
        }
    }

    /// A media playlist that goes back so far, held as its directives ask (rfc8216bis §6.2.5.2). Cancel-safe.
    ///
    /// # Errors
    /// As [`Refused`] says.
    pub async fn playlist(
        &self,
        id: &RenditionId,
        reach: Reach,
        directives: Directives,
    ) -> Result<Arc<Playlist>, Refused> {
        self.hold(id, |window| window.playlist(id, reach, directives)).await
    }

    /// A part; the hinted one is waited for (rfc8216bis §6.2.6). Cancel-safe.
    ///
    /// # Errors
    /// As [`Refused`] says.
    pub async fn part_bytes(&self, id: &RenditionId, number: u64) -> Result<Bytes, Refused> {
        self.hold(id, |window| window.part_bytes(id, number)).await
    }

    /// A complete segment, as its parts in order.
    pub fn segment(&self, id: &RenditionId, msn: u64) -> Option<Vec<Bytes>> {
        match self.lock().window.as_ref()?.segment(id, msn) {
            Answer::Ready(parts) => Some(parts),
            _ => None,
        }
    }

    /// An initialisation segment.
    pub fn init_bytes(&self, id: &RenditionId, version: u32) -> Option<Bytes> {
        self.lock().window.as_ref()?.init_bytes(id, version)
    }

    /// A segment that is no longer in memory, where players may go back to it.
    pub fn back(&self, id: &RenditionId, msn: u64) -> Option<Back> {
        self.lock().window.as_ref()?.back(id, msn)
    }

    /// An initialisation segment that is no longer in memory.
    pub fn init_back(&self, id: &RenditionId, version: u32) -> Option<Back> {
        self.lock().window.as_ref()?.init_back(id, version)
    }

    async fn hold<T>(&self, id: &RenditionId, ask: impl Fn(&mut Window) -> Answer<T>) -> Result<T, Refused> {
        let until = time::Instant::now() + self.hold;
        let mut change = None;
        loop {
            {
                let mut state = self.lock();
                match state.window.as_mut().map_or(Answer::NotFound, &ask) {
                    Answer::Ready(value) => return Ok(value),
                    Answer::BadRequest(why) => return Err(Refused::BadRequest(why)),
                    Answer::NotFound => return Err(Refused::NotFound),
                    // The window knows the rendition, so the map grows by no name of a client's invention.
                    Answer::Wait if change.is_none() => {
                        let sender = state.changes.entry(id.clone()).or_insert_with(|| watch::channel(()).0);
                        change = Some(sender.subscribe());
                    }
                    Answer::Wait => {}
                }
            }
            if time::Instant::now() >= until {
                return Err(Refused::Stalled);
            }
            wait(&mut change, until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until the next change or the time is up, whichever comes first.
async fn wait(change: &mut Option<watch::Receiver<()>>, until: time::Instant) {
    match change {
        // The sender lives as long as the live that the caller borrows.
        Some(change) => drop(time::timeout_at(until, change.changed()).await),
        None => time::sleep_until(until).await,
    }
}
