//! WHEP (draft-ietf-wish-whep) at `/whep/NAME`: a viewer posts an offer and gets an answer and a resource of its own.

use std::time::Instant;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{delete, post},
};

use super::{
    board::Board,
    problem::{Problem, Result},
    rtc::{self, Description, Rtc},
};
use crate::{egress::whep::Opened, model::StreamName, rtc::sdp};

#[derive(Clone)]
struct Whep {
    rtc: Rtc,
    board: Board,
}

/// `/whep/{name}` and `/whep/{name}/{id}`.
pub fn router(rtc: Rtc, board: Board) -> Router {
    let routes =
        Router::new().route("/whep/{name}", post(open)).route("/whep/{name}/{id}", delete(close).patch(trickle));
    rtc::signalling(routes).with_state(Whep { rtc, board })
}

async fn open(
    State(Whep { rtc, board }): State<Whep>,
    Path(name): Path<String>,
    Description(offer): Description,
) -> Result<Response> {
    let channel = StreamName::parse(&name).map_err(|_| Problem::not_found("no channel has such a name"))?;
    let feed = board.get(&channel).and_then(|live| live.feed.clone()).filter(|feed| feed.is_on());
    let feed = feed.ok_or_else(|| Problem::not_found("the channel is not live: try again when it is"))?;
    let Opened { id, answer, session } = rtc.whep.open(&channel, feed, &offer, Instant::now())?;
    Ok(rtc::created(answer, &format!("/whep/{channel}/{id}"), &session, &rtc.ice_servers))
}

/// Nothing is taken from it: a viewer's addresses are learnt from its own checks.
async fn trickle(
    State(Whep { rtc, .. }): State<Whep>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    fragment: std::result::Result<Bytes, BytesRejection>,
) -> Result<StatusCode> {
    rtc::expect(&headers, rtc::FRAGMENT)?;
    let fragment = rtc::body(fragment)?;
    let channel = StreamName::parse(&name).map_err(|_| rtc::no_such_session())?;
    let client = rtc.whep.client(&channel, &id).ok_or_else(rtc::no_such_session)?;
    match sdp::fragment_of(&fragment) {
        Some(other) if other != client => {
            Err(Problem::unprocessable("ICE is not restarted here: begin another session with POST"))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

async fn close(State(Whep { rtc, .. }): State<Whep>, Path((name, id)): Path<(String, String)>) -> Result<StatusCode> {
    let channel = StreamName::parse(&name).map_err(|_| rtc::no_such_session())?;
    if rtc.whep.close(&channel, &id) { Ok(StatusCode::OK) } else { Err(rtc::no_such_session()) }
}
