//! How many watch, as real players of every protocol are counted.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{SOON, Server, media, wait},
    whep::aiortc,
};

/// ffmpeg as a player. Dropping it closes it.
struct Player(Child);

impl Player {
    fn open(url: &str, options: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(options).args(["-i", url, "-c", "copy", "-f", "null", "-"]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Closes it in order: it says goodbye where its protocol has a word for it.
    fn leave(mut self) {
        assert!(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn counted(server: &Server, hls: u32, whep: u32, rtsp: u32) {
    let mut last = Value::Null;
    wait(&format!("{hls} by HLS, {whep} by WHEP, {rtsp} by RTSP"), SOON, || {
        last = server.json("/api/v1/channels/waves/status");
        (last["viewers_by"] == json!({ "hls": hls, "whep": whep, "rtsp": rtsp })).then_some(())
    });
    assert_eq!(last["viewers"], hls + whep + rtsp);
}

/// The one over WebRTC, to who may know.
fn tells_how_they_do(server: &Server) {
    let path = "/api/v1/channels/waves/viewers";
    assert_eq!(server.status(path).unwrap(), 401);
    let token = std::fs::read_to_string(server.data.join("admin.token")).unwrap();
    wait("its round trip and what it loses", SOON, || {
        let request = ureq::get(format!("{}{path}", server.http));
        let mut answer = request.header("authorization", format!("Bearer {}", token.trim())).call().unwrap();
        let list: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let [viewer] = &list["items"].as_array()?[..] else { panic!("one viewer: {list}") };
        assert!(viewer["address"].as_str().is_some_and(|address| address.contains(':')), "{viewer}");
        (viewer["round_trip_ms"].as_f64()? < 1_000.0 && viewer["loss"].as_f64()? < 0.5).then_some(())
    });
}

#[test]
fn viewers_are_counted_over_every_protocol_and_leave_again() {
    let server = Server::start(&[
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    let key = server.channel("waves", &[]);
    let publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let url = format!("{}/live/waves/index.m3u8", server.http);
    // A playlist of playlists is no player's yet: portals look whether there is one.
    server.playlist("waves");
    counted(&server, 0, 0, 0);
    // One program at one address is one viewer, unless playbacks have names.
    let programs = [vec![], vec![], vec!["-user_agent", "another"]];
    let playback = |name: &str| vec!["-headers".to_owned(), format!("X-Playback-Session-Id: {name}\r\n")];
    let mut hls: Vec<_> = programs.iter().map(|options| Player::open(&url, options)).collect();
    for name in ["one", "two"] {
        let options = playback(name);
        hls.push(Player::open(&url, &options.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    counted(&server, 4, 0, 0);
    let watching = aiortc(&server, "waves", None);
    let reading = Player::open(&format!("{}/live/waves", server.rtsp), &["-rtsp_transport", "tcp"]);
    counted(&server, 4, 1, 1);
    tells_how_they_do(&server);
    let (_, metrics) = server.get("/metrics").unwrap();
    for (protocol, count) in [("hls", 4), ("whep", 1), ("rtsp", 1)] {
        let series = format!("amphi_live_viewers{{channel=\"waves\",protocol=\"{protocol}\"}} {count}\n");
        assert!(metrics.contains(&series), "no {series} in\n{metrics}");
    }
    assert_eq!(server.json("/api/v1/channels/waves")["viewers"], 6);
    watching.finish();
    reading.leave();
    counted(&server, 4, 0, 0);
    hls.truncate(3);
    counted(&server, 2, 0, 0);
    drop(hls);
    // Two tabs of one browser are two playbacks.
    let mut tabs: Vec<_> = (0..2).map(|_| Browser::open(&format!("{}/watch/waves", server.http), 120, &[])).collect();
    for tab in &mut tabs {
        tab.until("a live", |row| row["state"] == "live");
    }
    counted(&server, 2, 0, 0);
    tabs[0].until("the count", |row| row["viewers"] == "2 viewers");
    drop(publisher);
    wait("the end", SOON, || (server.json("/api/v1/channels/waves/status")["state"] == "ended").then_some(()));
    counted(&server, 0, 0, 0);
}
