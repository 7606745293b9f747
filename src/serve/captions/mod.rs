//! Captions over HTTP: websocket, server-sent events, the whole track as WebVTT, corrections.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State, WebSocketUpgrade,
        rejection::JsonRejection,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::{HeaderMap, Uri, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::{get, put},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::problem::{Problem, Result};
use crate::{
    captions::{Desk, Event, Subscription, TooSlow},
    model::{LanguageTag, MediaTime, StreamName},
};

/// Where the lives' desks are found. `app` implements it.
pub trait Desks: Send + Sync + 'static {
    /// The desk of the channel's live with the live's media time now; none while it is not live.
    fn desk(&self, name: &StreamName) -> Option<(Arc<Desk>, MediaTime)>;

    /// There is such a channel, live or not.
    fn exists(&self, name: &StreamName) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// Changes whenever a live begins anywhere.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What the handlers share.
#[derive(Clone)]
pub struct Captions {
    /// The lives.
    pub desks: Arc<dyn Desks>,
    /// The server is shutting down: subscribers are sent away.
    pub shutdown: CancellationToken,
}

/// A ping goes out this often.
const PING: Duration = Duration::from_secs(20);
/// A client that has answered nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(65);
/// A message that cannot be written for so long ends the connection.
const WRITE: Duration = Duration::from_secs(30);
/// Bytes of a message from a client; none is expected.
const MESSAGE: usize = 4 * 1024;
/// Messages from a client before it is sent away; an honest one sends pongs only.
const MESSAGES: u32 = 100_000;
/// Bytes of a correction.
const CORRECTION: usize = 16 * 1024;

/// Reading: `GET /api/v1/channels/NAME/captions/{ws,events,LANG.vtt}`.
pub fn routes(captions: Captions) -> Router {
    Router::new()
        .route("/api/v1/channels/{name}/captions/ws", get(websocket))
        .route("/api/v1/channels/{name}/captions/events", get(events))
        .route("/api/v1/channels/{name}/captions/{file}", get(document))
        .with_state(captions)
}

/// Writing: `PUT /api/v1/channels/NAME/captions/LANG/cues/ID`. Lay the authorisation over it.
pub fn correction_routes(captions: Captions) -> Router {
    Router::new()
        .route("/api/v1/channels/{name}/captions/{lang}/cues/{id}", put(correct))
        .layer(DefaultBodyLimit::max(CORRECTION))
        .with_state(captions)
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
    since: Option<String>,
}

struct Wanted {
    name: StreamName,
    lang: Option<LanguageTag>,
    since: Option<u64>,
}

impl Wanted {
    async fn parse(captions: &Captions, name: &str, uri: &Uri) -> Result<Self> {
        let Query(asked) = Query::<Asked>::try_from_uri(uri)
            .map_err(|_| Problem::bad_request("give lang and since at most once each: ?lang=en&since=17"))?;
        let lang = asked.lang.filter(|lang| !lang.is_empty()).map(|lang| language(&lang)).transpose()?;
        let since = asked.since.filter(|since| !since.is_empty()).map(|since| {
            since.parse().map_err(|_| Problem::bad_request("since is the id of the last cue seen, a whole number"))
        });
        let name = channel(name)?;
        if !captions.desks.exists(&name).await {
            return Err(no_channel(&name));
        }
        Ok(Self { name, lang, since: since.transpose()? })
    }
}

fn channel(name: &str) -> Result<StreamName> {
    StreamName::parse(name).map_err(|error| Problem::not_found(error.to_string()))
}

fn language(tag: &str) -> Result<LanguageTag> {
    LanguageTag::parse(tag).map_err(|error| Problem::bad_request(error.to_string()))
}

fn no_channel(name: &StreamName) -> Problem {
    Problem::not_found(format!("there is no channel {name}: check its name in the list of channels"))
}

async fn websocket(
    State(captions): State<Captions>,
    Path(name): Path<String>,
    uri: Uri,
    upgrade: std::result::Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response> {
    let wanted = Wanted::parse(&captions, &name, &uri).await?;
    let upgrade = upgrade.map_err(|_| {
        Problem::bad_request("this address speaks websocket: connect with ws://, or read …/captions/events")
    })?;
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut feed = Feed::new(captions, wanted);
        let goodbye = serve(socket, &mut feed).await;
        tracing::debug!(stream = %feed.wanted.name, reason = goodbye, "caption subscriber left");
    }))
}

/// Sends until the live ends or the client goes; says why it ended.
async fn serve(mut socket: WebSocket, feed: &mut Feed) -> &'static str {
    let mut ping = time::interval_at(Instant::now() + PING, PING);
    let (mut heard, mut messages) = (Instant::now(), 0_u32);
    let (code, reason) = loop {
        let message = tokio::select! {
            next = feed.next() => match next {
                Ok(Some(event)) => match Utf8Bytes::try_from(event.json.clone()) {
                    Ok(text) => Message::Text(text),
                    Err(_) => continue,
                },
                Ok(None) if feed.captions.shutdown.is_cancelled() => break (close_code::AWAY, "server is stopping"),
                Ok(None) => break (close_code::NORMAL, "the live is over"),
                Err(TooSlow) => break (close_code::AGAIN, "more than 30 s behind; resume with ?since=ID"),
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return "closed by client",
                Some(Ok(_)) => {
                    heard = Instant::now();
                    messages += 1;
                    if messages > MESSAGES {
                        break (close_code::POLICY, "too many messages");
                    }
                    continue;
                }
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return "silent";
                }
                Message::Ping(Default::default())
            }
        };
        match time::timeout(WRITE, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return "closed by client",
            Err(_) => return "stalled",
        }
    };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    let _ = time::timeout(Duration::from_secs(1), socket.send(close)).await;
    reason
}

async fn events(
    State(captions): State<Captions>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    let mut wanted = Wanted::parse(&captions, &name, &uri).await?;
    // A browser that reconnects repeats the query of its first request; the header is newer.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    wanted.since = last.or(wanted.since);
    let no_buffering = [(header::CACHE_CONTROL.as_str(), "no-store"), ("x-accel-buffering", "no")];
    let stream = Sse::new(messages(Feed::new(captions, wanted)));
    Ok((no_buffering, stream.keep_alive(KeepAlive::new().interval(PING))))
}

fn messages(feed: Feed) -> impl Stream<Item = std::result::Result<sse::Event, Infallible>> {
    stream::unfold(feed, |mut feed| async {
        let event = feed.next().await.ok().flatten()?;
        let message = sse::Event::default().data(String::from_utf8_lossy(&event.json));
        let message = match event.id {
            Some(id) => message.id(id.to_string()),
            None => message,
        };
        Some((Ok(message), feed))
    })
}

async fn document(State(captions): State<Captions>, Path((name, file)): Path<(String, String)>) -> Result<Response> {
    let name = channel(&name)?;
    let lang = file
        .strip_suffix(".vtt")
        .ok_or_else(|| Problem::not_found("captions are at ws, events and LANG.vtt, for example en.vtt"))?;
    let lang = language(lang)?;
    let (desk, _) = live(&captions, &name).await?;
    let document = desk.document(&lang).ok_or_else(|| no_track(&desk, &lang))?;
    let headers = [(header::CONTENT_TYPE, "text/vtt; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, document).into_response())
}

#[derive(Deserialize)]
struct Correction {
    text: String,
}

async fn correct(
    State(captions): State<Captions>,
    Path((name, lang, id)): Path<(String, String, String)>,
    body: std::result::Result<Json<Correction>, JsonRejection>,
) -> Result<Response> {
    let name = channel(&name)?;
    let lang = language(&lang)?;
    let id = id.parse().map_err(|_| Problem::not_found("a cue's id is a whole number"))?;
    let Json(correction) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (desk, now) = live(&captions, &name).await?;
    let cue = desk.correct(&lang, id, &correction.text, now)?;
    let json = desk.event(&cue).json;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

async fn live(captions: &Captions, name: &StreamName) -> Result<(Arc<Desk>, MediaTime)> {
    match captions.desks.desk(name) {
        Some(live) => Ok(live),
        None if captions.desks.exists(name).await => {
            Err(Problem::not_found(format!("channel {name} is not live: try again when it is")))
        }
        None => Err(no_channel(name)),
    }
}

fn no_track(desk: &Desk, lang: &LanguageTag) -> Problem {
    let known: Vec<String> = desk.lineup().all().map(ToString::to_string).collect();
    Problem::not_found(format!("there are no captions in {lang}; there are: {}", known.join(", ")))
}

/// A subscriber's stream of events across "before the live" and the live itself.
struct Feed {
    captions: Captions,
    wanted: Wanted,
    changes: watch::Receiver<u64>,
    state: FeedState,
}

enum FeedState {
    New,
    Waiting,
    Live(Subscription),
    Over,
}

impl Feed {
    fn new(captions: Captions, wanted: Wanted) -> Self {
        let changes = captions.desks.changes();
        Self { captions, wanted, changes, state: FeedState::New }
    }

    /// The next event; none behind the end, or when the server stops. Cancel-safe.
    async fn next(&mut self) -> std::result::Result<Option<Arc<Event>>, TooSlow> {
        let shutdown = self.captions.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => Ok(None),
            next = self.live_next() => next,
        }
    }

    async fn live_next(&mut self) -> std::result::Result<Option<Arc<Event>>, TooSlow> {
        loop {
            match &mut self.state {
                FeedState::Live(subscription) => {
                    let event = subscription.recv().await?;
                    if event.is_none() {
                        self.state = FeedState::Over;
                    }
                    return Ok(event);
                }
                FeedState::Over => return Ok(None),
                FeedState::New | FeedState::Waiting => {
                    self.changes.mark_unchanged();
                    if let Some((desk, now)) = self.captions.desks.desk(&self.wanted.name) {
                        // An id seen before the wait belongs to an earlier live.
                        let since = self.wanted.since.filter(|_| matches!(self.state, FeedState::New));
                        let subscription = desk.subscribe(self.wanted.lang.clone(), since, now);
                        self.state = FeedState::Live(subscription);
                        continue;
                    }
                    if matches!(self.state, FeedState::New) {
                        self.state = FeedState::Waiting;
                        return Ok(Some(Arc::new(Event::idle())));
                    }
                    if self.changes.changed().await.is_err() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
