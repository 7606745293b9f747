//! A live's own account of its captions, and that of a recorded event log.

use std::process::Command;

use serde_json::Value;

use crate::support::{SOON, Server, media, wait};

const JFK: &str = "And so, my fellow Americans, ask not what your country can do for you, \
                   ask what you can do for your country.\n";

#[test]
fn a_live_and_its_recorded_log_tell_the_same() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("jfk", &["--translate", "pt"]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (events, reference) = (path("events.jsonl"), path("jfk.txt"));
    std::fs::write(&reference, JFK).unwrap();
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_amphi"))
        .args(["evaluate", "record", &format!("{}/watch/jfk", server.http), "--output", &events])
        .spawn()
        .unwrap();
    wait("the recorder to listen", SOON, || std::fs::read_to_string(&events).ok()?.contains("idle").then_some(()));
    let publisher = server.publish(&media("jfk.flac"), &format!("{}/jfk?key={key}", server.rtmp), &[]);
    assert!(publisher.finish().0);
    let ended = wait("the recorder to reach the end", SOON, || recorder.try_wait().unwrap());
    assert!(ended.success(), "{ended}");

    let log: Value = serde_json::from_str(&server.amphi(&["evaluate", "log", &events, "--json"])).unwrap();
    let status = server.json("/api/v1/channels/jfk/status");
    for (track, lang) in status["captions"].as_array().unwrap().iter().zip(["en", "pt"]) {
        let (heard, number) = (&log["tracks"][lang], |value: &Value| value.as_f64().unwrap());
        assert_eq!(track["lang"], lang);
        assert!(number(&heard["words"]) > 15.0, "{log:#}");
        assert!((number(&heard["normalized_erasure"]) - number(&track["erasure"])).abs() < 0.001, "{track} {heard:#}");
        assert!((0.0..=1.0).contains(&number(&track["ahead"])), "{track}");
    }
    let (en, heard) = (&status["captions"][0], &log["tracks"]["en"]);
    assert!(
        (heard["confidence"].as_f64().unwrap() - en["confidence"].as_f64().unwrap()).abs() < 0.002,
        "{en} {heard:#}"
    );
    for (kind, p50) in [("stable", "lag_p50_ms"), ("last", "final_lag_p50_ms")] {
        let (received, published) = (heard["lag"][kind]["p50"].as_f64(), en[p50].as_f64().unwrap() / 1e3);
        assert!(received.unwrap() >= published - 0.05, "nothing is received before it is published: {en} {heard:#}");
    }
    assert!(status["captions"][1]["confidence"].is_null(), "a translation has none: {status:#}");
    let metrics = server.get("/metrics").unwrap().1;
    for metric in ["final_lag_seconds", "ahead_ratio", "confidence_ratio", "erasure_ratio"] {
        assert!(
            metrics.contains(&format!("amphi_captions_{metric}{{channel=\"jfk\",lang=\"en\"")),
            "{metric}: {metrics}"
        );
    }
    assert!(metrics.contains("amphi_engine_cpu_seconds_total{"), "{metrics}");

    let args = ["evaluate", "--reference", &reference, "--hypothesis", &events, "--language", "en", "--json"];
    let figures: Value = serde_json::from_str(&server.amphi(&args)).unwrap();
    assert!(
        figures["wer"]["rate"].as_f64().is_some_and(|rate| rate <= 0.15),
        "{figures:#} {}",
        std::fs::read_to_string(&events).unwrap()
    );
}
