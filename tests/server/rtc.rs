//! WebRTC's sessions over HTTP, and what strangers send to its port.

use crate::{
    proxy::{Proxy, Weather},
    support::{SOON, Server, wait},
    whep::{aiortc, flashes, server},
};

/// What a Chromium offers that publishes.
const OFFER: &str = include_str!("../../src/rtc/tests/chromium.sdp");
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A counter's value; 0 before it has counted.
fn counted(server: &Server, name: &str) -> f64 {
    let (_, metrics) = server.get("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn a_viewer_that_names_a_hundred_thousand_sources_takes_no_memory() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let _publisher = flashes(&server, "waves", &["-bf", "0"]);
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let peer = aiortc(&server, "waves", Some(proxy.port));
    peer.says("answered 201");
    wait("pictures", SOON, || peer.line().contains("\"size\": [").then_some(()));
    let before = server.memory();
    let refused = || counted(&server, "amphi_rtc_packets_refused_total");
    let mut sent = 0_u32;
    while sent < 100_000 {
        // As many at a time as the peer's queue holds with what its viewer sends.
        for _ in 0..64 {
            let source = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes();
            // RTP and a receiver report, neither of them genuine.
            proxy.forge(&[&[0x80, 102, 0, 1, 0, 0, 0, 1][..], &source(sent), &[0; 100]].concat());
            proxy.forge(&[&[0x80, 201, 0, 1][..], &source(sent + 1), &[0; 40]].concat());
            sent += 2;
        }
        wait("they are refused", SOON, || (refused() + 32.0 >= f64::from(sent)).then_some(()));
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 10, "it grew by {grown} KiB");
    // Its viewer sees on.
    let frames = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["frames"].as_u64();
    let seen = frames(peer.line());
    wait("more pictures", SOON, || (frames(peer.line()) > seen).then_some(()));
    peer.finish();
}

#[test]
fn a_sessions_resource_is_patched_as_rfc_9725_has_it() {
    let ice_servers = "[webrtc]\nice_servers = [{ url = \"stun:stun.example.org\" }]\n";
    let quiet = [("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")];
    let server = Server::configured(ice_servers, &quiet);
    let key = server.channel("lectern", &[]);
    let _publisher = flashes(&server, "waves", &["-bf", "0"]);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (path, offer) in [("whip/lectern", OFFER.to_owned()), ("whep/waves", OFFER.replace("a=sendonly", "a=recvonly"))]
    {
        let bearer = format!("Bearer {key}");
        let post = agent.post(format!("{}/{path}", server.http)).header("content-type", "application/sdp");
        let created = post.header("authorization", &bearer).send(&offer).unwrap();
        assert_eq!(created.status(), 201, "{path}");
        let header = |name: &str| created.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("content-type"), header("accept-patch")), ("application/sdp".into(), FRAGMENT.into()));
        assert_eq!(header("link"), "<stun:stun.example.org>; rel=\"ice-server\"");
        let tag = header("etag");
        assert!(tag.len() > 5 && tag.starts_with('"') && tag.ends_with('"'), "{tag} is no strong entity tag");
        let resource = format!("{}{}", server.http, header("location"));
        assert!(header("location").starts_with(&format!("/{path}/")), "{resource}");

        let same = "a=ice-ufrag:uy8x\r\na=ice-pwd:qc7A3hb/IdLKA29YVGwA8KN8\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
            a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
        let other = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n";
        let (weak, listed) = (format!("W/{tag}"), format!("\"another\", {tag}"));
        let long = format!("{same}{}", "a=x\r\n".repeat(1 << 14));
        for (expected, tags, kind, body) in [
            (204, Some(&*tag), FRAGMENT, same),
            (204, Some("*"), FRAGMENT, same),
            (204, Some(&listed), FRAGMENT, same),
            (204, Some(&tag), FRAGMENT, "a=end-of-candidates\r\n"),
            (428, None, FRAGMENT, same),
            (412, Some("\"another\""), FRAGMENT, same),
            (412, Some(&weak), FRAGMENT, same),
            (412, Some(tag.trim_matches('"')), FRAGMENT, same),
            (400, Some(&tag), FRAGMENT, "hello"),
            (400, Some(&tag), FRAGMENT, ""),
            (422, Some(&tag), FRAGMENT, other),
            (422, Some("*"), FRAGMENT, other),
            (415, Some(&tag), "application/sdp", same),
            (413, Some(&tag), FRAGMENT, &long),
        ] {
            let mut patch = agent.patch(&resource).header("content-type", kind).header("authorization", &bearer);
            if let Some(tags) = tags {
                patch = patch.header("if-match", tags);
            }
            let answer = patch.send(body).unwrap();
            assert_eq!(answer.status(), expected, "{path}: {tags:?} {:?}", body.get(..20));
            assert!(!answer.headers().contains_key("etag"), "ICE was not restarted");
        }
        // Which ICE session it is does not matter to who ends it.
        let delete = agent.delete(&resource).header("authorization", &bearer).header("if-match", "\"another\"");
        assert_eq!(delete.call().unwrap().status(), 200, "{path}");
    }
}
