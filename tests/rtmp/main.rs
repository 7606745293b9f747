//! RTMP in, by the programs people publish with.
#![allow(clippy::unwrap_used, reason = "helpers of tests may")]

#[path = "../support/tcp_proxy.rs"]
mod tcp_proxy;

mod encoders;
mod faults;
mod refusals;
mod demo;

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
    ingest::{
        Door, Knock, Refusal,
        rtmp::{Server, Settings},
    },
    model::{AudioFormat, Packet, StreamName, Track, TrackId},
    stream::{Claim, Consumer, Event, Live, Publication, Rank, Registry, State},
};
use tokio::{process::Command, sync::mpsc, task::JoinHandle};
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
                    let Knock { protocol, peer, .. } = knock;
                    let claim = Claim { rank: Rank::Main, takeover: false, protocol, peer };
                    let published = self.0.publish(&name, claim, Instant::now());
                    published.map_err(|_| Refusal::Busy(name))
                }
            }
        })
    }
}

struct Fixture {
    registry: Registry,
    started: mpsc::Receiver<Arc<Live>>,
    address: SocketAddr,
    cancel: CancellationToken,
    server: JoinHandle<()>,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (registry, started) = Registry::new(Duration::from_secs(30));
        let door = Arc::new(TestDoor(registry.clone()));
        let server = Server::bind("127.0.0.1:0", door, settings).await.unwrap();
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

/// gst-launch, killed when dropped.
fn gst_launch(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace()).kill_on_drop(true);
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
    left: usize,
    lost: u64,
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Track(track) => self.tracks.push((*track).clone()),
            Event::Packet(packet) if packet.track == TrackId::VIDEO => self.video.push(packet),
            Event::Packet(packet) => self.audio.push(packet),
            Event::Discontinuity => self.discontinuities += 1,
            Event::Away => self.left += 1,
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
