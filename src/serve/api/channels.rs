//! `/channels`: who may publish, in which languages, and how it goes.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{
    List,
    publishers::{self, Publisher},
    tracks::{self, Missing, Track},
};
use crate::{
    access::NewChannel,
    archive::Monitor,
    ingest::pull::Source,
    model::{self, LanguageTag, StreamName, TrackFormat, TrackId},
    serve::{
        Server,
        admin::Admin,
        board::state_of,
        problem::{Problem, Result},
        viewers::Viewers,
    },
    store::{self, Channel},
    stream,
};

/// A channel.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Its name in every URL.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The language spoken.
    pub language: String,
    /// Id of the speech model that hears it; null: the manifest's choice for the language.
    pub model: Option<String>,
    /// Languages it is translated into.
    pub translate: Vec<String>,
    /// What of its captions cannot be made here for now: a model that is fetched later is used within ten seconds.
    /// Told of one channel, not of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Missing>>,
    /// Viewers stay 3 s behind, so that captions are there before their picture; otherwise as near as they can.
    pub accurate: bool,
    /// Another publisher with the stream key replaces the one that is live; otherwise it is refused.
    pub takeover: bool,
    /// Where the server fetches it from, without the password; null: it waits for a publisher.
    pub source: Option<String>,
    /// `idle`, `live`, `reconnecting` or `ended`.
    pub state: &'static str,
    /// When the live began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// How many watch, while it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u32>,
    /// Where its picture of now is, while it is live and shows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poster: Option<String>,
    /// Told once, to whoever made the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_key: Option<String>,
}

/// A channel to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// 1 to 64 characters of a-z, 0-9, - and _.
    #[schema(value_type = String)]
    pub name: StreamName,
    /// Its name, if left out.
    pub title: Option<String>,
    /// The server's default, if left out.
    #[schema(value_type = Option<String>)]
    pub language: Option<LanguageTag>,
    /// Id of the speech model that hears it, see `/models`; null or left out: the manifest's choice.
    pub model: Option<String>,
    /// Languages to translate into.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub translate: Vec<LanguageTag>,
    /// Viewers stay 3 s behind, so that captions are there before their picture; no, if left out.
    #[serde(default)]
    pub accurate: bool,
    /// Where the server fetches it from: `rtsp://USER:PASSWORD@HOST/PATH`.
    pub source: Option<String>,
}

/// What to change; the rest stays. Language, model and translations take effect in a live within two seconds:
/// a new language is a new caption track, and picture and recording go on. The rest follows with the next live.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its title.
    pub title: Option<String>,
    /// The language spoken.
    #[schema(value_type = Option<String>)]
    pub language: Option<LanguageTag>,
    /// Id of the speech model that hears it, see `/models`; null: the manifest's choice.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Option<String>>,
    /// Languages to translate into.
    #[schema(value_type = Option<Vec<String>>)]
    pub translate: Option<Vec<LanguageTag>>,
    /// Viewers stay 3 s behind, so that captions are there before their picture.
    pub accurate: Option<bool>,
    /// Another publisher with the stream key replaces the one that is live, at once.
    pub takeover: Option<bool>,
    /// Where the server fetches it from: `rtsp://USER:PASSWORD@HOST/PATH`; null: nowhere. Takes effect within three
    /// seconds.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub source: Option<Option<String>>,
}

/// How a channel's live goes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Status {
    /// `idle`, `live`, `reconnecting` or `ended`.
    pub state: &'static str,
    /// The protocol of the publisher on the air.
    pub protocol: Option<&'static str>,
    /// What the publisher sends, as CODECS names it: `avc1.64001f`, `mp4a.40.2`, `mp3`.
    pub codecs: Vec<String>,
    /// Media bytes received.
    pub bytes: u64,
    /// Video frames received.
    pub video_frames: u64,
    /// Times a publisher came back, or another took over.
    pub reconnects: u32,
    /// Who is connected, the main publisher first.
    pub publishers: Vec<Publisher>,
    /// Bits a second over the last ten seconds; null before the live's first second and behind its end.
    pub bitrate: Option<u64>,
    /// Frames a second over the last ten seconds, as `bitrate`.
    pub fps: Option<f64>,
    /// How many watch, over all protocols.
    pub viewers: u32,
    /// The same, by protocol.
    pub viewers_by: Viewers,
    /// What is made of it.
    pub renditions: Vec<Rendition>,
    /// Caption tracks, the language spoken now first, those that rest last.
    pub captions: Vec<Track>,
    /// Captions that the channel asks for and that cannot be made here, as in `/channels/{name}`.
    pub missing: Vec<Missing>,
    /// Events that slow readers inside the server lost; 0 when all is well.
    pub dropped: u64,
    /// The recording, unless lives are not recorded or it could not begin.
    pub recording: Option<Recording>,
    /// Seconds that players can go back in `/live/NAME/rewind.m3u8`; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewind: Option<f64>,
}

/// The recording of a live.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Recording {
    /// Its id, as in `/recordings/{id}`.
    pub id: String,
    /// `recording`, or `failed`: nothing is written any more, what was written is kept. Behind the end
    /// of the live see `/recordings/{id}`.
    pub state: &'static str,
    /// Why it failed: for operators.
    pub failure: Option<String>,
    /// Bytes of media on the disk.
    pub written: u64,
    /// Bytes that wait for the disk.
    pub queued: u64,
    /// Parts lost because the disk was too slow or failed; 0 when all is well.
    pub dropped: u64,
}

/// One rendition of a live.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Rendition {
    /// `source`, `480p`, `audio`, …
    pub id: String,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
}

pub(super) fn router() -> Router<Server> {
    Router::new()
        .route("/channels", get(list).post(add))
        .route("/channels/{name}", get(show).patch(change).delete(remove))
        .route("/channels/{name}/status", get(status))
}

/// Every channel.
#[utoipa::path(get, path = "/channels", responses((status = 200, body = List<Item>)))]
pub async fn list(State(server): State<Server>) -> Result<Json<List<Item>>> {
    let channels = server.store.channels().list().await.map_err(Problem::internal)?;
    Ok(Json(List { items: channels.into_iter().map(|channel| item(&server, channel)).collect() }))
}

/// Makes a channel; the answer carries its stream key.
#[utoipa::path(post, path = "/channels", request_body = New, security(("admin" = [])), responses((status = 201, body = Item), (status = 400), (status = 409)))]
pub async fn add(State(server): State<Server>, _: Admin, body: axum::body::Bytes) -> Result<(StatusCode, Json<Item>)> {
    let new: New = parse(&body)?;
    let language = new.language.unwrap_or_else(|| server.language.clone());
    if new.model.is_some() {
        can_hear(&server, &language, new.model.as_deref())?;
    }
    let source = new.source.as_deref().map(|url| source(&server, url)).transpose()?;
    let new = NewChannel {
        title: new.title.unwrap_or_else(|| new.name.to_string()),
        language,
        model: new.model,
        translate: new.translate,
        accurate: new.accurate,
        source: source.map(|source| source.url().to_string()),
        name: new.name,
    };
    let (channel, key) = server.keys.create_channel(new).await.map_err(problem)?;
    let mut item = complete(&server, channel).await?;
    item.stream_key = Some(key.reveal().to_owned());
    Ok((StatusCode::CREATED, Json(item)))
}

/// One channel.
#[utoipa::path(get, path = "/channels/{name}", params(("name" = String, Path)), responses((status = 200, body = Item), (status = 404)))]
pub async fn show(State(server): State<Server>, Path(name): Path<String>) -> Result<Json<Item>> {
    let channel = find(&server, &name).await?;
    Ok(Json(complete(&server, channel).await?))
}

/// Changes a channel; language, model and translations in its live, too.
#[utoipa::path(patch, path = "/channels/{name}", params(("name" = String, Path)), request_body = Change, security(("admin" = [])), responses((status = 200, body = Item), (status = 400), (status = 404)))]
pub async fn change(
    State(server): State<Server>,
    _: Admin,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<Json<Item>> {
    let change: Change = parse(&body)?;
    let mut channel = find(&server, &name).await?;
    channel.title = change.title.unwrap_or(channel.title);
    let heard_anew = change.language.is_some() || change.model.is_some();
    channel.language = change.language.unwrap_or(channel.language);
    channel.model = change.model.unwrap_or(channel.model);
    channel.translate = change.translate.unwrap_or(channel.translate);
    channel.accurate = change.accurate.unwrap_or(channel.accurate);
    channel.takeover = change.takeover.unwrap_or(channel.takeover);
    if let Some(url) = change.source {
        let source = url.map(|url| source(&server, &url)).transpose()?;
        let seal = |source: Source| server.keys.seal_source(&channel.name, source.url().as_str()).map_err(problem);
        channel.source = source.map(seal).transpose()?;
    }
    if heard_anew {
        can_hear(&server, &channel.language, channel.model.as_deref())?;
    }
    server.store.channels().update(&channel).await.map_err(Problem::internal)?;
    Ok(Json(complete(&server, channel).await?))
}

/// Removes a channel. Its recordings stay; a live in progress goes on.
#[utoipa::path(delete, path = "/channels/{name}", params(("name" = String, Path)), security(("admin" = [])), responses((status = 204), (status = 404)))]
pub async fn remove(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<StatusCode> {
    let channel = find(&server, &name).await?;
    server.store.channels().remove(&channel.name).await.map_err(Problem::internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the channel's live goes.
#[utoipa::path(get, path = "/channels/{name}/status", params(("name" = String, Path)), responses((status = 200, body = Status), (status = 404)))]
pub async fn status(
    State(server): State<Server>,
    admin: Result<Admin>,
    Path(name): Path<String>,
) -> Result<Json<Status>> {
    let channel = find(&server, &name).await?;
    let missing = tracks::missing(&server, &channel).await?;
    let Some(live) = server.board.get(&channel.name) else {
        return Ok(Json(Status {
            state: "idle",
            protocol: None,
            codecs: vec![],
            bytes: 0,
            video_frames: 0,
            reconnects: 0,
            publishers: vec![],
            bitrate: None,
            fps: None,
            viewers: 0,
            viewers_by: Viewers::default(),
            renditions: vec![],
            captions: vec![],
            missing,
            dropped: 0,
            recording: None,
            rewind: None,
        }));
    };
    let (stats, tracks) = (live.stream.stats(), live.stream.producer.tracks());
    let publishers = publishers::connected(&live.stream, Instant::now(), admin.is_ok());
    let state = state_of(Some(&live.stream));
    let viewers = live.viewers();
    let rates = live.pace.rates().filter(|_| state != "ended");
    let rendition = |track: &model::Track| {
        let video = match &track.format {
            TrackFormat::Video(video) => Some(video),
            TrackFormat::Audio(_) => None,
        };
        Rendition {
            id: track.rendition.to_string(),
            codecs: track.format.codecs(),
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
        }
    };
    Ok(Json(Status {
        state,
        protocol: publishers.iter().find(|publisher| publisher.on_air).map(|publisher| publisher.protocol),
        codecs: codecs(&tracks),
        bytes: stats.bytes,
        video_frames: stats.video_frames,
        reconnects: stats.reconnects,
        publishers,
        bitrate: rates.map(|rates| rates.bitrate as u64),
        fps: rates.map(|rates| (rates.fps * 100.0).round() / 100.0),
        viewers: viewers.total(),
        viewers_by: viewers,
        renditions: tracks.iter().filter(|track| track.format.is_packaged()).map(|track| rendition(track)).collect(),
        captions: tracks::captions(&live),
        missing,
        dropped: live.stream.producer.dropped(),
        recording: live.recording.as_ref().map(recording),
        rewind: live.hls.reach().map(|reach| (reach.as_secs_f64() * 10.0).round() / 10.0),
    }))
}

/// What the publisher itself sends: its video, and its audio as it comes.
fn codecs(tracks: &[Arc<model::Track>]) -> Vec<String> {
    let find = |id| tracks.iter().find(|track| track.id == id);
    let audio = find(TrackId::FOREIGN_AUDIO).or_else(|| find(TrackId::AUDIO));
    let video = find(TrackId::FOREIGN_VIDEO).or_else(|| find(TrackId::VIDEO));
    video.into_iter().chain(audio).map(|track| track.format.codecs()).collect()
}

fn recording(monitor: &Monitor) -> Recording {
    let status = monitor.status();
    Recording {
        id: monitor.id().to_string(),
        state: if status.failure.is_some() { "failed" } else { "recording" },
        failure: status.failure,
        written: status.written,
        queued: status.queued as u64,
        dropped: status.dropped,
    }
}

/// A wall clock instant as RFC 3339 writes it, in UTC with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

fn item(server: &Server, channel: Channel) -> Item {
    let live = server.board.get(&channel.name);
    let shown = live.as_ref().filter(|live| live.stream.state() != stream::State::Ended && live.poster.is_there());
    let url = server.keys.source(&channel).ok().flatten();
    let source = url.and_then(|url| Source::parse(&url).ok()).map(|source| source.to_string());
    Item {
        poster: shown.map(|live| format!("/live/{}/poster.jpg", live.stream.name)),
        state: state_of(live.as_ref().map(|live| &*live.stream)),
        viewers: live.as_ref().map(|live| live.viewers().total()),
        started_at: live.map(|live| rfc3339(live.started_at)),
        name: channel.name.to_string(),
        title: channel.title,
        language: channel.language.to_string(),
        model: channel.model,
        translate: channel.translate.iter().map(ToString::to_string).collect(),
        missing: None,
        accurate: channel.accurate,
        takeover: channel.takeover,
        source,
        stream_key: None,
    }
}

/// With what is missing.
async fn complete(server: &Server, channel: Channel) -> Result<Item> {
    let missing = tracks::missing(server, &channel).await?;
    Ok(Item { missing: Some(missing), ..item(server, channel) })
}

pub(super) async fn find(server: &Server, name: &str) -> Result<Channel> {
    let unknown = || Problem::not_found("no such channel: see /api/v1/channels");
    let name = StreamName::parse(name).map_err(|_| unknown())?;
    server.store.channels().get(&name).await.map_err(Problem::internal)?.ok_or_else(unknown)
}

fn can_hear(server: &Server, language: &LanguageTag, model: Option<&str>) -> Result<()> {
    (server.can_hear)(language, model).map_err(Problem::bad_request)
}

fn source(server: &Server, url: &str) -> Result<Source> {
    let source = Source::parse(url).map_err(|error| Problem::bad_request(error.to_string()))?;
    server.pull.check(&source).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(source)
}

/// Tells `null` from what is left out, which is the default.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Whatever the client's content type: what it sent must be the JSON asked for.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the JSON body is wrong: {error}")))
}

pub(super) fn problem(error: crate::access::Error) -> Problem {
    match error {
        crate::access::Error::Store(store::Error::Exists(_)) => {
            Problem::conflict("a channel of this name exists already")
        }
        other => Problem::internal(other),
    }
}
