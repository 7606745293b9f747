//! A publisher that is cut off, and what viewers see meanwhile.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    strict,
    support::{Publisher, SOON, Server, ffprobe, media, wait},
};

fn publish(server: &Server, key: &str, options: &[&str]) -> Publisher {
    server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), options)
}

fn state(server: &Server, state: &str) {
    wait(state, SOON, || (server.json("/api/v1/channels/waves/status")["state"] == state).then_some(()));
}

fn source(server: &Server) -> String {
    server.get("/live/waves/source/stream.m3u8").unwrap().1
}

/// Segments the source has so far.
fn segments(server: &Server) -> usize {
    let playlist = source(server);
    let first = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    first.unwrap().parse::<usize>().unwrap() + playlist.matches("#EXTINF:").count()
}

/// Decodes a playlist strictly, and returns the checksum of every picture and how long picture and sound last.
fn decode(playlist: &str, dir: &Path) -> (Vec<String>, [f64; 2]) {
    let file = dir.join("whole.mp4");
    let file = file.to_str().unwrap();
    let ffmpeg = |args: &[&str]| {
        let output = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "ffmpeg {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let sums = ffmpeg(&[
        "-err_detect",
        "explode",
        "-i",
        playlist,
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    let sums = sums.lines().filter(|line| !line.starts_with('#'));
    let sums = sums.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect();
    ffmpeg(&["-i", playlist, "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", file]);
    let probe = ffprobe(file, &["-show_entries", "stream=duration"]);
    let length = |n: usize| probe["streams"][n]["duration"].as_str().unwrap().parse().unwrap();
    (sums, [length(0), length(1)])
}

#[test]
fn while_the_publisher_is_away_a_strict_reader_sees_the_live_go_on_and_the_recording_keeps_none_of_it() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "15s"), ("AMPHI_LADDER__RUNGS", "240")]);
    let key = server.channel("waves", &["--translate", "pt"]);
    let first = publish(&server, &key, &[]);
    server.playlist("waves");
    let watching = {
        let http = server.http.clone();
        thread::spawn(move || strict::watch(&http, "waves", Duration::from_secs(120)))
    };
    wait("the middle of the fourth segment", SOON, || {
        let playlist = source(&server);
        let (_, open) = playlist.rsplit_once("#EXTINF:")?;
        (segments(&server) >= 3 && open.matches("#EXT-X-PART:").count() >= 4).then_some(())
    });
    drop(first);
    state(&server, "reconnecting");
    let (left, begun) = (segments(&server), Instant::now());
    wait("segments without a publisher", SOON, || (segments(&server) >= left + 3).then_some(()));
    let away = begun.elapsed();
    assert!(!source(&server).contains("#EXT-X-DISCONTINUITY\n"), "nothing breaks before the publisher is back");
    let id = server.json("/api/v1/channels/waves/status")["recording"]["id"].as_str().unwrap().to_owned();
    let aside = server.data.join(format!("recordings/{id}/240p/aside.mp4"));
    assert!(aside.metadata().unwrap().len() > 1_000, "who goes back finds what stood in");
    let second = publish(&server, &key, &["-t", "12"]);
    assert!(second.finish().0);
    // The grace runs out, or the reader would not see the end.
    let report = watching.join().unwrap();
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.ended && report.renditions == 5, "{report:?}");
    assert_eq!(source(&server).matches("#EXT-X-DISCONTINUITY\n").count(), 1);

    let dir = tempfile::tempdir().unwrap();
    let (pictures, [video, audio]) = decode(&format!("{}/live/waves/index.m3u8", server.http), dir.path());
    let repeated = pictures.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(repeated as f64 > 30.0 * (away.as_secs_f64() + 12.0), "{repeated} of {} stand still", pictures.len());
    assert!((video - audio).abs() < 0.3, "{video} s of picture, {audio} s of sound");

    let id = server.recording("waves");
    let (_, playlist) = server.get(&format!("/vod/{id}/source/stream.m3u8")).unwrap();
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    let (pictures, [video, audio]) = decode(&format!("{}/vod/{id}/index.m3u8", server.http), dir.path());
    let repeated = pictures.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(repeated < 3, "{repeated} pictures of {} stand still in the recording", pictures.len());
    assert!((video - audio).abs() < 0.3, "{video} s of picture, {audio} s of sound");
}

/// Parts that a rendition has so far, in memory or not.
fn parts(server: &Server, rendition: &str) -> u64 {
    let playlist = server.get(&format!("/live/waves/{rendition}/stream.m3u8")).unwrap().1;
    let hint = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=")).unwrap();
    let (_, number) = hint.split_once("part-").unwrap();
    number.split_once('.').unwrap().0.parse().unwrap()
}

#[test]
fn a_publisher_that_returns_with_sound_or_picture_alone_leaves_no_player_waiting_for_the_other() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "8s"), ("AMPHI_LADDER__RUNGS", "240")]);
    let key = server.channel("waves", &[]);
    let whole = publish(&server, &key, &[]);
    server.playlist("waves");
    let watching = {
        let http = server.http.clone();
        thread::spawn(move || strict::watch(&http, "waves", Duration::from_secs(180)))
    };
    let all = ["source", "240p", "audio"];
    let go_on = |what: &str| {
        let before = all.map(|rendition| parts(&server, rendition));
        wait(what, SOON, || {
            let now = all.map(|rendition| parts(&server, rendition));
            before.iter().zip(now).all(|(before, now)| now >= before + 20).then_some(())
        });
    };
    go_on("picture and sound");
    drop(whole);
    for lacks in ["-an", "-vn"] {
        state(&server, "reconnecting");
        let half = publish(&server, &key, &[lacks]);
        state(&server, "live");
        go_on(lacks);
        drop(half);
    }
    state(&server, "reconnecting");
    let whole = publish(&server, &key, &["-t", "8"]);
    state(&server, "live");
    assert!(whole.finish().0);
    let report = watching.join().unwrap();
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.ended, "{report:?}");
    let dir = tempfile::tempdir().unwrap();
    let id = server.recording("waves");
    for playlist in [format!("{}/live/waves/index.m3u8", server.http), format!("{}/vod/{id}/index.m3u8", server.http)] {
        let (_, [video, audio]) = decode(&playlist, dir.path());
        assert!((video - audio).abs() < 0.5, "{playlist}: {video} s of picture, {audio} s of sound");
    }
}

#[test]
fn chromium_plays_on_while_the_publisher_is_away_and_after_its_return() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "60s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    // Pictures out of order, as most encoders send them.
    let first = publish(&server, &key, &["-bf", "2"]);
    let options = ["--language", "fr", "--audit"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 180, &options);
    let words = |row: &Value| !row["captions"].as_str().unwrap_or_default().is_empty();
    let time = |row: &Value| row["time"].as_f64().unwrap_or(0.0);
    let before = browser.until("a caption over the moving picture", |row| row["state"] == "live" && words(row));
    assert_eq!(before["notice"], Value::Null);
    drop(first);
    let away = browser.until("that the connection is interrupted", |row| row["notice"].is_string());
    assert!(away["notice"].as_str().unwrap().contains("interrompue"), "{away}");
    // Two seconds are what it had; nothing but what stands in lets it play on for so long.
    let still = browser.until("the picture playing on", |row| time(row) > time(&away) + 15.0);
    assert_eq!((&still["state"], &still["veil"]), (&"live".into(), &Value::Null), "{still}");
    state(&server, "reconnecting");
    let _second = publish(&server, &key, &[]);
    browser.until("the notice gone", |row| row["notice"].is_null() && row["state"] == "live");
    let back = browser.look();
    let after = browser.until("a caption over the picture again", |row| words(row) && time(row) > time(&back) + 6.0);
    assert_eq!(before["loaded"], after["loaded"], "the page was reloaded");
    for row in &browser.seen {
        assert_eq!(row["violations"], json!([]), "barriers");
    }
}

#[test]
fn chromium_plays_a_publisher_that_stays_away_to_the_end() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "5s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let key = server.channel("waves", &[]);
    let publisher = publish(&server, &key, &[]);
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &[]);
    let playing = |row: &Value| row["state"] == "live" && row["time"].as_f64() > Some(2.0);
    let before = browser.until("the live playing", playing);
    drop(publisher);
    let after = browser.until("the end", |row| row["state"] == "ended");
    assert!(source(&server).contains("#EXT-X-ENDLIST"));
    assert_eq!((&before["loaded"], &after["notice"]), (&after["loaded"], &Value::Null));
}
