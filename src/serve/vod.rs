//! Recordings over HTTP: playlists, media by byte range, captions.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{FromRef, Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::services::ServeFile;

use super::problem::Problem;
use crate::archive::{Catalogue, RecordingId};

/// What the routes need; part of the server's state through [`FromRef`].
#[derive(Debug, Clone)]
pub struct Vod {
    /// The recordings.
    pub catalogue: Arc<Catalogue>,
}

/// `/vod/{id}/…` for GET and HEAD, with ranges and conditional requests (RFC 9110 §13, §14).
pub fn router<S>() -> Router<S>
where
    Vod: FromRef<S>,
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/vod/{id}/{*path}", get(file))
}

async fn file(
    State(vod): State<Vod>,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let not_found = || Problem::not_found("there is no such file: take addresses from the recording's index.m3u8");
    let id = RecordingId::parse(&id).map_err(|error| Problem::not_found(error.to_string()))?;
    let catalogue = vod.catalogue.clone();
    let asset = tokio::task::spawn_blocking(move || catalogue.asset(&id, &path)).await.map_err(Problem::internal)?;
    let asset = asset.ok_or_else(not_found)?;
    let mime = asset.mime.parse().map_err(Problem::internal)?;
    let served = match ServeFile::new_with_mime(&asset.path, &mime).try_call(request).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found()),
        other => other.map_err(Problem::internal)?,
    };
    let mut response = served.into_response();
    let status = response.status();
    let cache = match (status.is_success() || status == StatusCode::NOT_MODIFIED, asset.immutable) {
        (false, _) => "no-store",
        (true, true) => "public, max-age=31536000, immutable",
        // A correction may change it: ask again, which costs a 304.
        (true, false) => "no-cache",
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

#[cfg(test)]
mod tests;
