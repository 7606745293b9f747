//! Lives over real HTTP: a strict reader, and clients that do not behave.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use amphi::{
    hls::{Captions, Extent, Live, Rewind, Settings, Shelf, Volume, Window},
    model::{
        Anchor, AudioCodec, AudioFormat, Init, LanguageTag, MediaTime, Part, RenditionId, StreamName, TrackFormat,
        VideoCodec, VideoFormat,
    },
    serve::hls::{Lives, router},
};
use axum::{Router, body::Body, extract::Request, http::HeaderMap, middleware::Next, response::Response};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[path = "support/strict.rs"]
mod strict;

const PART: Duration = Duration::from_millis(250);
const PARTS: u64 = 8;
/// Media time runs this much faster than the clock.
const SPEED: u32 = 5;

#[derive(Default)]
struct Channels(Mutex<HashMap<StreamName, Arc<Live>>>);

impl Lives for Channels {
    fn live(&self, name: &StreamName) -> Option<Arc<Live>> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn asked(&self, _: &StreamName, _: Option<IpAddr>, _: &HeaderMap) {}

    fn past_captions(&self, _: &StreamName, _: &LanguageTag, start: MediaTime, _: Duration) -> Option<Bytes> {
        Some(format!("WEBVTT\n\n{}\n", start.as_nanos()).into())
    }
}

/// A recorder that has everything; nobody here asks for its files.
#[derive(Debug)]
struct Recorded;

impl Shelf for Recorded {
    fn segment(&self, _: &RenditionId, msn: u64) -> Option<(Volume, Extent)> {
        Some((Volume::Aside, Extent { offset: msn, length: 1 }))
    }

    fn init(&self, _: &RenditionId, _: u32) -> Option<Extent> {
        None
    }

    fn file(&self, _: &RenditionId, _: Volume) -> PathBuf {
        "nowhere".into()
    }
}

fn renditions() -> [RenditionId; 4] {
    let captions = RenditionId::captions(&LanguageTag::parse("en").unwrap());
    [RenditionId::source(), RenditionId::rung(240), RenditionId::audio(), captions]
}

fn init(id: &RenditionId, version: u32) -> Init {
    let format = if *id == RenditionId::audio() {
        TrackFormat::Audio(AudioFormat {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(&[0x11, 0x90]),
            sample_rate: 48_000,
            channels: 2,
        })
    } else {
        TrackFormat::Video(VideoFormat {
            codec: VideoCodec::H264,
            config: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff]),
            width: 1280,
            height: 720,
            frame_rate: Some(30.0),
        })
    };
    let data = format!("init {id} {version}").into();
    Init { rendition: id.clone(), version, format: Arc::new(format), bitrate: Some(100_000), label: None, data }
}

fn part(id: &RenditionId, number: u64) -> Part {
    let text = id.as_str().starts_with("captions-");
    let body = if text { format!("WEBVTT\n\n{number}\n") } else { format!("{id} {number};").repeat(20) };
    Part {
        rendition: id.clone(),
        msn: number / PARTS,
        index: (number % PARTS) as u32,
        number,
        start: MediaTime::ZERO + PART * number as u32,
        duration: PART,
        independent: number.is_multiple_of(PARTS),
        ends_segment: number % PARTS == PARTS - 1,
        discontinuity: false,
        init: 0,
        data: body.into(),
    }
}

fn window(name: &str, anchor: SystemTime) -> Window {
    let settings = Settings::new(StreamName::parse(name).unwrap(), PART, Anchor::new(anchor), Instant::now());
    let rewind = Some(Rewind { window: Duration::from_secs(50), shelf: Arc::new(Recorded) });
    let mut window = Window::new(Settings { window: Duration::from_secs(36), rewind, ..settings });
    window.expect(renditions());
    window.captions([Captions { language: LanguageTag::parse("en").unwrap(), name: "English".into(), spoken: true }]);
    for id in &renditions()[..3] {
        window.init(init(id, 0));
    }
    window
}

/// A server with one live that has so many parts.
async fn serve(parts: u64, wrap: impl FnOnce(Router) -> Router) -> (SocketAddr, Arc<Live>, Arc<Channels>) {
    let live = Arc::new(Live::default());
    let mut window = window("maths", SystemTime::now());
    for number in 0..parts {
        renditions().iter().for_each(|id| assert!(window.part(part(id, number))));
    }
    live.open(window);
    let channels = Arc::new(Channels::default());
    channels.0.lock().unwrap().insert(StreamName::parse("maths").unwrap(), live.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = wrap(router(channels.clone()));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, live, channels)
}

/// Publishes parts in real time, [`SPEED`] times over, with a discontinuity on the way, until told to stop.
async fn publish(live: Arc<Live>, from: u64, until: u64) {
    let mut clock = tokio::time::interval(PART / SPEED);
    for number in from..until {
        clock.tick().await;
        let broken = from + 60 - (from + 60) % PARTS;
        for id in renditions() {
            let captions = id.as_str().starts_with("captions-");
            if number == broken && !captions {
                live.init(init(&id, 1));
            }
            let behind = u32::from(number >= broken && !captions);
            let part = part(&id, number);
            // The number that is hinted before the break is left out.
            let number = number + u64::from(behind);
            live.part(Part { init: behind, number, discontinuity: part.number == broken, ..part });
        }
    }
    live.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_reader_finds_nothing_wrong_from_the_first_segment_to_the_end() {
    let (address, live, _) = serve(0, |app| app).await;
    let publisher = tokio::spawn(publish(live.clone(), 0, 200));
    let watch = move || strict::watch(&format!("http://{address}"), "maths", Duration::from_secs(60));
    let report = tokio::task::spawn_blocking(watch).await.unwrap();
    publisher.await.unwrap();
    assert!(report.errors.is_empty(), "{:#?}", report.errors);
    assert_eq!(report.renditions, 4);
    assert!(report.ended && report.deltas > 20 && report.parts > 600 && report.segments > 80, "{report:?}");
    assert!(report.playlists > report.deltas);
    let live = live.clone();
    while live.held() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_reader_that_may_go_back_finds_nothing_wrong_either() {
    let (address, live, _) = serve(0, |app| app).await;
    // So long that what is oldest leaves the rewind playlist as well.
    let publisher = tokio::spawn(publish(live, 0, 260));
    let watch = move || strict::watch_at(&format!("http://{address}"), "maths", "rewind.m3u8", Duration::from_secs(60));
    let report = tokio::task::spawn_blocking(watch).await.unwrap();
    publisher.await.unwrap();
    assert!(report.errors.is_empty(), "{:#?}", report.errors);
    assert!(report.ended && report.renditions == 4 && report.deltas > 20 && report.segments > 100, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strict_reader_sees_each_broken_rule() {
    for (from, to, complaint) in [
        ("#EXTM3U", "#EXTM3U", ""),
        ("PART-HOLD-BACK=0.75", "PART-HOLD-BACK=0.50", "server control"),
        (",HOLD-BACK=12.0", ",HOLD-BACK=9.0", "server control"),
        ("PART-TARGET=0.25", "PART-TARGET=0.20", " lasts 0.25"),
        ("PART-TARGET=0.25", "PART-TARGET=0.40", " lasts only 0.25"),
        ("#EXTINF:2.0", "#EXTINF:1.9", "and its parts 2"),
        ("#EXTINF:2.000000", "#EXTINF:2.0", "five decimals"),
        ("#EXT-X-TARGETDURATION:4", "#EXT-X-TARGETDURATION:1", " lasts 2"),
        (
            "TYPE=PART,URI=\"/live/maths/source/part-",
            "TYPE=PART,URI=\"/live/maths/source/part-1",
            "something else came",
        ),
        ("LAST-MSN=", "LAST-MSN=0,X=", "was there before"),
        ("RENDITION-REPORT:URI=\"/live/maths/240p", "RENDITION-REPORT:URI=\"/live/maths/241p", "no rendition report"),
        ("GROUP-ID=\"audio\"", "GROUP-ID=\"sound\"", "does not resolve"),
        ("BANDWIDTH=", "BANDWIDTH=1,X=", "bit/s, BANDWIDTH 1"),
        ("MAP:URI", "MAP:URL", "no map"),
        ("#EXT-X-MEDIA-SEQUENCE:0\n", "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MEDIA-SEQUENCE:0\n", "stands twice"),
        ("seg-1.m4s", "seg-2.m4s", "not the sum of its parts"),
        ("#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-TIME", "has no date"),
        (
            "#EXTINF:2.000000,\n/live/maths/audio/",
            "#EXT-X-ENDLIST\n#EXTINF:2.000000,\n/live/maths/audio/",
            "one of the two",
        ),
        ("#EXT-X-VERSION:9", "#EXT-X-VERSION:6", "does not cover"),
    ] {
        let break_it = move |request: Request, next: Next| async move {
            let response = next.run(request).await;
            let kind = response.headers().get("content-type");
            let playlist = kind.is_some_and(|kind| kind == "application/vnd.apple.mpegurl");
            if !playlist || response.headers().contains_key("content-encoding") {
                return response;
            }
            let (mut head, body) = response.into_parts();
            head.headers.remove("content-length");
            let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            Response::from_parts(head, Body::from(String::from_utf8_lossy(&text).replace(from, to)))
        };
        let (address, live, _) = serve(40, |app| app.layer(axum::middleware::from_fn(break_it))).await;
        let publisher = tokio::spawn(publish(live, 40, 46));
        let watch = move || strict::watch(&format!("http://{address}"), "maths", Duration::from_secs(10));
        let report = tokio::task::spawn_blocking(watch).await.unwrap();
        publisher.await.unwrap();
        let seen = report.errors.iter().any(|error| error.contains(complaint));
        assert_eq!(seen, from != to, "{from} → {to}: {:?}", report.errors);
    }
}

async fn fetch(address: SocketAddr, path: &str, headers: &[(&'static str, &'static str)]) -> strict::Fetched {
    let (url, headers) = (format!("http://{address}{path}"), headers.to_vec());
    tokio::task::spawn_blocking(move || strict::get_with(&url, &headers)).await.unwrap()
}

/// The media URIs of a rendition's playlist, as a player would ask for them.
async fn uris(address: SocketAddr, rendition: &str) -> Vec<String> {
    let text = fetch(address, &format!("/live/maths/{rendition}/stream.m3u8"), &[]).await.body;
    let text = String::from_utf8(text).unwrap();
    let quoted = text.lines().filter_map(|line| line.split("URI=\"").nth(1)?.split('"').next());
    quoted.chain(text.lines().filter(|line| line.starts_with('/'))).map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_can_be_had_in_ranges_and_what_is_not_there_is_a_problem_document() {
    let (address, _live, channels) = serve(20, |app| app).await;
    let uris = uris(address, "source").await;
    let segment = uris.iter().find(|uri| uri.contains("/seg-1.m4s")).unwrap();
    let whole = fetch(address, segment, &[]).await;
    let expected: String = (8..16).map(|n| format!("source {n};").repeat(20)).collect();
    assert_eq!(whole.body, expected.as_bytes());
    assert_eq!(whole.headers["content-type"], "video/mp4");
    assert_eq!(whole.headers["content-length"], expected.len().to_string());
    let range = fetch(address, segment, &[("range", "bytes=150-399")]).await;
    assert_eq!((range.status, &range.body[..]), (206, &expected.as_bytes()[150..400]));
    assert_eq!(range.headers["content-range"], format!("bytes 150-399/{}", expected.len()));
    let outside = fetch(address, segment, &[("range", "bytes=999999-")]).await;
    assert_eq!(
        (outside.status, &outside.headers["content-range"][..]),
        (416, &format!("bytes */{}", expected.len())[..])
    );
    let several = fetch(address, segment, &[("range", "bytes=0-1,4-5")]).await;
    assert_eq!((several.status, several.body.len()), (200, expected.len()));
    let init = uris.iter().find(|uri| uri.contains("init-0.mp4")).unwrap();
    assert_eq!(fetch(address, init, &[]).await.body, b"init source 0");
    for nothing in [
        "/live/physics/index.m3u8",
        "/live/..%2f/index.m3u8",
        "/live/%00/index.m3u8",
        "/hls/physics.m3u8",
        "/hls/maths",
        "/live/maths/4k/stream.m3u8",
        "/live/maths/captions-fr/stream.m3u8",
        "/live/maths/source/seg-2.m4s",
        "/live/maths/source/seg-0.vtt",
        "/live/maths/source/part-18446744073709551615.m4s",
        "/live/maths/source/init-7.mp4",
        "/live/maths/captions-en/init-0.mp4",
        "/live/maths/source/seg-1.m4s?l=0",
    ] {
        let answer = fetch(address, nothing, &[]).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"][..]),
            (404, "application/problem+json"),
            "{nothing}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{nothing}");
    }
    // The channel's next live counts from zero again: what the old one's playlist named is not its.
    let next = Arc::new(Live::default());
    let mut window = window("maths", SystemTime::now() + Duration::from_secs(60));
    (0..20).for_each(|number| assert!(window.part(part(&RenditionId::source(), number))));
    next.open(window);
    channels.0.lock().unwrap().insert(StreamName::parse("maths").unwrap(), next);
    assert_eq!(fetch(address, segment, &[]).await.status, 404);
}

async fn head(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_says_the_length_and_sends_nothing() {
    let (address, _live, _) = serve(20, |app| app).await;
    for path in ["/live/maths/source/seg-0.m4s", "/live/maths/source/stream.m3u8", "/live/maths/index.m3u8"] {
        let length = fetch(address, path, &[]).await.body.len();
        let answer = head(address, path).await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("content-length: {length}\r\n")), "{path} {length}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_requests_that_are_cut_off_leave_nothing() {
    let (address, live, _) = serve(20, |app| app).await;
    let mut sockets = Vec::new();
    for n in 0..400 {
        let path = match n % 2 {
            0 => "/live/maths/source/part-20.m4s",
            _ => "/live/maths/audio/stream.m3u8?_HLS_msn=2&_HLS_part=4",
        };
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    while live.held() < 400 {
        tokio::task::yield_now().await;
    }
    let mut last = sockets.pop().unwrap();
    sockets.clear();
    while live.held() > 1 {
        tokio::task::yield_now().await;
    }
    live.part(part(&RenditionId::audio(), 20));
    let mut answer = vec![0; 15];
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
}

/// Fragmented MP4 from ffmpeg, cut into `ftyp`+`moov` and fragments.
fn fragments(options: &str) -> (Bytes, Vec<Bytes>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("out.mp4");
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-f", "lavfi"]).args(options.split_whitespace());
    command.args(["-movflags", "empty_moov+default_base_moof"]).arg(&file);
    assert!(command.status().unwrap().success());
    let data = Bytes::from(std::fs::read(file).unwrap());
    let (mut at, mut init, mut fragments) = (0, 0, Vec::new());
    while at < data.len() {
        let size = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
        match &data[at + 4..at + 8] {
            b"ftyp" | b"moov" => init = at + size,
            b"moof" => fragments.push(at..at + size),
            b"mdat" => fragments.last_mut().unwrap().end = at + size,
            _ => {}
        }
        at += size;
    }
    (data.slice(..init), fragments.into_iter().map(|range| data.slice(range)).collect())
}

/// Feeds real fragments, `count` of them a segment of 1.92 s, and ends the live.
fn feed(live: &Live, init: &Init, fragments: &[Bytes], count: u64) {
    live.init(init.clone());
    let duration = Duration::from_millis(1_920) / count as u32;
    for (number, data) in (0..).zip(fragments) {
        assert!(live.part(Part {
            msn: number / count,
            index: (number % count) as u32,
            start: MediaTime::ZERO + duration * number as u32,
            duration,
            independent: init.format.audio().is_some() || number.is_multiple_of(count),
            ends_segment: number % count == count - 1,
            data: data.clone(),
            ..part(&init.rendition, number)
        }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_reads_every_frame_of_a_live_that_has_ended() {
    let (video, pictures) = fragments(
        "-i testsrc=size=320x180:rate=25 -t 7.68 -c:v libx264 -preset ultrafast -g 48 -bf 0 -pix_fmt yuv420p \
         -frag_duration 239000",
    );
    let (audio, sounds) = fragments("-i sine=frequency=440:sample_rate=48000 -t 8 -c:a aac -frag_duration 213000");
    let sounds = &sounds[..36];
    assert_eq!(pictures.len(), 32);
    let (address, live, _) = serve(0, |app| app).await;
    let codec = video.windows(4).position(|name| name == b"avcC").unwrap() + 4;
    let source = init(&RenditionId::source(), 0);
    let format = VideoFormat { config: video.slice(codec..codec + 8), ..source.format.video().unwrap().clone() };
    let format = Arc::new(TrackFormat::Video(format));
    feed(&live, &Init { data: video, format, ..source }, &pictures, 8);
    feed(&live, &Init { data: audio, ..init(&RenditionId::audio(), 0) }, sounds, 9);
    live.end();
    let mut probe = tokio::process::Command::new("ffprobe");
    probe.args([
        "-v",
        "warning",
        "-count_frames",
        "-show_entries",
        "stream=codec_name,nb_read_frames",
        "-of",
        "csv=p=0",
    ]);
    let output = probe.arg(format!("http://{address}/hls/maths.m3u8")).output().await.unwrap();
    let (seen, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(seen.contains("h264,192\n") && seen.contains("aac,360\n"), "{seen} {said}");
}
