//! The commands scripts rely on.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    captions::word_error_rate,
    support::{Server, media},
};

fn amphi(args: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    amphi_in(Path::new("."), args, environment)
}

fn amphi_in(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_amphi"))
        .args(args)
        .current_dir(folder)
        .env("AMPHI_DATA_DIR", data.path())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn channels_are_managed_while_the_server_runs() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let key = server.channel("maths", &["--language", "en", "--translate", "pt,fr"]);
    let shown: Value = serde_json::from_str(&server.amphi(&["channel", "show", "maths", "--json"])).unwrap();
    assert_eq!(shown["stream_key"], key.as_str());
    assert_eq!(shown["translate"], serde_json::json!(["pt", "fr"]));
    let rotated: Value = serde_json::from_str(&server.amphi(&["channel", "rotate-key", "maths", "--json"])).unwrap();
    assert_ne!(rotated["stream_key"], key.as_str());
    assert_eq!(server.json("/api/v1/channels")["items"][0]["name"], "maths");
    server.amphi(&["channel", "remove", "maths"]);
    assert_eq!(server.json("/api/v1/channels")["items"], serde_json::json!([]));
}

#[test]
fn what_a_channel_asks_for_in_vain_is_a_warning() {
    let (good, out, err) = amphi(&["channel", "add", "maths", "--translate", "la", "--json"], &[]);
    let warning = "warning: no captions in la for now: the manifest has no translation model from en to la: see \
                   `amphi models list`\n";
    assert!(good && err == warning, "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["translate"][0], &shown["missing"][0]["lang"]), (&"la".into(), &"la".into()));
    let (_, _, err) = amphi(&["channel", "add", "maths", "--language", "eu"], &[("AMPHI_MODELS_DIR", "/nowhere")]);
    assert!(err.starts_with("warning: no captions in eu for now: the manifest has no speech model for eu"), "{err}");
    let off = [("AMPHI_CAPTIONS__ENABLED", "false")];
    assert_eq!(amphi(&["channel", "add", "maths", "--translate", "la"], &off).2, "");
}

#[test]
fn a_speech_is_transcribed_in_every_format() {
    let file = media("jfk.flac");
    let file = file.to_str().unwrap();
    let truth = "And so, my fellow Americans, ask not what your country can do for you, \
                 ask what you can do for your country.";
    let (good, text, said) = amphi(&["transcribe", file, "--format", "txt"], &[]);
    assert!(good, "{said}");
    assert!(word_error_rate(truth, &text) <= 0.1, "{text}");
    let (_, vtt, _) = amphi(&["transcribe", file], &[]);
    assert!(vtt.starts_with("WEBVTT") && vtt.contains("-->"), "{vtt}");
    let (_, srt, _) = amphi(&["transcribe", file, "--format", "srt"], &[]);
    assert!(srt.starts_with("1\n00:00:0"), "{srt}");
    let (_, json, _) = amphi(&["transcribe", file, "--format", "json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let words = json["words"].as_array().unwrap();
    assert!(words.len() >= 20, "{json}");
    assert!(words.is_sorted_by(|a, b| a["start"].as_f64() <= b["start"].as_f64()), "{json}");
}

#[test]
fn a_caption_file_is_translated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("en.vtt");
    std::fs::write(
        &file,
        "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\nGood morning, and welcome to this lecture on waves.\n",
    )
    .unwrap();
    let (good, vtt, said) = amphi(&["translate", file.to_str().unwrap(), "--from", "en", "--to", "pt"], &[]);
    assert!(good, "{said}");
    assert!(vtt.contains("00:00:01.000 --> 00:00:04.000") && vtt.to_lowercase().contains("bom dia"), "{vtt}");
    let plain = folder.path().join("en.txt");
    std::fs::write(&plain, "Good morning.\n\nLight is fast.\n").unwrap();
    let (_, text, said) = amphi(&["translate", plain.to_str().unwrap(), "--from", "en", "--to", "pt"], &[]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("Bom dia") && lines[1].is_empty(), "{text}{said}");
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    for (args, environment, says) in [
        (&["transcribe", "/nowhere.mp3"][..], &[][..], "/nowhere.mp3"),
        (&["transcribe", "/nowhere.mp3", "--language", "zu"], &[], "no speech model for zu"),
        (&["models", "fetch", "nothing"], &[], "whisper-tiny.en"),
        (&["serve"], &[("AMPHI_HTTP__LISTEN", "nowhere")], "nowhere"),
        (&["serve", "--config", "/nowhere.toml"], &[], "/nowhere.toml"),
        (&["check"], &[("AMPHI_MODELS_DIR", "/nowhere")], "amphi models fetch"),
    ] {
        let (good, out, err) = amphi(args, environment);
        assert!(!good, "{args:?} went well");
        assert!(out.contains(says) || err.contains(says), "{args:?}: {out}{err}");
    }
}

#[test]
fn check_says_what_serve_would_stumble_over_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("new/data");
    let check = |data: &Path, environment: &[(&str, &str)]| {
        let mut all = vec![
            ("AMPHI_DATA_DIR", data.to_str().unwrap()),
            ("AMPHI_HTTP__LISTEN", "127.0.0.1:0"),
            ("AMPHI_RTMP__LISTEN", "127.0.0.1:0"),
            ("AMPHI_WEBRTC__LISTEN", "127.0.0.1:0"),
            ("AMPHI_SRT__LISTEN", "127.0.0.1:0"),
            ("AMPHI_RTSP__LISTEN", "127.0.0.1:0"),
        ];
        all.extend(environment);
        amphi(&["check"], &all)
    };
    let (good, out, _) = check(&data, &[]);
    assert!(good, "{out}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "it made something");

    let (good, out, _) = check(&data, &[("AMPHI_HTTP__LISTEN", "")]);
    assert!(!good && out.contains("nobody can watch"), "{out}");
    let (good, out, _) = check(Path::new("/proc/none/data"), &[]);
    assert!(!good && out.contains("set data_dir"), "{out}");

    let pipelines = home.path().join("pipelines");
    std::fs::create_dir(&pipelines).unwrap();
    std::fs::write(pipelines.join("tap.gst"), "this ! is ! no ) pipeline").unwrap();
    let (good, out, _) = check(&data, &[("AMPHI_LADDER__PIPELINES_DIR", pipelines.to_str().unwrap())]);
    assert!(!good && out.contains("FAIL") && out.contains("tap.gst"), "{out}");
    let environment = [("AMPHI_DATA_DIR", data.to_str().unwrap()), ("AMPHI_LADDER__PIPELINES_DIR", "pipelines")];
    let (good, _, said) = amphi_in(home.path(), &["serve"], &environment);
    assert!(!good && said.contains("amphi check") && said.contains("tap.gst"), "{said}");

    let (made, _, said) = amphi(&["channel", "add", "maths"], &[("AMPHI_DATA_DIR", data.to_str().unwrap())]);
    assert!(made, "{said}");
    let (good, out, _) = check(&data, &[]);
    assert!(good, "{out}");
    std::fs::write(data.join("secret.key"), "short").unwrap();
    let (good, out, _) = check(&data, &[]);
    assert!(!good && out.contains("secret.key"), "{out}");
    std::fs::write(data.join("amphi.db"), "no database at all").unwrap();
    let (good, out, _) = check(&data, &[]);
    assert!(!good && out.contains("FAIL  database"), "{out}");
}

#[test]
fn check_finds_this_machine_complete() {
    let free = ["HTTP", "RTMP", "WEBRTC", "SRT", "RTSP"].map(|protocol| format!("AMPHI_{protocol}__LISTEN"));
    let environment: Vec<_> = free.iter().map(|key| (key.as_str(), "127.0.0.1:0")).collect();
    let (good, out, err) = amphi(&["check"], &environment);
    assert!(good, "{out}{err}");
    assert!(out.contains("libsrt"), "{out}");
}
