//! RTSP by the programs people publish and watch with.
#![allow(clippy::unwrap_used, reason = "helpers of tests may")]

#[path = "../support/udp_proxy.rs"]
#[allow(dead_code, reason = "other tests darken it")]
mod udp_proxy;

mod encoders;
mod faults;
mod network;
mod pull;
mod readers;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use amphi::{
    egress::rtsp::{Mount, Readers},
    ingest::{
        Door, Knock, Proof, Refusal,
        rtsp::{Server, Settings},
    },
    model::{AudioCodec, Packet, StreamName, Track, TrackId},
    stream::{Claim, Consumer, Event, Link, Live, Publication, Rank, Registry, State},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How the publisher's packets travel.
pub fn link(live: &Live) -> Option<Link> {
    live.publishers().first().and_then(|publisher| publisher.link)
}

/// Opens channel `maths` to the key `s3cret`.
struct TestDoor(Registry);

impl TestDoor {
    async fn open(&self, knock: Knock, knows: bool) -> Result<Publication, Refusal> {
        let name = StreamName::parse("maths").unwrap();
        match knock.channel {
            Some(channel) if channel != name => Err(Refusal::Unknown),
            Some(channel) if !knows => Err(Refusal::WrongKey(channel)),
            _ => {
                let Knock { protocol, peer, .. } = knock;
                let claim = Claim { rank: Rank::Main, takeover: false, protocol, peer };
                let published = self.0.publish(&name, claim, Instant::now());
                published.map_err(|_| Refusal::Busy(name))
            }
        }
    }
}

impl Door for TestDoor {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        let knows = knock.key == "s3cret";
        Box::pin(self.open(knock, knows))
    }

    fn admit_by_proof(
        &self,
        knock: Knock,
        proof: Proof,
    ) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(self.open(knock, proof("s3cret")))
    }
}

struct Fixture {
    registry: Registry,
    started: mpsc::Receiver<Arc<Live>>,
    address: SocketAddr,
    readers: Readers,
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
        let readers = Readers::start().unwrap();
        let serving = readers.clone();
        let hand_over = amphi::ingest::rtsp::Readers::new(move |socket, peer| serving.take(socket, peer));
        let server = Server::bind("127.0.0.1:0", door, hand_over, settings).await.unwrap();
        let address = server.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let server = tokio::spawn(server.serve(cancel.clone()));
        Self { registry, started, address, readers, cancel, server }
    }

    fn publish_url(&self) -> String {
        format!("rtsp://maths:s3cret@{}/publish/maths", self.address)
    }

    fn watch_url(&self) -> String {
        format!("rtsp://{}/live/maths", self.address)
    }

    async fn live(&mut self) -> (Arc<Live>, Consumer) {
        let live = in_time(self.started.recv()).await.unwrap();
        let consumer = live.producer.consume();
        (live, consumer)
    }

    /// Lets a live be read, and waits until it can be. Whoever asked stays: GStreamer's server turns readers away in
    /// the moment in which the last one's pipeline is taken down.
    async fn mount(&self, live: Arc<Live>) -> (Mount, Raw) {
        let mount = self.readers.mount(live);
        let describe = format!("DESCRIBE {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", self.watch_url());
        loop {
            let mut raw = self.raw().await;
            if raw.ask(&describe).await.starts_with("RTSP/1.0 200") {
                return (mount, raw);
            }
        }
    }

    async fn raw(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stop(self) {
        self.cancel.cancel();
        in_time(self.server).await.unwrap();
    }
}

/// A connection over which tests say what no library would.
struct Raw(TcpStream);

impl Raw {
    async fn say(&mut self, text: impl AsRef<[u8]>) {
        // A server that has cut the connection is what some tests wait for.
        let _ = self.0.write_all(text.as_ref()).await;
    }

    /// The next answer's head, or nothing if the connection was closed.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match in_time(self.0.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(head).unwrap()
    }

    async fn ask(&mut self, text: impl AsRef<[u8]>) -> String {
        self.say(text).await;
        self.head().await
    }

    /// Whether the server closes; what it still says is passed over.
    async fn is_cut(&mut self) {
        let mut buffer = [0; 4096];
        while in_time(self.0.read(&mut buffer)).await.is_ok_and(|count| count > 0) {}
    }
}

/// The value of a header.
fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

const PICTURE: &[&str] = &["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
const SOUND: &[&str] = &["-re", "-f", "lavfi", "-i", "sine=440:sample_rate=48000"];
const H264: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"];

/// ffmpeg, killed when dropped.
fn ffmpeg(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Publishes picture and sound for some seconds.
fn publish(url: &str, seconds: u32, parts: &[&str]) -> Command {
    let seconds = seconds.to_string();
    let mut arguments = [PICTURE, SOUND, &["-t", &seconds], H264, &["-c:a", "aac"]].concat();
    arguments.extend(parts);
    arguments.extend(["-f", "rtsp", url]);
    ffmpeg(arguments)
}

async fn finished(command: &mut Command) -> Output {
    in_time(command.output()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[derive(Default)]
struct Heard {
    tracks: Vec<Track>,
    video: Vec<Packet>,
    audio: Vec<Packet>,
    discontinuities: usize,
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Track(track) => self.tracks.push((*track).clone()),
            Event::Packet(packet) if packet.track == TrackId::VIDEO => self.video.push(packet),
            Event::Packet(packet) => self.audio.push(packet),
            Event::Discontinuity => self.discontinuities += 1,
            Event::Away => {}
            Event::Lost(_) => panic!("the test is too slow"),
        }
    }

    fn audio_codec(&self) -> Option<AudioCodec> {
        self.tracks.iter().find_map(|track| track.format.audio()).map(|format| format.codec)
    }

    fn check_times(&self) {
        for track in [&self.video, &self.audio] {
            for pair in track.windows(2) {
                assert!(pair[0].dts < pair[1].dts, "{:?} then {:?}", pair[0].dts, pair[1].dts);
            }
        }
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

/// Waits until both tracks have been announced and pictures come.
async fn on_air(consumer: &mut Consumer) {
    let mut heard = Heard::default();
    while heard.tracks.len() < 2 || heard.video.is_empty() {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
}
