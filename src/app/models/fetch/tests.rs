use std::{io::Cursor, net::TcpListener, thread};

use super::*;
use crate::app::models::manifest::{Append, Engine, Task};

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

fn model(url: String, sha256: Option<String>) -> Model {
    Model {
        id: "test".into(),
        task: Task::Speech,
        engine: Engine::Vosk,
        languages: vec![],
        licence: "MIT".into(),
        about: String::new(),
        source: vec![Source { pypi: None, pip: vec![], url: Some(url), sha256, folder: "inside/model".into() }],
        join: Some("big".into()),
        append: Some(Append { file: "a/conf".into(), line: "--dither=0".into() }),
        tokens: None,
        quality: vec![],
    }
}

/// Serves `body` with ranges; the first answer breaks off after `first` bytes.
fn server(body: Vec<u8>, first: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.zip", listener.local_addr().unwrap());
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
            let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
            let rest = &body[from..];
            write!(connection, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len())
                .unwrap();
            let send = if turn == 0 { &rest[..first.min(rest.len())] } else { rest };
            let _ = connection.write_all(send);
        }
    });
    url
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_broken_download_is_resumed_checked_and_laid_out() {
    let home = tempfile::tempdir().unwrap();
    let options = Options { models_dir: home.path().into(), accept_unverified: false };
    let body = archive();
    let model = model(server(body.clone(), 100_000), Some(hex(&body)));
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
fn another_archive_than_the_manifest_states_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let options = Options { models_dir: home.path().into(), accept_unverified: false };
    let model = model(server(archive(), usize::MAX), Some("0".repeat(64)));
    let error = fetch(&model, &options, &|_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("not used"), "{error:#}");
    assert!(!model.installed(home.path()));
}

#[test]
fn an_archive_nobody_checked_needs_consent() {
    let home = tempfile::tempdir().unwrap();
    let mut options = Options { models_dir: home.path().into(), accept_unverified: false };
    let model = model(server(archive(), usize::MAX), None);
    assert!(format!("{:#}", fetch(&model, &options, &|_| {}).unwrap_err()).contains("--accept-unverified"));
    options.accept_unverified = true;
    fetch(&model, &options, &|_| {}).unwrap();
}
