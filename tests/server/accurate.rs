//! Channels whose viewers wait for the words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    captions::{Subscriber, segments},
    support::{SOON, Server, media, wait},
};

#[test]
fn a_channel_in_accurate_mode_has_its_words_before_their_picture_at_their_true_times() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &["--accurate"]);
    let change = |to: &str| server.amphi(&["channel", "change", "waves", "--accurate", to, "--json"]);
    let changed: Value = serde_json::from_str(&change("false")).unwrap();
    assert_eq!(changed["accurate"], false);
    change("true");
    assert_eq!(server.json("/api/v1/channels/waves")["accurate"], true);

    let mut captions = Subscriber::open(&server.http, "waves", "en");
    let url = format!("{}/waves?key={key}", server.rtmp);
    let publisher = server.publish(&media("lecture-en.opus"), &url, &["-t", "30"]);
    server.playlist("waves");
    for rendition in ["source", "audio", "captions-en"] {
        let (_, playlist) = server.get(&format!("/live/waves/{rendition}/stream.m3u8")).unwrap();
        assert!(playlist.contains("PART-HOLD-BACK=3.0"), "{playlist}");
    }
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &[]);
    browser.until("a caption over the picture", |row| !row["captions"].as_str().unwrap_or_default().is_empty());
    let late = browser.until("a latency of three seconds", |row| row["latency"].as_f64() > Some(2.5));
    assert!(late["latency"].as_f64() < Some(5.0), "{late}");

    let status = || server.json("/api/v1/channels/waves/status")["captions"][0].clone();
    wait("words ahead of their picture", SOON, || (status()["ahead"].as_f64()? > 0.5).then_some(()));
    assert!(publisher.finish().0);
    assert!(captions.until(SOON, Subscriber::ended));
    // Words are known a second after they were said and players are three behind, so cues begin with their first
    // word, or little after it where a phrase is long or the machine busy; they would come seconds late otherwise.
    let cues = captions.cues();
    let spoken =
        cues.values().filter(|cue| cue["final"] == json!(true)).flat_map(|cue| cue["words"].as_array().unwrap());
    let starts: Vec<f64> = spoken.map(|word| word["start"].as_f64().unwrap()).collect();
    let shown = segments(&server.http, "waves", "en").into_iter().flat_map(|segment| segment.cues);
    let number = |id: &str| id.rsplit('-').next().unwrap().parse::<u64>().unwrap();
    let shown: BTreeMap<_, _> = shown.map(|(id, start, _, text)| (number(&id), (start, text))).collect();
    let mut passed = 0;
    let mut late: Vec<f64> = Vec::new();
    for (start, text) in shown.values() {
        late.push(start - starts[passed]);
        passed += text.split_whitespace().count();
    }
    assert_eq!(passed, starts.len(), "every word is in one cue");
    late.sort_by(f64::total_cmp);
    assert!(
        late.len() > 5 && late[0] >= -0.001 && late[late.len() / 2] < 1.0,
        "seconds behind their words: {late:.2?}"
    );
}
