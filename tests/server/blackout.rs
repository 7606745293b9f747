//! A network that carries nothing for a while between a browser and the server. SRT's and RTMP's are in `tests/srt` and
//! `tests/rtmp`.

use serde_json::Value;

use crate::{
    proxy::{Proxy, Weather},
    support::{SOON, Server, wait},
    whip::{Peer, flashes},
};

fn status(server: &Server) -> Value {
    server.json("/api/v1/channels/waves/status")
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
    let proxy = Proxy::start(server.webrtc, Weather { loss: 0.0, jitter: Default::default() });
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
