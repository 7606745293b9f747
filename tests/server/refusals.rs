//! Who may not come in is told why, and nobody else notices.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::{SOON, Server, media, wait};

const QUIET: &[(&str, &str)] = &[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")];

#[test]
fn publishers_that_may_not_are_refused_with_a_reason_they_see() {
    let server = Server::start(QUIET);
    let key = server.channel("maths", &[]);
    let lecture = media("lecture-en.opus");
    for (url, reason) in [
        (format!("{}/maths?key=wrong", server.rtmp), "wrong stream key"),
        (format!("{}/nobody?key={key}", server.rtmp), "no channel takes this stream key"),
        (format!("{}/wrong", server.rtmp), "no channel takes this stream key"),
    ] {
        let (went_well, said) = server.publish(&lecture, &url, &[]).finish();
        assert!(!went_well && said.contains(reason), "{url}: {said}");
    }
    // OBS style: the key alone names the channel.
    let _first = server.publish(&lecture, &format!("{}/{key}", server.rtmp), &[]);
    server.playlist("maths");
    let (went_well, said) = server.publish(&lecture, &format!("{}/maths?key={key}", server.rtmp), &[]).finish();
    assert!(!went_well && said.contains("already live"), "{said}");
    assert_eq!(server.json("/api/v1/channels/maths/status")["state"], "live", "the first one goes on");
}

#[test]
fn garbage_on_the_rtmp_port_disturbs_nobody() {
    let server = Server::start(QUIET);
    let key = server.channel("maths", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/maths?key={key}", server.rtmp), &[]);
    server.playlist("maths");
    let address = server.rtmp.trim_start_matches("rtmp://").trim_end_matches("/live").to_owned();
    for seed in 0..40_u8 {
        let mut stranger = TcpStream::connect(&address).unwrap();
        let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
        // The server may close while we still write; that is what it is for.
        let _ = stranger.write_all(&[3]).and_then(|()| stranger.write_all(&noise));
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
    }
    let frames = || server.json("/api/v1/channels/maths/status")["video_frames"].as_u64().unwrap();
    let before = frames();
    wait("the neighbour's frames go on", SOON, || (frames() > before + 30).then_some(()));
}

/// A connection by RTMP whose handshake is over.
pub fn shaken(server: &Server) -> TcpStream {
    let address = server.rtmp.trim_start_matches("rtmp://").trim_end_matches("/live");
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.set_read_timeout(Some(SOON)).unwrap();
    stranger.write_all(&[3]).unwrap();
    stranger.write_all(&[0; 1536]).unwrap();
    let mut hello = [0; 1 + 1536 + 1536];
    stranger.read_exact(&mut hello).unwrap();
    stranger.write_all(&hello[1..1537]).unwrap();
    stranger
}

/// A `connect` whose command object nests ten thousand deep, in chunks of 128 bytes.
fn deep_connect() -> Vec<u8> {
    let mut payload = b"\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00".to_vec();
    payload.extend(b"\x03\x00\x01a".repeat(10_000));
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0, length[1], length[2], length[3], 20, 0, 0, 0, 0];
    for (nth, chunk) in payload.chunks(128).enumerate() {
        if nth > 0 {
            bytes.push(0xc3);
        }
        bytes.extend(chunk);
    }
    bytes
}

#[test]
fn deep_amf_ends_its_own_connection_alone() {
    let mut server = Server::start(QUIET);
    let key = server.channel("maths", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/maths?key={key}", server.rtmp), &[]);
    server.playlist("maths");
    let mut stranger = shaken(&server);
    // The server may close before the last byte.
    let _ = stranger.write_all(&deep_connect());
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest);
    assert!(server.is_running(), "the server fell over it");
    let frames = || server.json("/api/v1/channels/maths/status")["video_frames"].as_u64().unwrap();
    let before = frames();
    wait("the neighbour's frames go on", SOON, || (frames() > before + 30).then_some(()));
}

#[test]
fn what_is_not_there_is_a_problem_document() {
    let server = Server::start(QUIET);
    server.channel("idle", &[]);
    for path in [
        "/live/idle/index.m3u8",
        "/live/nobody/index.m3u8",
        "/live/%2e%2e/index.m3u8",
        "/hls/nobody.m3u8",
        "/vod/00000000000000000000/index.m3u8",
        "/vod/..%2f..%2fsecret.key/index.m3u8",
        "/api/v1/channels/nobody",
        "/api/v1/recordings/nothing",
        "/api/v1/nothing",
    ] {
        let (status, body) = server.get(path).unwrap();
        assert_eq!(status, 404, "{path}: {body}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!(problem["status"], 404, "{path}");
        assert!(problem["detail"].is_string(), "{path}");
    }
}
