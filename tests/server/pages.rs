//! What viewers do with the pages, in Chromium.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{SOON, Server, media, wait},
};

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

#[test]
fn a_viewer_chooses_another_language_and_another_quality() {
    let server = Server::start(&[]);
    let key = server.channel("waves", &["--translate", "pt"]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    // A rung that comes late is listed for pages that are opened then.
    wait("the smallest rung", SOON, || server.playlist("waves").contains("/240p/").then_some(()));
    let choices = ["--choose", "Quality/240p", "--choose", "Captions/Português"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 60, &choices);
    browser.until("the smallest picture", |row| row["height"] == 240);
    let row = browser.until("a Portuguese caption", |row| {
        let words = text(row, "captions").to_lowercase();
        row["language"] == "pt" && ["onda", " e ", "para", "três", "bom dia"].iter().any(|word| words.contains(word))
    });
    assert_eq!(row["source"], "websocket");
    browser.until("the transcript in Portuguese", |row| text(row, "transcript").split_whitespace().count() > 8);
    browser.until("how the Portuguese captions do", |row| {
        let report = text(row, "report");
        report.contains("Português, in the last minutes") && report.contains(" s for half of the words, ")
    });
}

#[test]
fn a_french_phone_without_websockets_has_captions_all_the_same() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let options = ["--phone", "--language", "fr", "--without-websocket", "--audit"];
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 60, &options);
    let row = browser.until("captions from the playlist", |row| {
        row["source"] == "track" && !text(row, "captions").is_empty() && text(row, "transcript").len() > 40
    });
    assert_eq!((&row["ui"], &row["language"]), (&json!("fr"), &json!("en")));
    browser.until("how they do, which the API says as well", |row| {
        let report = text(row, "report");
        report.contains("English, ces dernières minutes") && report.contains(" s pour la moitié des mots, ")
    });
    for row in &browser.seen {
        assert_eq!(row["sideways"], false, "the page is wider than the phone");
        assert_eq!(row["violations"], json!([]), "barriers");
    }
}

#[test]
fn a_page_recovers_by_itself_when_the_server_is_killed_and_started_again() {
    // The browser comes back to the same address, so it cannot be one that is picked at each start.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = Server::start(&[
        ("AMPHI_HTTP__LISTEN", &address),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let key = server.channel("waves", &[]);
    let lecture = media("lecture-en.opus");
    let first = server.publish(&lecture, &format!("{}/waves?key={key}", server.rtmp), &[]);
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &[]);
    let before = browser.until("the live playing", |row| row["state"] == "live" && row["time"].as_f64() > Some(1.0));
    server.crash_and_restart();
    drop(first);
    let _second = server.publish(&lecture, &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let frames = browser.look()["frames"].as_u64().unwrap_or(0);
    let after = browser.until("the new live playing", |row| {
        row["state"] == "live"
            && row["latency"].as_f64().is_some_and(|latency| latency < 3.0)
            && row["frames"].as_u64() > Some(frames + 60)
    });
    assert_eq!(before["loaded"], after["loaded"], "the page was reloaded");
}
