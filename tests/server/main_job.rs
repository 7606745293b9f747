//! A real lecture in; a captioned, translated live out; a recording left behind.

use std::{
    collections::{BTreeMap, VecDeque},
    process::Command,
    time::Duration,
};

use crate::{
    browser::Browser,
    captions::{Subscriber, lecture_until, segments, word_error_rate, words},
    strict,
    support::{SOON, Server, ffprobe, media, wait},
};

const LECTURE: &str = include_str!("../media/lecture-en.txt");

#[test]
fn a_lecture_becomes_a_captioned_translated_live_and_a_recording() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s")]);
    let key = server.channel("waves", &["--translate", "pt", "--title", "Waves"]);
    let mut english = Subscriber::open(&server.http, "waves", "en");
    let mut portuguese = Subscriber::open(&server.http, "waves", "pt");
    assert!(english.until(SOON, |s| !s.received.is_empty()));
    assert_eq!(english.received[0].1["state"], "idle", "before the live the websocket says so");

    let publisher =
        server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &["-t", "45"]);
    let playlist = server.playlist("waves");
    for part in ["/source/", "/480p/", "/240p/", "/audio/", "LANGUAGE=\"en\"", "LANGUAGE=\"pt\"", "RESOLUTION=1280x720"]
    {
        assert!(playlist.contains(part), "{part} is not in\n{playlist}");
    }
    assert_eq!(server.get("/hls/waves.m3u8").unwrap().1, playlist);
    assert_eq!(server.json("/api/v1/channels/waves/status")["state"], "live");

    let report = strict::watch(&server.http, "waves", Duration::from_secs(15));
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.parts > 100 && report.renditions >= 6, "{report:?}");

    let (went_well, said) = publisher.finish();
    assert!(went_well, "{said}");
    assert!(english.until(SOON, Subscriber::ended) && portuguese.until(SOON, Subscriber::ended));
    let rate = word_error_rate(LECTURE, &english.final_text());
    assert!(rate <= 0.08, "word error rate {rate}: {}", english.final_text());
    let said = words(&lecture_until(45.0)).len();
    assert!(words(&english.final_text()).len() + 4 >= said, "{said} words were said: {}", english.final_text());
    hls_captions_hold_every_word_once(&server, &english);
    hls_captions_hold_every_word_once(&server, &portuguese);
    let translated = portuguese.final_text();
    assert!(translated.contains("onda") && translated.split_whitespace().count() > 60, "{translated}");

    let id = server.recording("waves");
    let probe = ffprobe(
        &format!("{}/vod/{id}/index.m3u8", server.http),
        &["-show_entries", "stream=codec_name:format=duration"],
    );
    let duration: f64 = probe["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!((40.0..48.0).contains(&duration), "{probe}");
    for (language, track) in [("en", &english), ("pt", &portuguese)] {
        let (status, document) = server.get(&format!("/vod/{id}/captions/{language}.vtt")).unwrap();
        assert_eq!(status, 200);
        let spoken: String =
            document.lines().filter(|line| !line.contains("-->") && line.contains(' ')).collect::<Vec<_>>().join(" ");
        let rate = word_error_rate(&track.final_text(), &spoken);
        assert!(rate < 0.02, "{language}: the recording says\n{document}\nthe live said\n{}", track.final_text());
    }
    let mut browser = Browser::open(&format!("{}/v/{id}", server.http), 60, &[]);
    browser.until("the recording playing with captions", |row| {
        row["state"] == "vod"
            && row["time"].as_f64() > Some(1.0)
            && !row["captions"].as_str().unwrap_or_default().is_empty()
    });
}

/// The union of the caption parts is the final text, once and in order; nothing appears before its segment.
fn hls_captions_hold_every_word_once(server: &Server, track: &Subscriber) {
    let language = track.cues().values().next().unwrap()["lang"].as_str().unwrap().to_owned();
    let (mut known, mut text, mut end) = (BTreeMap::new(), String::new(), 0.0);
    for segment in segments(&server.http, "waves", &language) {
        let begins = segment.pdt - track.anchor();
        for cue in segment.cues {
            let (id, start, stop, words) = cue.clone();
            if let Some(before) = known.insert(id, cue.clone()) {
                assert_eq!(before, cue, "a repeated cue changed");
                continue;
            }
            assert!(start >= begins - 0.002, "{cue:?} starts before its segment at {begins}");
            assert!(start >= end && stop > start, "{cue:?} overlaps the one before it, which ends at {end}");
            end = stop;
            text = format!("{text} {words}");
        }
    }
    assert_eq!(words(&text), words(&track.final_text()), "{language}");
}

#[test]
fn chromium_plays_the_live_within_two_seconds_and_shows_captions_in_step() {
    let server = Server::start(&[]);
    let key = server.channel("waves", &["--translate", "pt"]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let mut browser = Browser::open(&format!("{}/watch/waves", server.http), 90, &[]);
    browser.until("the live playing", |row| row["state"] == "live" && row["time"].as_f64() > Some(0.5));
    browser.until("a caption over the picture", |row| !row["captions"].as_str().unwrap_or_default().is_empty());
    // A player that began late on a busy machine catches up little by little.
    let mut latencies = VecDeque::new();
    browser.until("the live within two seconds, look after look", |row| {
        latencies.extend(row["latency"].as_f64());
        latencies.drain(..latencies.len().saturating_sub(24));
        latencies.len() == 24 && latencies.iter().filter(|latency| **latency <= 2.0).count() > 12
    });
    let row = browser.until("some sentences in the transcript", |row| {
        row["transcript"].as_str().unwrap_or_default().split_whitespace().count() > 12
    });
    assert!(word_error_rate(LECTURE, row["transcript"].as_str().unwrap()) < 0.3, "{row}");
}

const JFK: &str = "And so, my fellow Americans, ask not what your country can do for you, \
                   ask what you can do for your country.";

#[test]
fn a_real_speech_is_captioned_and_a_correction_cannot_break_out_of_its_cue() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "15s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("jfk", &[]);
    let mut captions = Subscriber::open(&server.http, "jfk", "en");
    let publisher = server.publish(&media("jfk.flac"), &format!("{}/jfk?key={key}", server.rtmp), &[]);
    assert!(publisher.finish().0);
    assert!(captions.until(SOON, |s| words(&s.final_text()).len() >= 20), "{}", captions.final_text());
    let rate = word_error_rate(JFK, &captions.final_text());
    assert!(rate <= 0.15, "word error rate {rate}: {}", captions.final_text());
    let (id, _) = captions.cues().into_iter().find(|(_, cue)| cue["final"] == true).unwrap();
    let token = std::fs::read_to_string(server.data.join("admin.token")).unwrap();
    let nasty = "1 --> 2 <script>alert(1)</script> & more";
    let put = ureq::put(format!("{}/api/v1/channels/jfk/captions/en/cues/{id}", server.http))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/json")
        .send(serde_json::json!({ "text": nasty }).to_string());
    assert_eq!(put.unwrap().status().as_u16(), 200);
    assert!(captions.until(SOON, |s| s.cues()[&id]["source"] == "human"));
    assert_eq!(captions.cues()[&id]["text"], nasty, "the websocket carries the text itself");
    assert!(captions.until(SOON, Subscriber::ended));

    let recording = server.recording("jfk");
    let (_, document) = server.get(&format!("/vod/{recording}/captions/en.vtt")).unwrap();
    assert!(document.contains("1 --&gt; 2 &lt;script&gt;alert(1)&lt;/script&gt; &amp; more"), "{document}");
    let mut browser = Browser::open(&format!("{}/v/{recording}", server.http), 60, &[]);
    browser.until("the correction, as text", |row| row["transcript"].as_str().unwrap_or_default().contains(nasty));
}

#[test]
fn korean_is_captioned_by_vosk() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("ko", &["--language", "ko"]);
    let mut captions = Subscriber::open(&server.http, "ko", "ko");
    let publisher = server.publish(&media("korean-espeak.flac"), &format!("{}/ko?key={key}", server.rtmp), &[]);
    assert!(captions.until(SOON, Subscriber::ended));
    assert!(publisher.finish().0);
    let text = captions.final_text();
    assert!(text.chars().any(|c| ('가'..='힣').contains(&c)), "no Korean in {text:?}");
    assert!(captions.received.iter().any(|(_, message)| message["engine"] == "vosk"));
}

#[test]
fn gstreamer_and_ffmpeg_read_the_live() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let url = format!("{}/live/waves/index.m3u8", server.http);
    let streams = wait("ffprobe finds every stream", SOON, || {
        let streams = ffprobe(&url, &["-show_entries", "stream=codec_name,height"])["streams"].clone();
        (streams.as_array()?.len() >= 4).then_some(streams)
    });
    let heights: Vec<_> = streams.as_array().unwrap().iter().filter_map(|stream| stream["height"].as_u64()).collect();
    assert!(heights.contains(&720) && heights.contains(&480) && heights.contains(&240), "{streams}");
    let output = Command::new("gst-launch-1.0")
        .args(["-v", "uridecodebin3", &format!("uri={url}"), "!", "video/x-raw", "!", "identity", "eos-after=60"])
        .args(["!", "fakesink"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let demuxers = String::from_utf8_lossy(&output.stdout).contains("GstHLSDemux2:");
    assert!(demuxers, "another demuxer than hlsdemux2 read it");
}
