//! A second encoder with a channel's backup key: it stands by, takes over, and steps back when told.

use std::{process::Command, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    strict,
    support::{Publisher, SOON, Server, ffprobe, media, wait},
};

const SETTINGS: [(&str, &str); 3] =
    [("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_RECONNECT_GRACE", "8s")];

fn publish(server: &Server, key: &str, options: &[&str]) -> Publisher {
    server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), options)
}

/// Waits for who is connected, the main publisher first, and whether each is on the air.
fn connected(server: &Server, expected: &[(&str, bool)]) -> Value {
    wait(&format!("{expected:?}"), SOON, || {
        let status = server.json("/api/v1/channels/waves/status");
        let publishers = status["publishers"].as_array()?;
        let seen: Vec<_> = publishers.iter().map(|p| (p["rank"].as_str().unwrap(), p["on_air"] == true)).collect();
        (seen == expected).then(|| status.clone())
    })
}

/// The size of the picture on the air.
fn size(server: &Server) -> Value {
    server.json("/api/v1/channels/waves/status")["renditions"][0]["height"].clone()
}

/// `amphi channel on-air waves RANK`; whether it worked, and what it said.
fn call(server: &Server, rank: &str) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_amphi"))
        .args(["channel", "on-air", "waves", rank])
        .env("AMPHI_DATA_DIR", &server.data)
        .env("AMPHI_HTTP__LISTEN", server.http.trim_start_matches("http://"))
        .output()
        .unwrap();
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

#[test]
fn a_backup_takes_over_where_the_first_stops_and_steps_back_when_told() {
    let server = Server::start(&SETTINGS);
    let key = server.channel("waves", &[]);
    let shown: Value = serde_json::from_str(&server.amphi(&["channel", "backup-key", "waves", "--json"])).unwrap();
    let backup_key = shown["backup_key"].as_str().unwrap();
    assert_eq!(shown["stream_key"], json!(key));

    let main = publish(&server, &key, &[]);
    server.playlist("waves");
    let (worked, said) = call(&server, "backup");
    assert!(!worked && said.contains("the backup publisher is not connected"), "{said}");
    let backup = publish(&server, backup_key, &["-s", "640x360"]);
    let status = connected(&server, &[("main", true), ("backup", false)]);
    assert_eq!(status["publishers"][1]["address"], Value::Null, "where a lecturer is concerns nobody");
    let refused = publish(&server, backup_key, &[]).finish();
    assert!(!refused.0, "there is one backup");
    wait("the main publisher's second key frame", SOON, || {
        let status = server.json("/api/v1/channels/waves/status");
        (status["publishers"][0]["key_frame_interval"] == 2.0).then_some(())
    });
    assert_eq!(size(&server), 720);
    let watching = {
        let http = server.http.clone();
        thread::spawn(move || strict::watch(&http, "waves", Duration::from_secs(30)))
    };

    drop(main);
    connected(&server, &[("backup", true)]);
    assert_eq!(size(&server), 360);
    let main = publish(&server, &key, &[]);
    connected(&server, &[("main", false), ("backup", true)]);
    let (worked, said) = call(&server, "main");
    assert!(worked && said.contains("main goes on the air"), "{said}");
    let status = connected(&server, &[("main", true), ("backup", false)]);
    assert_eq!((&status["state"], size(&server)), (&json!("live"), json!(720)));

    let report = watching.join().unwrap();
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    let playlist = server.get("/live/waves/source/stream.m3u8").unwrap().1;
    assert!(!playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    server.amphi(&["channel", "backup-key", "waves", "--remove"]);
    drop(backup);
    assert!(!publish(&server, backup_key, &[]).finish().0, "the key opens nothing any more");
    connected(&server, &[("main", true)]);
    drop(main);
    let (id, http) = (server.recording("waves"), &server.http);
    let probe = ffprobe(&format!("{http}/vod/{id}/index.m3u8"), &["-show_entries", "stream=codec_name"]);
    assert_eq!(probe["streams"].as_array().unwrap().len(), 2, "{probe}");
}

#[test]
fn a_backup_over_srt_encrypts_with_its_key() {
    let server = Server::start(&SETTINGS);
    let key = server.channel("waves", &[]);
    let shown: Value = serde_json::from_str(&server.amphi(&["channel", "backup-key", "waves", "--json"])).unwrap();
    let backup_key = shown["backup_key"].as_str().unwrap();
    let _main = publish(&server, &key, &[]);
    connected(&server, &[("main", true)]);
    let srt = |id: &str, passphrase: &str| {
        let url = format!("{}?streamid=publish:waves{id}&passphrase={passphrase}", server.srt);
        server.publish(&media("lecture-en.opus"), &url, &["-s", "640x360"])
    };
    let backup = wait("the server has learnt the new key", SOON, || {
        let mut backup = srt(":backup", backup_key);
        let publishers = || server.json("/api/v1/channels/waves/status")["publishers"].clone();
        let stands_by = wait("it stands by or is refused", SOON, || match backup.0.try_wait().unwrap() {
            Some(_) => Some(false),
            None => (publishers()[1]["rank"] == "backup").then_some(true),
        });
        stands_by.then_some(backup)
    });
    assert_eq!(connected(&server, &[("main", true), ("backup", false)])["publishers"][1]["protocol"], "srt");
    drop(backup);
    connected(&server, &[("main", true)]);
    for (id, passphrase) in [(":backup", &*key), ("", backup_key)] {
        assert!(!srt(id, passphrase).finish().0, "another key than it says");
    }
}
