//! Picture and sound together, in by the ways of browsers and cameras and out to players and recordings.

use std::net::UdpSocket;

use serde_json::Value;

use crate::{
    browser::Browser,
    sound::{begins, begins_in, ended, flashes},
    studio::{studio, until},
    support::Server,
    whep,
    whip::{self, Peer, listed, offsets_in, state},
};

/// How far sound and picture may be apart.
const APART: f64 = 0.04;

fn check(offsets: &[f64], what: &str) {
    let p95 = offsets[(offsets.len() * 95).div_ceil(100) - 1];
    println!("{what}: offset p50 {:.3} s, p95 {p95:.3} s of {}", offsets[offsets.len() / 2], offsets.len());
    assert!(offsets.len() >= 4 && p95 <= APART, "{what}: {offsets:?}");
}

#[test]
fn a_browser_publishes_in_step() {
    let server = whip::server();
    for codec in ["H264", "VP8"] {
        let channel = codec.to_lowercase();
        let key = server.channel(&channel, &[]);
        let peer = Peer::chromium(&server, &channel, &key, &["--codec", codec, "--clapper"]);
        peer.says("connected");
        listed(&server, &channel, 13.0);
        peer.finish();
        state(&server, &channel, "ended");
        check(&offsets_in(begins(&format!("{}/live/{channel}/index.m3u8", server.http))), codec);
    }
}

#[test]
fn the_studios_camera_and_what_it_puts_together_are_in_step() {
    let server = whip::server();
    // Where the camera is in the picture.
    for (picture, place) in [("both", "crop=100:60:1070:70"), ("camera", "null")] {
        let key = server.channel(picture, &[]);
        let mut lecturer = studio(&server, picture, &key, &["--clapper", "--picture", picture]);
        lecturer.tell("go");
        until(&lecturer, "live", |row| row["state"] == "live");
        listed(&server, picture, 22.0);
        lecturer.tell("stop");
        state(&server, picture, "ended");
        check(&offsets_in(begins_in(&format!("{}/live/{picture}/index.m3u8", server.http), place)), picture);
    }
}

#[test]
fn a_source_that_is_fetched_is_in_step_live_and_in_the_recording() {
    let server = Server::start(&[
        ("AMPHI_PULL__PRIVATE", "true"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    server.channel("hall", &[]);
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!("srt://127.0.0.1:{port}");
    let publisher = flashes(&format!("{source}?mode=listener"), 21, "-bf 2 -c:a aac");
    server.amphi(&["channel", "change", "hall", "--source", &source]);
    server.playlist("hall");
    publisher.finish();
    server.amphi(&["channel", "change", "hall", "--source", ""]);
    ended(&server, "hall");
    check(&offsets_in(begins(&format!("{}/live/hall/index.m3u8", server.http))), "live");
    check(&offsets_in(begins(&format!("{}/vod/{}/index.m3u8", server.http, server.recording("hall")))), "recording");
}

#[test]
fn what_a_browser_watches_over_webrtc_is_in_step() {
    let server = whep::server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let folder = tempfile::tempdir().unwrap();
    let key = server.channel("waves", &[]);
    let _publisher = Peer::aiortc(&server, "waves", &key, "H264", &whip::flashes(folder.path(), 60), None);
    server.playlist("waves");
    let options = ["--skew", "--choose", "Delay/Direct (captions come a little later)"];
    let mut viewer = Browser::open(&format!("{}/watch/waves", server.http), 60, &options);
    // It moves them together as it learns their times, until they are 30 ms apart at most.
    let skew = |row: &Value| row["skew"].as_f64().filter(|_| row["direct"] == true).map(f64::abs);
    viewer.until("picture and sound together", |row| skew(row).is_some_and(|skew| skew <= 0.03));
    let mut settled = Vec::new();
    viewer.until("more of it", |row| {
        settled.extend(skew(row));
        settled.len() == 20
    });
    settled.sort_by(f64::total_cmp);
    check(&settled, "sound beside the picture");
}
