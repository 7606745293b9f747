//! What a live's captions were worth, told after it.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    captions::{Subscriber, words},
    support::{SOON, Server, media, wait},
};

/// A second pass has the processor when nobody else wants it.
const UNHURRIED: Duration = Duration::from_secs(300);

fn estimates(server: &Server, id: &str) -> Option<Value> {
    server.json(&format!("/api/v1/recordings/{id}")).get("estimates").cloned()
}

/// Whether an engine of the server has the lowest priority there is.
fn works_in_background(server: &Server) -> bool {
    let ps = Command::new("ps").args(["-o", "ni=", "--ppid", &server.pid().to_string()]).output().unwrap();
    String::from_utf8_lossy(&ps.stdout).split_whitespace().any(|nice| nice == "19")
}

#[test]
fn a_recording_tells_what_its_live_was_worth_once_no_live_is_on() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let keys = ["waves", "other"].map(|name| server.channel(name, &["--translate", "pt"]));
    let lecture = media("lecture-en.opus");
    let first = server.publish(&lecture, &format!("{}/waves?key={}", server.rtmp, keys[0]), &["-t", "20"]);
    let mut other = Subscriber::open(&server.http, "other", "en");
    assert!(other.until(SOON, |s| !s.received.is_empty()));
    wait("the first live", SOON, || (server.json("/api/v1/channels/waves/status")["state"] == "live").then_some(()));
    let second = server.publish(&lecture, &format!("{}/other?key={}", server.rtmp, keys[1]), &[]);
    assert!(first.finish().0);
    let id = server.recording("waves");
    let said = words(&other.final_text()).len();
    assert!(other.until(SOON, |s| words(&s.final_text()).len() > said + 10));
    assert_eq!(estimates(&server, &id), None, "a live is on");
    assert!(!works_in_background(&server), "a live is on");
    drop(second);
    wait("the second pass", UNHURRIED, || works_in_background(&server).then_some(()));

    // The next live cuts it short, and it is begun anew behind that.
    let third = server.publish(&lecture, &format!("{}/other?key={}", server.rtmp, keys[1]), &[]);
    wait("the processor for the live", SOON, || (!works_in_background(&server)).then_some(()));
    assert_eq!(server.json("/api/v1/channels/other/status")["state"], "live");
    assert_eq!(estimates(&server, &id), None);
    drop(third);

    let made = wait("the estimates", UNHURRIED, || estimates(&server, &id));
    let made = made.as_array().unwrap();
    let of = |lang: &str| made.iter().find(|estimate| estimate["lang"] == lang).unwrap();
    for (lang, measure, model) in [("en", "wer", "whisper-tiny.en"), ("pt", "chrf", "fx-en-pt")] {
        let band = of(lang)["band"].clone();
        assert!(band == "good" || band == "fair", "{made:?}");
        let expected = json!({
            "lang": lang, "measure": measure, "band": band, "model": model, "method": "second-pass"
        });
        assert_eq!(*of(lang), expected);
    }
    let mut browser = Browser::open(&format!("{}/v/{id}", server.http), 60, &["--language", "fr"]);
    let row = browser.until("the estimates", |row| row["estimates"].is_string());
    let said = row["estimates"].as_str().unwrap();
    assert!(said.contains("Sous-titres du direct, English") && said.contains("estimation"), "{said}");
    drop(browser);
    let mut browser = Browser::open(&format!("{}/about/estimates", server.http), 60, &["--audit"]);
    let row = browser.until("the page about them", |row| row["heading"] == "How good were the live captions?");
    assert_eq!(row["violations"], json!([]), "barriers");
}
