//! WHEP (draft-ietf-wish-whep): a viewer posts an offer and gets an answer and a resource of its own.

use std::time::Instant;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{patch, post},
};

use super::{
    Server,
    problem::{Problem, Result},
};
use crate::{model::StreamName, rtc::Refused};

pub use crate::egress::whep::Server as Viewers;

/// No offer of a viewer is longer.
const OFFER: usize = 64 << 10;
const SDP: &str = "application/sdp";
/// RFC 8840.
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// `/whep/NAME` and the resources under it.
pub fn router() -> Router<Server> {
    Router::new()
        .route("/whep/{name}", post(open))
        .route("/whep/{name}/{id}", patch(trickle).delete(close))
        .layer(DefaultBodyLimit::max(OFFER))
}

async fn open(
    State(server): State<Server>,
    Path(name): Path<StreamName>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let viewers = viewers(&server)?;
    is(&headers, SDP)?;
    let offer = std::str::from_utf8(&body).map_err(|_| Problem::bad_request("the offer is no text"))?;
    let feed = server.board.get(&name).and_then(|live| live.feed.clone());
    let feed = feed.filter(|feed| feed.is_on()).ok_or_else(|| Problem::not_found("the channel is not live"))?;
    let opened = viewers.open(&name, feed, offer, Instant::now())?;
    let location = format!("/whep/{name}/{}", opened.id);
    let text = |text: String| HeaderValue::from_str(&text).map_err(Problem::internal);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(SDP)),
        (header::LOCATION, text(location)?),
        (header::ETAG, text(format!("\"{}\"", opened.etag))?),
        (HeaderName::from_static("accept-patch"), HeaderValue::from_static(FRAGMENT)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::CREATED, headers, opened.answer).into_response())
}

/// Takes note of nothing: a client's addresses are learnt from its own checks, and checks are sent to no address that
/// a description names.
async fn trickle(
    State(server): State<Server>,
    Path((name, id)): Path<(StreamName, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let (_, client) = viewers(&server)?.ice(&name, &id).ok_or_else(no_such_session)?;
    is(&headers, FRAGMENT)?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::bad_request("the fragment is no text"))?;
    match text.lines().find_map(|line| line.trim().strip_prefix("a=ice-ufrag:")) {
        Some(other) if other != client => {
            Err(Problem::unprocessable("ICE is not restarted here: delete this resource and post a new offer"))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

async fn close(State(server): State<Server>, Path((name, id)): Path<(StreamName, String)>) -> Result<StatusCode> {
    if viewers(&server)?.close(&name, &id) { Ok(StatusCode::OK) } else { Err(no_such_session()) }
}

fn viewers(server: &Server) -> Result<&Viewers> {
    server.viewers.as_ref().ok_or_else(|| Problem::not_found("WebRTC is off on this server: set webrtc.listen"))
}

fn no_such_session() -> Problem {
    Problem::not_found("there is no such session: it has ended, or never was")
}

/// The body is of that media type.
fn is(headers: &HeaderMap, kind: &'static str) -> Result<()> {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let stated = stated.split(';').next().unwrap_or_default().trim();
    if stated.eq_ignore_ascii_case(kind) {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type(format!("the body has to be {kind}")))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(_) => Self::bad_request(refused.to_string()),
            Refused::Unacceptable(_) => Self::not_acceptable(refused.to_string()),
            Refused::Full => Self::unavailable(refused.to_string()),
        }
    }
}
