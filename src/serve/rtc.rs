//! WebRTC's signalling over HTTP: WHIP (RFC 9725) at `/whip/NAME`. [`whep`](super::whep) shares its forms.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Path, Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
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
    ingest::whip::{self, Accepted, Denied},
    model::StreamName,
    rtc::{Handle, sdp},
};

/// Media types of descriptions (RFC 8866 §8.1) and of fragments of them (RFC 8840 §9).
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
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
    signalling(routes, &rtc.ice_servers).with_state(rtc)
}

/// What all signalling has: pages from anywhere may use it, what they send is bounded, and OPTIONS tells of ICE
/// servers: a client that learns of them from the answer to its offer has gathered its addresses without them.
pub(super) fn signalling<S: Clone + Send + Sync + 'static>(routes: Router<S>, ice_servers: &[IceServer]) -> Router<S> {
    let links: Arc<[_]> = links(ice_servers).collect();
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
        .layer(middleware::from_fn_with_state(links, advertise))
}

async fn advertise(State(links): State<Arc<[HeaderValue]>>, request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if asks {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("link, accept-post"));
        headers.extend(links.iter().map(|link| (header::LINK, link.clone())));
    }
    response
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
    headers.extend(links(ice_servers).map(|link| (header::LINK, link)));
    response
}

/// Begins to publish (WHIP, RFC 9725): an offer comes, the answer goes back with the session's resource.
#[utoipa::path(post, path = "/whip/{name}", operation_id = "whip_publish", tag = "webrtc",
    params(("name" = String, Path, description = "The channel")), security(("stream_key" = [])),
    request_body(content = String, content_type = "application/sdp", description = "The offer: H.264 or VP8, and Opus"),
    responses(
        (status = 201, description = "The answer", content_type = "application/sdp", body = String, headers(
            ("location" = String, description = "The session's resource"),
            ("etag" = String, description = "The ICE session, for If-Match"),
            ("link" = String, description = "A STUN or TURN server, rel=\"ice-server\""))),
        (status = 400, description = "No usable session description"),
        (status = 401, description = "Not the channel's stream key"),
        (status = 404, description = "No such channel"),
        (status = 406, description = "Nothing in the offer can be taken"),
        (status = 409, description = "Another publisher is on the air"),
        (status = 413, description = "Longer than 64 KiB"),
        (status = 415, description = "Another media type"),
        (status = 503, description = "As many peers as the server takes")))]
pub(super) async fn publish(
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

/// Takes candidates of a client that trickles (§4.3.1). Nothing is done with them: a client's addresses are learnt from
/// the checks that it sends.
#[utoipa::path(patch, path = "/whip/{name}/{id}", operation_id = "whip_trickle", tag = "webrtc",
    params(("name" = String, Path), ("id" = String, Path), ("if-match" = String, Header, description = "The ETag of the answer to POST")),
    security(("stream_key" = [])),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "No fragment of a session description"),
        (status = 401, description = "Not the key that the session was begun with"),
        (status = 404, description = "No such session"),
        (status = 412, description = "If-Match names another ICE session"),
        (status = 413, description = "Longer than 64 KiB"),
        (status = 415, description = "Another media type"),
        (status = 422, description = "ICE is not restarted: begin another session"),
        (status = 428, description = "Without If-Match")))]
pub(super) async fn trickle(
    State(rtc): State<Rtc>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    fragment: std::result::Result<Bytes, BytesRejection>,
) -> Result<StatusCode> {
    let fragment = self::fragment(&headers, fragment)?;
    let channel = StreamName::parse(&name).map_err(|_| Denied::Unknown)?;
    let session = rtc.whip.session(&(channel, id), bearer(&headers).unwrap_or_default())?;
    patch(&session, &headers, &fragment)
}

/// What a PATCH of a session's resource comes to (§4.3.1), of WHIP and WHEP: candidates are taken and passed over.
pub(super) fn patch(session: &Handle, headers: &HeaderMap, fragment: &str) -> Result<StatusCode> {
    if !headers.contains_key(header::IF_MATCH) {
        return Err(Problem::precondition_required("send the ETag of the answer to POST as If-Match"));
    }
    if !names(headers, session.session()) {
        return Err(Problem::precondition("If-Match names another ICE session than this one"));
    }
    if !sdp::is_fragment(fragment) {
        return Err(Problem::bad_request("the body is no fragment of a session description: send a= and m= lines"));
    }
    match sdp::fragment_of(fragment) {
        Some(client) if client != session.client() => {
            Err(Problem::unprocessable("ICE is not restarted here: begin another session with POST"))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Whether If-Match lists an entity tag, by strong comparison (RFC 9110 §13.1.1, §8.8.3.2).
fn names(headers: &HeaderMap, session: &str) -> bool {
    let tag = format!("\"{session}\"");
    let values = headers.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|given| given == "*" || given == tag)
}

/// Ends a session (§4.2).
#[utoipa::path(delete, path = "/whip/{name}/{id}", operation_id = "whip_end", tag = "webrtc",
    params(("name" = String, Path), ("id" = String, Path)), security(("stream_key" = [])),
    responses(
        (status = 200, description = "It has ended"),
        (status = 401, description = "Not the key that the session was begun with"),
        (status = 404, description = "No such session")))]
pub(super) async fn end(
    State(rtc): State<Rtc>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let channel = StreamName::parse(&name).map_err(|_| Denied::Unknown)?;
    rtc.whip.end(&(channel, id), bearer(&headers).unwrap_or_default())?;
    Ok(StatusCode::OK)
}

/// A fragment of a description as a request's body.
pub(super) fn fragment(headers: &HeaderMap, body: std::result::Result<Bytes, BytesRejection>) -> Result<String> {
    expect(headers, FRAGMENT)?;
    self::body(body)
}

fn expect(headers: &HeaderMap, media_type: &'static str) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(media_type) {
        Ok(())
    } else {
        Err(Problem::media_type(format!("send the body as {media_type}")))
    }
}

fn body(bytes: std::result::Result<Bytes, BytesRejection>) -> Result<String> {
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

fn links(servers: &[IceServer]) -> impl Iterator<Item = HeaderValue> {
    servers.iter().filter_map(|server| HeaderValue::from_str(&link(server)).ok())
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
