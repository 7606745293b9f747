//! WHEP (draft-ietf-wish-whep) at `/whep/NAME`: a viewer posts an offer and gets an answer and a resource of its own.

use std::{net::SocketAddr, time::Instant};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{delete, post},
};

use super::{
    board::Board,
    problem::{Problem, Result},
    rtc::{self, Description, Rtc},
};
use crate::{
    egress::whep::Opened,
    ingest::{site, whip::Denied},
    model::StreamName,
};

#[derive(Clone)]
pub(super) struct Whep {
    rtc: Rtc,
    board: Board,
}

/// `/whep/{name}` and `/whep/{name}/{id}`.
pub fn router(rtc: Rtc, board: Board) -> Router {
    let routes =
        Router::new().route("/whep/{name}", post(open)).route("/whep/{name}/{id}", delete(close).patch(trickle));
    rtc::signalling(routes, &rtc.ice_servers).with_state(Whep { rtc, board })
}

/// Begins to watch (WHEP): an offer comes, the answer goes back with the session's resource.
#[utoipa::path(post, path = "/whep/{name}", operation_id = "whep_watch", tag = "webrtc",
    params(("name" = String, Path, description = "The channel")),
    request_body(content = String, content_type = "application/sdp", description = "The offer, to receive H.264 and Opus"),
    responses(
        (status = 201, description = "The answer", content_type = "application/sdp", body = String, headers(
            ("location" = String, description = "The session's resource"),
            ("etag" = String, description = "The ICE session, for If-Match"),
            ("link" = String, description = "A STUN or TURN server, rel=\"ice-server\""))),
        (status = 400, description = "No usable session description"),
        (status = 404, description = "The channel is not live, or there is none"),
        (status = 406, description = "Nothing in the offer can be sent"),
        (status = 413, description = "Longer than 64 KiB"),
        (status = 415, description = "Another media type"),
        (status = 503, description = "As many peers as the server takes")))]
pub(super) async fn open(
    State(Whep { rtc, board }): State<Whep>,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Description(offer): Description,
) -> Result<Response> {
    let channel = StreamName::parse(&name).map_err(|_| Problem::not_found("no channel has such a name"))?;
    let feed = board.get(&channel).and_then(|live| live.feed.clone()).filter(|feed| feed.is_on());
    let feed = feed.ok_or_else(|| Problem::not_found("the channel is not live: try again when it is"))?;
    let Opened { id, answer, session } = rtc.whep.open(&channel, feed, &offer, site(peer.ip()), Instant::now())?;
    Ok(rtc::created(answer, &format!("/whep/{channel}/{id}"), &session, &rtc.ice_servers))
}

/// Takes candidates of a viewer that trickles. Nothing is done with them: its addresses are learnt from its checks.
#[utoipa::path(patch, path = "/whep/{name}/{id}", operation_id = "whep_trickle", tag = "webrtc",
    params(("name" = String, Path), ("id" = String, Path), ("if-match" = String, Header, description = "The ETag of the answer to POST")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "No fragment of a session description"),
        (status = 404, description = "No such session"),
        (status = 412, description = "If-Match names another ICE session"),
        (status = 413, description = "Longer than 64 KiB"),
        (status = 415, description = "Another media type"),
        (status = 422, description = "ICE is not restarted: begin another session"),
        (status = 428, description = "Without If-Match")))]
pub(super) async fn trickle(
    State(Whep { rtc, .. }): State<Whep>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    fragment: std::result::Result<Bytes, BytesRejection>,
) -> Result<StatusCode> {
    let fragment = rtc::fragment(&headers, fragment)?;
    let channel = StreamName::parse(&name).map_err(|_| Denied::Unknown)?;
    let session = rtc.whep.session(&channel, &id).ok_or(Denied::Unknown)?;
    rtc::patch(&session, &headers, &fragment)
}

/// Ends a viewer's session.
#[utoipa::path(delete, path = "/whep/{name}/{id}", operation_id = "whep_end", tag = "webrtc",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "It has ended"), (status = 404, description = "No such session")))]
pub(super) async fn close(
    State(Whep { rtc, .. }): State<Whep>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    let channel = StreamName::parse(&name).map_err(|_| Denied::Unknown)?;
    if rtc.whep.close(&channel, &id) { Ok(StatusCode::OK) } else { Err(Denied::Unknown.into()) }
}
