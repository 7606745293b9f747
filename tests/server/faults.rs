//! What breaks in real lecture halls.

use std::{process::Command, time::Duration};

use crate::{
    browser::Browser,
    captions::{Subscriber, lecture_until, word_error_rate, words},
    support::{SOON, Server, ffprobe, media, wait},
};

const LECTURE: &str = include_str!("../media/lecture-en.txt");

fn engines_of(server: &Server) -> Vec<u32> {
    let output = Command::new("pgrep").args(["-P", &server.pid().to_string(), "-f", "amphi-engine"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn killed_engines_cost_no_word_and_the_picture_does_not_notice() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    let publisher =
        server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &["-t", "40"]);
    let cues = |s: &Subscriber| s.received.iter().filter(|(_, message)| message["type"] == "cue").count();
    assert!(captions.until(SOON, |s| cues(s) > 10));
    let engines = engines_of(&server);
    assert!(!engines.is_empty());
    let before = cues(&captions);
    for pid in engines {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    assert!(captions.until(Duration::from_secs(5), |s| cues(s) > before), "captions did not come back in 5 s");
    assert!(captions.until(SOON, Subscriber::ended));
    assert!(publisher.finish().0);
    let rate = word_error_rate(LECTURE, &captions.final_text());
    assert!(rate <= 0.12, "word error rate {rate}: {}", captions.final_text());
    let said = words(&lecture_until(40.0)).len();
    assert!(words(&captions.final_text()).len() + 4 >= said, "{said} words were said: {}", captions.final_text());
    let status = server.json("/api/v1/channels/waves/status");
    assert_eq!(status["dropped"], 0);
}

#[test]
fn an_engine_that_falls_behind_sheds_in_order_says_so_and_catches_up_while_the_picture_goes_on() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let cues = |s: &Subscriber| s.received.iter().filter(|(_, message)| message["type"] == "cue").count();
    assert!(captions.until(SOON, |s| cues(s) > 10));
    let sequence = || {
        let (_, playlist) = server.get("/live/waves/source/stream.m3u8").unwrap();
        let line = |tag| playlist.lines().find_map(|line: &str| line.strip_prefix(tag)?.parse::<usize>().ok()).unwrap();
        line("#EXT-X-MEDIA-SEQUENCE:") + playlist.matches("#EXTINF:").count()
    };
    let (engine, before) = (engines_of(&server)[0], sequence());
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &engine.to_string()]).status().unwrap().success());
    };
    // No engine is slower than one that stands still.
    signal("-STOP");
    let told = |s: &Subscriber| -> Vec<String> {
        let mut told: Vec<String> =
            s.received.iter().filter_map(|(_, message)| Some(message["load"].as_str()?.to_owned())).collect();
        told.dedup();
        told
    };
    let shed = captions.until(SOON, |s| told(s).last().is_some_and(|load| load == "refresh"));
    assert!(shed, "{:?}", told(&captions));
    assert_eq!(told(&captions), ["normal", "partials", "translation", "refresh"]);
    assert!(sequence() >= before + 2, "the picture stood still");
    let (_, metrics) = server.get("/metrics").unwrap();
    let level = metrics.lines().find_map(|line| line.strip_prefix("amphi_captions_load{channel=\"waves\"} "));
    assert!(level.unwrap().parse::<u8>().unwrap() >= 3, "{level:?}");
    let known = cues(&captions);
    signal("-CONT");
    assert!(captions.until(SOON, |s| cues(s) > known + 5), "captions did not come back");
    assert!(captions.until(SOON, |s| told(s).ends_with(&["refresh".into(), "translation".into()])), "no recovery");
    let track = server.json("/api/v1/channels/waves/status")["captions"][0].clone();
    assert_eq!((&track["state"], &track["dropped"]), (&"live".into(), &0.into()), "{track}");
    assert!(track["real_time_factor"].as_f64().unwrap() > 0.0, "{track}");
    assert_eq!(engines_of(&server), [engine], "it was slow, not dead");
}

#[test]
fn a_second_signal_ends_a_drain_that_hangs() {
    let mut server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    assert!(captions.until(SOON, |s| s.received.iter().any(|(_, message)| message["type"] == "cue")));
    let engines = engines_of(&server);
    let signal = |name: &str, pid: u32| Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    for engine in &engines {
        assert!(signal("-STOP", *engine).success());
    }
    // The farewell to a mute engine alone takes ten seconds.
    let pid = server.pid();
    let code = wait("the server is gone", Duration::from_secs(8), || {
        signal("-TERM", pid);
        server.exit_code()
    });
    for engine in engines {
        signal("-KILL", engine);
    }
    assert_ne!(code, 0, "a drain cut short is no success");
    assert_eq!(Server::start_in(&server.data, &[]).recording("waves").len(), 20, "the next start finishes it");
}

#[test]
fn a_killed_server_leaves_a_recording_that_plays() {
    let mut server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    assert!(captions.until(SOON, |s| s.cues().values().filter(|cue| cue["final"] == true).count() >= 4));
    server.crash_and_restart();
    let id = server.recording("waves");
    let probe = ffprobe(&format!("{}/vod/{id}/index.m3u8", server.http), &["-show_entries", "format=duration"]);
    let duration: f64 = probe["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!(duration > 4.0, "{probe}");
    let (_, document) = server.get(&format!("/vod/{id}/captions/en.vtt")).unwrap();
    assert!(document.contains("Good morning"), "{document}");
}

#[test]
fn a_publisher_that_returns_goes_on_and_chromium_plays_on_without_a_reload() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let url = format!("{}/waves?key={key}", server.rtmp);
    let lecture = media("lecture-en.opus");
    let first = server.publish(&lecture, &url, &[]);
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 120, &[]);
    let before = browser.until("the live playing", |row| row["state"] == "live" && row["time"].as_f64() > Some(2.0));
    drop(first);
    wait("the publisher is missed", SOON, || {
        (server.json("/api/v1/channels/waves/status")["state"] == "reconnecting").then_some(())
    });
    let _second = server.publish(&lecture, &url, &[]);
    wait("the live goes on", SOON, || (server.json("/api/v1/channels/waves/status")["state"] == "live").then_some(()));
    let frames = browser.look()["frames"].as_u64().unwrap();
    let after = browser.until("the picture moving again", |row| {
        row["state"] == "live" && row["frames"].as_u64().unwrap_or(0) > frames + 90
    });
    assert_eq!(before["loaded"], after["loaded"], "the page was reloaded");
    let (_, playlist) = server.get("/live/waves/source/stream.m3u8").unwrap();
    assert!(playlist.contains("#EXT-X-DISCONTINUITY\n"), "{playlist}");
    assert_eq!(server.json("/api/v1/recordings")["items"].as_array().unwrap().len(), 1, "one live, one recording");
}

#[test]
fn a_publisher_that_stays_away_ends_the_live() {
    let server = Server::start(&[
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "2s"),
    ]);
    let key = server.channel("waves", &[]);
    let publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    drop(publisher);
    wait("ENDLIST", SOON, || {
        server.get("/live/waves/source/stream.m3u8").unwrap().1.contains("#EXT-X-ENDLIST").then_some(())
    });
    server.recording("waves");
}
