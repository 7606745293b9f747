use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use bytes::Bytes;

use super::hls::{Lives, router};
use crate::{
    archive::{
        Recorder,
        tests::{cue, live as about, media::clip, play},
    },
    captions::{Desk, Dress, TrackSpec},
    hls::{Captions, Live, Rewind, Settings, Window},
    model::{LanguageTag, MediaTime, Part, RenditionId, StreamName},
    store::Store,
};

/// How long the live is.
const SECONDS: u32 = 100;

/// A channel whose live it is.
struct Channel {
    live: Arc<Live>,
    desk: Arc<Desk>,
}

impl Lives for Channel {
    fn live(&self, _: &StreamName) -> Option<Arc<Live>> {
        Some(self.live.clone())
    }

    fn asked(&self, _: &StreamName, _: Option<IpAddr>, _: &HeaderMap) {}

    fn past_captions(
        &self,
        _: &StreamName,
        language: &LanguageTag,
        start: MediaTime,
        duration: Duration,
    ) -> Option<Bytes> {
        self.desk.segment(language, start, duration)
    }
}

async fn serve(channel: Channel) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(Arc::new(channel))).await });
    address
}

/// GET with headers; status, cache control and body.
async fn get(url: String, range: Option<&'static str>) -> (u16, String, Vec<u8>) {
    let ask = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(&url);
        let request = if let Some(range) = range { request.header("range", range) } else { request };
        let mut answer = request.call().unwrap();
        let cache = answer.headers().get("cache-control").map_or("", |value| value.to_str().unwrap()).to_owned();
        (answer.status().as_u16(), cache, answer.body_mut().read_to_vec().unwrap())
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// The checksum of every picture.
fn pictures(input: &str) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-i",
            input,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_a_live_from_its_beginning_that_has_left_memory_frame_for_frame() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let clip = clip(SECONDS);
    let recorder = Recorder::start(&store, about()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    // For a while something stood in for the publisher.
    for part in &clip.parts {
        if (5..8).contains(&part.msn) { recorder.stand_in(part) } else { recorder.part(part) }
    }
    let monitor = recorder.monitor();
    while monitor.status().queued > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let english = LanguageTag::parse("en").unwrap();
    let track = TrackSpec { lang: english.clone(), engine: "none".into(), model: "none".into(), dress: Dress::AsGiven };
    let desk = Desk::new(about().anchor, [track], Duration::ZERO);
    desk.apply_cues([cue(1, 1, "en", 4_500, 6_500, "hello <there>")], MediaTime::from_millis(6_500));

    let rewind = Some(Rewind { window: Duration::from_secs(7_200), shelf: Arc::new(monitor) });
    let name = StreamName::parse("maths").unwrap();
    let settings = Settings::new(name, Duration::from_millis(400), about().anchor, Instant::now());
    let mut window = Window::new(Settings { window: Duration::from_secs(36), rewind, ..settings });
    window.captions([Captions { language: english, name: "English".into(), spoken: true }]);
    clip.inits.iter().for_each(|init| window.init(init.clone()));
    for part in &clip.parts {
        if part.rendition == RenditionId::source() {
            desk.parts(part).into_iter().for_each(|caption| assert!(window.part(caption)));
        }
        assert!(window.part(part.clone()));
    }
    let source = RenditionId::source();
    assert!(window.back(&source, 0).is_some(), "its beginning has left memory");
    let live = Arc::new(Live::default());
    live.open(window);
    let address = serve(Channel { live: live.clone(), desk }).await;

    // While it is on.
    let (status, _, playlist) = get(format!("http://{address}/live/maths/source/rewind.m3u8"), None).await;
    let playlist = String::from_utf8(playlist).unwrap();
    assert!(status == 200 && !playlist.contains("GAP") && !playlist.contains("ENDLIST"), "{playlist}");
    let segments: Vec<_> = playlist.lines().filter(|line| line.starts_with('/')).collect();
    for (msn, segment) in segments.iter().enumerate() {
        let parts = clip.parts.iter().filter(|part: &&Part| part.rendition == source && part.msn == msn as u64);
        let expected = parts.map(|part| part.data.as_ref()).collect::<Vec<_>>().concat();
        let (status, cache, body) = get(format!("http://{address}{segment}"), None).await;
        assert_eq!((status, cache.as_str()), (200, "public, max-age=3600, immutable"), "{segment}");
        assert!(body == expected, "{segment}");
    }
    let first = format!("http://{address}{}", segments[0]);
    let whole = get(first.clone(), None).await.2;
    assert_eq!(
        get(first.clone(), Some("bytes=10-19")).await,
        (206, "public, max-age=3600, immutable".into(), whole[10..20].to_vec())
    );
    assert_eq!(get(first.clone(), Some("bytes=99999999-")).await.0, 416);
    let other_live = first.split_once("?l=").unwrap().0.to_owned() + "?l=1";
    assert_eq!(get(other_live, None).await.0, 404);
    let captions = |msn: u64| get(format!("http://{address}/live/maths/captions-en/seg-{msn}.vtt"), None);
    for msn in [2, 3] {
        let (status, cache, text) = captions(msn).await;
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\n1\n00:00:04.500 --> 00:00:06.500\nhello &lt;there&gt;\n"), "{msn}: {text}");
        assert_eq!((status, cache.as_str()), (200, "public, max-age=10"));
    }
    assert!(!String::from_utf8(captions(4).await.2).unwrap().contains("-->"));

    // Once it is over.
    live.end();
    let file = dir.path().join("whole.mp4");
    let sent = clip.parts.iter().filter(|part| part.rendition == source).map(|part| part.data.as_ref());
    let init = clip.inits.iter().find(|init| init.rendition == source).unwrap();
    std::fs::write(&file, [init.data.as_ref()].into_iter().chain(sent).collect::<Vec<_>>().concat()).unwrap();
    let url = format!("http://{address}/live/maths/rewind.m3u8");
    let (seen, sent, (frames, sound)) =
        tokio::task::spawn_blocking(move || (pictures(&url), pictures(file.to_str().unwrap()), play(&url)))
            .await
            .unwrap();
    assert!(seen == sent && frames == u64::from(SECONDS) * 30, "{} of {} pictures", seen.len(), sent.len());
    assert!((sound - f64::from(SECONDS)).abs() < 0.05, "{sound}");

    // The recording is removed.
    std::fs::remove_dir_all(store.recordings_dir()).unwrap();
    assert_eq!(get(first, None).await.0, 404);
    drop(recorder);
}
