//! SRT in, by the programs people publish with.
#![allow(clippy::unwrap_used, reason = "helpers of tests may")]

#[path = "../support/udp_proxy.rs"]
mod udp_proxy;

mod encoders;
mod faults;
mod pull;
mod refusals;

use std::{
    ffi::OsStr,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use amphi::{
    ingest::{
        Door, Knock, Refusal,
        srt::{Passphrase, Server, Settings},
    },
    model::{Packet, StreamName, Track, TrackId},
    stream::{Claim, Consumer, Event, Live, Publication, Rank, Registry, State},
};
use tokio::{process::Command, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const KEY: &str = "s3cret-s3cret";

/// Opens channels `maths`, `physics` and `music` to the key.
struct TestDoor(Registry);

impl Door for TestDoor {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(async move {
            let name = knock.channel.clone().unwrap();
            match self.key(&name, Rank::Main) {
                None => Err(Refusal::Unknown),
                Some(key) if key != knock.key => Err(Refusal::WrongKey(name)),
                Some(_) => {
                    let Knock { protocol, peer, .. } = knock;
                    let claim = Claim { rank: Rank::Main, takeover: false, protocol, peer };
                    let published = self.0.publish(&name, claim, Instant::now());
                    published.map_err(|_| Refusal::Busy(name))
                }
            }
        })
    }

    fn key(&self, channel: &StreamName, rank: Rank) -> Option<String> {
        let known = rank == Rank::Main && ["maths", "physics", "music"].contains(&channel.as_str());
        known.then(|| KEY.into())
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
    fn start() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let (registry, started) = Registry::new(Duration::from_secs(60));
        let door = Arc::new(TestDoor(registry.clone()));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), door, settings).unwrap();
        let address = server.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let server = tokio::spawn(server.serve(cancel.clone()));
        Self { registry, started, address, cancel, server }
    }

    fn encrypted(passphrase: &str) -> Self {
        Self::with(Settings { passphrase: Some(Passphrase::parse(passphrase).unwrap()), ..Settings::default() })
    }

    fn url(&self, query: &str) -> String {
        url(self.address, query)
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

fn url(address: SocketAddr, query: &str) -> String {
    format!("srt://{address}?{query}")
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// A moving picture with B-frames, and a tone.
const MEDIA: &str = "-re -f lavfi -i testsrc2=size=320x180:rate=25 -re -f lavfi -i sine=frequency=440:sample_rate=48000 \
    -c:v libx264 -preset veryfast -g 25 -bf 2 -c:a aac";

/// ffmpeg, killed when dropped.
fn ffmpeg(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn publish(url: &str, options: &str) -> Command {
    ffmpeg(MEDIA.split_whitespace().chain(options.split_whitespace()).chain(["-f", "mpegts", url]))
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
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Track(track) => self.tracks.push((*track).clone()),
            Event::Packet(packet) if packet.track == TrackId::VIDEO => self.video.push(packet),
            Event::Packet(packet) => self.audio.push(packet),
            Event::Discontinuity => self.discontinuities += 1,
            _ => {}
        }
    }

    /// Both tracks run on, without a gap longer than `gap`.
    fn check_times(&self, gap: Duration) {
        for track in [&self.video, &self.audio] {
            for pair in track.windows(2) {
                assert!(pair[0].dts < pair[1].dts, "{:?} then {:?}", pair[0].dts, pair[1].dts);
                assert!(pair[1].dts.since(pair[0].dts) <= gap, "{:?} then {:?}", pair[0].dts, pair[1].dts);
            }
        }
    }
}

/// Everything until the publisher is gone.
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

/// Hears until so many pictures have come.
async fn pictures(consumer: &mut Consumer, count: usize) -> Heard {
    let mut heard = Heard::default();
    while heard.video.len() < count {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    heard
}
