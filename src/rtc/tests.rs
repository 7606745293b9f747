//! What real clients offer, and what becomes of it when it is damaged.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use ::rtc::{
    crypto::default_provider,
    ice::attributes::{
        control::{AttrControlled, AttrControlling},
        use_candidate::UseCandidateAttr,
    },
    stun::{
        attributes::ATTR_USERNAME,
        integrity::MessageIntegrity,
        message::{BINDING_REQUEST, Message, Setter, TransactionId},
        textattrs::TextAttribute,
    },
};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::*;

mod client;
mod paths;

const CHROMIUM: &str = include_str!("tests/chromium.sdp");
const AIORTC: &str = include_str!("tests/aiortc.sdp");
/// As OBS has it.
const LIBDATACHANNEL: &str = include_str!("../../fuzz/corpus/offer/in-libdatachannels-manner");

/// Where all ask from who are asked about one thing at a time.
const SITE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn port() -> Port {
    Port::bind("127.0.0.1:0".parse().unwrap(), Settings { peers: 8, ..Settings::default() }).await.unwrap()
}

#[tokio::test]
async fn h264_is_taken_where_it_is_offered_and_vp8_where_not() {
    let port = port().await;
    for offer in [CHROMIUM, AIORTC] {
        let peer = port.answer(offer, Direction::Receive, SITE, Instant::now()).unwrap();
        let codecs: Vec<_> = peer.streams().iter().map(|stream| stream.codec).collect();
        assert!(codecs.contains(&Codec::H264) && !codecs.contains(&Codec::Vp8), "{codecs:?}");
        let answer = peer.answer();
        assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
        assert!(
            answer.contains("opus/48000/2") && answer.contains("H264/90000") && !answer.contains("VP8"),
            "{answer}"
        );
        assert!(answer.contains(" nack pli") && answer.contains("a=rtcp-mux"), "{answer}");
        let candidate = format!("udp 2130706431 127.0.0.1 {} typ host", port.local_addr().port());
        assert_eq!(answer.matches(&candidate).count(), 2, "{answer}");
        let without = offer.replace("H264/90000", "H999/90000");
        let peer = port.answer(&without, Direction::Receive, SITE, Instant::now()).unwrap();
        assert!(peer.streams().iter().any(|stream| stream.codec == Codec::Vp8), "{}", peer.answer());
    }
}

#[tokio::test]
async fn to_a_viewer_one_stream_of_each_goes() {
    let port = port().await;
    let offer = CHROMIUM.replace("a=sendonly", "a=recvonly");
    let peer = port.answer(&offer, Direction::Send, SITE, Instant::now()).unwrap();
    let codecs: Vec<_> = peer.streams().iter().map(|stream| (stream.codec, stream.ssrc > 0)).collect();
    assert_eq!(codecs, [(Codec::H264, true), (Codec::Opus, true)]);
    assert_eq!(peer.answer().matches("a=sendonly").count(), 2, "{}", peer.answer());
}

#[tokio::test]
async fn half_of_what_is_offered_is_refused_with_what_to_set() {
    let port = port().await;
    let refused = |offer: &str, direction| match port.answer(offer, direction, SITE, Instant::now()) {
        Err(Refused::Unacceptable(why)) => why,
        other => panic!("{:?}", other.map(|peer| peer.answer().to_owned())),
    };
    for offer in [CHROMIUM, AIORTC] {
        let watching = offer.replace("a=sendonly", "a=recvonly");
        let no_picture = |offer: &str| offer.replace("H264/90000", "AV1/90000").replace("VP8/90000", "VP9/90000");
        assert!(refused(&no_picture(offer), Direction::Receive).contains("set the encoder to H.264"));
        assert!(refused(&no_picture(&watching), Direction::Send).contains("H.264"));
        let mode_0 = watching.replace("packetization-mode=1", "packetization-mode=0");
        assert!(refused(&mode_0, Direction::Send).contains("packetization-mode=1"));
        let no_sound = |offer: &str| offer.replace("opus/48000", "L16/48000");
        assert!(refused(&no_sound(offer), Direction::Receive).contains("set the encoder to Opus"));
        assert!(refused(&no_sound(&watching), Direction::Send).contains("Opus"));
        // A section that nothing comes by may be anything.
        let (sound, picture) = offer.split_once("m=video").unwrap();
        for nothing in ["a=recvonly", "a=inactive"] {
            let offer = format!("{sound}m=video{}", no_picture(picture).replace("a=sendonly", nothing));
            assert!(port.answer(&offer, Direction::Receive, SITE, Instant::now()).is_ok(), "{offer}");
        }
    }
}

#[tokio::test]
async fn who_begins_the_handshake_is_the_clients_choice() {
    let port = port().await;
    for (offered, answered) in [("actpass", "active"), ("active", "passive"), ("passive", "active")] {
        let offer = CHROMIUM.replace("a=setup:actpass", &format!("a=setup:{offered}"));
        let peer = port.answer(&offer, Direction::Receive, SITE, Instant::now()).unwrap();
        let answer = format!("a=setup:{answered}\r\n");
        assert_eq!(peer.answer().matches(&answer).count(), 2, "{offered}: {}", peer.answer());
        assert_eq!(peer.answer().matches("a=setup:").count(), 2, "{offered}: {}", peer.answer());
    }
}

#[tokio::test]
async fn an_encoder_with_one_codec_of_each_kind_gets_these() {
    let port = port().await;
    let peer = port.answer(LIBDATACHANNEL, Direction::Receive, SITE, Instant::now()).unwrap();
    let agreed: Vec<_> = peer.streams().iter().map(|stream| (stream.codec, stream.payload_type)).collect();
    assert_eq!(agreed, [(Codec::H264, 96), (Codec::Opus, 111)]);
    let answer = peer.answer();
    let sections: Vec<_> = answer.split("m=").skip(1).collect();
    assert_eq!(sections.len(), 2, "{answer}");
    let candidate = format!("a=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host", port.local_addr().port());
    for (section, media, codec) in [
        (sections[0], "audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "a=rtpmap:111 opus/48000/2"),
        (sections[1], "video 9 UDP/TLS/RTP/SAVPF 96\r\n", "a=rtpmap:96 H264/90000"),
    ] {
        assert!(section.starts_with(media), "{section}");
        for line in [codec, "a=recvonly", "a=setup:active", "a=rtcp-mux", &candidate, "a=end-of-candidates"] {
            assert!(section.lines().any(|own| own == line), "no {line} in {section}");
        }
    }
    assert!(
        sections[1].contains("packetization-mode=1") && sections[1].contains("profile-level-id=42e01f"),
        "{answer}"
    );
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n") && answer.contains("a=fingerprint:sha-256 "), "{answer}");
}

#[tokio::test]
async fn places_are_counted_and_given_back() {
    let port = port().await;
    let answer = || port.answer(AIORTC, Direction::Receive, SITE, Instant::now());
    let mut peers: Vec<_> = (0..8).map(|_| answer().unwrap()).collect();
    assert_eq!(answer().err(), Some(Refused::Full));
    peers.pop();
    assert!(answer().is_ok());
}

#[tokio::test]
async fn a_peer_that_is_ended_is_over() {
    let mut peer = port().await.answer(CHROMIUM, Direction::Receive, SITE, Instant::now()).unwrap();
    peer.handle().close();
    assert_eq!(peer.recv().await, None);
}

/// A connectivity check (RFC 8445 §7.2), with something said besides.
fn check(receiver: &str, sender: &str, password: &str, besides: impl Setter + 'static) -> Vec<u8> {
    let provider = default_provider().unwrap();
    let name = TextAttribute::new(ATTR_USERNAME, format!("{receiver}:{sender}"));
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto());
    let parts: [Box<dyn Setter + '_>; 5] = [
        Box::new(TransactionId::new()),
        Box::new(BINDING_REQUEST),
        Box::new(name),
        Box::new(besides),
        Box::new(integrity),
    ];
    let mut message = Message::new();
    message.build(&parts).unwrap();
    message.raw
}

/// Sends it from a port of its own.
async fn from_elsewhere(check: &[u8], to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(check, to).await.unwrap();
    socket
}

#[tokio::test]
async fn checks_without_the_sessions_password_take_no_genuine_ones_place() {
    let port = port().await;
    let mut peer = port.answer(CHROMIUM, Direction::Receive, SITE, Instant::now()).unwrap();
    let (handle, address) = (peer.handle(), port.local_addr());
    let password = sdp::value(peer.answer(), "a=ice-pwd:").unwrap().to_owned();
    let (cancel, served) = (CancellationToken::new(), port.clone());
    let serving = tokio::spawn({
        let cancel = cancel.clone();
        async move { served.serve(cancel).await }
    });
    let peering = tokio::spawn(async move { while peer.recv().await.is_some() {} });
    let forged = check(handle.session(), handle.client(), "what nobody was told", AttrControlling(1));
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(from_elsewhere(&forged, address).await);
    }
    let genuine = check(handle.session(), handle.client(), &password, AttrControlling(1));
    let client = from_elsewhere(&genuine, address).await;
    let mut buffer = [0; 2_048];
    let accepted = async {
        // The server checks as well: its requests are none of the answer.
        loop {
            let (length, _) = client.recv_from(&mut buffer).await.unwrap();
            if stun::acceptance(&buffer[..length]).is_some() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), accepted).await.expect("an answer");
    // As many ports as sockets that are open.
    assert_eq!(strangers.len(), 200);
    handle.close();
    cancel.cancel();
    peering.await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stranger_does_not_change_who_nominates() {
    let port = port().await;
    let mut peer = port.answer(CHROMIUM, Direction::Receive, SITE, Instant::now()).unwrap();
    let (handle, address) = (peer.handle(), port.local_addr());
    let password = sdp::value(peer.answer(), "a=ice-pwd:").unwrap().to_owned();
    let (cancel, served) = (CancellationToken::new(), port.clone());
    let serving = tokio::spawn({
        let cancel = cancel.clone();
        async move { served.serve(cancel).await }
    });
    let peering = tokio::spawn(async move { while peer.recv().await.is_some() {} });
    // Whoever has the lower number yields.
    let forged = check(handle.session(), handle.client(), "what nobody was told", AttrControlled(0));
    from_elsewhere(&forged, address).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let answers = async {
        let (mut accepted, mut buffer) = (0, [0; 2_048]);
        while accepted < 3 {
            let genuine = check(handle.session(), handle.client(), &password, AttrControlling(1));
            client.send_to(&genuine, address).await.unwrap();
            let (length, _) = client.recv_from(&mut buffer).await.unwrap();
            // 487, role conflict (RFC 8445 §7.3.1.1): the client would leave nominating to the server from then on.
            assert!(!buffer[..length].starts_with(&[1, 0x11]), "it was refused");
            accepted += usize::from(stun::acceptance(&buffer[..length]).is_some());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answers).await.expect("answers");
    handle.close();
    cancel.cancel();
    peering.await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn viewers_leave_places_for_publishers() {
    let port = port().await;
    let (watching, publishing) = (CHROMIUM.replace("a=sendonly", "a=recvonly"), CHROMIUM);
    let answer = |offer: &str, direction| port.answer(offer, direction, SITE, Instant::now());
    let viewers: Vec<_> = (0..20).map_while(|_| answer(&watching, Direction::Send).ok()).collect();
    assert_eq!(viewers.len(), 7);
    let publisher = answer(publishing, Direction::Receive).unwrap();
    assert_eq!(answer(publishing, Direction::Receive).err(), Some(Refused::Full));
    drop((viewers, publisher));
    assert!(answer(&watching, Direction::Send).is_ok());
}

#[tokio::test]
async fn who_asks_to_watch_and_does_not_come_gives_way_to_who_asks_later() {
    let port = port().await;
    let watching = CHROMIUM.replace("a=sendonly", "a=recvonly");
    let mut publisher = port.answer(CHROMIUM, Direction::Receive, SITE, Instant::now()).unwrap();
    for _ in 0..20 {
        // One is awaited of the eight that there are places for.
        let mut first = port.answer(&watching, Direction::Send, SITE, Instant::now()).unwrap();
        let mut second = port.answer(&watching, Direction::Send, SITE, Instant::now()).unwrap();
        assert_eq!(first.recv().await, None);
        let waits = tokio::time::timeout(Duration::from_millis(20), second.recv()).await;
        assert!(waits.is_err(), "the last is awaited: {waits:?}");
    }
    let waits = tokio::time::timeout(Duration::from_millis(20), publisher.recv()).await;
    assert!(waits.is_err(), "a publisher gives way to nobody: {waits:?}");
}

#[tokio::test]
async fn a_crowd_of_one_site_gives_way_to_the_others() {
    let settings = Settings { peers: 32, ..Settings::default() };
    let port = Port::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let watching = CHROMIUM.replace("a=sendonly", "a=recvonly");
    let neighbour = "192.0.2.1".parse().unwrap();
    let ask = |site| port.answer(&watching, Direction::Send, site, Instant::now()).unwrap();
    // Four are awaited of the thirty-two that there are places for.
    let mut polite = ask(neighbour);
    let mut crowd: Vec<_> = (0..20).map(|_| ask(SITE)).collect();
    let waits = tokio::time::timeout(Duration::from_millis(20), polite.recv()).await;
    assert!(waits.is_err(), "one alone is awaited: {waits:?}");
    for peer in &mut crowd[..17] {
        assert_eq!(peer.recv().await, None);
    }
    for peer in &mut crowd[17..] {
        let waits = tokio::time::timeout(Duration::from_millis(20), peer.recv()).await;
        assert!(waits.is_err(), "the last are awaited: {waits:?}");
    }
}

#[tokio::test]
async fn an_offer_that_says_less_or_more_than_usual_is_answered_in_full() {
    let port = port().await;
    let undirected = CHROMIUM.replace("a=sendonly\n", "");
    let grouped = CHROMIUM.replace("a=group:BUNDLE", "a=group:LS 0\na=group:BUNDLE");
    let watching = grouped.replace("a=sendonly", "a=recvonly");
    for (offer, direction, flows) in [
        (&undirected, Direction::Receive, &["a=recvonly"][..]),
        // Viewers may say that they would send as well; what they send is passed over.
        (&undirected, Direction::Send, &["a=sendonly", "a=sendrecv"]),
        (&grouped, Direction::Receive, &["a=recvonly"]),
        (&watching, Direction::Send, &["a=sendonly"]),
    ] {
        let peer = port.answer(offer, direction, SITE, Instant::now()).unwrap();
        let answer = peer.answer();
        assert!(answer.contains("a=group:BUNDLE 0 1\r\n"), "{answer}");
        let sections: Vec<_> = answer.split("m=").skip(1).collect();
        assert_eq!(sections.len(), 2, "{answer}");
        for section in sections {
            // A port of 0 would refuse it (RFC 3264 §6).
            assert_eq!(section.split(' ').nth(1), Some("9"), "{answer}");
            assert!(section.lines().any(|line| flows.contains(&line)), "{answer}");
        }
    }
}

#[tokio::test]
async fn damaged_offers_are_answered_or_refused() {
    let port = port().await;
    // Knuth's linear congruential generator: the same damage in every run.
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    let mut answered = 0;
    for round in 0..300 {
        let mut lines: Vec<String> = [CHROMIUM, AIORTC][round % 2].lines().map(str::to_owned).collect();
        for _ in 0..=random(4) {
            let (at, other) = (random(lines.len()), random(lines.len()));
            match random(5) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[other].clone()),
                2 => lines.swap(at, other),
                3 => lines[at] = lines[at].chars().filter(|_| random(4) > 0).collect(),
                _ => {
                    let number = ["0", "-1", "256", "65536", "99999999999999999999", ""][random(6)];
                    lines[at] = lines[at].replace(|c: char| c.is_ascii_digit() && random(3) == 0, number);
                }
            }
        }
        let direction = if random(2) == 0 { Direction::Receive } else { Direction::Send };
        answered += usize::from(port.answer(&lines.join("\r\n"), direction, SITE, Instant::now()).is_ok());
    }
    assert!((30..300).contains(&answered), "{answered} answered");
}
