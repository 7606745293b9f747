//! `/recordings`: what lives left behind.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::Serialize;

use super::List;
use crate::{
    model,
    serve::{
        Server,
        admin::Admin,
        board::Change,
        problem::{Problem, Result},
    },
    store::{Recording, RecordingId, RecordingState},
};

/// A recording.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Its id; `/v/ID` plays it.
    pub id: String,
    /// `recording`, `processing`, `ready` or `failed`.
    pub state: &'static str,
    /// The channel it came from.
    pub channel: String,
    /// Its title.
    pub title: String,
    /// When the live began (RFC 3339).
    pub started_at: String,
    /// Seconds, once it is known.
    pub duration: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Caption languages.
    pub captions: Vec<String>,
    /// What its live's captions were worth, as far as a machine can tell; see `/about/estimates`. Only asked for
    /// alone, and missing until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimates: Option<Vec<Estimate>>,
}

/// An estimate of one caption track of a live, made after it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RecordingEstimate)]
pub struct Estimate {
    /// The track's language.
    pub lang: String,
    /// `wer`: the words heard live against a second pass over the recording; `chrf`: the translation shown live
    /// against that of the second pass.
    pub measure: &'static str,
    /// `good`, `fair` or `poor`.
    pub band: &'static str,
    /// Id of the model both were made with.
    pub model: String,
    /// `second-pass`.
    pub method: &'static str,
}

impl From<model::Estimate> for Estimate {
    fn from(estimate: model::Estimate) -> Self {
        Self {
            lang: estimate.lang.to_string(),
            measure: estimate.measure.as_str(),
            band: estimate.band.as_str(),
            model: estimate.model,
            method: estimate.method.as_str(),
        }
    }
}

impl From<Recording> for Item {
    fn from(recording: Recording) -> Self {
        Self {
            id: recording.id.to_string(),
            state: recording.state.as_str(),
            channel: recording.channel.to_string(),
            title: recording.title,
            started_at: super::channels::rfc3339(recording.started_at),
            duration: recording.duration.map(|duration| duration.as_secs_f64()),
            reason: recording.reason,
            captions: recording.languages.iter().map(ToString::to_string).collect(),
            estimates: None,
        }
    }
}

pub(super) fn router() -> Router<Server> {
    Router::new().route("/recordings", get(list)).route("/recordings/{id}", get(show).delete(remove))
}

/// Every recording, newest first.
#[utoipa::path(get, path = "/recordings", responses((status = 200, body = List<Item>)))]
pub async fn list(State(server): State<Server>) -> Result<Json<List<Item>>> {
    let items = server.store.recordings().list().await.map_err(Problem::internal)?;
    Ok(Json(List { items: items.into_iter().map(Item::from).collect() }))
}

/// One recording.
#[utoipa::path(get, path = "/recordings/{id}", params(("id" = String, Path)), responses((status = 200, body = Item), (status = 404)))]
pub async fn show(State(server): State<Server>, Path(id): Path<String>) -> Result<Json<Item>> {
    let recording = find(&server, &id).await?;
    let estimates = server.store.recordings().estimates(&recording.id).await.unwrap_or_else(|error| {
        // A recording plays without them.
        tracing::warn!(%error, recording = %recording.id, "its estimates cannot be read");
        None
    });
    let estimates = estimates.map(|estimates| estimates.into_iter().map(Estimate::from).collect());
    Ok(Json(Item { estimates, ..recording.into() }))
}

/// Deletes a recording and its files.
#[utoipa::path(delete, path = "/recordings/{id}", params(("id" = String, Path)), security(("admin" = [])), responses((status = 204), (status = 404), (status = 409)))]
pub async fn remove(State(server): State<Server>, _: Admin, Path(id): Path<String>) -> Result<StatusCode> {
    let recording = find(&server, &id).await?;
    if matches!(recording.state, RecordingState::Recording | RecordingState::Processing) {
        return Err(Problem::conflict("it is still being made: end the live first"));
    }
    server.catalogue.remove(&recording.id).await.map_err(Problem::internal)?;
    server.board.announce(Change::Recording { id, state: "removed" });
    Ok(StatusCode::NO_CONTENT)
}

async fn find(server: &Server, id: &str) -> Result<Recording> {
    let unknown = || Problem::not_found("no such recording: see /api/v1/recordings");
    let id = RecordingId::parse(id).map_err(|_| unknown())?;
    server.store.recordings().get(&id).await.map_err(Problem::internal)?.ok_or_else(unknown)
}
