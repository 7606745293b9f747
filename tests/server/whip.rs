//! Publishing over WebRTC, from independent peers to real readers.

use std::{
    io::{BufRead, BufReader, Write},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    proxy::{Proxy, Weather},
    sound::begins,
    support::{SOON, Server, ffprobe, wait},
};

/// A program that publishes and says how it fares. Dropping it cuts it off.
pub struct Peer {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Peer {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (send, said) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, said }
    }

    /// aiortc (PyPI).
    pub fn aiortc(server: &Server, channel: &str, key: &str, codec: &str, source: &Path, port: Option<u16>) -> Self {
        Self::aiortc_offering(server, channel, key, codec, source, port.unwrap_or(0), &[])
    }

    /// The same, with something in its offer replaced.
    fn aiortc_offering(
        server: &Server,
        channel: &str,
        key: &str,
        codec: &str,
        source: &Path,
        port: u16,
        replaced: &[&str],
    ) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/whip/publish.py");
        let mut command = Command::new(python());
        command.arg(script).args([&format!("{}/whip/{channel}", server.http), key, codec]).arg(source);
        command.arg(port.to_string()).args(replaced);
        Self::start(command)
    }

    /// Chromium with its fake camera, through `web/tests/publish.mjs`.
    fn chromium(server: &Server, channel: &str, key: &str, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/tests/publish.mjs");
        let mut command = Command::new("node");
        command.arg(script).args([&format!("{}/whip/{channel}", server.http), key]).args(options);
        Self::start(command)
    }

    pub fn says(&self, what: &str) {
        loop {
            let line = self.said.recv_timeout(SOON).unwrap_or_else(|_| panic!("it never said {what}"));
            if line == what {
                return;
            }
        }
    }

    /// What it says behind a word.
    fn told(&self, word: &str) -> String {
        loop {
            if let Some(rest) = self.line().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// The next thing it says.
    pub fn line(&self) -> String {
        self.said.recv_timeout(SOON).expect("it says something")
    }

    pub fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    /// Ends it in order.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        self.says("deleted 200");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/amphi/venv");
    std::env::var_os("AMPHI_VENV").map_or_else(home, PathBuf::from).join("bin/python")
}

/// A file of flashes and beeps together, 200 ms of every two seconds.
pub fn flashes(folder: &Path, seconds: u32) -> PathBuf {
    flashes_every(2, folder, seconds)
}

/// The same, 200 ms of every so many seconds.
fn flashes_every(period: u32, folder: &Path, seconds: u32) -> PathBuf {
    let file = folder.join("flashes.mkv");
    let picture =
        format!("color=black:s=320x180:r=25,drawbox=t=fill:color=white:enable='lt(mod(t+0.02,{period}),0.2)'");
    let beep = format!("aevalsrc='sin(2*PI*1000*t)*lt(mod(t,{period}),0.2)':s=48000");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &beep]);
    command.args(["-t", &seconds.to_string()]);
    command.args(["-c:v", "mpeg4", "-q:v", "5", "-g", "25", "-c:a", "pcm_s16le"]).arg(&file);
    assert!(command.status().unwrap().success());
    file
}

pub fn server() -> Server {
    Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_HLS__WINDOW", "120s"),
    ])
}

fn status(server: &Server, channel: &str) -> Value {
    server.json(&format!("/api/v1/channels/{channel}/status"))
}

pub fn state(server: &Server, channel: &str, state: &str) {
    wait(&format!("{channel} is {state}"), SOON, || (status(server, channel)["state"] == state).then_some(()));
}

/// Waits until so many seconds of a channel are listed.
pub fn listed(server: &Server, channel: &str, seconds: f64) {
    wait("a longer playlist", SOON * 2, || {
        let (_, playlist) = server.get(&format!("/live/{channel}/source/stream.m3u8")).ok()?;
        (lengths(&playlist).sum::<f64>() >= seconds).then_some(())
    });
}

/// Of the segments a playlist lists, in seconds.
fn lengths(playlist: &str) -> impl Iterator<Item = f64> {
    playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse().ok())
}

/// Of what viewers get.
fn offsets(server: &Server, channel: &str) -> Vec<f64> {
    offsets_in(begins(&format!("{}/live/{channel}/index.m3u8", server.http)))
}

/// How far each beep lies from its flash, sorted by size, in seconds.
pub fn offsets_in((seen, heard): (Vec<f64>, Vec<f64>)) -> Vec<f64> {
    assert!(seen.len() >= 4 && heard.len() >= 4, "seen {seen:?}, heard {heard:?}");
    // One may begin or end a moment before the other.
    let both = seen[0] - 0.5..seen[seen.len() - 1] + 0.5;
    let heard = heard.into_iter().filter(|beep| both.contains(beep));
    let nearest = |beep: f64| seen.iter().map(|flash| (beep - flash).abs()).min_by(f64::total_cmp);
    let mut offsets: Vec<_> = heard.filter_map(nearest).collect();
    offsets.sort_by(f64::total_cmp);
    offsets
}

#[test]
fn aiortc_publishes_in_step_with_h264_as_it_is_and_vp8_made_into_it() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let source = flashes_every(1, folder.path(), 40);
    for (codec, name) in [("H264", "avc1.42"), ("VP8", "vp8")] {
        let channel = codec.to_lowercase();
        let key = server.channel(&channel, &[]);
        let peer = Peer::aiortc(&server, &channel, &key, codec, &source, None);
        peer.says("answered 201");
        peer.says("connected");
        let playlist = server.playlist(&channel);
        assert!(playlist.contains("avc1.") && playlist.contains("mp4a.40.2"), "{playlist}");
        // So many that the worst does not decide: reports of a sender that is held up are late at first.
        listed(&server, &channel, 23.0);
        let status = status(&server, &channel);
        assert_eq!(status["protocol"], "whip");
        let codecs = status["codecs"].as_array().unwrap();
        assert!(codecs[0].as_str().unwrap().starts_with(name) && codecs[1] == "opus", "{status}");
        peer.finish();
        state(&server, &channel, "ended");
        let url = format!("{}/live/{channel}/index.m3u8", server.http);
        let streams = ffprobe(&url, &["-show_entries", "stream=codec_name,width,height"]).to_string();
        assert!(streams.contains("\"aac\"") && streams.contains("\"h264\"") && streams.contains("320"), "{streams}");
        let offsets = offsets(&server, &channel);
        let p95 = offsets[(offsets.len() * 95).div_ceil(100) - 1];
        assert!(p95 <= 0.04, "{codec}: beeps lie up to {p95} s from their flashes: {offsets:?}");
        let id = server.recording(&channel);
        let recorded =
            ffprobe(&format!("{}/vod/{id}/index.m3u8", server.http), &["-show_entries", "stream=codec_name"]);
        assert!(recorded.to_string().contains("\"h264\""), "{recorded}");
    }
}

#[test]
fn sources_that_no_offer_names_are_followed() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let key = server.channel("waves", &[]);
    let source = flashes(folder.path(), 60);
    // And it begins the handshake itself.
    let nameless = [r"a=(ssrc|msid).*\r\n", "", "a=setup:actpass", "a=setup:active"];
    let mut peer = Peer::aiortc_offering(&server, "waves", &key, "H264", &source, 0, &nameless);
    peer.says("answered 201");
    peer.says("connected");
    let playlist = server.playlist("waves");
    assert!(playlist.contains("avc1.") && playlist.contains("mp4a.40.2"), "{playlist}");
    let frames = || status(&server, "waves")["video_frames"].as_u64();
    wait("pictures", SOON, || (frames()? > 50).then_some(()));
    peer.tell("source");
    let before = frames();
    wait("pictures of the other source", SOON, || (frames()? > before? + 50).then_some(()));
    peer.finish();
}

#[test]
fn loss_and_jitter_cost_moments_and_not_the_live() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let source = flashes_every(1, folder.path(), 60);
    let key = server.channel("waves", &[]);
    let proxy =
        Proxy::start(server.webrtc, Weather { loss: 0.05, jitter: Duration::from_millis(200), ..Weather::FAIR });
    let peer = Peer::aiortc(&server, "waves", &key, "H264", &source, Some(proxy.port));
    peer.says("connected");
    listed(&server, "waves", 30.0);
    let link = status(&server, "waves");
    peer.finish();
    state(&server, "waves", "ended");
    let offsets = offsets(&server, "waves");
    let p95 = offsets[(offsets.len() * 95).div_ceil(100) - 1];
    println!("offsets {offsets:?}, lost on the way {:?}, status {link}", proxy.counts());
    assert!(proxy.counts().1 > 50, "the proxy lost {:?}", proxy.counts());
    assert!(offsets.len() >= 20, "{offsets:?}");
    assert!(p95 <= 0.04, "beeps lie up to {p95} s from their flashes: {offsets:?}");
    // Whole pictures only: a decoder finds nothing to complain about.
    let url = format!("{}/live/waves/index.m3u8", server.http);
    let decoded = Command::new("ffmpeg").args(["-v", "error", "-i", &url, "-map", "0:v", "-f", "null", "-"]).output();
    let complaints = String::from_utf8(decoded.unwrap().stderr).unwrap();
    assert!(!complaints.contains("h264"), "{complaints}");
}

#[test]
fn what_is_lost_is_asked_for_no_more_than_once_a_round_trip() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let source = flashes(folder.path(), 60);
    let key = server.channel("waves", &[]);
    let far = Weather { loss: 0.05, delay: Duration::from_millis(70), ..Weather::FAIR };
    let proxy = Proxy::start(server.webrtc, far);
    let mut peer = Peer::aiortc(&server, "waves", &key, "H264", &source, Some(proxy.port));
    peer.says("connected");
    listed(&server, "waves", 14.0);
    peer.tell("asked");
    let most: u32 = peer.told("asked ").parse().unwrap();
    // 140 ms there and back: at 10 ms and at 150 ms, before it is given up at 400 ms.
    assert!((1..=2).contains(&most), "one packet was asked for {most} times");
    peer.finish();
    state(&server, "waves", "ended");
}

#[test]
fn strangers_datagrams_reach_nobody() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let key = server.channel("waves", &[]);
    let peer = Peer::aiortc(&server, "waves", &key, "H264", &flashes(folder.path(), 60), None);
    peer.says("connected");
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut rtp = [0_u8; 200];
    rtp[0] = 0x80;
    for n in 0..2_000_u16 {
        rtp[2..4].copy_from_slice(&n.to_be_bytes());
        // RTP, DTLS, checks that name nobody, and nothing at all.
        let datagram =
            [&rtp[..], &[22, 254, 253, 0, 0], &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], &[]][usize::from(n % 4)];
        stranger.send_to(datagram, server.webrtc).unwrap();
    }
    wait("they are counted", SOON, || {
        let (_, metrics) = server.get("/metrics").ok()?;
        let line = metrics.lines().find(|line| line.starts_with("amphi_rtc_datagrams_of_strangers_total"))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().filter(|count| *count >= 1_000.0)
    });
    listed(&server, "waves", 6.0);
    peer.finish();
}

#[test]
fn what_is_no_offer_is_told_why() {
    let server = server();
    let key = server.channel("waves", &[]);
    let url = format!("{}/whip/waves", server.http);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let post = |url: &str, key: Option<&str>, kind: &str, body: &str| {
        let mut request = agent.post(url).header("content-type", kind);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.send(body).map(|answer| answer.status().as_u16())
    };
    let sdp = "application/sdp";
    let apart = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let head = format!("{apart}a=group:BUNDLE 0\r\n");
    let ice = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 00\r\n";
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n";
    let opus = audio.replace("PCMU/8000", "opus/48000/2");
    let valid = format!("{head}{ice}{opus}");
    for (expected, key, kind, body) in [
        (415, Some(&*key), "text/plain", valid.clone()),
        (401, None, sdp, valid.clone()),
        (401, Some("wrong"), sdp, valid.clone()),
        (400, Some(&*key), sdp, "hello".into()),
        (400, Some(&*key), sdp, format!("{head}{opus}")),
        (400, Some(&*key), sdp, format!("{head}{ice}{}", "m=audio 9 X 0\r\n".repeat(1_000))),
        (406, Some(&*key), sdp, format!("{head}{ice}{audio}")),
        (406, Some(&*key), sdp, format!("{apart}{ice}{opus}")),
        (406, Some(&*key), sdp, format!("{head}a=ice-lite\r\n{ice}{opus}")),
    ] {
        let start: String = body.chars().take(300).collect();
        assert_eq!(post(&url, key, kind, &body).unwrap(), expected, "{start}");
    }
    // Cut off while it still sends, or told in time.
    let long = post(&url, Some(&key), sdp, &"a".repeat(10 << 20));
    assert!(long.as_ref().is_ok_and(|status| *status == 413) || long.is_err(), "{long:?}");
    let unknown = format!("{}/whip/nobody", server.http);
    assert_eq!(post(&unknown, Some(&key), sdp, &valid).unwrap(), 404);
    assert_eq!(server.status("/live/waves/index.m3u8").unwrap(), 404);
    assert_eq!(status(&server, "waves")["state"], "idle");
    let options = agent.options(&url).header("origin", "https://x").header("access-control-request-method", "POST");
    let options = options.call().unwrap();
    assert!(options.status().is_success() && options.headers()["accept-post"] == sdp, "{options:?}");
}

#[test]
fn a_session_is_its_publishers_alone() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let (key, other) = (server.channel("waves", &[]), server.channel("others", &[]));
    let source = flashes(folder.path(), 60);
    let peer = Peer::aiortc(&server, "waves", &key, "H264", &source, None);
    let resource = peer.told("resource ");
    peer.says("connected");
    server.playlist("waves");
    let second = Peer::aiortc(&server, "waves", &key, "H264", &source, None);
    second.says("answered 409");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for path in ["waves/0123456789abcdef0123456789abcdef", "others/0123456789abcdef0123456789abcdef", "waves/%2e%2e"] {
        let url = format!("{}/whip/{path}", server.http);
        let bearer = format!("Bearer {other}");
        assert_eq!(agent.delete(&url).header("authorization", &bearer).call().unwrap().status(), 404, "{path}");
        let patch =
            agent.patch(&url).header("content-type", "application/trickle-ice-sdpfrag").send("a=ice-ufrag:x\r\n");
        assert_eq!(patch.unwrap().status(), 404, "{path}");
    }
    assert_eq!(status(&server, "waves")["state"], "live");
    // The resource that there is, without its publisher's key: none, another channel's, one that is almost the same.
    let almost = format!("{key}x");
    for token in [None, Some(&other), Some(&almost)] {
        let bearer = |token: &String| format!("Bearer {token}");
        let (mut delete, mut patch) = (agent.delete(&resource), agent.patch(&resource));
        if let Some(token) = token {
            (delete, patch) =
                (delete.header("authorization", bearer(token)), patch.header("authorization", bearer(token)));
        }
        assert_eq!(delete.call().unwrap().status(), 401, "{token:?}");
        let patch = patch.header("content-type", "application/trickle-ice-sdpfrag").send("a=end-of-candidates\r\n");
        assert_eq!(patch.unwrap().status(), 401, "{token:?}");
    }
    // The same id below another channel.
    let elsewhere = resource.replace("/whip/waves/", "/whip/others/");
    for token in [&key, &other] {
        let delete = agent.delete(&elsewhere).header("authorization", format!("Bearer {token}"));
        assert_eq!(delete.call().unwrap().status(), 404);
    }
    let frames = status(&server, "waves")["video_frames"].as_u64().unwrap();
    wait("more pictures", SOON, || (status(&server, "waves")["video_frames"].as_u64()? > frames + 25).then_some(()));
    peer.finish();
    state(&server, "waves", "ended");
}

#[test]
fn chromium_publishes_and_changes_its_size() {
    let server = server();
    let key = server.channel("waves", &[]);
    let mut peer = Peer::chromium(&server, "waves", &key, &["--codec", "H264"]);
    peer.says("answered 201");
    peer.says("connected");
    listed(&server, "waves", 8.0);
    // Chromium makes key frames by itself every few minutes.
    wait("key frames as they are asked for", SOON, || {
        let every = status(&server, "waves")["publishers"][0]["key_frame_interval"].as_f64()?;
        (1.9..=2.6).contains(&every).then_some(())
    });
    peer.tell("resize");
    peer.says("resized");
    let playlist = wait("the new size", SOON, || {
        let (_, playlist) = server.get("/live/waves/source/stream.m3u8").ok()?;
        let at = playlist.find("#EXT-X-DISCONTINUITY\n")?;
        (lengths(&playlist[at..]).sum::<f64>() >= 4.0).then(|| playlist[at..].to_owned())
    });
    let init = playlist.split("#EXT-X-MAP:URI=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let segment = playlist.lines().find(|line| line.contains("/seg-")).unwrap();
    let url = format!("concat:{0}{init}|{0}{segment}", server.http);
    let frames = ffprobe(
        &url,
        &["-protocol_whitelist", "concat,http,tcp", "-select_streams", "v", "-show_entries", "frame=width"],
    );
    let widths: Vec<_> = frames["frames"].as_array().unwrap().iter().map(|frame| frame["width"].as_u64()).collect();
    assert!(widths.len() > 10 && widths.iter().all(|width| *width == Some(320)), "{widths:?}");
    peer.finish();
    state(&server, "waves", "ended");
}

#[test]
fn chromium_publishes_one_layer_of_those_it_offers() {
    let server = server();
    let key = server.channel("waves", &[]);
    let peer = Peer::chromium(&server, "waves", &key, &["--codec", "H264", "--simulcast"]);
    peer.says("answered 201");
    peer.says("connected");
    listed(&server, "waves", 6.0);
    peer.finish();
    state(&server, "waves", "ended");
    let streams = ffprobe(&format!("{}/live/waves/index.m3u8", server.http), &["-show_entries", "stream=codec_name"]);
    assert!(streams.to_string().contains("\"h264\"") && streams.to_string().contains("\"aac\""), "{streams}");
}

#[test]
fn chromium_publishes_over_tcp_where_udp_is_blocked() {
    let server = server();
    let key = server.channel("waves", &[]);
    let peer = Peer::chromium(&server, "waves", &key, &["--codec", "VP8", "--tcp"]);
    peer.says("connected");
    listed(&server, "waves", 6.0);
    peer.finish();
    state(&server, "waves", "ended");
    let streams = ffprobe(&format!("{}/live/waves/index.m3u8", server.http), &["-show_entries", "stream=codec_name"]);
    assert!(streams.to_string().contains("\"h264\"") && streams.to_string().contains("\"aac\""), "{streams}");
}
