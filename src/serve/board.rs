//! What is on air: the one table that delivery, captions and the API look lives up in.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{broadcast, watch};

use axum::http::HeaderMap;
use bytes::Bytes;

use super::{
    pace::Pace,
    poster::Poster,
    viewers::{Players, Viewers},
};
use crate::{
    archive,
    captions::Desk,
    egress::{rtsp, whep},
    hls,
    model::{LanguageTag, MediaTime, StreamName},
    stream,
};

/// A live and everything made from it. Stays on the board for a while after its end, so that
/// players can fetch the rest.
pub struct OnAir {
    /// The packet bus and its publisher.
    pub stream: Arc<stream::Live>,
    /// Playlists and parts.
    pub hls: Arc<hls::Live>,
    /// WebRTC viewers, where WebRTC is on.
    pub feed: Option<Arc<whep::Feed>>,
    /// RTSP readers, where RTSP is spoken.
    pub readers: Option<rtsp::Readership>,
    /// HLS players.
    pub players: Players,
    /// Captions.
    pub desk: Arc<Desk>,
    /// Where it is recorded, and how that goes.
    pub recording: Option<archive::Monitor>,
    /// How fast it comes in, see [`Board::sample`].
    pub pace: Pace,
    /// What it looks like.
    pub poster: Arc<Poster>,
    /// When it began.
    pub started_at: SystemTime,
}

impl OnAir {
    /// How many watch: the one place that adds up protocols. Nobody behind the end, when players fetch the rest.
    pub fn viewers(&self) -> Viewers {
        if self.stream.state() == stream::State::Ended {
            return Viewers::default();
        }
        let whep = self.feed.as_ref().map_or(0, |feed| feed.viewers());
        let rtsp = self.readers.as_ref().map_or(0, rtsp::Readership::count);
        Viewers { hls: self.players.count(), whep: whep as u32, rtsp: rtsp as u32 }
    }
}

/// Something that changed, as `/api/v1/events` tells it.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Change {
    /// A channel went live, lost its publisher, or ended.
    Channel {
        /// Which.
        name: StreamName,
        /// `idle`, `live`, `reconnecting` or `ended`.
        state: &'static str,
    },
    /// A recording changed its state.
    Recording {
        /// Which.
        id: String,
        /// `recording`, `processing`, `ready` or `failed`.
        state: &'static str,
    },
}

/// The table. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    lives: Arc<Mutex<HashMap<StreamName, Arc<OnAir>>>>,
    version: watch::Sender<u64>,
    changes: broadcast::Sender<Change>,
}

impl Default for Board {
    fn default() -> Self {
        Self { lives: Arc::default(), version: watch::Sender::new(0), changes: broadcast::channel(256).0 }
    }
}

impl Board {
    /// Puts a live on the board; a channel's earlier one makes room.
    pub fn put(&self, live: Arc<OnAir>) {
        let name = live.stream.name.clone();
        self.lock().insert(name, live);
        self.version.send_modify(|version| *version += 1);
    }

    /// Takes a live off, unless another one has its place already.
    pub fn take(&self, live: &Arc<OnAir>) {
        let mut lives = self.lock();
        if lives.get(&live.stream.name).is_some_and(|present| Arc::ptr_eq(present, live)) {
            lives.remove(&live.stream.name);
        }
        drop(lives);
        self.version.send_modify(|version| *version += 1);
    }

    /// Waits until a live is off the board: taken, or another one has its place. Cancel-safe.
    pub async fn left(&self, live: &Arc<OnAir>) {
        // The sender lives as long as the board.
        let _ = self.version.subscribe().wait_for(|_| !self.has(live)).await;
    }

    /// The live of a channel, ended or not.
    pub fn get(&self, name: &StreamName) -> Option<Arc<OnAir>> {
        self.lock().get(name).cloned()
    }

    /// Everything on the board.
    pub fn all(&self) -> Vec<Arc<OnAir>> {
        self.lock().values().cloned().collect()
    }

    /// Notes how fast lives come in, which players have gone, and how many are left, for subscribers of captions. Call it about twice a second.
    pub fn sample(&self, now: Instant) {
        for live in self.all() {
            let stats = live.stream.stats();
            live.pace.sample(now, stats.bytes, stats.video_frames);
            live.players.expire(now);
            live.desk.watched_by(live.viewers().total());
        }
    }

    /// Counts up when a live comes or goes.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells listeners of a live's state, unless a newer live of the channel has its place.
    pub fn announce_state(&self, live: &Arc<OnAir>, state: &'static str) {
        if self.has(live) {
            self.announce(Change::Channel { name: live.stream.name.clone(), state });
        }
    }

    /// Tells listeners of `/api/v1/events`.
    pub fn announce(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    /// Changes from now on. A listener that falls 256 behind loses the oldest.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn has(&self, live: &Arc<OnAir>) -> bool {
        self.lock().get(&live.stream.name).is_some_and(|present| Arc::ptr_eq(present, live))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Arc<OnAir>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl super::hls::Lives for Board {
    fn live(&self, name: &StreamName) -> Option<Arc<hls::Live>> {
        self.get(name).map(|live| live.hls.clone())
    }

    fn asked(&self, name: &StreamName, address: Option<IpAddr>, headers: &HeaderMap) {
        if let Some(live) = self.get(name) {
            live.players.ask(address, headers, Instant::now());
        }
    }

    fn past_captions(
        &self,
        name: &StreamName,
        language: &LanguageTag,
        start: MediaTime,
        duration: Duration,
    ) -> Option<Bytes> {
        self.get(name)?.desk.segment(language, start, duration)
    }
}

/// A live's state in the API's words.
pub fn state_of(live: Option<&stream::Live>) -> &'static str {
    match live.map(stream::Live::state) {
        None => "idle",
        Some(stream::State::Live) => "live",
        Some(stream::State::Reconnecting(_)) => "reconnecting",
        Some(stream::State::Ended) => "ended",
    }
}
