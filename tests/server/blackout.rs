//! A network that carries nothing for a while between publishers and the server. Short ones of SRT and RTMP are in
//! `tests/srt` and `tests/rtmp`.

use std::{process::Stdio, thread, time::Duration};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    proxy::{Proxy, Weather},
    strict,
    support::{SOON, Server, wait},
    tcp_proxy::TcpProxy,
    whip::{Peer, flashes},
};

fn status(server: &Server) -> Value {
    status_of(server, "waves")
}

fn status_of(server: &Server, channel: &str) -> Value {
    server.json(&format!("/api/v1/channels/{channel}/status"))
}

/// The number of the newest part.
fn newest(server: &Server) -> Option<u64> {
    let (_, playlist) = server.get("/live/waves/source/stream.m3u8").ok()?;
    playlist.rsplit_once("#EXT-X-PART:")?.1.split_once("part-")?.1.split('.').next()?.parse().ok()
}

/// Waits until so many datagrams have been lost: some seconds of darkness.
fn lose(proxy: &Proxy, count: u64) {
    let before = proxy.counts().1;
    wait("darkness", SOON, || (proxy.counts().1 - before > count).then_some(()));
}

#[test]
fn a_browser_gets_over_a_short_blackout_and_comes_back_after_a_long_one() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "60s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let (source, key) = (flashes(folder.path(), 100), server.channel("waves", &[]));
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let peer = Peer::aiortc(&server, "waves", &key, "H264", &source, Some(proxy.port));
    server.playlist("waves");
    proxy.turn(Weather::CUT);
    lose(&proxy, 100);
    proxy.turn(Weather::FAIR);
    let before = newest(&server).unwrap();
    wait("the live going on", SOON, || newest(&server).filter(|part| *part > before + 4));
    assert_eq!((&status(&server)["state"], &status(&server)["reconnects"]), (&"live".into(), &0.into()));
    proxy.turn(Weather::CUT);
    wait("the publisher is missed", SOON, || (status(&server)["state"] == "reconnecting").then_some(()));
    // It may not know yet that it has been given up.
    proxy.turn(Weather::FAIR);
    let _again = Peer::aiortc(&server, "waves", &key, "H264", &source, Some(proxy.port));
    wait("the live goes on", SOON, || (status(&server)["state"] == "live").then_some(()));
    assert_eq!(status(&server)["reconnects"], 1);
    drop(peer);
}

/// Over what the lives of the long blackout are published; the last one stays in the light.
const WAYS: [&str; 5] = ["rtmp", "srt", "rtsp", "whip", "undisturbed"];
/// How long it is dark, in seconds.
const DARK: u64 = 60;
const RATE: u64 = 25;

/// An encoder that publishes a small picture with sound to `url`, and is started again whenever it gives up. Ends with
/// `encoders`.
fn encode(encoders: &mut JoinSet<()>, format: &'static [&'static str], url: String) {
    encoders.spawn(async move {
        loop {
            let mut ffmpeg = tokio::process::Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-re", "-f", "lavfi", "-i", &format!("testsrc2=size=320x180:rate={RATE}")]);
            ffmpeg.args(["-re", "-f", "lavfi", "-i", "sine=r=48000", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
            ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50"]);
            ffmpeg.args(format).arg(&url).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            ffmpeg.status().await.unwrap();
        }
    });
}

fn source(server: &Server, channel: &str) -> String {
    let path = format!("/live/{channel}/source/stream.m3u8");
    wait("a playlist with parts", SOON, || {
        let (_, playlist) = server.get(&path).ok().filter(|(status, _)| *status == 200)?;
        playlist.contains("#EXT-X-PART:").then_some(playlist)
    })
}

/// What tells one live of a channel from another.
fn live(playlist: &str) -> &str {
    playlist.split("?l=").nth(1).unwrap().split(['"', '\n']).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_darkness_ends_no_live_whichever_way_it_comes_and_others_never_notice() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "90s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let (film, keys) = (flashes(folder.path(), 200), WAYS.map(|way| server.channel(way, &[])));
    let address = |url: &str| url.split('/').nth(2).unwrap().parse().unwrap();
    let tcp = [TcpProxy::start(address(&server.rtmp)).await, TcpProxy::start(address(&server.rtsp)).await];
    let udp = [address(&server.srt), server.webrtc].map(|server| Proxy::start(server, Weather::FAIR));
    let turn = |dark: bool| {
        tcp.iter().for_each(|path| path.dark.send(dark).unwrap());
        udp.iter().for_each(|path| path.turn(if dark { Weather::CUT } else { Weather::FAIR }));
    };

    let mut encoders = JoinSet::new();
    let [rtmp, srt, rtsp, whip, undisturbed] = &keys;
    encode(&mut encoders, &["-f", "flv"], format!("rtmp://{}/live/rtmp?key={rtmp}", tcp[0].address));
    let url = format!("srt://127.0.0.1:{}?streamid=publish:srt:{srt}&pkt_size=1316", udp[0].port);
    encode(&mut encoders, &["-f", "mpegts"], url);
    let url = format!("rtsp://rtsp:{rtsp}@{}/publish/rtsp", tcp[1].address);
    encode(&mut encoders, &["-rtsp_transport", "tcp", "-f", "rtsp"], url);
    encode(&mut encoders, &["-f", "flv"], format!("{}/undisturbed?key={undisturbed}", server.rtmp));
    let publish = || Peer::aiortc(&server, "whip", whip, "H264", &film, Some(udp[1].port));
    let peer = publish();

    let lives = WAYS.map(|way| live(&source(&server, way)).to_owned());
    let pictures = || status_of(&server, "undisturbed")["video_frames"].as_u64().unwrap();
    let watch = |way: &'static str, seconds| {
        let http = server.http.clone();
        thread::spawn(move || strict::watch(&http, way, Duration::from_secs(seconds)))
    };
    let watching = watch("undisturbed", DARK + 10);
    let begun = pictures();
    // Clients are on the air long enough for reports and round trips to have come.
    wait("some seconds of light", SOON, || (pictures() > begun + 5 * RATE).then_some(()));
    turn(true);
    let begun = pictures();
    for way in &WAYS[..4] {
        let missed = || (status_of(&server, way)["state"] == "reconnecting").then_some(());
        wait(&format!("{way} is missed"), Duration::from_secs(DARK), missed);
    }
    // The one in the light tells the time.
    wait("a minute of darkness", SOON * 2, || (pictures() >= begun + DARK * RATE).then_some(()));
    let states = WAYS.map(|way| status_of(&server, way)["state"].as_str().unwrap().to_owned());
    assert_eq!(states, ["reconnecting", "reconnecting", "reconnecting", "reconnecting", "live"]);
    turn(false);
    let again = publish();

    for (way, before) in WAYS.iter().zip(&lives).take(4) {
        wait(&format!("{way} goes on"), SOON, || (status_of(&server, way)["state"] == "live").then_some(()));
        let playlist = wait(&format!("new media of {way}"), SOON, || {
            let playlist = source(&server, way);
            let (_, after) = playlist.rsplit_once("#EXT-X-DISCONTINUITY\n")?;
            (after.matches("#EXT-X-PART:").count() > 4).then(|| playlist.clone())
        });
        assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{way}: {playlist}");
        assert!(!playlist.contains("#EXT-X-ENDLIST") && live(&playlist) == before, "{way}: {playlist}");
        assert_eq!(status_of(&server, way)["reconnects"], 1, "{way}");
    }
    let playlist = source(&server, "undisturbed");
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && live(&playlist) == lives[4], "{playlist}");
    assert_eq!(status_of(&server, "undisturbed")["reconnects"], 0);
    let [rtmp, srt, rtsp, whip, _] = WAYS.map(|way| watch(way, 6));
    for (way, reader) in WAYS.iter().zip([rtmp, srt, rtsp, whip, watching]) {
        let report = reader.join().unwrap();
        assert!(report.errors.is_empty() && !report.ended, "{way} breaks rules:\n{}", report.errors.join("\n"));
    }
    drop((peer, again));
}
