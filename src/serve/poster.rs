//! A live's picture of now: `/live/NAME/poster.jpg`, made when somebody asks.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use tokio::{sync::watch, time::timeout};

use super::{
    Server,
    problem::{Problem, Result},
};
use crate::{
    media::{self, Templates},
    model::{Chain, Packet, StreamName, Track, TrackId},
    stream::{self, Event},
};

/// A picture serves for so long before another is made.
const AGE: Duration = Duration::from_secs(5);
/// Lines of a picture: a card's on a sharp screen.
const HEIGHT: u32 = 360;
/// A first picture is waited for no longer; making one may take five seconds, behind those of other lives.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET /live/{name}/poster.jpg`.
pub fn router() -> Router<Server> {
    Router::new().route("/live/{name}/poster.jpg", get(poster))
}

/// The newest key frame of a live, and the picture last made of one.
#[derive(Debug, Default)]
pub struct Poster {
    state: Mutex<Shots>,
    made: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Shots {
    track: Option<Arc<Track>>,
    newest: Option<Packet>,
    picture: Option<Bytes>,
    /// When the last picture was begun.
    since: Option<Instant>,
    making: bool,
}

impl Poster {
    /// Notes what passes on the live's bus: a key frame is kept, not copied.
    pub fn note(&self, event: &Event) {
        match event {
            Event::Track(track) if track.id == TrackId::VIDEO => {
                let mut shots = self.lock();
                (shots.track, shots.newest) = (Some(track.clone()), None);
            }
            Event::Packet(packet) if packet.track == TrackId::VIDEO && packet.key => {
                self.lock().newest = Some(packet.clone());
            }
            _ => {}
        }
    }

    /// There is something to make a picture of.
    pub fn is_there(&self) -> bool {
        let shots = self.lock();
        shots.newest.is_some() || shots.picture.is_some()
    }

    /// A picture, JPEG, at most some seconds older than the newest key frame at `now`; one that is being made
    /// again is answered with the one before. `None`: there is no video, or it gives no picture. Cancel-safe.
    async fn picture(self: &Arc<Self>, templates: &Arc<Templates>, now: Instant) -> Option<Bytes> {
        // Subscribed first, so that the end of the making is not missed.
        let mut made = self.made.subscribe();
        let making = self.begin(templates, now);
        let there = self.lock().picture.clone();
        if !making || there.is_some() {
            return there;
        }
        let _ = timeout(PATIENCE, made.changed()).await;
        self.lock().picture.clone()
    }

    /// Begins to make a picture on a thread for such work, if one is due. True: one is being made.
    fn begin(self: &Arc<Self>, templates: &Arc<Templates>, now: Instant) -> bool {
        let mut shots = self.lock();
        let due = shots.since.is_none_or(|since| now.saturating_duration_since(since) >= AGE);
        if shots.making || !due {
            return shots.making;
        }
        let (Some(track), Some(key)) = (shots.track.clone(), shots.newest.clone()) else { return false };
        (shots.since, shots.making) = (Some(now), true);
        let (poster, templates) = (self.clone(), templates.clone());
        tokio::task::spawn_blocking(move || poster.make(&track, &key, &templates));
        true
    }

    fn make(&self, track: &Track, key: &Packet, templates: &Templates) {
        // One picture at a time: the start page asks for those of all lives at once.
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = track.format.video().map(|format| media::poster::jpeg(format, key, HEIGHT, templates));
        drop(alone);
        let mut shots = self.lock();
        shots.making = false;
        match picture {
            Some(Ok(picture)) => shots.picture = Some(picture),
            Some(Err(error)) => tracing::debug!(error = %Chain(&error), "a key frame gives no picture"),
            None => {}
        }
        self.made.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Shots> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn poster(State(server): State<Server>, Path(name): Path<String>) -> Result<Response> {
    let live = StreamName::parse(&name).ok().and_then(|name| server.board.get(&name));
    let live = live.filter(|live| live.stream.state() != stream::State::Ended);
    let none = "this channel is not live, or shows no picture: check its name, or try again when it does";
    let live = live.ok_or_else(|| Problem::not_found(none))?;
    let picture = live.poster.picture(&server.templates, Instant::now()).await;
    let picture = picture.ok_or_else(|| Problem::not_found(none))?;
    let cache = format!("public, max-age={}", AGE.as_secs());
    Ok(([(header::CONTENT_TYPE, "image/jpeg".to_owned()), (header::CACHE_CONTROL, cache)], picture).into_response())
}
