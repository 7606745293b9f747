//! WebRTC's signalling over HTTP: WHIP (RFC 9725) at `/whip/NAME`. [`whep`](super::whep) shares its forms.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Path, Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use tower_http::{
    cors::{Any, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use super::problem::{Problem, Result};
use crate::{
    egress::whep,
    ingest::whip::{self, Accepted, Trickle},
    model::StreamName,
    rtc::sdp,
};

/// Media types of descriptions (RFC 8866 §8.1) and of fragments of them (RFC 8840 §9).
const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What the endpoints need.
#[derive(Clone)]
pub struct Rtc {
    /// Publishers.
    pub whip: whip::Server,
    /// Viewers.
    pub whep: whep::Server,
    /// STUN and TURN servers for clients, as `Link` headers (RFC 9725 §4.6).
    pub ice_servers: Vec<IceServer>,
}

/// A STUN or TURN server that clients may use.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:stun.example.org` or `turn:turn.example.org?transport=udp`.
    pub url: String,
    /// For TURN.
    #[serde(default)]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default)]
    pub credential: Option<String>,
}

/// `/whip/{name}` and `/whip/{name}/{id}`.
pub fn router(rtc: Rtc) -> Router {
    let routes =
        Router::new().route("/whip/{name}", post(publish)).route("/whip/{name}/{id}", delete(end).patch(trickle));
    signalling(routes).with_state(rtc)
}

/// What all signalling has: pages from anywhere may use it, and what they send is bounded.
pub(super) fn signalling<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH])
        .expose_headers([header::LOCATION, header::ETAG, header::LINK, ACCEPT_PATCH])
        .max_age(Duration::from_secs(86_400));
    routes
        .layer(DefaultBodyLimit::max(sdp::MAX_BYTES))
        .layer(cors)
        .layer(SetResponseHeaderLayer::if_not_present(ACCEPT_POST, HeaderValue::from_static(SDP)))
}

/// A description as a request's body.
pub(super) struct Description(pub String);

impl<S: Send + Sync> FromRequest<S> for Description {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        expect(request.headers(), SDP)?;
        body(Bytes::from_request(request, state).await).map(Self)
    }
}

/// 201 with the answer (RFC 9725 §4.2): `location` is the session's resource, `session` names its ICE session.
pub(super) fn created(answer: String, location: &str, session: &str, ice_servers: &[IceServer]) -> Response {
    let mut response = (StatusCode::CREATED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    let tag = format!("\"{session}\"");
    for (name, value) in [(header::LOCATION, location), (header::ETAG, &tag)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    for server in ice_servers {
        if let Ok(value) = HeaderValue::from_str(&link(server)) {
            headers.append(header::LINK, value);
        }
    }
    response
}

async fn publish(
    State(rtc): State<Rtc>,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Description(offer): Description,
) -> Result<Response> {
    let channel = StreamName::parse(&name).map_err(|_| Problem::not_found("no channel has such a name"))?;
    let key = bearer(&headers)
        .ok_or_else(|| Problem::unauthorized("send the channel's stream key as `Authorization: Bearer KEY`"))?;
    let Accepted { answer, id, session } = rtc.whip.publish(channel.clone(), key.to_owned(), &offer, peer).await?;
    Ok(created(answer, &format!("/whip/{channel}/{id}"), &session, &rtc.ice_servers))
}

async fn trickle(
    State(rtc): State<Rtc>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    fragment: std::result::Result<Bytes, BytesRejection>,
) -> Result<StatusCode> {
    expect(&headers, FRAGMENT)?;
    let fragment = body(fragment)?;
    let tag = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    let tag = tag.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    let channel = StreamName::parse(&name).map_err(|_| no_such_session())?;
    match rtc.whip.trickle(&channel, &id, tag, &fragment) {
        Trickle::Taken => Ok(StatusCode::NO_CONTENT),
        Trickle::Unknown => Err(no_such_session()),
        Trickle::Mismatch => Err(Problem::precondition("If-Match names another ICE session than this one")),
        Trickle::Restart => Err(Problem::unprocessable("ICE is not restarted here: begin another session with POST")),
    }
}

async fn end(State(rtc): State<Rtc>, Path((name, id)): Path<(String, String)>) -> Result<StatusCode> {
    let channel = StreamName::parse(&name).map_err(|_| no_such_session())?;
    if rtc.whip.end(&channel, &id) { Ok(StatusCode::OK) } else { Err(no_such_session()) }
}

pub(super) fn no_such_session() -> Problem {
    Problem::not_found("no such session: it has ended, or belongs to another channel")
}

pub(super) fn expect(headers: &HeaderMap, media_type: &'static str) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(media_type) {
        Ok(())
    } else {
        Err(Problem::media_type(format!("send the body as {media_type}")))
    }
}

pub(super) fn body(bytes: std::result::Result<Bytes, BytesRejection>) -> Result<String> {
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("a session description has at most 64 KiB"),
        _ => Problem::bad_request("the body did not arrive"),
    })?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::bad_request("the body is no UTF-8"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// `<turn:…>; rel="ice-server"; username="…"; credential="…"; credential-type="password"`.
fn link(server: &IceServer) -> String {
    let mut link = format!("<{}>; rel=\"ice-server\"", server.url);
    if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        link.push_str(&format!(
            "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
            quoted(username),
            quoted(credential)
        ));
    }
    link
}
