//! Sessions against peers that are broken, hostile or slow, over pipes.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::Semaphore,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings,
    amf::Value,
    chunk::{Limits, Reader, Writer},
    handshake,
    message::{Command, Message, kind},
    session::{self, Visitor},
};
use crate::{
    ingest::{Door, Knock, Refusal},
    model::StreamName,
    stream::{Claim, Publication, Rank, Registry, State},
};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
const CLAIM: Claim = Claim { rank: Rank::Main, takeover: false, protocol: "rtmp", peer: PEER };

/// Opens `maths` to `s3cret`, and remembers who knocked.
struct TestDoor {
    registry: Registry,
    knocks: Mutex<Vec<(Option<String>, String)>>,
}

impl Door for TestDoor {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        self.knocks.lock().unwrap().push((knock.channel.map(|name| name.to_string()), knock.key.clone()));
        let name = StreamName::parse("maths").unwrap();
        let now = std::time::Instant::now();
        Box::pin(async move {
            match knock.key.as_str() {
                "s3cret" => self.registry.publish(&name, CLAIM, now).map_err(|_| Refusal::Busy(name)),
                "full" => Err(Refusal::Unavailable("the disk is full".into())),
                _ => Err(Refusal::Unknown),
            }
        })
    }
}

/// The same patience as in service, thirty times shorter.
const HASTY: Settings = Settings {
    authenticate: Duration::from_millis(333),
    silence: Duration::from_secs(1),
    ping: Duration::from_secs(2),
    strangers: 256,
};

struct Peer {
    pipe: DuplexStream,
    reader: Reader,
    writer: Writer,
    input: BytesMut,
    door: Arc<TestDoor>,
    cancel: CancellationToken,
    session: JoinHandle<Result<(), Error>>,
    places: Arc<Semaphore>,
}

impl Peer {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let (pipe, theirs) = tokio::io::duplex(32 << 10);
        let (registry, _) = Registry::new(Duration::from_secs(30));
        let door = Arc::new(TestDoor { registry, knocks: Mutex::default() });
        let (cancel, places) = (CancellationToken::new(), Arc::new(Semaphore::new(1)));
        let place = places.clone().try_acquire_owned().unwrap();
        let deadline = Instant::now() + settings.authenticate;
        let visitor = Visitor { protocol: "rtmp", peer: PEER, deadline, place: Some(place) };
        let session = session::run(theirs, visitor, door.clone(), settings, cancel.clone());
        Self {
            pipe,
            reader: Reader::new(Limits::PUBLISHER),
            writer: Writer::new(),
            input: BytesMut::new(),
            door,
            cancel,
            session: tokio::spawn(session),
            places,
        }
    }

    async fn greeted(settings: Settings) -> Self {
        let mut peer = Self::with(settings);
        peer.raw(&handshake::hello().unwrap()).await;
        let mut answer = [0; handshake::HELLO + handshake::PACKET];
        peer.pipe.read_exact(&mut answer).await.unwrap();
        peer.raw(&answer[1..handshake::HELLO]).await;
        peer
    }

    async fn connected() -> Self {
        Self::connected_with(Settings::default()).await
    }

    async fn connected_with(settings: Settings) -> Self {
        let mut peer = Self::greeted(settings).await;
        let object = Value::object([("app", Value::string("live")), ("tcUrl", Value::string("rtmp://h/live"))]);
        peer.say(&Message::command(0, "connect", 1.0, &[object])).await;
        assert_eq!(peer.command().await.unwrap().name, "_result");
        peer.say(&Message::command(0, "createStream", 2.0, &[Value::Null])).await;
        assert_eq!(peer.command().await.unwrap().arguments, [Value::Null, Value::Number(1.0)]);
        peer
    }

    async fn publishing() -> Self {
        Self::publishing_with(Settings::default()).await
    }

    async fn publishing_with(settings: Settings) -> Self {
        let mut peer = Self::connected_with(settings).await;
        assert_eq!(peer.publish("s3cret").await, "NetStream.Publish.Start");
        peer
    }

    async fn raw(&mut self, bytes: &[u8]) {
        // The session may have hung up: what it said before is what counts.
        let _ = self.pipe.write_all(bytes).await;
    }

    async fn say(&mut self, message: &Message) {
        let mut bytes = BytesMut::new();
        self.writer.write(3, message, &mut bytes);
        self.raw(&bytes).await;
    }

    async fn media(&mut self, kind: u8, timestamp: u32, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.say(&Message { kind, stream: 1, timestamp, payload }).await;
    }

    /// The next message, or `None` when the session has hung up.
    async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.reader.read(&mut self.input).unwrap() {
                return Some(message);
            }
            if self.pipe.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn command(&mut self) -> Option<Command> {
        loop {
            let message = self.hear().await?;
            if message.kind == kind::COMMAND {
                return Some(Command::parse(&message).unwrap());
            }
        }
    }

    /// Publishes and returns the status code.
    async fn publish(&mut self, name: &str) -> String {
        let arguments = [Value::Null, Value::string(name), Value::string("live")];
        self.say(&Message::command(1, "publish", 0.0, &arguments)).await;
        self.command().await.unwrap().member(1, "code").into()
    }

    async fn ended(self) -> Result<(), Error> {
        drop(self.pipe);
        self.session.await.unwrap()
    }

    fn state(&self) -> Option<State> {
        self.door.registry.get(&StreamName::parse("maths").unwrap()).map(|live| live.state())
    }
}

#[tokio::test]
async fn garbage_is_cut_at_once() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", &[6; 1537], &[0; 10]] {
        let mut peer = Peer::new();
        peer.raw(garbage).await;
        assert!(peer.hear().await.is_none());
        assert!(matches!(peer.ended().await, Err(Error::Malformed(_))));
    }
    let mut peer = Peer::greeted(Settings::default()).await;
    peer.raw(&[0xff; 4000]).await;
    assert!(matches!(peer.ended().await, Err(Error::Malformed(_))));
}

#[tokio::test]
async fn who_speaks_of_enhanced_rtmp_is_told_what_is_taken() {
    for (offer, told) in [(("capsEx", Value::Number(3.0)), true), (("videoCodecs", Value::Number(252.0)), false)] {
        let mut peer = Peer::greeted(Settings::default()).await;
        let object = Value::object([("app", Value::string("live")), offer]);
        peer.say(&Message::command(0, "connect", 1.0, &[object])).await;
        let answer = peer.command().await.unwrap();
        let said = &answer.arguments[1];
        assert_eq!(answer.member(1, "code"), "NetConnection.Connect.Success");
        let flags = |map: &str, codec: &str| said.get(map).and_then(|map| map.get(codec)).and_then(Value::as_number);
        assert_eq!(flags("videoFourCcInfoMap", "hvc1"), told.then_some(4.0));
        assert_eq!(flags("audioFourCcInfoMap", "Opus"), told.then_some(4.0));
        assert_eq!(flags("videoFourCcInfoMap", "vp09"), None);
        assert_eq!(said.get("capsEx").and_then(Value::as_number), told.then_some(14.0));
    }
}

#[tokio::test]
async fn a_byte_at_a_time_runs_out_of_it() {
    let mut peer = Peer::with(HASTY);
    let begun = Instant::now();
    for byte in handshake::hello().unwrap() {
        if peer.session.is_finished() {
            break;
        }
        peer.raw(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(peer.ended().await, Err(Error::Timeout(_))));
}

#[tokio::test]
async fn pings_do_not_buy_a_stranger_time() {
    let mut peer = Peer::connected_with(HASTY).await;
    let begun = Instant::now();
    while !peer.session.is_finished() {
        peer.say(&Message::user_control(6, 0)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(peer.ended().await, Err(Error::Timeout(_))));
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut() {
    let mut peer = Peer::connected_with(HASTY).await;
    let mut pings = BytesMut::new();
    for _ in 0..4096 {
        peer.writer.write(2, &Message::user_control(6, 0), &mut pings);
    }
    while !peer.session.is_finished() {
        let _ = tokio::time::timeout(Duration::from_millis(20), peer.pipe.write_all(&pings)).await;
    }
    assert!(matches!(peer.session.await.unwrap(), Err(Error::Timeout(_))));
}

#[tokio::test]
async fn a_silent_publisher_is_cut_and_the_live_waits_for_it() {
    let mut peer = Peer::publishing_with(HASTY).await;
    let begun = Instant::now();
    assert_eq!(peer.places.available_permits(), 1, "a publisher takes no stranger's place");
    assert_eq!(peer.state(), Some(State::Live));
    assert!(peer.hear().await.is_none());
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(matches!(peer.state(), Some(State::Reconnecting(_))));
    assert!(matches!(peer.ended().await, Err(Error::Timeout(_))));
}

#[tokio::test]
async fn strangers_may_not_send_much() {
    let mut peer = Peer::connected().await;
    peer.media(kind::VIDEO, 0, &vec![0; 70_000]).await;
    assert!(matches!(peer.ended().await, Err(Error::Limit(_))), "in one message");
    let mut peer = Peer::connected().await;
    for _ in 0..20 {
        peer.media(kind::VIDEO, 0, &vec![0; 60_000]).await;
    }
    assert!(matches!(peer.ended().await, Err(Error::Limit(_))), "in many");
}

#[tokio::test]
async fn deep_and_endless_amf_ends_the_session_only() {
    for payload in [[3, 0, 1, b'a'].repeat(10_000), [&[10, 0xff, 0xff, 0xff, 0xff][..], &[5; 50_000]].concat()] {
        let mut peer = Peer::connected().await;
        peer.media(kind::COMMAND, 0, &[&b"\x02\0\x01x\0"[..], &[0; 8], &payload].concat()).await;
        assert!(matches!(peer.ended().await, Err(Error::Limit(_))));
    }
    let mut peer = Peer::publishing().await;
    peer.media(kind::DATA, 0, &[3, 0, 1, b'a'].repeat(10_000)).await;
    peer.say(&Message::command(0, "createStream", 9.0, &[Value::Null])).await;
    assert_eq!(peer.command().await.unwrap().transaction, 9.0, "metadata is only a hint");
}

#[tokio::test]
async fn names_that_are_paths_or_books_are_refused() {
    let book = format!("{}?key=s3cret", "x".repeat(63_000));
    for name in ["../../etc/passwd", "..?key=s3cret", "%2e%2e?key=s3cret", "a\0b?key=s3cret", "a\nb?key=s3cret", &book]
    {
        let mut peer = Peer::connected().await;
        assert_eq!(peer.publish(name).await, "NetStream.Publish.Denied", "{:.40}", name);
        assert!(peer.door.knocks.lock().unwrap().is_empty());
        assert!(peer.hear().await.is_none());
        assert!(matches!(peer.ended().await, Err(Error::Refused(_))));
    }
}

#[tokio::test]
async fn refusals_have_their_codes() {
    for (name, code) in [("wrong", "NetStream.Publish.Denied"), ("full", "NetStream.Publish.Rejected")] {
        let mut peer = Peer::connected().await;
        assert_eq!(peer.publish(name).await, code);
        assert!(peer.hear().await.is_none(), "closed after the status");
    }
    let mut peer = Peer::connected().await;
    let name = StreamName::parse("maths").unwrap();
    let _other = peer.door.registry.publish(&name, CLAIM, std::time::Instant::now()).unwrap();
    assert_eq!(peer.publish("s3cret").await, "NetStream.Publish.BadName");
}

#[tokio::test]
async fn players_are_sent_away() {
    let mut peer = Peer::connected().await;
    peer.say(&Message::command(1, "play", 0.0, &[Value::Null, Value::string("maths")])).await;
    assert_eq!(peer.command().await.unwrap().member(1, "code"), "NetStream.Play.Failed");
    assert!(peer.hear().await.is_none());
}

#[tokio::test]
async fn a_connection_may_publish_again() {
    let mut peer = Peer::publishing().await;
    for _ in 0..3 {
        peer.say(&Message::command(1, "deleteStream", 0.0, &[Value::Null, Value::Number(1.0)])).await;
        assert_eq!(peer.command().await.unwrap().member(1, "code"), "NetStream.Unpublish.Success");
        assert!(matches!(peer.state(), Some(State::Reconnecting(_))));
        assert_eq!(peer.publish("maths?key=s3cret").await, "NetStream.Publish.Start");
        assert_eq!(peer.state(), Some(State::Live));
    }
    let knock = (Some("maths".to_string()), "s3cret".to_string());
    assert_eq!(peer.door.knocks.lock().unwrap().last(), Some(&knock));
    assert!(peer.ended().await.is_ok());
}

#[tokio::test]
async fn amf3_commands_and_aggregates_are_understood() {
    let mut peer = Peer::publishing().await;
    let plain = Message::command(0, "createStream", 7.0, &[Value::Null]);
    peer.media(kind::COMMAND_AMF3, 0, &[&[0][..], &plain.payload].concat()).await;
    assert_eq!(peer.command().await.unwrap().transaction, 7.0);
    let mut aggregate = vec![8, 0, 0, 4, 0, 0, 9, 0, 0, 0, 0, 0xaf, 0, 0x12, 0x10, 0, 0, 0, 15];
    aggregate.extend([8, 0, 0, 4, 0, 0, 20, 0, 0, 0, 0, 0xaf, 1, 0x21, 0x10, 0, 0, 0, 15]);
    peer.media(kind::AGGREGATE, 1000, &aggregate).await;
    peer.say(&plain).await;
    peer.command().await.unwrap();
    let live = peer.door.registry.get(&StreamName::parse("maths").unwrap()).unwrap();
    assert_eq!((live.producer.tracks().len(), live.stats().bytes), (1, 2));
}

#[tokio::test]
async fn received_bytes_are_acknowledged() {
    let mut peer = Peer::publishing().await;
    peer.say(&Message::control(kind::WINDOW_SIZE, 100_000)).await;
    peer.media(kind::AUDIO, 0, &vec![0xaf; 120_000]).await;
    let acknowledged = loop {
        let message = peer.hear().await.unwrap();
        if message.kind == kind::ACKNOWLEDGEMENT {
            break message.number().unwrap();
        }
    };
    assert!(acknowledged >= 50_000);
}

#[tokio::test]
async fn the_round_trip_is_how_long_an_answer_to_a_ping_takes() {
    let begun = Instant::now();
    let mut peer = Peer::publishing_with(Settings { ping: Duration::ZERO, ..Settings::default() }).await;
    let live = peer.door.registry.get(&StreamName::parse("maths").unwrap()).unwrap();
    let ping = loop {
        let message = peer.hear().await.unwrap();
        if message.payload.starts_with(&[0, 6]) {
            break message.event_number();
        }
    };
    // One that it makes up counts for nothing.
    for (answer, counts) in [(ping + 1, false), (ping, true)] {
        peer.say(&Message::user_control(7, answer)).await;
        peer.say(&Message::command(0, "createStream", 9.0, &[Value::Null])).await;
        peer.command().await.unwrap();
        let link = live.publishers()[0].link;
        assert_eq!(link.and_then(|link| link.round_trip).is_some(), counts);
        assert!(link.is_none_or(|link| link.round_trip <= Some(begun.elapsed()) && link.loss.is_none()));
    }
}

#[tokio::test]
async fn stopping_tells_the_publisher() {
    let mut peer = Peer::publishing().await;
    peer.cancel.cancel();
    assert_eq!(peer.command().await.unwrap().member(1, "code"), "NetConnection.Connect.AppShutdown");
    assert!(peer.ended().await.is_ok());
}

#[tokio::test]
async fn who_lost_the_live_to_another_connection_is_told() {
    let mut peer = Peer::publishing().await;
    peer.media(kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10]).await;
    let later = std::time::Instant::now() + Duration::from_secs(60);
    let name = StreamName::parse("maths").unwrap();
    let new = peer.door.registry.publish(&name, CLAIM, later).unwrap();
    peer.media(kind::AUDIO, 0, &[0xaf, 1, 0x21, 0x10]).await;
    let status = peer.command().await.unwrap();
    assert!(status.member(1, "description").contains("took over"));
    assert!(peer.hear().await.is_none());
    assert_eq!(peer.state(), Some(State::Live), "the new connection's live goes on");
    drop(new);
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refusal_is_logged_without_the_key() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for name in ["maths?key=hunter2", "hunter2", "Maths/hunter2", "hunter2/hunter2/hunter2"] {
        let mut peer = Peer::connected().await;
        assert_eq!(peer.publish(name).await, "NetStream.Publish.Denied");
        let _ = peer.ended().await;
    }
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("publisher turned away").count(), 4, "{text}");
    assert!(text.contains("maths") && text.contains("127.0.0.1:9"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
