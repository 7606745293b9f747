//! What strangers send to WebRTC's port, and what it costs.

use std::fs;

use crate::{
    proxy::{Proxy, Weather},
    support::{SOON, Server, wait},
    whep::{aiortc, flashes, server},
};

/// A counter's value; 0 before it has counted.
fn counted(server: &Server, name: &str) -> f64 {
    let (_, metrics) = server.get("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Memory that a server holds, in KiB.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_viewer_that_names_a_hundred_thousand_sources_takes_no_memory() {
    let server = server(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let _publisher = flashes(&server, "waves", &["-bf", "0"]);
    let proxy = Proxy::start(server.webrtc, Weather::FAIR);
    let peer = aiortc(&server, "waves", Some(proxy.port));
    peer.says("answered 201");
    wait("pictures", SOON, || peer.line().contains("\"size\": [").then_some(()));
    let before = memory(&server);
    let refused = || counted(&server, "amphi_rtc_packets_refused_total");
    let mut sent = 0_u32;
    while sent < 100_000 {
        // As many at a time as the peer's queue holds with what its viewer sends.
        for _ in 0..64 {
            let source = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes();
            // RTP and a receiver report, neither of them genuine.
            proxy.forge(&[&[0x80, 102, 0, 1, 0, 0, 0, 1][..], &source(sent), &[0; 100]].concat());
            proxy.forge(&[&[0x80, 201, 0, 1][..], &source(sent + 1), &[0; 40]].concat());
            sent += 2;
        }
        wait("they are refused", SOON, || (refused() + 32.0 >= f64::from(sent)).then_some(()));
    }
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 16 << 10, "it grew by {grown} KiB");
    // Its viewer sees on.
    let frames = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["frames"].as_u64();
    let seen = frames(peer.line());
    wait("more pictures", SOON, || (frames(peer.line()) > seen).then_some(()));
    peer.finish();
}
