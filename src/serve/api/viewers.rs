//! Who watches a channel, as far as there are sessions to tell of.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;

use super::{List, channels::find};
use crate::{
    egress::whep,
    serve::{Server, admin::Admin, problem::Result},
};

/// A viewer's connection over WebRTC.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Viewer {
    /// Where it was connected from, `ADDRESS:PORT`.
    pub address: String,
    /// Seconds since then.
    pub connected: u64,
    /// Share of the packets lost between its last two reports, 0 to 1; null before the first.
    pub loss: Option<f64>,
    /// There and back, in milliseconds; null until it is known.
    pub round_trip_ms: Option<f64>,
}

/// The viewers of a channel over WebRTC, who came first first. Players of HLS have no connection to tell of, and
/// readers of RTSP are only counted: see `/channels/{name}/status`.
#[utoipa::path(get, path = "/channels/{name}/viewers", params(("name" = String, Path)), security(("admin" = [])), responses((status = 200, body = List<Viewer>), (status = 404)))]
pub async fn list(State(server): State<Server>, _: Admin, Path(name): Path<String>) -> Result<Json<List<Viewer>>> {
    let channel = find(&server, &name).await?;
    let viewers = server.rtc.iter().flat_map(|rtc| rtc.whep.viewers(&channel.name));
    let now = Instant::now();
    Ok(Json(List { items: viewers.map(|viewer| tell(&viewer, now)).collect() }))
}

fn tell(viewer: &whep::Viewer, now: Instant) -> Viewer {
    let millis = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
    Viewer {
        address: viewer.peer.to_string(),
        connected: now.saturating_duration_since(viewer.since).as_secs(),
        loss: viewer.loss.map(|loss| (loss * 1e4).round() / 1e4),
        round_trip_ms: viewer.round_trip.map(millis),
    }
}
