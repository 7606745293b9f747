//! A captured screen, whose encoder sends pictures only when they change.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    browser::Browser,
    strict,
    support::{Publisher, Server, ffprobe},
};

/// Half a minute of 15 pictures a second with pauses of 0.5, 1, 2 and 11 s, and sound throughout.
fn screen(dir: &Path) -> PathBuf {
    let file = dir.join("screen.flv");
    let pauses = "select='not(between(t,2,2.5)+between(t,4,5)+between(t,6.5,8.5)+between(t,12,23))'";
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=15", "-f", "lavfi", "-i", "sine=400"])
        .args(["-t", "30", "-vf", pauses, "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&file)
        .status();
    assert!(status.unwrap().success());
    file
}

/// Publishes a file as it is, sound that comes while no picture does included.
fn publish(file: &Path, url: &str) -> Publisher {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-i"]).arg(file).args(["-c", "copy", "-max_interleave_delta", "1"]);
    command.args(["-flush_packets", "1", "-f", "flv", url]);
    Publisher(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a_screen_that_stands_still_is_shown_heard_and_recorded_without_a_hole() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "2s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__RUNGS", "240"),
    ]);
    let key = server.channel("screen", &[]);
    let dir = tempfile::tempdir().unwrap();
    let film = screen(dir.path());
    // On a busy machine a browser takes as long to start as the film lasts.
    let mut browser = Browser::open(&format!("{}/watch/screen", server.http), 120, &[]);
    browser.until("a page that waits", |row| row["state"] == "waiting");
    let publisher = publish(&film, &format!("{}/screen?key={key}", server.rtmp));
    server.playlist("screen");
    let watching = {
        let http = server.http.clone();
        thread::spawn(move || strict::watch(&http, "screen", Duration::from_secs(120)))
    };
    // A player that jumps over pauses has shown a third of it.
    let shown = |row: &serde_json::Value| (row["time"].as_f64().unwrap_or(0.0), row["frames"].as_u64().unwrap_or(0));
    browser.until("the picture going on", |row| shown(row).0 > 22.0 && shown(row).1 > 220);
    let (well, said) = publisher.finish();
    assert!(well, "{said}");
    let report = watching.join().unwrap();
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.ended && report.renditions == 3, "{report:?}");

    let id = server.recording("screen");
    for rendition in ["source", "240p"] {
        let url = format!("{}/vod/{id}/{rendition}/stream.m3u8", server.http);
        let probe = ffprobe(&url, &["-select_streams", "v", "-show_entries", "packet=pts_time"]);
        let packets = probe["packets"].as_array().unwrap();
        let times: Vec<f64> = packets.iter().map(|p| p["pts_time"].as_str().unwrap().parse().unwrap()).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(longest < 0.25, "{rendition}: {longest} s without a picture");
        assert!(times.len() > 400, "{rendition}: {} pictures", times.len());
    }
}
