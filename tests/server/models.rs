//! An operator's own models, fetched while the server runs.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use sha2::{Digest as _, Sha256};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    captions::Subscriber,
    support::{SOON, Server, media, wait},
    whip::python,
};

fn models_dir() -> PathBuf {
    let home = || std::env::home_dir().unwrap().join(".cache/amphi/models");
    std::env::var_os("AMPHI_MODELS_DIR").map_or_else(home, PathBuf::from)
}

/// Packs a model as its makers would.
fn archive(folder: &Path) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in fs::read_dir(folder).unwrap().flatten() {
        zip.start_file(format!("model/{}", entry.file_name().display()), SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(entry.path()).unwrap()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Serves files by their names; the URL of their folder.
fn serve(files: Vec<(String, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let asked = String::from_utf8(head).unwrap();
            let (_, body) = files.iter().find(|(name, _)| asked.starts_with(&format!("GET /{name} "))).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(body).unwrap();
        }
    });
    url
}

fn sum(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(id: &str, engine: &str, languages: &str, source: &str) -> String {
    format!(
        "[[model]]\nid = \"{id}\"\ntask = \"translation\"\nengine = \"{engine}\"\n{languages}\n\
         licence = \"MIT\"\nabout = \"the operator's own\"\nsource = [{{ {source} }}]\n"
    )
}

/// The entry of a model in an archive, as its makers would pack it.
fn zipped(id: &str, engine: &str, languages: &str, folder: &Path) -> String {
    let body = archive(folder);
    let sha256 = sum(&body);
    let url = serve(vec![("model.zip".into(), body)]);
    entry(id, engine, languages, &format!("url = \"{url}/model.zip\", sha256 = \"{sha256}\", folder = \"model\""))
}

/// The entry of a model in loose files.
fn loose(id: &str, engine: &str, languages: &str, folder: &Path) -> String {
    let read = |entry: fs::DirEntry| (entry.file_name().display().to_string(), fs::read(entry.path()).unwrap());
    let files: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(read).collect();
    let file = |(name, body): &(String, Vec<u8>)| format!("{{ name = \"{name}\", sha256 = \"{}\" }}", sum(body));
    let list = files.iter().map(file).collect::<Vec<_>>().join(", ");
    entry(id, engine, languages, &format!("url = \"{}\", files = [{list}]", serve(files)))
}

#[test]
fn models_of_ones_own_are_fetched_and_used_by_a_server_that_runs() {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(models_dir().join("whisper-tiny.en"), models.path().join("whisper-tiny.en")).unwrap();
    let environment = [
        ("AMPHI_MODELS_DIR", models.path().to_str().unwrap()),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ];
    let server = Server::start(&environment);
    let installed = |id: &str| {
        let list = server.json("/api/v1/models");
        let found = list["items"].as_array().unwrap().iter().find(|item| item["id"] == id)?.clone();
        Some(found["installed"] == true)
    };
    assert_eq!(installed("names"), None);

    let aren = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/aren-transliteration");
    let manifest = loose("names", "ct2", "languages = [\"ar\", \"en\"]", &aren)
        + &zipped("mine", "fx", "languages = [\"en\", \"pt\"]", &models_dir().join("fx-en-pt"));
    fs::write(models.path().join("manifest.toml"), manifest).unwrap();
    assert_eq!(installed("names"), Some(false));
    server.amphi(&["models", "fetch", "names", "mine"]);
    assert_eq!((installed("names"), installed("mine")), (Some(true), Some(true)));
    assert!(server.amphi(&["models", "verify"]).contains("names                  good"));
    let list = server.amphi(&["models", "list"]);
    assert!(list.contains("not measured here") && list.contains("measured: WER"), "{list}");

    let file = models.path().join("names.vtt");
    fs::write(&file, "WEBVTT\n\n00:01.000 --> 00:02.000\nمدرسة\n").unwrap();
    let translate = |to| server.amphi(&["translate", file.to_str().unwrap(), "--from", "ar", "--to", to]);
    assert!(translate("en").contains("00:00:01.000 --> 00:00:02.000\nmadersa"), "{}", translate("en"));
    // There is no model from Arabic to Portuguese; English lies between.
    assert!(translate("pt").contains("00:00:01.000 --> 00:00:02.000\nmad"), "{}", translate("pt"));

    let key = server.channel("jfk", &["--translate", "pt"]);
    let mut captions = Subscriber::open(&server.http, "jfk", "pt");
    let _publisher = server.publish(&media("jfk.flac"), &format!("{}/jfk?key={key}", server.rtmp), &[]);
    assert!(captions.until(SOON, |s| s.final_text().to_lowercase().contains("país")), "{}", captions.final_text());
    assert!(captions.received.iter().any(|(_, message)| message["model"] == "mine"));
}

/// How many processes were told of a file.
fn told_of(file: &Path) -> usize {
    let told = |process: &fs::DirEntry| {
        fs::read(process.path().join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0).any(|argument| argument == file.as_os_str().as_encoded_bytes())
        })
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|process| told(process)).count()
}

#[test]
fn one_process_of_a_model_of_many_languages_writes_all_its_tracks() {
    let (models, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(models_dir().join("whisper-tiny.en"), models.path().join("whisper-tiny.en")).unwrap();
    let pairs = r#"[["__en__", "__fr__"], ["__en__", "__de__"]]"#;
    let cipher = Command::new(python())
        .args(["-X", "utf8", "tests/models/cipher.py"])
        .arg(made.path())
        .args([r#""bpe""#, "true", pairs, r#"["ask"]"#])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(cipher.status.success(), "{}", String::from_utf8_lossy(&cipher.stderr));
    // What it writes for a place is known by the language it writes.
    let firsts: Vec<String> = String::from_utf8(cipher.stdout).unwrap().lines().map(|said| said[..1].into()).collect();
    assert_ne!(firsts[0], firsts[1]);
    let languages = "tokens = { en = \"__en__\", fr = \"__fr__\", de = \"__de__\" }";
    fs::write(models.path().join("manifest.toml"), loose("many", "ct2", languages, made.path())).unwrap();
    let server = Server::start(&[
        ("AMPHI_MODELS_DIR", models.path().to_str().unwrap()),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    server.amphi(&["models", "fetch", "many"]);

    let key = server.channel("jfk", &["--translate", "fr,de"]);
    let tracks = ["fr", "de"].map(|lang| Subscriber::open(&server.http, "jfk", lang));
    let _publisher = server.publish(&media("jfk.flac"), &format!("{}/jfk?key={key}", server.rtmp), &[]);
    for (mut track, first) in tracks.into_iter().zip(firsts) {
        assert!(track.until(SOON, |s| s.final_text().starts_with(&first)), "{first}: {}", track.final_text());
        assert!(track.received.iter().any(|(_, message)| message["model"] == "many"));
    }
    assert_eq!(told_of(&models.path().join("many")), 1);
}

#[test]
fn a_translation_that_cannot_be_loaded_fails_alone_until_its_model_is_whole_again() {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(models_dir().join("whisper-tiny.en"), models.path().join("whisper-tiny.en")).unwrap();
    let (whole, mine) = (models_dir().join("fx-en-pt"), models.path().join("fx-en-pt"));
    fs::create_dir(&mine).unwrap();
    let fetch = || {
        for entry in fs::read_dir(&whole).unwrap().flatten() {
            fs::copy(entry.path(), mine.join(entry.file_name())).unwrap();
        }
    };
    fetch();
    for entry in fs::read_dir(&mine).unwrap().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".bin") {
            fs::write(entry.path(), "half").unwrap();
        }
    }
    let server =
        Server::start(&[("AMPHI_MODELS_DIR", models.path().to_str().unwrap()), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &["--translate", "pt"]);
    let mut portuguese = Subscriber::open(&server.http, "waves", "pt");
    let url = format!("{}/waves?key={key}", server.rtmp);
    let _publisher = server.publish(&media("lecture-en.opus"), &url, &[]);
    let states = || {
        let status = server.json("/api/v1/channels/waves/status");
        let tracks = status["captions"].as_array().unwrap().clone();
        tracks.iter().map(|track| (track["lang"].clone(), track["state"].clone())).collect::<Vec<_>>()
    };
    let expected = |state: &str| [("en", "live"), ("pt", state)].map(|(lang, state)| (lang.into(), state.into()));
    let told = |subscriber: &Subscriber, state: &str| {
        subscriber.received.iter().any(|(_, message)| message["lang"] == "pt" && message["state"] == state)
    };
    assert!(portuguese.until(SOON, |s| told(s, "failed")), "{:?}", portuguese.received.last());
    assert_eq!(states(), expected("failed"));
    fetch();
    assert!(portuguese.until(SOON, |s| !s.final_text().is_empty()), "{:?}", portuguese.received.last());
    assert_eq!(states(), expected("live"));
    assert!(told(&portuguese, "live"));
}

#[test]
fn a_manifest_that_breaks_while_the_server_runs_costs_no_captions() {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(models_dir().join("whisper-tiny.en"), models.path().join("whisper-tiny.en")).unwrap();
    let server = Server::start(&[
        ("AMPHI_MODELS_DIR", models.path().to_str().unwrap()),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    fs::write(models.path().join("manifest.toml"), "[[model]]\nid = \"../escape\"\n").unwrap();
    let key = server.channel("jfk", &[]);
    let _publisher = server.publish(&media("jfk.flac"), &format!("{}/jfk?key={key}", server.rtmp), &[]);
    wait("captions", SOON, || {
        let (_, text) = server.get("/api/v1/channels/jfk/captions/en.vtt").ok()?;
        text.contains("country").then_some(())
    });
}
