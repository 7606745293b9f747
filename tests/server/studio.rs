//! The lecturer's page, in Chromium with its fake camera and microphone.

use std::{net::UdpSocket, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    captions::words,
    proxy::{Proxy, Weather},
    support::{SOON, Server, ffprobe, media, wait},
    whip::Peer,
};

fn server() -> Server {
    Server::start(&[
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "20s"),
    ])
}

pub fn studio(server: &Server, channel: &str, key: &str, options: &[&str]) -> Peer {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("web/tests/studio.mjs"));
    command.arg(format!("{}/studio/{channel}#key={key}", server.http)).args(options);
    Peer::start(command)
}

/// Waits until the lecturer sees what is asked for.
pub fn until(peer: &Peer, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
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

/// Pictures that the server has had of the channel's live.
fn pictures(server: &Server) -> u64 {
    server.json("/api/v1/channels/maths/status")["video_frames"].as_u64().unwrap()
}

fn more_pictures(server: &Server) {
    let before = pictures(server);
    wait("more pictures", SOON, || (pictures(server) > before + 50).then_some(()));
}

/// How light eight by eight pixels of a live get within three seconds, 0 to 255.
fn lightest(server: &Server, x: u32, y: u32) -> u8 {
    let url = format!("{}/live/maths/index.m3u8", server.http);
    let pixels = format!("crop=8:8:{x}:{y},format=gray");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i", &url, "-map", "0:v", "-t", "3", "-vf", &pixels, "-f", "rawvideo", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.into_iter().max().expect("there are pictures")
}

#[test]
fn the_screen_with_the_lecturer_in_its_corner_arrives() {
    let server = server();
    let key = server.channel("maths", &[]);
    let mut lecturer = studio(&server, "maths", &key, &["--picture", "both"]);
    until(&lecturer, "both", |row| {
        row["picture"] == "both" && (&row["width"], &row["height"]) == (&1280.into(), &720.into())
    });
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    more_pictures(&server);
    let source = server.json("/api/v1/channels/maths/status")["renditions"][0].clone();
    assert_eq!((&source["width"], &source["height"]), (&json!(1280), &json!(720)));
    // Chromium's fake screen and camera are a dark green, but for lighter squares in their corners.
    let (camera, covered) = (lightest(&server, 987, 161), lightest(&server, 1215, 50));
    assert!(camera > 110, "the camera's lower left corner: {camera}");
    assert!(covered < 110, "the screen's upper right corner, which the camera covers: {covered}");
}

#[test]
fn a_lecturer_reads_what_viewers_read_and_how_many_they_are() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_RECORDING__ENABLED", "false")]);
    let (key, folder) = (server.channel("maths", &[]), tempfile::tempdir().unwrap());
    let speech = folder.path().join("speech.wav");
    let mut convert = Command::new("ffmpeg");
    convert.args(["-v", "error", "-i"]).arg(media("lecture-en.opus")).args(["-ac", "1", "-ar", "48000"]).arg(&speech);
    assert!(convert.status().unwrap().success());
    let mut lecturer = studio(&server, "maths", &key, &["--microphone", speech.to_str().unwrap()]);
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    let read = |row: &Value| words(row["transcript"].as_str().unwrap());
    let row = until(&lecturer, "what is said", |row| read(row).len() > 20);
    let (read, said) = (read(&row), words(include_str!("../media/lecture-en.txt")));
    let heard = read.iter().filter(|word| said.contains(word)).count();
    assert!(10 * heard >= 7 * read.len(), "{read:?}");
    until(&lecturer, "a viewer", |row| {
        let (status, _) = server.get("/live/maths/source/stream.m3u8").unwrap();
        assert_eq!(status, 200);
        row["health"].as_str().is_some_and(|facts| facts.starts_with("1 viewer") && !facts.starts_with("1 viewers"))
    });
}

#[test]
fn a_lecturer_whose_network_is_cut_is_live_again_without_a_click() {
    let server = server();
    let key = server.channel("maths", &[]);
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let mut lecturer = studio(&server, "maths", &key, &["--port", &proxy.port.to_string()]);
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    more_pictures(&server);
    // Neither media nor requests get through, and the browser is not told: the fault lies beyond the first hop.
    lecturer.tell("cut");
    proxy.turn(Weather::CUT);
    let row = until(&lecturer, "what is wrong", |row| row["state"] == "reconnecting");
    assert!(row["says"].as_str().is_some_and(|says| says.contains("interrupted")), "{row}");
    assert_eq!((&row["button"], &row["problem"]), (&json!("Stop"), &Value::Null), "{row}");
    // The server gives the connection up, and keeps the live.
    state(&server, "maths", "reconnecting");
    let row = until(&lecturer, "still trying", |row| row["state"] == "reconnecting");
    assert_eq!(row["problem"], Value::Null);
    lecturer.tell("mend");
    proxy.turn(Weather::FAIR);
    until(&lecturer, "live again", |row| row["state"] == "live");
    state(&server, "maths", "live");
    more_pictures(&server);
    assert_eq!(server.json("/api/v1/channels/maths/status")["reconnects"], 1);
}

#[test]
fn a_lecturer_is_live_again_when_the_server_was_killed_and_is_back() {
    let mut server = server();
    let key = server.channel("maths", &[]);
    let mut lecturer = studio(&server, "maths", &key, &[]);
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    more_pictures(&server);
    server.kill();
    until(&lecturer, "what is wrong", |row| row["state"] == "reconnecting");
    server.restart_in_place();
    until(&lecturer, "live again", |row| row["state"] == "live");
    state(&server, "maths", "live");
    more_pictures(&server);
}

#[test]
fn a_lecturer_who_changes_the_network_goes_on_in_the_same_session() {
    let server = server();
    let key = server.channel("maths", &[]);
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let mut lecturer = studio(&server, "maths", &key, &["--port", &proxy.port.to_string()]);
    lecturer.tell("go");
    until(&lecturer, "live", |row| row["state"] == "live");
    more_pictures(&server);
    for moves in 1..=2 {
        proxy.move_clients();
        wait("the server to follow", SOON, || {
            let (_, metrics) = server.get("/metrics").ok()?;
            let line = metrics.lines().find(|line| line.starts_with("amphi_rtc_moves_total"))?;
            (line.rsplit(' ').next()?.parse::<f64>().ok()? >= f64::from(moves)).then_some(())
        });
        // Longer than a peer that is silent at the place it began from is kept.
        for _ in 0..6 {
            more_pictures(&server);
        }
    }
    let status = server.json("/api/v1/channels/maths/status");
    assert_eq!((&status["reconnects"], &status["state"]), (&json!(0), &json!("live")));
}

#[test]
fn the_page_gathers_addresses_with_the_servers_that_the_operator_names() {
    let stun = UdpSocket::bind("127.0.0.1:0").unwrap();
    stun.set_read_timeout(Some(SOON)).unwrap();
    let url = format!("stun:{}", stun.local_addr().unwrap());
    let settings = format!("[webrtc]\nice_servers = [{{ url = \"{url}\" }}]\n");
    let server = Server::configured(&settings, &[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let key = server.channel("maths", &[]);
    for endpoint in ["whip", "whep"] {
        let options = ureq::options(format!("{}/{endpoint}/maths", server.http)).call().unwrap();
        assert_eq!(options.headers()["link"], format!("<{url}>; rel=\"ice-server\""), "{endpoint}");
    }
    let mut lecturer = studio(&server, "maths", &key, &[]);
    lecturer.tell("go");
    let mut request = [0; 2_048];
    let (length, _) = stun.recv_from(&mut request).expect("the browser asks for its address");
    // A binding request with the magic cookie (RFC 8489 §5).
    assert_eq!((length >= 20, &request[..2], &request[4..8]), (true, &[0, 1][..], &[0x21, 0x12, 0xa4, 0x42][..]));
    until(&lecturer, "live", |row| row["state"] == "live");
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
