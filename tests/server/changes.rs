//! A channel's language, model and translations change while it is live.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    captions::{Subscriber, segments, word_error_rate, words},
    strict,
    support::{SOON, Server, media, wait},
};

const LECTURE: &str = include_str!("../media/lecture-en.txt");

/// PATCH of a channel; status and body.
fn patch(server: &Server, channel: &str, body: &Value) -> (u16, Value) {
    let token = std::fs::read_to_string(server.data.join("admin.token")).unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent
        .patch(format!("{}/api/v1/channels/{channel}", server.http))
        .header("authorization", format!("Bearer {}", token.trim()))
        .send(body.to_string())
        .unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
}

/// The live's caption tracks: language, model, whether words come to it.
fn tracks(server: &Server) -> Vec<(String, String, bool)> {
    let status = server.json("/api/v1/channels/waves/status");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let track = |track: &Value| (text(&track["lang"]), text(&track["model"]), track["current"] == true);
    status["captions"].as_array().unwrap().iter().map(track).collect()
}

fn heard_by(track: &Subscriber, model: &str) -> bool {
    let Some(since) = track.received.iter().position(|(_, message)| message["model"] == model) else { return false };
    track.received[since..].iter().any(|(_, message)| message["type"] == "cue" && message["final"] == true)
}

#[test]
fn language_model_and_translations_change_while_the_live_goes_on() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut english = Subscriber::open(&server.http, "waves", "en");
    let mut french = Subscriber::open(&server.http, "waves", "fr");
    let url = format!("{}/waves?key={key}", server.rtmp);
    let publisher = server.publish(&media("lecture-en.opus"), &url, &[]);
    assert!(english.until(SOON, |s| words(&s.final_text()).len() > 10), "{:?}", english.received.last());
    assert!(!server.playlist("waves").contains("LANGUAGE=\"fr\""));

    // Another model for the same language, and a translation: the track stays.
    let (status, changed) = patch(&server, "waves", &json!({"model": "whisper-base", "translate": ["pt"]}));
    assert_eq!((status, &changed["model"]), (200, &json!("whisper-base")), "{changed}");
    assert!(english.until(SOON, |s| heard_by(s, "whisper-base")), "{:?}", english.received.last());
    let expected = [("en", "whisper-base", true), ("pt", "fx-en-pt", true)];
    assert_eq!(tracks(&server), expected.map(|(lang, model, current)| (lang.into(), model.into(), current)));
    assert!(english.until(SOON, |s| words(&s.final_text()).len() > 50), "{:?}", english.received.last());
    let mut portuguese = Subscriber::open(&server.http, "waves", "pt");
    assert!(portuguese.until(SOON, |s| !s.final_text().is_empty()));

    // Another language, through the command line: a new track, and the old ones rest.
    server.amphi(&["channel", "change", "waves", "--language", "fr", "--translate", ""]);
    assert!(french.until(SOON, |s| s.received.iter().any(|(_, message)| message["languages"] == json!(["fr"]))));
    assert!(french.until(SOON, |s| heard_by(s, "whisper-base")), "{:?}", french.received.last());
    let expected = [("fr", "whisper-base", true), ("en", "whisper-base", false), ("pt", "fx-en-pt", false)];
    assert_eq!(tracks(&server), expected.map(|(lang, model, current)| (lang.into(), model.into(), current)));
    let playlist = wait("the new track in the multivariant playlist", SOON, || {
        Some(server.playlist("waves")).filter(|playlist| playlist.contains("LANGUAGE=\"fr\""))
    });
    for track in ["LANGUAGE=\"en\"", "LANGUAGE=\"pt\"", "NAME=\"Français\""] {
        assert!(playlist.contains(track), "{playlist}");
    }
    let report = strict::watch(&server.http, "waves", Duration::from_secs(12));
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.renditions >= 5, "{report:?}");

    // And back: the English track goes on where it was.
    let (status, _) = patch(&server, "waves", &json!({"language": "en", "model": null}));
    assert_eq!(status, 200);
    wait("the model the manifest chooses", SOON, || {
        (tracks(&server)[0] == ("en".into(), "whisper-tiny.en".into(), true)).then_some(())
    });
    assert!(english.until(SOON, |_| true), "what has come so far is read");
    let before = english.cues().len();
    assert!(english.until(SOON, |s| s.cues().len() > before + 1), "{:?}", english.received.last());

    drop(publisher);
    assert!(english.until(SOON, Subscriber::ended) && french.until(SOON, Subscriber::ended));
    ids_rise(&english);
    let rate = word_error_rate(LECTURE, &first_stretch(&english));
    // Six of its 64 words are beyond tiny.en in a live; two more lost or said twice at the cut are too many.
    assert!(rate <= 0.12, "before the first change of language {rate}: {}", first_stretch(&english));
    let id = server.recording("waves");
    assert_eq!(server.json(&format!("/api/v1/recordings/{id}"))["captions"], json!(["en", "fr", "pt"]));
    let live: String = segments(&server.http, "waves", "fr").iter().flat_map(|s| &s.cues).map(|cue| &*cue.3).collect();
    let (_, kept) = server.get(&format!("/vod/{id}/captions/fr.vtt")).unwrap();
    assert!(!live.is_empty() && kept.contains("-->"), "live {live}, kept {kept}");
}

/// The English said before the first silence that a change of language left in the track.
fn first_stretch(track: &Subscriber) -> String {
    let mut text = String::new();
    let mut end = 0.0;
    for cue in track.cues().into_values().filter(|cue| cue["final"] == true) {
        if !text.is_empty() && cue["start"].as_f64().unwrap() > end + 5.0 {
            break;
        }
        end = cue["end"].as_f64().unwrap();
        text = format!("{text} {}", cue["text"].as_str().unwrap());
    }
    text
}

/// Cues appear with rising ids and times, whoever heard them.
fn ids_rise(track: &Subscriber) {
    let mut known = BTreeSet::new();
    for (_, cue) in track.received.iter().filter(|(_, message)| message["type"] == "cue") {
        let id = cue["id"].as_u64().unwrap();
        assert!(!known.insert(id) || known.last() == Some(&id), "cue {id} appears behind {:?}", known.last());
    }
    let starts: Vec<f64> = track.cues().values().map(|cue| cue["start"].as_f64().unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
}

#[test]
fn a_live_that_nothing_hears_is_heard_from_the_change_on() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &["--language", "eu"]);
    let mut english = Subscriber::open(&server.http, "waves", "en");
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    assert!(!server.playlist("waves").contains("SUBTITLES"));
    assert_eq!(tracks(&server), []);
    server.amphi(&["channel", "change", "waves", "--language", "en"]);
    assert!(english.until(SOON, |s| words(&s.final_text()).len() > 5), "{:?}", english.received.last());
    assert!(server.playlist("waves").contains("SUBTITLES=\"captions\""));
    // The other engine hears what is no Korean; that it listens is what counts here.
    server.amphi(&["channel", "change", "waves", "--language", "ko"]);
    wait("vosk to hear the live", SOON, || {
        (tracks(&server)[0] == ("ko".into(), "vosk-ko".into(), true)).then_some(())?;
        server
            .get("/metrics")
            .unwrap()
            .1
            .contains("amphi_engine_streams{engine=\"vosk\",model=\"vosk-ko\"} 1")
            .then_some(())
    });
}

#[test]
fn what_cannot_be_translated_is_taken_and_said_until_it_can() {
    let models = tempfile::tempdir().unwrap();
    let home = || std::env::home_dir().unwrap().join(".cache/amphi/models");
    let all = std::env::var_os("AMPHI_MODELS_DIR").map_or_else(home, Into::into);
    let install = |id: &str| std::os::unix::fs::symlink(all.join(id), models.path().join(id)).unwrap();
    install("whisper-tiny.en");
    let server = Server::start(&[("AMPHI_MODELS_DIR", models.path().to_str().unwrap())]);
    server.channel("waves", &[]);
    assert_eq!(server.json("/api/v1/channels/waves")["missing"], json!([]));
    let (status, changed) = patch(&server, "waves", &json!({"translate": ["pt", "la"]}));
    assert_eq!((status, &changed["translate"]), (200, &json!(["pt", "la"])));
    let missing = |lang: &str, reason: &str| json!({"lang": lang, "reason": reason});
    let pt = missing("pt", "no translation model from en to pt is installed: run `amphi models fetch fx-en-pt`");
    let la = missing("la", "the manifest has no translation model from en to la: see `amphi models list`");
    assert_eq!(changed["missing"], json!([pt, la]));
    install("fx-en-pt");
    for path in ["/api/v1/channels/waves", "/api/v1/channels/waves/status"] {
        assert_eq!(server.json(path)["missing"], json!([la]), "{path}");
    }
    let (_, changed) = patch(&server, "waves", &json!({"translate": ["en"]}));
    assert_eq!(changed["missing"][0]["lang"], "en", "it is spoken: {changed}");
}

#[test]
fn a_live_that_nobody_can_hear_says_so_until_somebody_can() {
    let models = tempfile::tempdir().unwrap();
    let home = || std::env::home_dir().unwrap().join(".cache/amphi/models");
    let all = std::env::var_os("AMPHI_MODELS_DIR").map_or_else(home, Into::into);
    let installed = models.path().join("whisper-tiny.en");
    let install = || std::os::unix::fs::symlink(all.join("whisper-tiny.en"), &installed).unwrap();
    install();
    let server =
        Server::start(&[("AMPHI_MODELS_DIR", models.path().to_str().unwrap()), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    std::fs::remove_file(&installed).unwrap();
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let mut all = Subscriber::open(&server.http, "waves", "");
    let mut until = |wanted: &dyn Fn(&Value) -> bool| {
        all.received.clear();
        assert!(all.until(SOON, |all| all.received.iter().any(|(_, event)| wanted(event))), "{:?}", all.received);
    };
    until(&|event| event["state"] == "failed");
    install();
    until(&|event| event["state"] == "live" && event["lang"] == "en");
    until(&|event| event["type"] == "cue");
}

#[test]
fn a_page_follows_the_language_without_a_reload() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &[]);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let english = browser.until("English captions", |row| {
        row["language"] == "en" && !text(row, "captions").is_empty() && text(row, "transcript").contains("lecture")
    });
    assert_eq!(patch(&server, "waves", &json!({"language": "fr"})).0, 200);
    browser.until("French captions", |row| row["language"] == "fr" && !text(row, "captions").is_empty());
    let before = words(&text(&english, "transcript")).len();
    let row =
        browser.until("what is said in the transcript", |row| words(&text(row, "transcript")).len() > before + 20);
    assert!(text(&row, "transcript").contains("lecture"), "what was said before has gone: {row}");
    assert_eq!(english["loaded"], row["loaded"], "the page was reloaded");
}

#[test]
fn what_cannot_be_heard_is_refused_with_what_to_do() {
    let server = Server::start(&[]);
    server.channel("waves", &[]);
    for (body, wanted) in [
        (json!({"model": "whisper-huge"}), "no model \"whisper-huge\" in the manifest; there are whisper-tiny.en"),
        (json!({"model": "vosk-small-en"}), "run `amphi models fetch vosk-small-en`"),
        (json!({"language": "fr", "model": "whisper-tiny.en"}), "does not hear fr; these do: whisper-base"),
        (json!({"model": "fx-en-pt"}), "it does not hear"),
        (json!({"language": "eu"}), "no speech model for eu"),
    ] {
        let (status, problem) = patch(&server, "waves", &body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(wanted), "{body}: {status} {problem}");
    }
    let (status, _) = patch(&server, "waves", &json!({"model": "whisper-base", "language": "fr"}));
    assert_eq!(status, 200);
    let (status, problem) = patch(&server, "waves", &json!({"language": "ko"}));
    assert!(status == 400 && problem.to_string().contains("these do: vosk-ko"), "the model stays named: {problem}");
    assert_eq!(patch(&server, "waves", &json!({"language": "ko", "model": null})).1["model"], Value::Null);
    assert_eq!(server.json("/api/v1/channels/waves")["language"], "ko");
}
