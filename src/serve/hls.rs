//! Delivery of lives over HTTP: playlists, initialisation segments, segments and parts.

use std::{
    convert::Infallible,
    io::{self, SeekFrom},
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path as FilePath,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::problem::{Problem, Result};
use crate::{
    captions::vtt,
    hls::{Back, Directives, Extent, Kind, Live, Playlist, Reach},
    model::{LanguageTag, MediaTime, RenditionId, StreamName},
};

/// A segment or part never changes, and its URI names no other one.
const MEDIA_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600, immutable");
/// Captions of a while ago are as people have corrected them.
const PAST_CAPTIONS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=10");
/// Bytes of a file that are in memory at a time, for each answer.
const CHUNK: usize = 64 * 1024;
/// What is asked for without directives is out of date with the next part.
const PLAYLIST_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=1");
/// The directives say which state is meant: a cache in between answers every viewer with it. A viewer's own
/// must not: video.js repeats the request for a segment's last part, and waits for a newer answer.
const BLOCKED_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=0, s-maxage=6");

/// Where lives are found.
pub trait Lives: Send + Sync + 'static {
    /// The live of a channel: running, or over but still to be watched to its end.
    fn live(&self, name: &StreamName) -> Option<Arc<Live>>;

    /// A player at this address is given a playlist of a rendition, as it is every few seconds while it plays.
    fn asked(&self, name: &StreamName, address: Option<IpAddr>, headers: &HeaderMap);

    /// A segment of a caption track that playlists in memory list no longer, as WebVTT.
    fn past_captions(
        &self,
        name: &StreamName,
        language: &LanguageTag,
        start: MediaTime,
        duration: Duration,
    ) -> Option<Bytes>;
}

/// Routes under `/live/NAME` and `/hls/NAME.m3u8`. Playlists are compressed here; media must not be, by
/// whatever layer lies around it.
pub fn router(lives: Arc<dyn Lives>) -> Router {
    Router::new()
        .route("/live/{name}/index.m3u8", get(multivariant))
        .route("/live/{name}/rewind.m3u8", get(rewind))
        .route("/hls/{file}", get(compatible))
        .route("/live/{name}/{rendition}/{file}", get(file))
        .with_state(lives)
}

/// What lies beside a rendition's playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Playlist(Reach),
    Init(u32),
    Segment(u64, Extension),
    Part(u64, Extension),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    M4s,
    Vtt,
}

async fn multivariant(
    State(lives): State<Arc<dyn Lives>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    Ok(playlist(&*find(&*lives, &name)?.1.multivariant(Reach::Edge).await?, PLAYLIST_CACHE, &headers))
}

/// The same live for players that go back in it.
async fn rewind(State(lives): State<Arc<dyn Lives>>, Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    Ok(playlist(&*find(&*lives, &name)?.1.multivariant(Reach::Back).await?, PLAYLIST_CACHE, &headers))
}

/// The address nginx-rtmp and Esup-Pod use.
async fn compatible(lives: State<Arc<dyn Lives>>, Path(file): Path<String>, headers: HeaderMap) -> Result<Response> {
    let name = file.strip_suffix(".m3u8").ok_or_else(not_live)?;
    multivariant(lives, Path(name.to_owned()), headers).await
}

async fn file(
    State(lives): State<Arc<dyn Lives>>,
    Path((name, rendition, file)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response> {
    let (name, live) = find(&*lives, &name)?;
    let (Ok(id), Some(file)) = (RenditionId::parse(&rendition), File::parse(&file)) else {
        return Err(no_file());
    };
    let query = query.unwrap_or_default();
    if let File::Playlist(reach) = file {
        let directives = match Directives::parse(&query) {
            Ok(directives) => directives,
            Err(_) if live.ended() => Directives::default(),
            Err(why) => return Err(Problem::bad_request(why)),
        };
        let cache = if directives.msn.is_some() { BLOCKED_CACHE } else { PLAYLIST_CACHE };
        let found = live.playlist(&id, reach, directives).await?;
        lives.asked(&name, peer.map(|peer| peer.0.0.ip()), &headers);
        return Ok(playlist(&found, cache, &headers));
    }
    if !live.serves(&query) {
        return Err(no_file());
    }
    let kind = live.kind(&id).ok_or_else(no_file)?;
    let fits = |extension| (extension == Extension::Vtt) == (kind == Kind::Captions);
    let found = match file {
        File::Init(version) => live.init_bytes(&id, version).map(|data| vec![data]).ok_or(live.init_back(&id, version)),
        File::Segment(msn, extension) if fits(extension) => match live.segment(&id, msn) {
            Some(parts) if extension == Extension::Vtt => Ok(vec![vtt::merge(&parts)]),
            Some(parts) => Ok(parts),
            None => Err(live.back(&id, msn)),
        },
        File::Part(number, extension) if fits(extension) => Ok(vec![live.part_bytes(&id, number).await?]),
        _ => Err(None),
    };
    match found {
        Ok(parts) => Ok(media(parts, kind, MEDIA_CACHE, &headers)),
        Err(Some(Back::File(path, extent))) => stretch(&path, extent, kind, &headers).await,
        Err(Some(Back::Captions { start, duration })) => {
            let language = id.as_str().strip_prefix("captions-").and_then(|tag| LanguageTag::parse(tag).ok());
            let text = language.and_then(|language| lives.past_captions(&name, &language, start, duration));
            Ok(media(vec![text.ok_or_else(no_file)?], kind, PAST_CAPTIONS_CACHE, &headers))
        }
        Err(None) => Err(no_file()),
    }
}

impl File {
    fn parse(name: &str) -> Option<Self> {
        if let Some(reach) = [Reach::Edge, Reach::Back].into_iter().find(|reach| name == reach.file()) {
            return Some(Self::Playlist(reach));
        }
        let (stem, extension) = name.split_once('.')?;
        let (what, digits) = stem.split_once('-')?;
        // One spelling for each number, so that caches hold one copy.
        let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let number: u64 = digits.parse().ok().filter(|_| canonical)?;
        let media = match extension {
            "m4s" => Some(Extension::M4s),
            "vtt" => Some(Extension::Vtt),
            _ => None,
        };
        match (what, media) {
            ("init", None) if extension == "mp4" => Some(Self::Init(number.try_into().ok()?)),
            ("seg", Some(extension)) => Some(Self::Segment(number, extension)),
            ("part", Some(extension)) => Some(Self::Part(number, extension)),
            _ => None,
        }
    }
}

fn find(lives: &dyn Lives, name: &str) -> Result<(StreamName, Arc<Live>)> {
    let name = StreamName::parse(name).map_err(|_| not_live())?;
    let live = lives.live(&name).ok_or_else(not_live)?;
    Ok((name, live))
}

fn not_live() -> Problem {
    Problem::not_found("this channel is not live: check its name, or try again when the broadcast has begun")
}

fn no_file() -> Problem {
    Problem::not_found("no such file in this live, or no longer: load its playlist again")
}

fn playlist(playlist: &Playlist, cache: HeaderValue, headers: &HeaderMap) -> Response {
    let mut response = if accepts_gzip(headers) {
        ([(header::CONTENT_ENCODING, "gzip")], playlist.gzip()).into_response()
    } else {
        playlist.text().into_response()
    };
    for (name, value) in [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.apple.mpegurl")),
        (header::CACHE_CONTROL, cache),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}

/// gzip is named and its weight is not zero (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// Media as it lies in memory.
fn media(parts: Vec<Bytes>, kind: Kind, cache: HeaderValue, headers: &HeaderMap) -> Response {
    let length = parts.iter().map(Bytes::len).sum();
    let (mut response, span) = answer(length, kind, cache, headers);
    if let Some(span) = span {
        let body = stream::iter(slice(parts, span).into_iter().map(Ok::<_, Infallible>));
        *response.body_mut() = Body::from_stream(body);
    }
    response
}

/// Media as it lies in a file, read as it is sent.
async fn stretch(path: &FilePath, extent: Extent, kind: Kind, headers: &HeaderMap) -> Result<Response> {
    let length = usize::try_from(extent.length).map_err(Problem::internal)?;
    let (mut response, span) = answer(length, kind, MEDIA_CACHE, headers);
    let Some(span) = span else { return Ok(response) };
    let mut file = match tokio::fs::File::open(path).await {
        // The recording has been removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_file()),
        file => file.map_err(Problem::internal)?,
    };
    file.seek(SeekFrom::Start(extent.offset + span.start as u64)).await.map_err(Problem::internal)?;
    *response.body_mut() = Body::from_stream(ReaderStream::with_capacity(file.take(span.len() as u64), CHUNK));
    Ok(response)
}

/// The answer without its body, for all of `length` bytes or the range that was asked for (RFC 9110 §14), and which
/// bytes these are; `None`: the range lies outside, as the answer says.
fn answer(length: usize, kind: Kind, cache: HeaderValue, headers: &HeaderMap) -> (Response, Option<Range<usize>>) {
    let content_type = match kind {
        Kind::Video => "video/mp4",
        Kind::Audio => "audio/mp4",
        Kind::Captions => "text/vtt; charset=utf-8",
    };
    // Without validators a conditional range cannot be told to be current, so the whole is sent.
    let asked = headers.get(header::RANGE).filter(|_| !headers.contains_key(header::IF_RANGE));
    let range = match asked.and_then(|value| value.to_str().ok()).and_then(|value| range(value, length)) {
        Some(Err(())) => {
            let problem = Problem::range("the range lies outside: ask for less, or for the whole");
            return (([(header::CONTENT_RANGE, format!("bytes */{length}"))], problem).into_response(), None);
        }
        Some(Ok(range)) => Some(range),
        None => None,
    };
    let span = range.clone().unwrap_or(0..length);
    let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, cache),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CONTENT_LENGTH, span.len().into()),
    ];
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let shown = range.map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1));
    headers.extend(shown.and_then(|text| text.parse().ok()).map(|value| (header::CONTENT_RANGE, value)));
    let mut response = status.into_response();
    response.headers_mut().extend(headers);
    (response, Some(span))
}

/// A single byte range that is not empty; `None` for what is to be ignored: other units, nonsense, more than
/// one range. `Err`: it cannot be satisfied.
fn range(value: &str, length: usize) -> Option<std::result::Result<Range<usize>, ()>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        // More digits than fit lie beyond the end like any other.
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(usize::MAX))
    };
    let range = match (first, last) {
        ("", "") => return None,
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

/// The bytes of `span`, none of them copied.
fn slice(parts: Vec<Bytes>, span: Range<usize>) -> Vec<Bytes> {
    let mut at = 0;
    let cut = parts.into_iter().filter_map(|part| {
        let (start, end) = (span.start.max(at), span.end.min(at + part.len()));
        let cut = (start < end).then(|| part.slice(start - at..end - at));
        at += part.len();
        cut
    });
    cut.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_parsed_strictly() {
        assert_eq!(File::parse("part-17.m4s"), Some(File::Part(17, Extension::M4s)));
        assert_eq!(File::parse("seg-0.vtt"), Some(File::Segment(0, Extension::Vtt)));
        assert_eq!(File::parse("init-3.mp4"), Some(File::Init(3)));
        for bad in [
            "part-.m4s",
            "part-+1.m4s",
            "part-01.m4s",
            "part--1.m4s",
            "seg-18446744073709551616.m4s",
            "init-1.m4s",
            "init-4294967296.mp4",
            "seg-1.mp4",
            "seg-1.m4s.gz",
            "seg-1",
            "..",
            "",
        ] {
            assert_eq!(File::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-3", 10), Some(Ok(0..4)));
        assert_eq!(range("bytes=4-", 10), Some(Ok(4..10)));
        assert_eq!(range("bytes=-3", 10), Some(Ok(7..10)));
        assert_eq!(range("bytes=-99", 10), Some(Ok(0..10)));
        assert_eq!(range("bytes=0-99999999999999999999999", 10), Some(Ok(0..10)));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(range(outside, 10), Some(Err(())), "{outside}");
        }
        for ignored in ["bytes=3-1", "bytes=0-1,4-5", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=--1"] {
            assert_eq!(range(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn a_slice_crosses_parts() {
        let parts = ["abc", "", "defg", "h"].map(|text| Bytes::from_static(text.as_bytes())).to_vec();
        assert_eq!(slice(parts.clone(), 2..5), ["c", "de"].map(Bytes::from));
        assert_eq!(slice(parts.clone(), 0..8).concat(), b"abcdefgh");
        assert!(slice(parts, 3..3).is_empty());
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let accepts = |value: &'static str| {
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("gzip, deflate, br"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("br"));
    }
}
