//! RTMP in, by the programs people publish with.

use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use amphi::{
    app::demo,
    ingest::{
        Door, Knock, Refusal,
        rtmp::{Server, Settings},
    },
    model::{AudioFormat, Packet, StreamName, Track, TrackFormat, TrackId},
    stream::{Consumer, Event, Live, Publication, Registry, State},
};
use tokio::{process::Command, sync::broadcast, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Opens channel `maths` to the key `s3cret`.
struct TestDoor(Registry);

impl Door for TestDoor {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(async move {
            let name = StreamName::parse("maths").unwrap();
            match knock.channel {
                Some(channel) if channel != name => Err(Refusal::Unknown),
                Some(channel) if knock.key != "s3cret" => Err(Refusal::WrongKey(channel)),
                None if knock.key != "s3cret" => Err(Refusal::Unknown),
                _ => {
                    let published = self.0.publish(&name, 1, knock.protocol, knock.peer, Instant::now());
                    published.map_err(|_| Refusal::Busy(name))
                }
            }
        })
    }
}

struct Fixture {
    registry: Registry,
    started: broadcast::Receiver<Arc<Live>>,
    address: SocketAddr,
    cancel: CancellationToken,
    server: JoinHandle<()>,
}

impl Fixture {
    async fn start() -> Self {
        let registry = Registry::new(Duration::from_secs(30));
        let started = registry.started();
        let door = Arc::new(TestDoor(registry.clone()));
        let server = Server::bind("127.0.0.1:0", door, Settings::default()).await.unwrap();
        let address = server.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let server = tokio::spawn(server.serve(cancel.clone()));
        Self { registry, started, address, cancel, server }
    }

    fn url(&self, path: &str) -> String {
        format!("rtmp://{}/{path}", self.address)
    }

    async fn live(&mut self) -> (Arc<Live>, Consumer) {
        let live = in_time(self.started.recv()).await.unwrap();
        let consumer = live.producer.consume();
        (live, consumer)
    }

    async fn stop(self) {
        self.cancel.cancel();
        in_time(self.server).await.unwrap();
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

fn lecture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/media/lecture-en.opus")
}

const PICTURE: &[&str] = &["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
const H264: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2"];

fn sound() -> Vec<String> {
    ["-re", "-i"].map(String::from).into_iter().chain([lecture().to_string_lossy().into_owned()]).collect()
}

/// ffmpeg, killed when dropped.
fn ffmpeg(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn publish(url: &str, parts: &[&[&str]]) -> Command {
    let sound = sound();
    let mut arguments: Vec<&str> = PICTURE.to_vec();
    arguments.extend(sound.iter().map(String::as_str));
    arguments.extend(["-t", "3"]);
    arguments.extend(H264);
    arguments.extend(["-c:a", "aac"]);
    arguments.extend(parts.concat());
    arguments.extend(["-f", "flv", url]);
    ffmpeg(arguments)
}

async fn finished(command: &mut Command) -> Output {
    in_time(command.output()).await.unwrap()
}

#[derive(Default)]
struct Heard {
    tracks: Vec<Track>,
    video: Vec<Packet>,
    audio: Vec<Packet>,
    discontinuities: usize,
    lost: u64,
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Track(track) => self.tracks.push((*track).clone()),
            Event::Packet(packet) if packet.track == TrackId::VIDEO => self.video.push(packet),
            Event::Packet(packet) => self.audio.push(packet),
            Event::Discontinuity => self.discontinuities += 1,
            Event::Lost(count) => self.lost += count,
        }
    }

    fn audio_format(&self) -> Option<&AudioFormat> {
        self.tracks.iter().find_map(|track| track.format.audio())
    }

    fn check_times(&self) {
        for track in [&self.video, &self.audio] {
            for pair in track.windows(2) {
                assert!(pair[0].dts < pair[1].dts, "{:?} then {:?}", pair[0].dts, pair[1].dts);
            }
        }
        assert_eq!(self.lost, 0);
    }

    /// Every access unit of audio lasts 1024 samples: no time is rounded to milliseconds.
    fn check_grid(&self) {
        let rate = self.audio_format().unwrap().sample_rate;
        for pair in self.audio.windows(2) {
            let ticks = pair[1].dts.to_ticks(rate) - pair[0].dts.to_ticks(rate);
            assert!((1023..=1025).contains(&ticks), "{ticks} samples");
        }
        let (first, last) = (self.audio.first().unwrap(), self.audio.last().unwrap());
        let samples = (self.audio.len() as i64 - 1) * 1024;
        assert!((last.dts.to_ticks(rate) - first.dts.to_ticks(rate) - samples).abs() <= 1);
    }
}

/// Everything until the publisher has gone.
async fn hear(live: &Live, consumer: &mut Consumer) -> Heard {
    let mut heard = Heard::default();
    in_time(async {
        loop {
            match tokio::time::timeout(Duration::from_millis(50), consumer.recv()).await {
                Ok(Some(event)) => heard.take(event),
                Ok(None) => break,
                Err(_) if live.state() != State::Live => break,
                Err(_) => {}
            }
        }
    })
    .await;
    heard
}

/// Publishes with ffmpeg to `path` and returns what readers saw.
async fn round(path: &str, parts: &[&[&str]]) -> Heard {
    let mut fixture = Fixture::start().await;
    let url = fixture.url(path);
    let mut publisher = publish(&url, parts);
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fixture.stop().await;
    heard
}

#[tokio::test]
async fn ffmpeg_publishes_with_the_key_as_stream_name() {
    let heard = round("live/s3cret", &[]).await;
    heard.check_times();
    heard.check_grid();
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, Some(25.0)));
    assert!(video.codecs().starts_with("avc1.64"), "{}", video.codecs());
    let audio = heard.audio_format().unwrap();
    assert_eq!((audio.sample_rate, audio.channels), (48_000, 1));
    assert_eq!(heard.tracks.len(), 2, "headers repeated identically announce nothing");
    assert_eq!(heard.video.len(), 75);
    let keys: Vec<_> = (0..).zip(&heard.video).filter(|(_, packet)| packet.key).map(|(index, _)| index).collect();
    assert_eq!(keys, [0, 25, 50]);
    assert!(heard.video.iter().any(|packet| packet.pts > packet.dts), "B-frames have composition times");
    for packet in &heard.video {
        let mut rest = &packet.data[..];
        while let Some((length, tail)) = rest.split_first_chunk() {
            rest = &tail[u32::from_be_bytes(*length) as usize..];
        }
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn ffmpeg_publishes_by_name_with_the_key_in_the_query() {
    let heard = round("live/maths?key=s3cret", &[&["-ar", "44100", "-ac", "2"]]).await;
    heard.check_times();
    heard.check_grid();
    let audio = heard.audio_format().unwrap();
    assert_eq!((audio.sample_rate, audio.channels), (44_100, 2));
}

#[tokio::test]
async fn ffmpeg_publishes_by_name_with_the_key_as_last_segment() {
    assert_eq!(round("live/maths/s3cret", &[]).await.video.len(), 75);
}

#[tokio::test]
async fn audio_alone_is_a_live() {
    let heard = round("live/s3cret", &[&["-vn"]]).await;
    heard.check_grid();
    assert!(heard.video.is_empty() && heard.audio.len() > 100);
    assert_eq!(heard.tracks.len(), 1);
}

#[tokio::test]
async fn video_alone_is_a_live() {
    let heard = round("live/s3cret", &[&["-an", "-bf", "0", "-flvflags", "no_metadata"]]).await;
    heard.check_times();
    assert!(heard.audio.is_empty());
    assert_eq!(heard.video.len(), 75);
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!(video.frame_rate, Some(25.0), "from the bit stream where there is no metadata");
}

#[tokio::test]
async fn gstreamer_publishes() {
    let mut fixture = Fixture::start().await;
    let pipeline = format!(
        "flvmux streamable=true name=mux ! rtmp2sink location={} \
         videotestsrc num-buffers=75 is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 ! h264parse ! mux. \
         audiotestsrc num-buffers=130 is-live=true ! audio/x-raw,rate=44100,channels=2 ! \
         avenc_aac ! aacparse ! mux.",
        fixture.url("live/maths?key=s3cret")
    );
    let mut publisher = Command::new("gst-launch-1.0");
    publisher.arg("-q").args(pipeline.split_whitespace()).kill_on_drop(true);
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    heard.check_times();
    assert!(heard.video.len() >= 70, "{}", heard.video.len());
    assert!(heard.audio.len() >= 110, "{}", heard.audio.len());
    fixture.stop().await;
}

#[tokio::test]
async fn ffmpeg_shows_why_it_was_turned_away() {
    let fixture = Fixture::start().await;
    for (path, words) in [
        ("live/wrong", "no channel takes this stream key"),
        ("live/maths?key=wrong", "wrong stream key for channel maths"),
        ("live/physics?key=s3cret", "no channel takes this stream key"),
        ("live/..%2F..%2Fetc?key=s3cret", "invalid channel name"),
        ("vod/s3cret", "set the server to rtmp://HOST/live"),
    ] {
        let output = finished(&mut publish(&fixture.url(path), &[])).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{path}");
        assert!(text.contains(words), "{path}: {text}");
    }
    assert!(fixture.registry.lives().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn hevc_is_refused_with_what_to_set() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/s3cret");
    // ffmpeg 5 writes no HEVC into FLV: the demo client sends what such an encoder does.
    let mut client =
        amphi::ingest::rtmp::Client::publish(&fixture.address.to_string(), "live", "s3cret").await.unwrap();
    let (live, _) = fixture.live().await;
    let header = bytes::Bytes::from_static(b"\x90hvc1\x01");
    let refused = in_time(async {
        loop {
            match client.send(9, 0, header.clone()).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error.to_string(),
            }
        }
    })
    .await;
    assert!(refused.contains("set the encoder's video codec to H.264"), "{refused}");
    assert_ne!(live.state(), State::Live);
    // The channel is free again for the encoder with its new settings.
    assert!(finished(&mut publish(&url, &[&["-t", "1"]])).await.status.success());
    fixture.stop().await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/s3cret");
    let mut first = publish(&url, &[&["-t", "6"]]);
    let (output, heard) = tokio::join!(finished(&mut first), async {
        let (live, mut consumer) = fixture.live().await;
        let mut heard = Heard::default();
        while heard.video.len() < 10 {
            heard.take(in_time(consumer.recv()).await.unwrap());
        }
        let second = finished(&mut publish(&url, &[])).await;
        assert!(!second.status.success());
        let text = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(text.contains("already live from another publisher"), "{text}");
        heard.video.extend(hear(&live, &mut consumer).await.video);
        heard
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(heard.video.len(), 150);
    heard.check_times();
    fixture.stop().await;
}

#[tokio::test]
async fn a_publisher_that_comes_back_continues_the_live() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/maths?key=s3cret");
    let mut child = publish(&url, &[&["-t", "60"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = Heard::default();
    while heard.video.len() < 30 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    child.kill().await.unwrap();
    let before = hear(&live, &mut consumer).await;
    assert!(matches!(live.state(), State::Reconnecting(_)));
    let mut publisher = publish(&url, &[]);
    let (output, after) = tokio::join!(finished(&mut publisher), async {
        in_time(async {
            while live.state() != State::Live {
                tokio::task::yield_now().await;
            }
        })
        .await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success());
    assert_eq!((before.discontinuities, after.discontinuities), (0, 1));
    assert_eq!(after.tracks.len(), 2);
    assert_eq!(after.video.len(), 75);
    heard.video.extend(before.video.into_iter().chain(after.video));
    heard.check_times();
    assert_eq!(fixture.registry.lives().len(), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn shutdown_ends_sessions_at_once() {
    let mut fixture = Fixture::start().await;
    let mut child = publish(&fixture.url("live/s3cret"), &[&["-t", "60"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    while !matches!(in_time(consumer.recv()).await, Some(Event::Packet(_))) {}
    let begun = Instant::now();
    fixture.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_ne!(live.state(), State::Live);
    child.kill().await.unwrap();
}

/// Two seconds of test picture and lecture as FLV.
async fn film(folder: &std::path::Path) -> bytes::Bytes {
    let path = folder.join("film.flv");
    let sound = sound();
    let mut arguments: Vec<&str> = PICTURE[1..].to_vec();
    arguments.extend(sound[1..].iter().map(String::as_str));
    arguments.extend(["-t", "2", "-c:a", "aac", "-ar", "44100"]);
    arguments.extend(H264);
    arguments.extend(["-f", "flv", path.to_str().unwrap()]);
    let output = finished(&mut ffmpeg(arguments)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).unwrap().into()
}

#[tokio::test]
async fn the_demo_loops_without_a_break_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let mut fixture = Fixture::start().await;
    let cancel = CancellationToken::new();
    let address = fixture.address.to_string();
    let demo = tokio::spawn({
        let cancel = cancel.clone();
        async move { demo::publish(&address, "live", "maths?key=s3cret", film, cancel, true).await }
    });
    let (live, mut consumer) = fixture.live().await;
    let mut heard = Heard::default();
    let begun = Instant::now();
    while heard.video.len() < 120 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    assert!(begun.elapsed() > Duration::from_millis(4_500), "in real time: {:?}", begun.elapsed());
    heard.check_times();
    heard.check_grid();
    assert_eq!((heard.discontinuities, heard.tracks.len()), (0, 2));
    for pair in heard.video.windows(2) {
        let gap = pair[1].dts.since(pair[0].dts);
        assert!((35..=70).contains(&gap.as_millis()), "{gap:?}");
    }
    cancel.cancel();
    in_time(demo).await.unwrap().unwrap();
    hear(&live, &mut consumer).await;
    assert_ne!(live.state(), State::Live);
    fixture.stop().await;
}

#[tokio::test]
async fn the_demo_says_why_it_was_refused_and_ends_when_played_once() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let mut fixture = Fixture::start().await;
    let address = fixture.address.to_string();
    let cancel = CancellationToken::new();
    let refused = demo::publish(&address, "live", "wrong", film.clone(), cancel.clone(), true).await.unwrap_err();
    assert!(refused.to_string().contains("no channel takes this stream key"), "{refused}");
    let (played, heard) = tokio::join!(demo::publish(&address, "live", "s3cret", film, cancel, false), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    played.unwrap();
    assert_eq!(heard.video.len(), 50);
    heard.check_grid();
    let TrackFormat::Video(video) = &heard.tracks.iter().find(|track| track.id == TrackId::VIDEO).unwrap().format
    else {
        panic!("no video");
    };
    assert_eq!(video.frame_rate, Some(25.0));
    fixture.stop().await;
}
