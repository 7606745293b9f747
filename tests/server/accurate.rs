//! Channels whose viewers wait for the words.

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
    // Cues begin with their first word, though it was known later. On a busy machine some are later still.
    let millis = |seconds: f64| (seconds * 1e3).round() as i64;
    let cues = captions.cues();
    let spoken =
        cues.values().filter(|cue| cue["final"] == json!(true)).flat_map(|cue| cue["words"].as_array().unwrap());
    let starts: Vec<i64> = spoken.map(|word| millis(word["start"].as_f64().unwrap())).collect();
    let shown: Vec<_> = segments(&server.http, "waves", "en").into_iter().flat_map(|segment| segment.cues).collect();
    let on_time = shown.iter().filter(|(_, start, ..)| starts.iter().any(|word| (word - millis(*start)).abs() <= 1));
    let (on_time, all) = (on_time.count(), shown.len());
    assert!(all > 5 && on_time * 2 > all, "{on_time} of {all} cues begin with a word");
}
