//! Viewers who go back in a live, as far back as memory does not reach.

use std::{fs, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{Server, media, wait},
};

/// What playlists in memory list is in memory for as long again, and four seconds.
const IN_MEMORY: f64 = 80.0;
/// A live takes a while to become so long.
const LONG: Duration = Duration::from_secs(150);

fn reach(server: &Server) -> Option<f64> {
    server.json("/api/v1/channels/waves/status")["rewind"].as_f64()
}

/// The checksum of every picture.
fn pictures(input: &str, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(options).args(["-i", input, "-map", "0:v:0"]);
    let output = command.args(["-fps_mode", "passthrough", "-t", "20", "-f", "framemd5", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

#[test]
fn a_viewer_goes_back_to_what_has_left_memory_and_returns_to_the_edge() {
    let server = Server::start(&[
        ("AMPHI_HLS__WINDOW", "36s"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    let key = server.channel("waves", &[]);
    let publisher = server.publish(
        &media("lecture-en.opus"),
        &format!("{}/waves?key={key}", server.rtmp),
        // The lecture is followed by silence.
        &["-s", "640x360", "-b:v", "500k", "-af", "apad"],
    );
    server.playlist("waves");
    wait("a live that is longer than memory", LONG, || (reach(&server)? > IN_MEMORY + 4.0).then_some(()));

    // Another client reads it from its beginning, which the recorder alone has.
    let url = format!("{}/live/waves/rewind.m3u8", server.http);
    let seen = pictures(&url, &["-live_start_index", "0"]);
    let id = server.json("/api/v1/channels/waves/status")["recording"]["id"].as_str().unwrap().to_owned();
    let copy = server.data.join("copy.mp4");
    fs::copy(server.data.join(format!("recordings/{id}/source/media-0.mp4")), &copy).unwrap();
    let sent = pictures(copy.to_str().unwrap(), &[]);
    let (all, same) = (seen.len().min(sent.len()), seen.iter().zip(&sent).filter(|(seen, sent)| seen == sent).count());
    assert!(all > 590 && same == all, "{same} pictures of {} seen and {} sent are the same", seen.len(), sent.len());

    let back = ["ArrowLeft"; 8].map(|key| ["--press".to_owned(), format!("{key}@1")]);
    let options: Vec<String> =
        back.into_iter().flatten().chain(["--press", "l@12", "--audit"].map(Into::into)).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 60, &options);
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(0.0);
    let past = browser.until("the picture of back then", |row| {
        row["playlist"] == "rewind.m3u8" && number(row, "behind") > 60.0 && row["state"] == "live"
    });
    let early = past["transcript"].as_str().unwrap_or_default().to_owned();
    let later = browser.until("that picture moving, with its words", |row| {
        number(row, "time") > number(&past, "time") + 2.0 && !row["captions"].as_str().unwrap_or_default().is_empty()
    });
    assert!(number(&later, "behind") > 60.0, "{later}");
    assert!(later["rewind"].as_str().is_some_and(|said| said.ends_with(" behind live")), "{later}");
    assert!(later["rewound"].as_str().is_some_and(|said| said.ends_with(" behind live")), "{later}");
    let now = browser.until("the edge again", |row| {
        row["playlist"] == "index.m3u8" && row["latency"].as_f64().is_some_and(|latency| latency > 0.0 && latency < 4.0)
    });
    assert_eq!((&now["rewound"], &now["loaded"]), (&json!("Live"), &past["loaded"]), "{now}");
    let words = browser.until("the words of now in the transcript", |row| {
        row["transcript"].as_str().unwrap_or_default().len() > early.len() + 200
    });
    assert_eq!(words["notice"], Value::Null);
    for row in &browser.seen {
        assert_eq!(row["violations"], json!([]), "barriers");
    }
    drop(browser);

    // Who is behind when it ends, and finds another live in its place, goes on in the recording.
    let back = ["ArrowLeft"; 6].map(|key| ["--press".to_owned(), format!("{key}@1")]);
    // Its player is not ahead by minutes.
    let options: Vec<String> = back.into_iter().flatten().chain(["--slow".into()]).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut behind = Browser::open(&format!("{}/watch/waves", server.http), 120, &options);
    // When what is on show was said.
    let said = |row: &Value| row["at"].as_f64().unwrap() - number(row, "behind");
    behind.until("the picture of back then", |row| row["playlist"] == "rewind.m3u8" && number(row, "behind") > 40.0);
    drop(publisher);
    behind.until("the end of the list", |row| row["over"] == true && row["playlist"] == "rewind.m3u8");
    let _next = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let last = behind.until("the recording, where it was left", |row| {
        row["state"] == "vod" && row["behind"].is_number() && number(row, "time") > 20.0
    });
    let before = behind.seen.iter().rfind(|row| row["playlist"] == "rewind.m3u8" && row["behind"].is_number()).unwrap();
    let apart = said(&last) - said(before);
    assert!((-1.0..6.0).contains(&apart), "{apart} s from {before} to {last}");
    behind.until("it playing", |row| number(row, "time") > number(&last, "time") + 2.0);
}

#[test]
fn where_lives_are_not_recorded_or_it_is_off_there_is_no_going_back() {
    for off in [("AMPHI_RECORDING__ENABLED", "false"), ("AMPHI_HLS__REWIND", "0s")] {
        let server = Server::start(&[off, ("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
        let key = server.channel("waves", &[]);
        let url = format!("{}/waves?key={key}", server.rtmp);
        let _publisher = server.publish(&media("lecture-en.opus"), &url, &["-s", "320x180"]);
        server.playlist("waves");
        assert_eq!(reach(&server), None, "{off:?}");
        for path in ["rewind.m3u8", "source/rewind.m3u8"] {
            assert_eq!(server.status(&format!("/live/waves/{path}")).unwrap(), 404, "{off:?} {path}");
        }
    }
}
