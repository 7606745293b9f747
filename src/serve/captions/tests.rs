use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};

use super::*;
use crate::{
    captions::{Dress, TrackSpec},
    model::{Anchor, Hypothesis, Word},
};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One channel, `maths`, whose live begins when the test says so.
struct One {
    desk: Mutex<Option<Arc<Desk>>>,
    changes: watch::Sender<u64>,
}

impl Desks for One {
    fn desk(&self, name: &StreamName) -> Option<(Arc<Desk>, MediaTime)> {
        let desk = self.desk.lock().unwrap().clone()?;
        (name.as_str() == "maths").then_some((desk, MediaTime::from_millis(60_000)))
    }

    fn exists(&self, name: &StreamName) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let exists = name.as_str() == "maths";
        Box::pin(async move { exists })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

struct House {
    one: Arc<One>,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl House {
    async fn open() -> Self {
        let one = Arc::new(One { desk: Mutex::default(), changes: watch::channel(0).0 });
        let shutdown = CancellationToken::new();
        let captions = Captions { desks: one.clone(), shutdown: shutdown.clone() };
        let router = routes(captions.clone()).merge(correction_routes(captions));
        let socket = TcpSocket::new_v4().unwrap();
        // Accepted sockets inherit it, and hold little that nobody reads.
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { one, address, shutdown }
    }

    fn begin(&self) -> Arc<Desk> {
        let track = TrackSpec { lang: en(), engine: "whisper".into(), model: "tiny".into(), dress: Dress::AsGiven };
        let desk = Desk::new(Anchor::new(SystemTime::UNIX_EPOCH), [track], Duration::ZERO);
        *self.one.desk.lock().unwrap() = Some(desk.clone());
        self.one.changes.send_modify(|version| *version += 1);
        desk
    }

    async fn websocket(&self, query: &str) -> Client {
        let url = format!("ws://{}/api/v1/channels/maths/captions/ws{query}", self.address);
        tokio_tungstenite::connect_async(url).await.unwrap().0
    }

    /// One whose socket takes little.
    async fn small_websocket(&self) -> WebSocketStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let url = format!("ws://{}/api/v1/channels/maths/captions/ws", self.address);
        tokio_tungstenite::client_async(url, stream).await.unwrap().0
    }

    async fn request(&self, head: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        (response[9..12].parse().unwrap(), response)
    }
}

fn en() -> LanguageTag {
    LanguageTag::parse("en").unwrap()
}

fn say(desk: &Desk, text: &str, millis: i64) {
    let at = MediaTime::from_millis;
    let words = vec![Word { text: text.into(), start: at(millis), end: at(millis + 400), confidence: 1.0 }];
    desk.apply_hypothesis(&en(), &Hypothesis { words, stable: 1, last: true }, at(millis + 900));
}

async fn next(client: &mut Client) -> Option<Value> {
    loop {
        match client.next().await?.ok()? {
            tungstenite::Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            tungstenite::Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_websocket_waits_for_the_live_follows_it_and_ends_with_it() {
    let house = House::open().await;
    let mut client = house.websocket("?lang=en").await;
    assert_eq!(next(&mut client).await.unwrap()["state"], "idle");
    client.send(tungstenite::Message::text("ignored")).await.unwrap();
    let desk = house.begin();
    assert_eq!(next(&mut client).await.unwrap()["state"], "live");
    say(&desk, "<script>alert(1)</script> --> waves", 61_000);
    let cue = next(&mut client).await.unwrap();
    assert_eq!((&cue["text"], &cue["final"]), (&json!("<script>alert(1)</script> --> waves"), &json!(true)));
    desk.end(MediaTime::from_millis(62_000));
    assert_eq!(next(&mut client).await, Some(json!({"type": "end"})));
    assert_eq!(next(&mut client).await, None);
}

#[tokio::test]
async fn a_websocket_resumes_where_it_was() {
    let house = House::open().await;
    let desk = house.begin();
    for nth in 0..10 {
        say(&desk, "word", nth * 6_000);
    }
    let mut client = house.websocket("").await;
    assert_eq!(next(&mut client).await.unwrap()["id"], 6);
    let mut client = house.websocket("?since=3").await;
    assert_eq!(next(&mut client).await.unwrap()["id"], 3);
}

#[tokio::test]
async fn subscribers_are_sent_away_when_the_server_stops() {
    let house = House::open().await;
    let mut waiting = house.websocket("").await;
    assert_eq!(next(&mut waiting).await.unwrap()["state"], "idle");
    house.shutdown.cancel();
    assert_eq!(next(&mut waiting).await, None);
}

#[tokio::test]
async fn a_message_too_long_ends_the_connection_and_nothing_else() {
    let house = House::open().await;
    let desk = house.begin();
    let (mut rude, mut polite) = (house.websocket("").await, house.websocket("").await);
    next(&mut rude).await;
    next(&mut polite).await;
    rude.send(tungstenite::Message::text("x".repeat(100_000))).await.unwrap();
    while rude.next().await.is_some_and(|message| message.is_ok()) {}
    say(&desk, "still here", 61_000);
    assert_eq!(next(&mut polite).await.unwrap()["text"], "still here");
}

#[tokio::test]
async fn server_sent_events_carry_the_same_and_resume() {
    let house = House::open().await;
    let desk = house.begin();
    for nth in 0..4 {
        say(&desk, "word", nth * 1_000);
    }
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    let head = "GET /api/v1/channels/maths/captions/events?since=1 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 3\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(socket).lines();
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.starts_with("id: ") {
            seen.push(line);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let value: Value = serde_json::from_str(data).unwrap();
            if value["type"] == "status" {
                desk.end(MediaTime::from_millis(5_000));
            } else if value["type"] == "end" {
                break;
            }
        }
    }
    assert_eq!(seen, ["id: 3", "id: 4"]);
}

#[tokio::test]
async fn the_track_is_a_file_and_cues_can_be_corrected() {
    let house = House::open().await;
    let base = "/api/v1/channels/maths/captions";
    assert_eq!(house.request(&format!("GET {base}/en.vtt"), "").await.0, 404, "not live");
    let desk = house.begin();
    say(&desk, "wrong", 1_000);
    let (status, answer) = house.request(&format!("PUT {base}/en/cues/1"), r#"{"text":"right & true"}"#).await;
    assert_eq!(status, 200);
    assert!(answer.contains(r#""rev":2"#) && answer.contains(r#""source":"human""#), "{answer}");
    let (status, file) = house.request(&format!("GET {base}/en.vtt"), "").await;
    assert_eq!(status, 200);
    assert!(file.contains("text/vtt; charset=utf-8") && file.contains("right &amp; true"), "{file}");
    for (path, body, expected) in [
        ("en/cues/9", r#"{"text":"x"}"#, 404),
        ("en/cues/x", r#"{"text":"x"}"#, 404),
        ("fr/cues/1", r#"{"text":"x"}"#, 404),
        ("en/cues/1", r#"{"text":" "}"#, 400),
        ("en/cues/1", "{", 400),
    ] {
        let (status, answer) = house.request(&format!("PUT {base}/{path}"), body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(house.request(&format!("PUT {base}/en/cues/1"), &long).await.0, 400);
}

#[tokio::test]
async fn wrong_addresses_get_a_problem() {
    let house = House::open().await;
    house.begin();
    for (path, expected) in [
        ("none/captions/events", 404),
        ("..%2fx/captions/events", 404),
        ("maths/captions/fr.vtt", 404),
        ("maths/captions/en.srt", 404),
        ("maths/captions/EN.vtt", 400),
        ("maths/captions/events?since=x", 400),
        ("maths/captions/events?lang=..", 400),
        ("maths/captions/ws", 400),
    ] {
        let (status, answer) = house.request(&format!("GET /api/v1/channels/{path}"), "").await;
        assert_eq!(status, expected, "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_nobody_up_is_sent_away_and_resumes() {
    let house = House::open().await;
    let desk = house.begin();
    let mut stuck = house.small_websocket().await;
    let mut polite = house.websocket("").await;
    next(&mut polite).await;
    // More than the sockets hold, in more than 30 s of the live.
    let (text, last) = ("x".repeat(40), 7_000);
    for nth in 0..last {
        say(&desk, &text, 61_000 + nth * 5);
        if nth % 100 == 99 {
            let mut id = 0;
            while id != nth as u64 + 1 {
                id = next(&mut polite).await.unwrap()["id"].as_u64().unwrap_or(0);
            }
        }
    }
    let mut seen = 0;
    let code = loop {
        match stuck.next().await.unwrap().unwrap() {
            tungstenite::Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                seen = value["id"].as_u64().unwrap_or(seen);
            }
            tungstenite::Message::Close(frame) => break frame.unwrap().code,
            _ => {}
        }
    };
    assert_eq!(u16::from(code), 1013);
    assert!((1..last as u64).contains(&seen), "{seen}");
    let mut back = house.websocket(&format!("?since={seen}")).await;
    for id in seen..=last as u64 {
        assert_eq!(next(&mut back).await.unwrap()["id"], id);
    }
}
