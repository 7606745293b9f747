//! The pages, built by Vite and carried in the binary.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Nothing from elsewhere, nothing inline. hls.js plays from blobs and makes its tracks from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; media-src 'self' blob: data:; worker-src 'none'; base-uri 'none'; \
                      form-action 'self'";

/// `/`, `/watch/NAME`, `/v/ID`, `/studio/NAME`, `/about/estimates`, their embeddable forms, and the assets they load.
pub fn router() -> Router {
    Router::new()
        .route("/", get(|| async { page("index.html", false) }))
        .route("/watch/{name}", get(|| async { page("watch.html", false) }))
        .route("/v/{id}", get(|| async { page("watch.html", false) }))
        .route("/studio/{name}", get(|| async { page("studio.html", false) }))
        .route("/about/estimates", get(|| async { page("estimates.html", false) }))
        .route("/embed/{name}", get(|| async { page("watch.html", true) }))
        .route("/embed/v/{id}", get(|| async { page("watch.html", true) }))
        .route("/assets/{*path}", get(asset))
        .fallback(root_file)
}

fn page(name: &str, embeddable: bool) -> Response {
    let Some(file) = Dist::get(name) else {
        return Problem::not_found("this build has no pages: run `make run`, which builds them").into_response();
    };
    let frames = if embeddable { "frame-ancestors *" } else { "frame-ancestors 'self'" };
    let policy = HeaderValue::from_str(&format!("{POLICY}; {frames}")).expect("the policy is plain ASCII");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("content-security-policy"), policy),
    ];
    (headers, file.data).into_response()
}

/// Assets carry their hash in their name, so they never change.
async fn asset(Path(path): Path<String>) -> Response {
    file(&format!("assets/{path}"), "public, max-age=31536000, immutable")
}

/// The icon and whatever else lies beside the pages.
async fn root_file(uri: Uri) -> Response {
    file(uri.path().trim_start_matches('/'), "public, max-age=3600")
}

fn file(path: &str, cache: &'static str) -> Response {
    match Dist::get(path) {
        Some(file) if !path.ends_with(".html") => {
            let kind = file.metadata.mimetype().to_owned();
            (StatusCode::OK, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache.into())], file.data)
                .into_response()
        }
        _ => Problem::not_found("no such page").into_response(),
    }
}
