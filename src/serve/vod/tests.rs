use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method},
};
use tower::ServiceExt;

use super::*;
use crate::{
    archive::tests::{cue, media::clip, play, record},
    store::Store,
};

async fn ask(router: &Router, method: Method, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

#[tokio::test]
async fn players_get_recordings_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recording = record(&store, &clip(2), &[cue(1, 1, "en", 0, 1_000, "hello")]).await;
    let base = format!("/vod/{}", recording.id);
    let router: Router = router::<Vod>().with_state(Vod { catalogue: Arc::new(Catalogue::new(store.clone())) });
    for (path, mime) in [
        ("index.m3u8", "application/vnd.apple.mpegurl"),
        ("source/stream.m3u8", "application/vnd.apple.mpegurl"),
        ("captions/en.m3u8", "application/vnd.apple.mpegurl"),
        ("captions/en.vtt", "text/vtt; charset=utf-8"),
        ("transcript.json", "application/json"),
        ("audio/media-0.mp4", "video/mp4"),
    ] {
        let uri = format!("{base}/{path}");
        let (status, headers, body) = ask(&router, Method::GET, &uri, &[]).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, mime), "{path}");
        assert_eq!(body, std::fs::read(store.recordings_dir().join(recording.id.as_str()).join(path)).unwrap());
        let (status, head, nothing) = ask(&router, Method::HEAD, &uri, &[]).await;
        assert_eq!((status, &head["content-length"], nothing.len()), (StatusCode::OK, &headers["content-length"], 0));
        let since = headers["last-modified"].to_str().unwrap();
        let (status, ..) = ask(&router, Method::GET, &uri, &[("if-modified-since", since)]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{path}");
    }
    let media = format!("{base}/source/media-0.mp4");
    let (_, headers, whole) = ask(&router, Method::GET, &media, &[]).await;
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    let (status, headers, some) = ask(&router, Method::GET, &media, &[("range", "bytes=10-19")]).await;
    assert_eq!((status, some.as_slice()), (StatusCode::PARTIAL_CONTENT, &whole[10..20]));
    assert_eq!(headers["content-range"], format!("bytes 10-19/{}", whole.len()));
    let beyond = format!("bytes={}-", whole.len());
    let (status, headers, _) = ask(&router, Method::GET, &media, &[("range", &beyond)]).await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::RANGE_NOT_SATISFIABLE, &"no-store".parse().unwrap()));
    for bad in [
        format!("{base}/recording.json"),
        format!("{base}/source/index.jsonl"),
        format!("{base}/captions-en.jsonl"),
        format!("{base}/source/media-00.mp4"),
        format!("{base}/source/media-1.mp4"),
        format!("{base}/..%2f..%2fsecret.key"),
        format!("{base}/source/..%2f..%2f..%2famphi.db"),
        format!("{base}/captions/%2e%2e.vtt"),
        format!("{base}/nothing/stream.m3u8"),
        "/vod/0123456789abcdefghjk/index.m3u8".into(),
        "/vod/..%2f..%2fetc/passwd".into(),
    ] {
        let (status, headers, body) = ask(&router, Method::GET, &bad, &[]).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (StatusCode::NOT_FOUND, &"application/problem+json".parse().unwrap()),
            "{bad}"
        );
        assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["detail"].is_string());
    }
    assert_eq!(ask(&router, Method::DELETE, &media, &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_a_recording_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recording = record(&store, &clip(4), &[]).await;
    let router: Router = router::<Vod>().with_state(Vod { catalogue: Arc::new(Catalogue::new(store)) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/vod/{}/index.m3u8", listener.local_addr().unwrap(), recording.id);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let (frames, sound) = tokio::task::spawn_blocking(move || play(&url)).await.unwrap();
    server.abort();
    assert_eq!(frames, 120);
    assert!((sound - 4.0).abs() < 0.05, "{sound}");
}
