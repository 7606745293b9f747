//! HTTP: delivery, captions, the API and the pages. Nothing below this room knows HTTP.

pub mod admin;
pub mod api;
pub mod board;
pub mod captions;
pub mod hls;
mod listen;
pub mod pace;
pub mod pages;
pub mod poster;
pub mod problem;
#[cfg(test)]
mod rewind_tests;
pub mod rtc;
pub mod viewers;
pub mod vod;
pub mod whep;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{Any, CorsLayer};

use crate::{
    access::{Keys, Secrets},
    archive::Catalogue,
    captions::Desk,
    ingest::pull,
    media::Templates,
    model::{LanguageTag, MediaTime, StreamName},
    store::{Channel, Store},
    stream::Registry,
};
pub use listen::{ALPN, Secure};

use admin::Admin;
use board::Board;
use problem::Problem;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// Channels and recordings.
    pub store: Store,
    /// Stream keys.
    pub keys: Keys,
    /// The admin token.
    pub secrets: Secrets,
    /// Publishers.
    pub registry: Registry,
    /// What is on air.
    pub board: Board,
    /// Recordings' files.
    pub catalogue: Arc<Catalogue>,
    /// What pictures are made with.
    pub templates: Arc<Templates>,
    /// Renders `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether every part is up; `/readyz`.
    pub ready: watch::Receiver<bool>,
    /// The language of channels that name none.
    pub language: LanguageTag,
    /// What can be heard here.
    pub can_hear: CanHear,
    /// What of a channel's captions cannot be made here.
    pub missing: WhatIsMissing,
    /// WebRTC, unless it is switched off.
    pub rtc: Option<rtc::Rtc>,
    /// Which sources may be set.
    pub pull: pull::Rule,
    /// Installed models, for `/api/v1/models`.
    pub models: Arc<dyn Fn() -> Vec<api::models::Item> + Send + Sync>,
}

/// Whether a language can be heard here, with the model of that id or any; otherwise what to do.
pub type CanHear = Arc<dyn Fn(&LanguageTag, Option<&str>) -> Result<(), String> + Send + Sync>;

/// What of a channel's captions cannot be made here, and what to do. Reads files.
pub type WhatIsMissing = Arc<dyn Fn(&Channel) -> Vec<api::tracks::Missing> + Send + Sync>;

/// Every route of the server. Subscribers of captions are sent away when `shutdown` fires.
pub fn router(server: Server, shutdown: CancellationToken) -> Router {
    let captions = captions::Captions { desks: Arc::new(server.clone()), shutdown };
    let admin = middleware::from_extractor_with_state::<Admin, _>(server.clone());
    let rtc = server.rtc.clone().map(|rtc| whep::router(rtc.clone(), server.board.clone()).merge(rtc::router(rtc)));
    let vod = vod::Vod { catalogue: server.catalogue.clone() };
    Router::new()
        .nest("/api/v1", api::router().fallback(no_such_endpoint))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(poster::router())
        .with_state(server.clone())
        .merge(captions::routes(captions.clone()))
        .merge(captions::correction_routes(captions).layer(admin))
        .merge(hls::router(Arc::new(server.board)))
        .merge(vod::router().with_state(vod))
        .merge(pages::router())
        .layer(
            CorsLayer::new()
                .allow_origin(Any)
                .allow_methods([Method::GET, Method::HEAD, Method::OPTIONS])
                .allow_headers([header::RANGE, viewers::PLAYBACK])
                .expose_headers([header::CONTENT_RANGE, header::CONTENT_LENGTH])
                .max_age(Duration::from_secs(86_400)),
        )
        .merge(rtc.unwrap_or_default())
        .layer(middleware::from_fn(secure))
}

/// Serves until `cancel`, then lets requests in flight finish, however long they are held: the caller
/// bounds it. Cancelled, it leaves them to themselves.
pub async fn run(listener: TcpListener, secure: Option<Secure>, server: Server, cancel: CancellationToken) {
    let router = router(server, cancel.clone());
    listen::serve(listener, secure, router, listen::Limits::default(), cancel).await;
}

impl captions::Desks for Server {
    fn desk(&self, name: &StreamName) -> Option<(Arc<Desk>, MediaTime)> {
        let live = self.board.get(name)?;
        Some((live.desk.clone(), live.stream.at(Instant::now())))
    }

    fn exists(&self, name: &StreamName) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let name = name.clone();
        Box::pin(async move { self.store.channels().get(&name).await.is_ok_and(|channel| channel.is_some()) })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.board.version()
    }
}

async fn readyz(axum::extract::State(server): axum::extract::State<Server>) -> Response {
    if *server.ready.borrow() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n").into_response()
    }
}

async fn metrics(axum::extract::State(server): axum::extract::State<Server>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (server.metrics)()).into_response()
}

async fn no_such_endpoint() -> Problem {
    Problem::not_found("the API has no such endpoint: see /api/v1/openapi.json")
}

/// Headers every answer carries. Pages load nothing from elsewhere and run no inline script.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
