//! What no honest peer sends.

use super::*;

const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n";
/// `maths:s3cret`.
const BASIC: &str = "Authorization: Basic bWF0aHM6czNjcmV0\r\n";

fn announce(body: &str) -> String {
    format!(
        "ANNOUNCE rtsp://h/publish/maths RTSP/1.0\r\nCSeq: 1\r\n{BASIC}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn set_up(session: &str) -> String {
    format!(
        "SETUP rtsp://h/publish/maths/streamid=0 RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\
         Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n\r\n"
    )
}

fn record(session: &str) -> String {
    format!("RECORD rtsp://h/publish/maths RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n")
}

/// A publisher that has said RECORD.
async fn recording(fixture: &mut Fixture) -> (Raw, Arc<Live>) {
    let mut raw = fixture.raw().await;
    let head = raw.ask(announce(SDP)).await;
    assert!(head.starts_with("RTSP/1.0 200"), "{head}");
    let session = field(&head, "Session").split(';').next().unwrap().to_owned();
    for request in [set_up(&session), record(&session)] {
        let head = raw.ask(request).await;
        assert!(head.starts_with("RTSP/1.0 200"), "{head}");
    }
    let (live, _) = fixture.live().await;
    (raw, live)
}

#[tokio::test]
async fn a_name_and_password_let_in_too() {
    let mut fixture = Fixture::start().await;
    let (_raw, live) = recording(&mut fixture).await;
    assert_eq!(live.state(), State::Live);
    fixture.stop().await;
}

#[tokio::test]
async fn without_a_key_a_challenge_comes() {
    let fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let head = raw.ask(announce(SDP).replace(BASIC, "")).await;
    assert!(
        head.starts_with("RTSP/1.0 401") && head.contains("Digest realm=") && head.contains("Basic realm="),
        "{head}"
    );
    assert!(fixture.registry.lives().is_empty());
    // A digest for another connection's challenge is none for this one's.
    let digest =
        "Authorization: Digest username=\"maths\", realm=\"amphi\", nonce=\"0\", uri=\"/\", response=\"0\"\r\n";
    let head = raw.ask(announce(SDP).replace(BASIC, digest)).await;
    assert!(head.starts_with("RTSP/1.0 401"), "{head}");
    raw.is_cut().await;
    fixture.stop().await;
}

#[tokio::test]
async fn interleaved_lengths_that_lie_cost_their_sender_only() {
    let mut fixture = Fixture::start().await;
    let (mut raw, live) = recording(&mut fixture).await;
    // It says 12 bytes and sends 20: what follows is no message.
    raw.say([&b"$\0\0\x0c"[..], &[0x80; 20]].concat()).await;
    raw.is_cut().await;
    in_time(async {
        while live.state() == State::Live {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A packet too short to be one, on channels that exist and do not, is dropped.
    let (mut raw, live) = (fixture.raw().await, live);
    let head = raw.ask(announce(SDP)).await;
    let session = field(&head, "Session").split(';').next().unwrap().to_owned();
    raw.ask(set_up(&session)).await;
    raw.ask(record(&session)).await;
    raw.say(b"$\0\0\0$\x01\0\x01x$\xff\0\x02xy$\0\0\x03abc").await;
    let head = raw.ask("OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n").await;
    assert!(head.starts_with("RTSP/1.0 200") && field(&head, "CSeq") == "9", "{head}");
    assert_eq!(live.state(), State::Live);
    fixture.stop().await;
}

#[tokio::test]
async fn a_foreign_session_is_not_found() {
    let mut fixture = Fixture::start().await;
    let (_owner, live) = recording(&mut fixture).await;
    let mut raw = fixture.raw().await;
    for method in ["TEARDOWN", "PAUSE", "RECORD", "GET_PARAMETER"] {
        let head = raw
            .ask(format!("{method} rtsp://h/publish/maths RTSP/1.0\r\nCSeq: 1\r\nSession: 0123456789abcdef\r\n\r\n"))
            .await;
        assert!(head.starts_with("RTSP/1.0 454"), "{head}");
    }
    assert_eq!(live.state(), State::Live);
    fixture.stop().await;
}

#[tokio::test]
async fn floods_are_cut() {
    let fixture = Fixture::start().await;
    let path = |who: &str| format!("OPTIONS rtsp://h/{who}/maths RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    let lines = "A: b\r\n".repeat(100_000);
    for flood in [
        format!("OPTIONS rtsp://h/publish/maths RTSP/1.0\r\n{lines}"),
        format!("DESCRIBE rtsp://h/live/maths RTSP/1.0\r\n{lines}"),
        // A reader that is already served is held to the same.
        format!("{}DESCRIBE rtsp://h/live/maths RTSP/1.0\r\n{lines}", path("live")),
        format!("{}SETUP rtsp://h/live/maths RTSP/1.0\r\nContent-Length: 4000000000\r\n\r\n", path("live")),
        format!("{}GET / HTTP/1.1\r\n\r\n", path("live")),
        announce(&"x".repeat(10_000_000)),
        announce(&format!("{SDP}{}", "m=audio 0 RTP/AVP 0\r\n".repeat(1_000))),
    ] {
        let mut raw = fixture.raw().await;
        raw.say(&flood).await;
        raw.is_cut().await;
    }
    assert!(fixture.registry.lives().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn whoever_does_nothing_is_cut() {
    let settings = Settings { authenticate: Duration::from_millis(300), ..Settings::default() };
    let fixture = Fixture::with(settings).await;
    for words in
        ["", "O", "OPTIONS rtsp://h/publish/maths RTSP/1.0\r\n\r\n", "OPTIONS rtsp://h/live/maths RTSP/1.0\r\n\r\n"]
    {
        let mut raw = fixture.raw().await;
        raw.say(words).await;
        raw.is_cut().await;
    }
    let mut raw = fixture.raw().await;
    assert!(raw.ask(announce(SDP)).await.starts_with("RTSP/1.0 200"));
    raw.is_cut().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_publisher_that_falls_silent_is_cut() {
    let settings = Settings { silence: Duration::from_millis(500), ..Settings::default() };
    let mut fixture = Fixture::with(settings).await;
    let (mut raw, live) = recording(&mut fixture).await;
    raw.is_cut().await;
    in_time(async {
        while live.state() == State::Live {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_publisher_that_is_stuck_in_a_packet_is_cut() {
    let settings = Settings { silence: Duration::from_secs(1), ..Settings::default() };
    let mut fixture = Fixture::with(settings).await;
    let (mut raw, live) = recording(&mut fixture).await;
    // It announces 60,000 bytes, and after half of them no more come.
    raw.say([&b"$\0\xea\x60"[..], &[0x80; 30_000]].concat()).await;
    raw.is_cut().await;
    in_time(async {
        while live.state() == State::Live {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fixture.stop().await;
}

/// An access unit of one NAL unit, told apart by the picture's number.
fn access_unit(sequence: u8, nal: &[u8]) -> Vec<u8> {
    let header = [0x80, 0xe0, 0, sequence, 0, 0, 0x10 * sequence, 0, 0, 0, 0, 7];
    [&header[..], nal].concat()
}

/// Parameter sets in one aggregation packet.
fn parameter_sets() -> Vec<u8> {
    let sets: [&[u8]; 2] = [
        &[
            0x67, 0x42, 0xc0, 0x16, 0xd9, 0x00, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00,
            0x32, 0x0f, 0x16, 0x2e, 0x48,
        ],
        &[0x68, 0xcb, 0x83, 0xcb, 0x20],
    ];
    sets.iter().fold(vec![0x78], |mut all, set| {
        all.extend((set.len() as u16).to_be_bytes());
        all.extend(*set);
        all
    })
}

/// Records one track over UDP whose packets come from this port, and says where they go.
async fn record_udp(raw: &mut Raw, from: u16) -> String {
    let head = raw.ask(announce(SDP)).await;
    let session = field(&head, "Session").split(';').next().unwrap().to_owned();
    let tcp = "RTP/AVP/TCP;unicast;interleaved=0-1";
    let udp = format!("RTP/AVP;unicast;client_port={from}-{from}");
    let head = raw.ask(set_up(&session).replace(tcp, &udp)).await;
    let port = field(&head, "Transport").split("server_port=").nth(1).unwrap().split('-').next().unwrap().to_owned();
    assert!(raw.ask(record(&session)).await.starts_with("RTSP/1.0 200"));
    format!("127.0.0.1:{port}")
}

#[tokio::test]
async fn the_port_that_was_announced_is_heard_and_no_other_once_it_speaks() {
    let mut fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let [owner, neighbour] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let to = record_udp(&mut raw, owner.local_addr().unwrap().port()).await;
    let (_live, mut consumer) = fixture.live().await;
    let send = |from: &std::net::UdpSocket, sequence, picture| {
        from.send_to(&access_unit(sequence, &[0x65, picture]), &to).unwrap();
    };
    let mut heard = Heard::default();
    neighbour.send_to(&access_unit(1, &parameter_sets()), &to).unwrap();
    send(&neighbour, 2, 0xbb);
    while heard.video.is_empty() {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    send(&owner, 3, 0xaa);
    while heard.video.len() < 2 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    send(&neighbour, 4, 0xbb);
    send(&owner, 4, 0xaa);
    while heard.video.len() < 3 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    let pictures: Vec<_> = heard.video.iter().map(|packet| packet.data[5]).collect();
    assert_eq!(pictures, [0xbb, 0xaa, 0xaa]);
    fixture.stop().await;
}

#[tokio::test]
async fn strangers_send_nothing() {
    let mut fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let to = record_udp(&mut raw, 0).await;
    let (_live, mut consumer) = fixture.live().await;
    let owner = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let neighbour = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    stranger.send_to(&access_unit(1, &[0x65, 0xbb]), &to).unwrap();
    owner.send_to(&access_unit(1, &parameter_sets()), &to).unwrap();
    owner.send_to(&access_unit(2, &[0x65, 0xaa]), &to).unwrap();
    let mut heard = Heard::default();
    while heard.video.is_empty() {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    stranger.send_to(&access_unit(3, &[0x65, 0xbb]), &to).unwrap();
    neighbour.send_to(&access_unit(3, &[0x65, 0xbb]), &to).unwrap();
    owner.send_to(&access_unit(3, &[0x65, 0xaa]), &to).unwrap();
    while heard.video.len() < 2 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    assert!(heard.video.iter().all(|packet| packet.data[..] == [0, 0, 0, 2, 0x65, 0xaa]));
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_no_packet_takes_no_publishers_place() {
    let mut fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let to = record_udp(&mut raw, 0).await;
    let (_live, mut consumer) = fixture.live().await;
    let [owner, neighbour] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    for junk in [&b""[..], b"x", &[0; 1200], &[0x80, 200, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0], &[0x80; 11]] {
        neighbour.send_to(junk, &to).unwrap();
    }
    owner.send_to(&access_unit(1, &parameter_sets()), &to).unwrap();
    owner.send_to(&access_unit(2, &[0x65, 0xaa]), &to).unwrap();
    let mut heard = Heard::default();
    while heard.video.is_empty() {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    assert_eq!(heard.video[0].data[5], 0xaa);
    fixture.stop().await;
}

#[tokio::test]
async fn reports_go_to_who_sends_and_to_no_neighbour() {
    let mut fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let [owner, neighbour] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let to: SocketAddr = record_udp(&mut raw, owner.local_addr().unwrap().port()).await.parse().unwrap();
    let (_live, mut consumer) = fixture.live().await;
    // A sender report of a source that sends nothing here, before and after the first packet of the one that does.
    let mut report = [0; 28];
    report[..8].copy_from_slice(&[0x80, 200, 0, 6, 0, 0, 0, 9]);
    neighbour.send_to(&report, (to.ip(), to.port() + 1)).unwrap();
    owner.send_to(&access_unit(1, &parameter_sets()), to).unwrap();
    owner.send_to(&access_unit(2, &[0x65, 0xaa]), to).unwrap();
    in_time(consumer.recv()).await.unwrap();
    neighbour.send_to(&report, (to.ip(), to.port() + 1)).unwrap();
    let owner = tokio::task::spawn_blocking(move || {
        owner.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut datagram = [0; 1500];
        // What opens the way comes before.
        while owner.recv(&mut datagram).unwrap() == 0 {}
        datagram[1]
    });
    assert_eq!(owner.await.unwrap(), 201, "a receiver report (RFC 3550 §6.4.2)");
    neighbour.set_nonblocking(true).unwrap();
    assert!(neighbour.recv(&mut [0; 1500]).is_err(), "nobody else is told anything");
    fixture.stop().await;
}
