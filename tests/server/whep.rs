//! Watching over WebRTC, with independent peers.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::{
    browser::Browser,
    proxy::{Proxy, Weather},
    support::{Publisher, SOON, Server, media, wait},
    whip::{Peer, python},
};

pub fn server(environment: &[(&str, &str)]) -> Server {
    let quiet = [("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_RECONNECT_GRACE", "1s")];
    Server::start(&[&quiet[..], environment].concat())
}

/// aiortc (PyPI).
pub fn aiortc(server: &Server, channel: &str, port: Option<u16>) -> Peer {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/whep/watch.py"));
    command.arg(format!("{}/whep/{channel}", server.http)).args(port.map(|port| port.to_string()));
    Peer::start(command)
}

/// Publishes flashes and beeps together, 200 ms of every second.
pub fn flashes(server: &Server, channel: &str, options: &[&str]) -> Publisher {
    let key = server.channel(channel, &[]);
    let picture = "color=black:s=320x180:r=25,drawbox=t=fill:color=white:enable='lt(mod(t,1),0.2)'";
    let beep = "aevalsrc='sin(2*PI*1000*t)*lt(mod(t,1),0.2)':s=48000";
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", beep]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p"]).args(options);
    command.args(["-c:a", "aac", "-b:a", "96k", "-f", "flv", &format!("{}/{channel}?key={key}", server.rtmp)]);
    let publisher = Publisher(command.stderr(std::process::Stdio::piped()).spawn().unwrap());
    server.playlist(channel);
    publisher
}

/// What the peer has seen and heard once there is enough of it.
fn seen(peer: &Peer, enough: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    wait("pictures and sound", SOON, || {
        last = serde_json::from_str(&peer.line()).unwrap();
        enough(&last).then(|| last.clone())
    })
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn aiortc_sees_and_hears_in_step_what_passes_and_what_is_made_for_it() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    for (channel, options) in [("passes", ["-bf", "0"]), ("made", ["-bf", "2"])] {
        let _publisher = flashes(&server, channel, &options);
        let peer = aiortc(&server, channel, None);
        peer.says("answered 201");
        let enough = |seen: &Value| numbers(&seen["flashes"]).len() > 6 && numbers(&seen["beeps"]).len() > 6;
        let seen = seen(&peer, enough);
        assert_eq!((&seen["size"], seen["backwards"].as_u64()), (&serde_json::json!([320, 180]), Some(0)), "{channel}");
        let (flashes, beeps) = (numbers(&seen["flashes"]), numbers(&seen["beeps"]));
        let nearest = |beep: &f64| flashes.iter().map(|flash| (beep - flash).abs()).min_by(f64::total_cmp).unwrap();
        // The first flash may have been under way when the viewer came, and the last ones are not decoded yet.
        let both = flashes[0] - 0.5..flashes[flashes.len() - 1] + 0.5;
        let mut offsets: Vec<_> = beeps[1..].iter().filter(|beep| both.contains(beep)).map(nearest).collect();
        assert!(offsets.len() > 4, "{channel}: {flashes:?}, {beeps:?}");
        offsets.sort_by(f64::total_cmp);
        assert!(offsets.last().unwrap() <= &0.04, "{channel}: {offsets:?}");
        peer.finish();
    }
}

#[test]
fn a_path_that_loses_and_reorders_costs_neither_the_picture_nor_the_sound() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    // Key frames too seldom to be what mends pictures. What a viewer begins with is long then: at a pace that takes no
    // notice of it, packets would overtake each other by hundreds, which no receiver puts in order.
    let _publisher = flashes(&server, "waves", &["-bf", "0", "-g", "1000"]);
    let status = || server.json("/api/v1/channels/waves/status");
    wait("a long group of pictures", SOON, || (status()["video_frames"].as_u64() > Some(250)).then_some(()));
    let proxy =
        Proxy::start(server.webrtc, Weather { loss: 0.05, jitter: Duration::from_millis(200), ..Weather::FAIR });
    let peer = aiortc(&server, "waves", Some(proxy.port));
    peer.says("answered 201");
    // What it begins with passes in a moment.
    let live = |seen: &Value| {
        let flashes = numbers(&seen["flashes"]);
        let apart: Vec<_> = flashes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        apart.into_iter().filter(|apart| *apart > 0.5).skip(1).collect::<Vec<_>>()
    };
    let seen = seen(&peer, |seen| live(seen).len() > 8);
    let (passed, lost) = proxy.counts();
    assert!(lost > passed / 50, "{lost} of {passed} were lost");
    // Stamps rise in the order of numbers. What is decoded does not on a slow machine: a repeated packet that is a
    // hundred behind sends aiortc's jitter buffer back to it, although it had that packet.
    assert_eq!(seen["shuffled"], 0);
    // Flashes come once a second; one may be missed until an interrupted picture is mended.
    let apart = live(&seen);
    assert!(apart.iter().filter(|apart| (0.9..1.1).contains(*apart)).count() + 1 >= apart.len(), "{apart:?}");
    assert!(apart.iter().all(|apart| *apart < 2.5), "the picture stood still: {apart:?}");
    peer.finish();
}

#[test]
fn a_page_whose_path_becomes_too_bad_goes_on_by_hls_and_says_so() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let _publisher = flashes(&server, "waves", &["-bf", "0"]);
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let choice = ["--port", &proxy.port.to_string(), "--choose", "Delay/Direct (captions come a little later)"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 120, &choice);
    let live = |row: &Value| row["state"] == "live";
    browser.until("the picture by WebRTC", |row| row["direct"] == true && live(row));
    // What is left of the path is enough to stay connected.
    proxy.turn(Weather { loss: 0.4, ..Weather::FAIR });
    let row = browser.until("the picture by HLS", |row| row["direct"] == false && live(row));
    assert!(row["notice"].as_str().is_some_and(|notice| notice.contains("a few seconds behind")), "{row}");
    let frames = row["frames"].as_u64();
    browser.until("more of it", |row| row["frames"].as_u64() > frames && live(row) && row["direct"] == false);
}

#[test]
fn who_asks_for_what_there_is_not_is_told_so() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    server.channel("idle", &[]);
    let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let post = |channel: &str, kind: &str, body: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}/whep/{channel}", server.http);
        agent.post(url).header("content-type", kind).send(body).unwrap().status().as_u16()
    };
    assert_eq!(post("idle", "application/sdp", offer), 404);
    assert_eq!(post("nobody", "application/sdp", offer), 404);
    assert_eq!(post("..%2f", "application/sdp", offer), 404);
    let _publisher = flashes(&server, "live", &["-bf", "0"]);
    assert_eq!(post("live", "text/plain", offer), 415);
    assert_eq!(post("live", "application/sdp", "hello"), 400);
    assert_eq!(post("live", "application/sdp", &"a=x\r\n".repeat(1 << 14)), 413);
    let m_lines = format!("{offer}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(1_000));
    assert!((400..500).contains(&post("live", "application/sdp", &m_lines)));
    let delete = |path: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.delete(format!("{}{path}", server.http)).call().unwrap().status().as_u16()
    };
    assert_eq!(delete("/whep/live/0123456789abcdef0123456789abcdef"), 404);
}

#[test]
fn a_viewer_of_the_page_goes_direct_and_reads_how_late_words_come() {
    let server = server(&[]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let choice = ["--choose", "Delay/Direct (captions come a little later)"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &choice);
    let row = browser.until("the picture by WebRTC", |row| {
        row["direct"] == true && row["state"] == "live" && row["height"] == 720 && row["place"].is_number()
    });
    let before = row["frames"].as_u64().unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = browser.until("captions and their lag", |row| {
        !text(row, "captions").is_empty() && text(row, "lag").starts_with("words come ")
    });
    assert!(row["frames"].as_u64().unwrap() > before);
    assert_eq!(row["source"], "websocket");
}

#[test]
fn a_picture_over_tcp_is_held_back_until_words_come_with_it() {
    let server = server(&[]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let choice = ["--tcp", "--choose", "Delay/Direct, held back for the captions"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 120, &choice);
    let shows = |row: &Value| row["direct"] == true && row["state"] == "live" && row["height"] == 720;
    let late = |row: &Value| row["late"].as_f64();
    let row =
        browser.until("nine words in ten before it", |row| shows(row) && late(row).is_some_and(|late| late < 0.0));
    let (frames, begun) = (row["frames"].as_u64().unwrap(), row["captions"].as_str().unwrap().to_owned());
    let row = browser.until("more pictures and words", |row| {
        let captions = row["captions"].as_str().unwrap();
        row["frames"].as_u64() > Some(frames + 50) && !captions.is_empty() && captions != begun
    });
    assert!(shows(&row) && row["place"].is_number() && row["lag"].is_null(), "{row}");
    assert_eq!(row["source"], "websocket");
}
