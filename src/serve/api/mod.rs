//! `/api/v1`, described by `/api/v1/openapi.json`.

pub mod channels;
pub mod events;
pub mod models;
pub mod publishers;
pub mod recordings;
pub mod tracks;
pub mod viewers;

use axum::{Json, Router, routing::get};
use serde::Serialize;
use utoipa::OpenApi;

use super::{Server, rtc, whep};

/// A list, as every list of this API looks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct List<T> {
    /// What there is.
    pub items: Vec<T>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Amphi", description = "Live streaming and real-time subtitling. Changes need the admin token."),
    servers((url = "/api/v1")),
    paths(
        channels::list, channels::add, channels::show, channels::change, channels::remove,
        channels::status,
        publishers::key, publishers::rotate, publishers::backup, publishers::remove_backup, publishers::call,
        recordings::list, recordings::show, recordings::remove,
        viewers::list, models::list, events::events,
        rtc::publish, rtc::trickle, rtc::end, whep::open, whep::trickle, whep::close,
    ),
    modifiers(&Bearer, &AtTheRoot),
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = document.components.get_or_insert_default();
        for name in ["admin", "stream_key"] {
            components.add_security_scheme(name, scheme.clone());
        }
    }
}

/// WHIP and WHEP lie beside the API, where players and encoders look for them.
struct AtTheRoot;

impl utoipa::Modify for AtTheRoot {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            if path.starts_with("/whip/") || path.starts_with("/whep/") {
                item.servers = Some(vec![utoipa::openapi::Server::new("/")]);
            }
        }
    }
}

/// The API's routes, relative to `/api/v1`.
pub fn router() -> Router<Server> {
    Router::new()
        .merge(channels::router())
        .merge(publishers::router())
        .merge(recordings::router())
        .route("/channels/{name}/viewers", get(viewers::list))
        .route("/models", get(models::list))
        .route("/events", get(events::events))
        .route("/openapi.json", get(|| async { Json(Document::openapi()) }))
}
