//! Who publishes on a channel: the keys they show, how their connections do, and which of them is on the air.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde::{Deserialize, Serialize};

use super::channels::{find, parse, problem};
use crate::{
    access::StreamKey,
    model::{Track, TrackFormat},
    serve::{
        Server,
        admin::Admin,
        problem::{Problem, Result},
    },
    stream::{self, Rank},
};

/// A publisher's connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Publisher {
    /// `main` or `backup`: which of the channel's keys it showed.
    pub rank: &'static str,
    /// Viewers see it; otherwise it stands by.
    pub on_air: bool,
    /// `rtmp`, …
    pub protocol: &'static str,
    /// The other end, `ADDRESS:PORT`; told to whoever shows the admin token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Seconds since it came.
    pub connected: u64,
    /// What it sends, as CODECS names it: `avc1.64001f`, `mp4a.40.2`, `mp3`.
    pub codecs: Vec<String>,
    /// Share of its packets of the last seconds that never came, 0 to 1. Null: not known yet, or RTMP, whose packets
    /// all come or none.
    pub loss: Option<f64>,
    /// Variation of the time its packets take, in milliseconds. Null: not known yet, or RTMP, which does not tell.
    pub jitter_ms: Option<f64>,
    /// There and back, in milliseconds. Null: not known yet; RTSP that the encoder pushes, where nothing that is asked
    /// of a publisher has an answer; or an encoder over RTMP that answers no pings.
    pub round_trip_ms: Option<f64>,
    /// Seconds from one key frame to the next, the last time; null before the second.
    pub key_frame_interval: Option<f64>,
    /// What to change in the encoder, a sentence each; empty when all is well.
    pub advice: Vec<String>,
}

/// A channel's stream keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Key {
    /// For the encoder.
    pub stream_key: String,
    /// For a second encoder, which stands by; null: the channel has none.
    pub backup_key: Option<String>,
}

impl From<(StreamKey, Option<StreamKey>)> for Key {
    fn from((main, backup): (StreamKey, Option<StreamKey>)) -> Self {
        let shown = |key: StreamKey| key.reveal().to_owned();
        Self { stream_key: shown(main), backup_key: backup.map(shown) }
    }
}

/// Who shall be on the air.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// `main` or `backup`.
    pub publisher: Called,
}

/// A channel's publisher.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Called {
    /// With the stream key.
    Main,
    /// With the backup key.
    Backup,
}

/// Key frames further apart make segments longer than players' target.
const KEY_INTERVAL: Duration = Duration::from_millis(4_500);
/// Losing more is seen and heard.
const LOSS: f64 = 0.01;

pub(super) fn router() -> Router<Server> {
    Router::new()
        .route("/channels/{name}/key", get(key).post(rotate))
        .route("/channels/{name}/key/backup", post(backup).delete(remove_backup))
        .route("/channels/{name}/on-air", put(call))
}

/// The stream key, for its owner to see again.
#[utoipa::path(get, path = "/channels/{name}/key", params(("name" = String, Path)), security(("admin" = [])), responses((status = 200, body = Key), (status = 404)))]
pub async fn key(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<Json<Key>> {
    let channel = find(&server, &name).await?;
    Ok(Json(Key::from(server.keys.reveal(&channel.name).await.map_err(problem)?)))
}

/// Makes a new stream key; the old one stops working with the next publisher.
#[utoipa::path(post, path = "/channels/{name}/key", params(("name" = String, Path)), security(("admin" = [])), responses((status = 200, body = Key), (status = 404)))]
pub async fn rotate(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<Json<Key>> {
    let channel = find(&server, &name).await?;
    server.keys.rotate(&channel.name, Rank::Main).await.map_err(problem)?;
    Ok(Json(Key::from(server.keys.reveal(&channel.name).await.map_err(problem)?)))
}

/// Gives a channel a backup key, or another one. A second encoder that publishes with it stands by and goes on the
/// air when the first stops.
#[utoipa::path(post, path = "/channels/{name}/key/backup", params(("name" = String, Path)), security(("admin" = [])), responses((status = 200, body = Key), (status = 404)))]
pub async fn backup(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<Json<Key>> {
    let channel = find(&server, &name).await?;
    server.keys.rotate(&channel.name, Rank::Backup).await.map_err(problem)?;
    let keys = server.keys.reveal(&channel.name).await.map_err(problem)?;
    Ok(Json(Key::from(keys)))
}

/// Takes a channel's backup key away; a connection that was let in with it stays.
#[utoipa::path(delete, path = "/channels/{name}/key/backup", params(("name" = String, Path)), security(("admin" = [])), responses((status = 204), (status = 404)))]
pub async fn remove_backup(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<StatusCode> {
    let channel = find(&server, &name).await?;
    server.keys.remove_backup(&channel.name).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a publisher on the air, with its next key frame; the other one stands by.
#[utoipa::path(put, path = "/channels/{name}/on-air", params(("name" = String, Path)), request_body = Call, security(("admin" = [])), responses((status = 204), (status = 400), (status = 404), (status = 409)))]
pub async fn call(
    State(server): State<Server>,
    _: Admin,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<StatusCode> {
    let Call { publisher } = parse(&body)?;
    let channel = find(&server, &name).await?;
    let live = server
        .registry
        .get(&channel.name)
        .ok_or_else(|| Problem::conflict("the channel is not live: whoever publishes first is on the air at once"))?;
    let rank = match publisher {
        Called::Main => Rank::Main,
        Called::Backup => Rank::Backup,
    };
    live.call(rank).map_err(|absent| {
        Problem::conflict(format!("{absent}: connect it first, until then the live stays as it is"))
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everyone connected to a live.
pub(super) fn connected(live: &stream::Live, now: Instant, admin: bool) -> Vec<Publisher> {
    live.publishers().iter().map(|publisher| tell(publisher, now, admin)).collect()
}

fn tell(publisher: &stream::Publisher, now: Instant, admin: bool) -> Publisher {
    let link = publisher.link;
    let millis = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
    Publisher {
        rank: publisher.rank.as_str(),
        on_air: publisher.on_air,
        protocol: publisher.protocol,
        address: admin.then(|| publisher.peer.to_string()),
        connected: now.saturating_duration_since(publisher.since).as_secs(),
        codecs: publisher.tracks.iter().map(|track| track.format.codecs()).collect(),
        loss: link.and_then(|link| link.loss).map(|loss| (loss * 1e4).round() / 1e4),
        jitter_ms: link.and_then(|link| link.jitter).map(millis),
        round_trip_ms: link.and_then(|link| link.round_trip).map(millis),
        key_frame_interval: publisher.key_interval.map(|every| (every.as_secs_f64() * 100.0).round() / 100.0),
        advice: advice(publisher),
    }
}

/// What its encoder could do better.
fn advice(publisher: &stream::Publisher) -> Vec<String> {
    let mut advice = Vec::new();
    let has = |is: fn(&Track) -> bool| publisher.tracks.iter().any(is);
    if let Some(every) = publisher.key_interval.filter(|every| *every > KEY_INTERVAL) {
        let every = every.as_secs_f64();
        advice.push(format!("Key frames come every {every:.1} s: set the key frame interval to 2 s."));
    }
    if publisher.reorders {
        advice.push("B-frames add latency: turn them off (x264: tune zerolatency).".into());
    }
    if !has(|track| matches!(track.format, TrackFormat::Audio(_))) && !publisher.tracks.is_empty() {
        advice.push("There is no sound, so there are no captions: add a microphone to the encoder's mix.".into());
    }
    if let Some(audio) = publisher.tracks.iter().find(|track| is_worth_changing(track)) {
        let codec = audio.format.codecs();
        advice.push(format!("The sound comes as {codec} and is encoded again: choose AAC."));
    }
    if let Some(loss) = publisher.link.and_then(|link| link.loss).filter(|loss| *loss > LOSS) {
        let lost = loss * 100.0;
        advice.push(format!("{lost:.1} % of the packets are lost: use a cable, or lower the bit rate."));
    }
    advice
}

/// Browsers have no AAC: what comes by their protocol comes in the best way there is.
fn is_worth_changing(track: &Track) -> bool {
    matches!(track.format, TrackFormat::Audio(_)) && !track.format.is_packaged() && track.format.codecs() != "opus"
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        model::{AudioCodec, AudioFormat, RenditionId, TrackId},
        stream::Link,
    };

    fn publisher() -> stream::Publisher {
        let format = AudioFormat { codec: AudioCodec::Mp3, config: Bytes::new(), sample_rate: 44_100, channels: 2 };
        let (id, rendition) = (TrackId::FOREIGN_AUDIO, RenditionId::audio());
        stream::Publisher {
            rank: Rank::Main,
            on_air: true,
            protocol: "srt",
            peer: ([127, 0, 0, 1], 7).into(),
            since: Instant::now(),
            link: Some(Link { loss: Some(0.034), jitter: Some(Duration::from_micros(1_240)), round_trip: None }),
            tracks: vec![Track { id, rendition, format: TrackFormat::Audio(format), bitrate: None, label: None }],
            key_interval: Some(Duration::from_millis(8_333)),
            reorders: true,
        }
    }

    #[test]
    fn an_encoder_that_could_do_better_is_told_how() {
        let told = tell(&publisher(), Instant::now(), false);
        assert_eq!(told.address, None, "where a lecturer is concerns nobody");
        assert_eq!((told.loss, told.jitter_ms, told.round_trip_ms), (Some(0.034), Some(1.2), None));
        assert_eq!(told.key_frame_interval, Some(8.33));
        expect_test::expect![[r#"
            Key frames come every 8.3 s: set the key frame interval to 2 s.
            B-frames add latency: turn them off (x264: tune zerolatency).
            The sound comes as mp3 and is encoded again: choose AAC.
            3.4 % of the packets are lost: use a cable, or lower the bit rate."#]]
        .assert_eq(&told.advice.join("\n"));
        let well = stream::Publisher { link: None, key_interval: None, reorders: false, tracks: vec![], ..publisher() };
        assert_eq!(tell(&well, Instant::now(), true).advice, Vec::<String>::new());
    }
}
