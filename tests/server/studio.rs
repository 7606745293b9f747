//! The lecturer's page, in Chromium with its fake camera and microphone.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    support::{SOON, Server, ffprobe, wait},
    whip::Peer,
};

fn server() -> Server {
    Server::start(&[
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "20s"),
    ])
}

fn studio(server: &Server, channel: &str, key: &str, options: &[&str]) -> Peer {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("web/tests/studio.mjs"));
    command.arg(format!("{}/studio/{channel}#key={key}", server.http)).args(options);
    Peer::start(command)
}

/// Waits until the lecturer sees what is asked for.
fn until(peer: &Peer, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    wait(what, SOON, || {
        last = serde_json::from_str(&peer.line()).unwrap();
        assert_eq!(last["problems"], json!([]), "the page reports problems");
        shows(&last).then(|| last.clone())
    })
}

fn state(server: &Server, channel: &str, state: &str) {
    let path = format!("/api/v1/channels/{channel}/status");
    wait(&format!("{channel} is {state}"), SOON, || (server.json(&path)["state"] == state).then_some(()));
}

#[test]
fn a_lecturer_goes_live_from_the_browser_stops_and_goes_live_again() {
    let server = server();
    let key = server.channel("maths", &[]);
    let mut lecturer = studio(&server, "maths", &key, &["--audit"]);
    let row = until(&lecturer, "a preview", |row| row["width"].as_u64() > Some(0));
    assert_eq!(row["violations"], json!([]), "barriers");
    assert!(!row["address"].as_str().unwrap().contains(&key), "the key stands in the address");
    assert!(!row["kept"].as_str().unwrap().contains(&key), "the key outlives the tab");
    until(&lecturer, "the beep of the fake microphone", |row| row["level"].as_f64() > Some(-40.0));
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    server.playlist("maths");
    let streams = ffprobe(&format!("{}/live/maths/index.m3u8", server.http), &["-show_streams"]);
    let kinds: Vec<_> = streams["streams"].as_array().unwrap().iter().map(|stream| &stream["codec_name"]).collect();
    assert!(kinds.contains(&&json!("h264")) && kinds.contains(&&json!("aac")), "{kinds:?}");
    until(&lecturer, "how it goes", |row| row["health"].as_str().unwrap().contains("Mbit/s"));
    lecturer.tell("stop");
    until(&lecturer, "not live", |row| row["state"] == "off");
    state(&server, "maths", "reconnecting");
    lecturer.tell("go");
    until(&lecturer, "live again", |row| row["state"] == "live");
    state(&server, "maths", "live");
}

#[test]
fn a_wrong_key_and_a_channel_that_is_not_there_are_explained() {
    let server = server();
    server.channel("maths", &[]);
    let mut lecturer = studio(&server, "maths", "wrong", &[]);
    lecturer.tell("go");
    let row = until(&lecturer, "the reason", |row| row["problem"].is_string());
    assert!(row["problem"].as_str().unwrap().contains("key"), "{row}");
    assert_eq!(row["state"], "off");
    let stranger = studio(&server, "nobody", "wrong", &["--language", "fr"]);
    let row = until(&stranger, "the reason", |row| row["problem"].is_string());
    assert!(row["problem"].as_str().unwrap().contains("nobody"), "{row}");
}
