use std::{convert::Infallible, net::SocketAddr};

use axum::{
    body::Body,
    extract::ws::{Message, WebSocketUpgrade},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};

use super::*;

/// A hang guard.
const SOON: Duration = Duration::from_secs(20);
/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";

struct Inn {
    address: SocketAddr,
    cancel: CancellationToken,
    /// Says that a request for `/held` has come.
    held: Arc<Notify>,
    /// Lets it go.
    release: Arc<Notify>,
    serving: JoinHandle<()>,
}

impl Inn {
    async fn open(connections: usize, head: Duration) -> Self {
        Self::with(Limits { connections, head, ..Limits::default() }).await
    }

    async fn with(limits: Limits) -> Self {
        let (held, release, cancel) = (Arc::new(Notify::new()), Arc::new(Notify::new()), CancellationToken::new());
        let (come, go) = (held.clone(), release.clone());
        let echo = |upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message @ Message::Text(_))) = socket.recv().await {
                    let _ = socket.send(message).await;
                }
            })
        };
        let hold = move || async move {
            come.notify_one();
            go.notified().await;
            "done"
        };
        let endless =
            || async { Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 4096])))) };
        let router = Router::new()
            .route("/ok", get(|| async { "fine" }))
            .route("/taken", post(|body: Bytes| async move { format!("{} taken", body.len()) }))
            .route("/held", get(hold))
            .route("/ws", get(echo))
            .route("/endless", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, None, router, limits, cancel.clone()));
        Self { address, cancel, held, release, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Until a connection is served.
    async fn a_place(&self) {
        let free = async {
            loop {
                let mut next = self.connect().await;
                let _ = next.write_all(REQUEST).await;
                let mut answer = [0; 12];
                if next.read_exact(&mut answer).await.is_ok() && answer.ends_with(b"200") {
                    break;
                }
            }
        };
        timeout(SOON, free).await.expect("the place was never free again");
    }

    async fn websocket(&self) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        tokio_tungstenite::connect_async(format!("ws://{}/ws", self.address)).await.unwrap().0
    }
}

/// Sends one request and reads until its answer's body is there.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    until(stream, "fine").await
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(end.as_bytes()) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "it was closed");
        }
    };
    timeout(SOON, reading).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Everything until the server closes; a reset is as good.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it was never closed");
    String::from_utf8(answer).unwrap()
}

async fn echoes(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) {
    socket.send(tungstenite::Message::text("hello")).await.unwrap();
    let answer = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer, tungstenite::Message::text("hello"));
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_and_a_prompt_one_is_not() {
    let house = Inn::open(8, Duration::from_millis(300)).await;
    let (mut slow, mut prompt) = (house.connect().await, house.connect().await);
    slow.write_all(b"GET /ok HTTP/1.1\r\nHost: ").await.unwrap();
    assert!(ask(&mut prompt).await.starts_with("HTTP/1.1 200"));
    assert!(!rest(&mut slow).await.contains("200"));
    assert!(ask(&mut house.connect().await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_serves_many_requests_with_pauses() {
    let house = Inn::open(8, Limits::default().head).await;
    let mut stream = house.connect().await;
    for _ in 0..3 {
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        ask(&mut house.connect().await).await;
    }
}

#[tokio::test]
async fn a_held_request_outlives_the_time_for_heads() {
    let house = Inn::open(8, Duration::from_millis(100)).await;
    let (mut held, mut idle) = (house.connect().await, house.connect().await);
    held.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // This one's time is up behind that of the other, which came first.
    assert_eq!(rest(&mut idle).await, "");
    house.release.notify_one();
    assert!(until(&mut held, "done").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_comes_on_top_is_turned_away_and_nobody_else_notices() {
    let house = Inn::open(2, Limits::default().head).await;
    let mut socket = house.websocket().await;
    let mut stream = house.connect().await;
    ask(&mut stream).await;
    assert!(rest(&mut house.connect().await).await.starts_with("HTTP/1.1 503"));
    echoes(&mut socket).await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    // A websocket keeps its place for as long as it is open, and not longer.
    assert!(rest(&mut house.connect().await).await.starts_with("HTTP/1.1 503"));
    socket.close(None).await.unwrap();
    house.a_place().await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_any_more_loses_the_place() {
    let stall = Duration::from_millis(300);
    let house = Inn::with(Limits { connections: 1, stall, ..Limits::default() }).await;
    let mut stuck = house.connect().await;
    stuck.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).await.unwrap();
    assert!(first.ends_with(b"200"));
    house.a_place().await;
}

#[tokio::test]
async fn who_takes_little_at_a_time_is_served_on() {
    let stall = Duration::from_millis(300);
    let house = Inn::with(Limits { connections: 1, stall, ..Limits::default() }).await;
    let mut slow = house.connect().await;
    slow.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (begun, mut some) = (tokio::time::Instant::now(), vec![0; 1 << 20]);
    let mut pause = tokio::time::interval(stall / 6);
    while begun.elapsed() < stall * 4 {
        pause.tick().await;
        slow.read_exact(&mut some).await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_lets_the_request_in_hand_finish_and_ends_idle_connections() {
    let house = Inn::open(8, Limits::default().head).await;
    let (mut idle, mut held) = (house.connect().await, house.connect().await);
    ask(&mut idle).await;
    held.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    house.held.notified().await;
    house.cancel.cancel();
    assert_eq!(rest(&mut idle).await, "");
    house.release.notify_one();
    let answer = rest(&mut held).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    timeout(SOON, house.serving).await.expect("serving goes on").unwrap();
    assert!(TcpStream::connect(house.address).await.is_err(), "it still accepts");
}

#[tokio::test]
async fn a_connection_of_http_2_without_a_request_is_told_to_go_though_it_answers() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let cancel = CancellationToken::new();
    let limits = Limits { head: Duration::from_millis(100), ..Limits::default() };
    let router = Router::new();
    let serving = tokio::spawn(multiplexed(server, Guest { peer, router, limits, cancel }));
    client.write_all(&[PREFACE, &SETTINGS].concat()).await.unwrap();
    let mut kinds = Vec::new();
    let goes = async {
        let mut head = [0; 9];
        while client.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            client.read_exact(&mut payload).await.unwrap();
            kinds.push(kind);
            // A ping that is no answer gets one (RFC 9113 §6.7).
            if kind == 6 && flags & 1 == 0 {
                let _ = client.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &payload].concat()).await;
            }
        }
    };
    timeout(SOON, goes).await.unwrap();
    assert!(kinds.contains(&7), "no GOAWAY among {kinds:?}");
    timeout(SOON, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_not_waited_for() {
    let inn = Inn::open(8, Duration::from_millis(300)).await;
    let mut stream = inn.connect().await;
    let head = b"POST /taken HTTP/1.1\r\nHost: x\r\nContent-Length: ";
    stream.write_all(&[head, &b"4\r\n\r\nwo"[..]].concat()).await.unwrap();
    stream.write_all(b"rd").await.unwrap();
    until(&mut stream, "4 taken").await;
    stream.write_all(&[head, &b"100000\r\n\r\n"[..]].concat()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let drops = async {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = [0; 12];
    let answered = tokio::select! {
        read = timeout(SOON, reading.read_exact(&mut answer)) => read,
        () = drops => panic!("it was closed without a word"),
    };
    answered.expect("it was never answered").unwrap();
    assert_eq!(answer, *b"HTTP/1.1 400");
}

#[tokio::test]
async fn the_last_places_are_not_for_who_holds_the_others() {
    let inn = Inn::open(8, Limits::default().head).await;
    let from = |site: &'static str| {
        let address = inn.address;
        async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(site.parse().unwrap(), 0)).unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            let _ = stream.write_all(REQUEST).await;
            let mut answer = [0; 12];
            // Who is turned away may find the connection reset: nobody reads what it asks.
            let read = timeout(SOON, stream.read_exact(&mut answer)).await.unwrap();
            (read.is_ok() && answer.ends_with(b"200"), stream)
        }
    };
    let mut crowd = Vec::new();
    for _ in 0..6 {
        crowd.push(from("127.0.0.1").await);
    }
    assert!(crowd.iter().all(|(served, _)| *served));
    assert!(!from("127.0.0.1").await.0, "two are left, and it has the others");
    let first = from("127.0.0.2").await;
    let second = from("127.0.0.2").await;
    assert!(first.0 && !second.0, "one is left, and it has one");
    let third = from("127.0.0.3").await;
    assert!(third.0 && !from("127.0.0.4").await.0, "none is left");
    crowd.truncate(1);
    inn.a_place().await;
}

#[tokio::test]
async fn who_takes_a_drop_at_a_time_loses_the_place() {
    let stall = Duration::from_secs(4);
    let house = Inn::with(Limits { connections: 1, stall, ..Limits::default() }).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // The smallest there is: the window opens again and again within the time.
    socket.set_recv_buffer_size(1).unwrap();
    let mut slow = socket.connect(house.address).await.unwrap();
    slow.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let drops = async {
        let (mut pause, mut few) = (tokio::time::interval(stall / 8), [0; 230]);
        while slow.read_exact(&mut few).await.is_ok() {
            pause.tick().await;
        }
    };
    tokio::select! {
        () = drops => {}
        () = house.a_place() => {}
    }
}

/// A client of HTTP/2 that has asked for what never ends, and gives no window for it (RFC 9113 §6.9.2).
async fn asks_without_a_window(stall: Duration) -> (TcpStream, JoinHandle<()>) {
    /// `GET /endless` of `x` (RFC 7541 §6), which is all that is asked.
    const HEADERS: &[u8] = b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/endless\x01\x01x";
    const NO_WINDOW: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let endless = || async { Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 4096])))) };
    let router = Router::new().route("/endless", get(endless));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let place = Places::new(1).take(peer.ip()).unwrap();
    let held = Held::new(stream, stall, place);
    let (limits, cancel) = (Limits { stall, ..Limits::default() }, CancellationToken::new());
    let serving = tokio::spawn(multiplexed(held, Guest { peer, router, limits, cancel }));
    client.write_all(&[PREFACE, &NO_WINDOW, HEADERS].concat()).await.unwrap();
    (client, serving)
}

#[tokio::test]
async fn who_opens_no_window_for_what_was_asked_is_cut_whatever_else_it_says() {
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let stall = Duration::from_millis(300);
    let (client, mut serving) = asks_without_a_window(stall).await;
    let (mut reading, mut writing) = client.into_split();
    let begun = tokio::time::Instant::now();
    let pings = async {
        let (mut pause, mut answers) = (tokio::time::interval(stall / 30), vec![0; 1 << 16]);
        // They are answered, so that the socket takes much.
        while writing.write_all(&PING.repeat(100)).await.is_ok()
            && reading.read(&mut answers).await.is_ok_and(|n| n > 0)
        {
            pause.tick().await;
        }
    };
    let cut = timeout(SOON, async { tokio::join!(&mut serving, pings).0 });
    cut.await.expect("it is served for ever").unwrap();
    assert!(begun.elapsed() >= stall * CLOSED, "cut after {:?}", begun.elapsed());
}

#[tokio::test]
async fn who_opens_small_windows_is_served_on() {
    /// Of 1,000 bytes for the stream; those of the connection are as large as usual.
    const WINDOW: [u8; 13] = [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 3, 232];
    let stall = Duration::from_millis(300);
    let (client, serving) = asks_without_a_window(stall).await;
    let (mut reading, mut writing) = client.into_split();
    let takes = async {
        let mut pause = tokio::time::interval(stall / 6);
        for _ in 0..48 {
            pause.tick().await;
            writing.write_all(&WINDOW).await.unwrap();
        }
    };
    let mut taken = Vec::new();
    tokio::select! {
        () = takes => assert!(taken.len() > 10_000, "{} bytes came", taken.len()),
        _ = reading.read_to_end(&mut taken) => panic!("it was closed"),
        _ = serving => panic!("it was cut"),
    }
}

#[tokio::test]
async fn who_takes_requests_back_as_fast_as_it_asks_is_cut() {
    /// CVE-2023-44487: no more than a few are ever open, and each costs a task.
    const MANY: u32 = 5_000;
    /// A GOAWAY's type and, in its last four bytes, the reason: ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7).
    const AWAY: u8 = 7;
    const CALM: u8 = 11;
    let (client, serving) = asks_without_a_window(Limits::default().stall).await;
    let (mut reading, mut writing) = client.into_split();
    let asks = async {
        for stream in (3..).step_by(2).take(MANY as usize) {
            let id = u32::to_be_bytes(stream);
            let headers = [b"\0\0\x0f\x01\x05".as_slice(), &id, b"\x82\x86\x04\x08/endless\x01\x01x"].concat();
            let cancel = [b"\0\0\x04\x03\0".as_slice(), &id, b"\0\0\0\x08"].concat();
            if writing.write_all(&[headers, cancel].concat()).await.is_err() {
                break;
            }
        }
    };
    let reason = async {
        let mut head = [0; 9];
        while reading.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            if reading.read_exact(&mut payload).await.is_ok() && kind == AWAY {
                return payload.get(7).copied();
            }
        }
        None
    };
    let (said, (), _) = timeout(SOON, async { tokio::join!(reason, asks, serving) }).await.expect("it goes on");
    assert_eq!(said, Some(CALM));
}

#[tokio::test]
async fn a_long_answer_over_http_2_arrives_whole_through_a_small_window() {
    const LENGTH: usize = 1_000_003;
    let bytes: Bytes = (0..LENGTH).map(|at| ((at * 31) >> 7) as u8).collect();
    let (sent, stall) = (bytes.clone(), Duration::from_millis(250));
    let router = Router::new().route("/long", get(|| async move { sent }));
    let (client, server) = tokio::io::duplex(1 << 12);
    let (peer, limits) = (SocketAddr::from(([127, 0, 0, 1], 9)), Limits { stall, ..Limits::default() });
    tokio::spawn(multiplexed(server, Guest { peer, router, limits, cancel: CancellationToken::new() }));

    let mut client_of = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    client_of.initial_stream_window_size(30_000).initial_connection_window_size(30_000);
    let (mut requests, connection) = client_of.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://x/long").body(Body::empty()).unwrap();
    let answer = requests.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["content-length"], LENGTH.to_string());
    // The whole takes longer than a piece of it may wait.
    let (mut arrived, mut pause) = (Vec::new(), tokio::time::interval(stall / 50));
    let mut body = Body::new(answer.into_body()).into_data_stream();
    while let Some(some) = timeout(SOON, body.next()).await.expect("it goes on") {
        arrived.extend_from_slice(&some.unwrap());
        pause.tick().await;
    }
    assert!(arrived == bytes, "{} of {LENGTH} bytes, or others", arrived.len());
}
