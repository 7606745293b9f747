//! Picture and sound together, in by the ways of browsers and cameras and out to players and recordings.

use std::collections::VecDeque;

use crate::{
    browser::Browser,
    sound::{begins, begins_in, ended, flashes},
    sources::hall,
    studio::{studio, until},
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
fn the_studios_camera_its_screen_and_what_it_puts_together_are_in_step() {
    let server = whip::server();
    // Where the camera is in the picture, and what beeps.
    for (channel, place, sounds) in [
        ("both", "crop=100:60:1070:70", &[][..]),
        ("camera", "null", &[]),
        ("screen", "null", &[]),
        ("screen-that-sounds", "null", &["--sounds"]),
    ] {
        let key = server.channel(channel, &[]);
        let picture = channel.split('-').next().unwrap();
        let options = [&["--clapper", "--picture", picture], sounds].concat();
        let mut lecturer = studio(&server, channel, &key, &options);
        lecturer.tell("go");
        until(&lecturer, "live", |row| row["state"] == "live");
        listed(&server, channel, 22.0);
        lecturer.tell("stop");
        state(&server, channel, "ended");
        check(&offsets_in(begins_in(&format!("{}/live/{channel}/index.m3u8", server.http), place)), channel);
    }
}

#[test]
fn a_source_that_is_fetched_is_in_step_live_and_in_the_recording() {
    let (server, port) = hall();
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
    // It moves them together in steps as it learns their times; then they stay together for ten seconds.
    let mut last = VecDeque::new();
    viewer.until("sound and picture together", |row| {
        last.extend(row["skew"].as_f64().filter(|_| row["direct"] == true).map(f64::abs));
        if last.len() > 20 {
            last.pop_front();
        }
        last.len() == 20 && last.iter().filter(|skew| **skew > APART).count() <= 1
    });
}
