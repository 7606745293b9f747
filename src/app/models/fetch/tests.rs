use std::{cell::RefCell, collections::BTreeMap, io::Cursor, net::TcpListener, thread};

use super::*;
use crate::app::models::{
    manifest::{Append, Engine, Task},
    source::File,
};

fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in [
        ("inside/model/a/conf", "--x=1".to_owned()),
        ("inside/model/big.part1", "0".repeat(300_000)),
        ("inside/model/big.part2", "1".repeat(300_000)),
        ("inside/other", "no".to_owned()),
    ] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn model(source: Vec<Source>) -> Model {
    Model {
        id: "test".into(),
        task: Task::Speech,
        engine: Engine::Vosk,
        languages: vec![],
        licence: "MIT".into(),
        about: String::new(),
        source,
        join: None,
        append: None,
        tokens: BTreeMap::new(),
        quality: vec![],
    }
}

fn zipped(url: String, sha256: Option<String>) -> Model {
    let source = Source { url: Some(url), sha256, folder: Some("inside/model".into()), ..Source::default() };
    Model {
        join: Some("big".into()),
        append: Some(Append { file: "a/conf".into(), line: "--dither=0".into() }),
        ..model(vec![source])
    }
}

/// Serves `body` with ranges wherever it is asked for, below `/moved/` from elsewhere; the first answer breaks off
/// after `first` bytes.
fn server(body: Vec<u8>, first: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (turn, connection) in listener.incoming().enumerate() {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let from = request
                .lines()
                .find_map(|line| line.strip_prefix("range: bytes="))
                .map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            let path = request.split(' ').nth(1).unwrap();
            let (status, rest) = match path.strip_prefix("/moved") {
                Some(to) => (format!("302 Found\r\nlocation: {to}"), &[][..]),
                None if from == 0 => ("200 OK".into(), &body[..]),
                None if from < body.len() => ("206 Partial Content".into(), &body[from..]),
                None => (format!("416 Range Not Satisfiable\r\ncontent-range: bytes */{}", body.len()), &[][..]),
            };
            write!(connection, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len())
                .unwrap();
            let send = if turn == 0 { &rest[..first.min(rest.len())] } else { rest };
            let _ = connection.write_all(send);
        }
    });
    url
}

fn options(home: &tempfile::TempDir, accept_unverified: bool) -> Options {
    Options { models_dir: home.path().into(), accept_unverified }
}

/// What lies among the downloads.
fn kept(home: &tempfile::TempDir) -> Vec<PathBuf> {
    fs::read_dir(home.path().join(".downloads")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_broken_download_is_resumed_checked_and_laid_out() {
    let home = tempfile::tempdir().unwrap();
    let options = options(&home, false);
    let body = archive();
    let model = zipped(server(body.clone(), 100_000) + "/model.zip", Some(hex(&Sha256::digest(&body))));
    let error = fetch(&model, &options, &|_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("broke off"), "{error:#}");
    assert!(!model.installed(home.path()));
    fetch(&model, &options, &|_| {}).unwrap();
    assert!(model.installed(home.path()));
    let folder = model.folder(home.path());
    assert_eq!(fs::read_to_string(folder.join("a/conf")).unwrap(), "--x=1\n--dither=0\n");
    assert_eq!(fs::metadata(folder.join("big")).unwrap().len(), 600_000);
    assert!(!folder.join("other").exists() && !folder.join("big.part1").exists());
    verify(&model, home.path()).unwrap();
    fs::write(folder.join("a/conf"), "changed").unwrap();
    assert!(format!("{:#}", verify(&model, home.path()).unwrap_err()).contains("amphi models fetch test"));
}

#[test]
fn loose_files_are_resumed_checked_and_laid_out() {
    let home = tempfile::tempdir().unwrap();
    let options = options(&home, false);
    let body = b"weights".repeat(1_000);
    let url = server(body.clone(), usize::MAX);
    let file = |name: &str, url| File { name: name.into(), url, sha256: Some(hex(&Sha256::digest(&body))) };
    let broken = server(body.clone(), 1_000) + "/weights";
    let files = vec![
        file("model.bin", None),
        file("sub/vocabulary.txt", Some(broken)),
        file("other.txt", Some(format!("{url}/moved/model.bin"))),
    ];
    let source = Source { url: Some(url.clone() + "/"), files, ..Source::default() };
    let model = Model { licence: "CC-BY-NC-4.0".into(), ..model(vec![source]) };
    let said = RefCell::new(Vec::new());
    let error = fetch(&model, &options, &|line| said.borrow_mut().push(line.to_owned())).unwrap_err();
    assert!(format!("{error:#}").contains("weights broke off"), "{error:#}");
    assert!(!model.installed(home.path()) && !model.folder(home.path()).exists());
    assert!(said.borrow()[0].contains("CC-BY-NC-4.0, which allows no commercial use"), "{said:?}");
    assert!(said.borrow().iter().any(|line| line == "test: model.bin: 100 % of 0 MB"), "{said:?}");
    fetch(&model, &options, &|_| {}).unwrap();
    for name in ["model.bin", "sub/vocabulary.txt", "other.txt"] {
        assert_eq!(fs::read(model.folder(home.path()).join(name)).unwrap(), body, "{name}");
    }
    verify(&model, home.path()).unwrap();
    assert!(kept(&home).is_empty(), "{:?}", kept(&home));
}

#[test]
fn another_file_than_the_manifest_states_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let options = options(&home, false);
    let url = server(archive(), usize::MAX);
    let loose = File { name: "model.bin".into(), url: None, sha256: Some("0".repeat(64)) };
    for model in [
        zipped(format!("{url}/model.zip"), Some("0".repeat(64))),
        model(vec![Source { url: Some(url), files: vec![loose], ..Source::default() }]),
    ] {
        let error = fetch(&model, &options, &|_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("not used"), "{error:#}");
        assert!(!model.installed(home.path()) && kept(&home).is_empty());
    }
}

#[test]
fn a_file_nobody_checked_needs_consent_before_anything_is_fetched() {
    let home = tempfile::tempdir().unwrap();
    let checked = File { name: "model.bin".into(), url: None, sha256: Some("0".repeat(64)) };
    let loose = File { name: "config.json".into(), url: None, sha256: None };
    let nowhere = Source { url: Some("http://127.0.0.1:1".into()), files: vec![checked, loose], ..Source::default() };
    let model = zipped(server(archive(), usize::MAX) + "/model.zip", None);
    for model in [&Model { source: vec![nowhere], ..model.clone() }, &model] {
        let error = fetch(model, &options(&home, false), &|_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("--accept-unverified"), "{error:#}");
    }
    fetch(&model, &options(&home, true), &|_| {}).unwrap();
}

#[test]
fn files_of_the_same_name_are_kept_apart() {
    let home = tempfile::tempdir().unwrap();
    let loose = |id: &str, body: &str| {
        let files = vec![File { name: "model.bin".into(), url: None, sha256: None }];
        let source = Source { url: Some(server(body.into(), 1)), files, ..Source::default() };
        Model { id: id.into(), ..model(vec![source]) }
    };
    let models = [loose("one", "first"), loose("two", "second")];
    for model in &models {
        fetch(model, &options(&home, true), &|_| {}).unwrap_err();
    }
    for (model, body) in models.iter().zip(["first", "second"]) {
        fetch(model, &options(&home, true), &|_| {}).unwrap();
        assert_eq!(fs::read_to_string(model.folder(home.path()).join("model.bin")).unwrap(), body);
    }
}

#[test]
fn a_partial_file_with_nothing_left_to_fetch_is_taken_or_begun_anew() {
    let body = archive();
    for more in ["", "and what belongs to another"] {
        let home = tempfile::tempdir().unwrap();
        let options = options(&home, false);
        let model = zipped(server(body.clone(), 1) + "/model.zip", Some(hex(&Sha256::digest(&body))));
        fetch(&model, &options, &|_| {}).unwrap_err();
        let partial = kept(&home).pop().unwrap();
        fs::write(partial, [&body, more.as_bytes()].concat()).unwrap();
        fetch(&model, &options, &|_| {}).unwrap();
        verify(&model, home.path()).unwrap();
    }
}

#[test]
fn an_answer_that_is_no_file_is_told() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let model = zipped(format!("http://{}/model.zip", listener.local_addr().unwrap()), None);
    thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
    });
    let error = fetch(&model, &options(&home, true), &|_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("answers 404: check the manifest's URL"), "{error:#}");
}
