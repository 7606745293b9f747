//! Sound that is not AAC, from real encoders to real readers.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    captions::{Subscriber, word_error_rate},
    support::{Publisher, SOON, Server, ffprobe, media, wait},
};

/// A flash and a beep together, 200 ms of every two seconds.
pub(crate) fn flashes(url: &str, seconds: u32, sound: &str) -> Publisher {
    let picture = "color=black:s=320x180:r=25,drawbox=t=fill:color=white:enable='lt(mod(t,2),0.2)'";
    let beep = "aevalsrc='sin(2*PI*1000*t)*lt(mod(t,2),0.2)':s=44100";
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", beep]);
    command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]);
    command.args(["-pix_fmt", "yuv420p", "-g", "50"]).args(sound.split_whitespace());
    command.args(["-f", if url.starts_with("srt:") { "mpegts" } else { "flv" }, url]);
    Publisher(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// When flashes and beeps begin, as ffmpeg sees and hears them.
pub(crate) fn begins(url: &str) -> (Vec<f64>, Vec<f64>) {
    begins_in(url, "null")
}

/// The same in what a filter leaves of the picture.
pub(crate) fn begins_in(url: &str, filter: &str) -> (Vec<f64>, Vec<f64>) {
    let seen = format!("{filter},blackdetect=d=0.5");
    let filters = ["-vf", &seen, "-af", "silencedetect=n=-20dB:d=0.5"];
    let output =
        Command::new("ffmpeg").args(["-hide_banner", "-i", url]).args(filters).args(["-f", "null", "-"]).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    let times = |word: &str| {
        let after = said.split(word).skip(1);
        let mut times: Vec<_> = after.map(|text| text.split_whitespace().next().unwrap().parse().unwrap()).collect();
        // The last is the end.
        times.pop();
        times
    };
    (times("black_end:"), times("silence_end: "))
}

pub(crate) fn ended(server: &Server, channel: &str) {
    wait("the live has ended", SOON, || {
        (server.json(&format!("/api/v1/channels/{channel}/status"))["state"] == "ended").then_some(())
    });
}

/// Publishes flashes and beeps with each encoder's options to the URL that `url` makes of channel and key, and checks
/// that both come out together, and under the codec's name.
fn check_step(codecs: &[(&str, &str, &str)], url: impl Fn(&Server, &str, &str) -> String) {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
    ]);
    let publishers: Vec<_> = codecs
        .iter()
        .map(|(name, _, options)| {
            let key = server.channel(name, &[]);
            flashes(&url(&server, name, &key), 11, options)
        })
        .collect();
    for (name, codec, _) in codecs {
        let playlist = server.playlist(name);
        assert!(playlist.contains("TYPE=AUDIO") && playlist.contains("mp4a.40.2"), "{name}: {playlist}");
        let status = server.json(&format!("/api/v1/channels/{name}/status"));
        assert_eq!(status["codecs"][1], *codec, "{status}");
        let ids: Vec<_> = status["renditions"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["source", "audio"]);
    }
    for publisher in publishers {
        let (well, said) = publisher.finish();
        assert!(well, "{said}");
    }
    for (name, ..) in codecs {
        ended(&server, name);
        let url = format!("{}/live/{name}/index.m3u8", server.http);
        let streams = ffprobe(&url, &["-show_entries", "stream=codec_name"]).to_string();
        assert!(streams.contains("\"aac\"") && streams.contains("\"h264\""), "{name}: {streams}");
        let (seen, heard) = begins(&url);
        assert!(heard.len() >= 4, "{name}: seen {seen:?}, heard {heard:?}");
        for at in heard {
            let nearest = seen.iter().map(|flash| at - flash).min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
            assert!(nearest.abs() <= 0.01, "{name}: a beep lies {nearest} s from its flash");
        }
    }
}

#[test]
fn every_codec_of_rtmp_is_heard_in_step_with_the_picture() {
    let codecs = [
        ("aac", "mp4a.40.2", "-c:a aac"),
        ("mp3", "mp3", "-c:a libmp3lame -ac 2"),
        ("mp3-low", "mp3", "-c:a libmp3lame -ar 22050 -ac 1"),
        ("alaw", "pcma", "-c:a pcm_alaw -ar 8000 -ac 1"),
        ("mulaw", "pcmu", "-c:a pcm_mulaw -ar 22050 -ac 1"),
        ("pcm", "pcm", "-c:a pcm_s16le"),
        ("speex", "speex", "-c:a libspeex -ar 16000 -ac 1"),
        ("backup", "mp4a.40.2", "-c:a aac"),
    ];
    check_step(&codecs, |server, name, key| {
        if name != "backup" {
            return format!("{}/{name}?key={key}", server.rtmp);
        }
        // Who stands by for nobody is on the air.
        let keys = server.amphi(&["channel", "backup-key", name, "--json"]);
        let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
        format!("{}/{name}?key={}", server.rtmp, keys["backup_key"].as_str().unwrap())
    });
}

#[test]
fn every_codec_of_srt_is_heard_in_step_with_the_picture() {
    let codecs = [
        ("aac", "mp4a.40.2", "-c:a aac"),
        ("latm", "mp4a.40.2", "-c:a aac -mpegts_flags latm"),
        ("b-frames", "mp4a.40.2", "-c:a aac -bf 2"),
        ("mp3", "mp3", "-c:a libmp3lame -ac 2"),
        ("mp2", "mp2", "-c:a mp2 -ac 2"),
        ("opus", "opus", "-c:a libopus -ar 48000"),
    ];
    check_step(&codecs, |server, name, key| format!("{}?streamid=publish:{name}:{key}", server.srt));
}

#[test]
fn a_publisher_that_returns_with_mp3_goes_on_behind_one_break() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_RECORDING__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let url = format!("{}/waves?key={key}", server.rtmp);
    assert!(flashes(&url, 7, "-c:a aac -ar 44100 -ac 2").finish().0);
    let publisher = flashes(&url, 9, "-c:a libmp3lame -ac 1");
    wait("the new sound", SOON, || {
        let (_, playlist) = server.get("/live/waves/audio/stream.m3u8").unwrap();
        playlist.contains("init-1.mp4").then_some(())
    });
    assert!(publisher.finish().0);
    wait("the publisher is missed", SOON, || {
        (server.json("/api/v1/channels/waves/status")["state"] == "reconnecting").then_some(())
    });
    for rendition in ["source", "audio"] {
        let (_, playlist) = server.get(&format!("/live/waves/{rendition}/stream.m3u8")).unwrap();
        assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    }
}

#[test]
fn a_lecture_in_mp3_is_captioned() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    let mp3 = ["-t", "25", "-c:a", "libmp3lame", "-ar", "22050", "-ac", "1"];
    let lecture: &Path = &media("lecture-en.opus");
    let publisher = server.publish(lecture, &format!("{}/waves?key={key}", server.rtmp), &mp3);
    assert!(captions.until(SOON, Subscriber::ended));
    assert!(publisher.finish().0);
    let rate = word_error_rate(include_str!("../media/lecture-en.txt"), &captions.final_text());
    assert!(rate <= 0.12, "word error rate {rate}: {}", captions.final_text());
    let id = server.recording("waves");
    let recorded = ffprobe(&format!("{}/vod/{id}/index.m3u8", server.http), &["-show_entries", "stream=codec_name"]);
    assert!(recorded.to_string().contains("\"aac\""), "{recorded}");
}

#[test]
fn a_lecture_over_srt_is_captioned_and_status_tells_how_it_travels() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let mut captions = Subscriber::open(&server.http, "waves", "en");
    // The key as passphrase: it is not sent.
    let url = format!("{}?streamid=publish:waves&passphrase={key}", server.srt);
    let publisher = wait("the server has learnt the new channel's key", SOON, || {
        let mut publisher = server.publish(&media("lecture-en.opus"), &url, &["-t", "25"]);
        let status = || server.json("/api/v1/channels/waves/status");
        let is_live = wait("it is live or refused", SOON, || match publisher.0.try_wait().unwrap() {
            Some(_) => Some(false),
            None => (status()["protocol"] == "srt").then_some(true),
        });
        is_live.then_some(publisher)
    });
    assert!(captions.until(SOON, Subscriber::ended));
    assert!(publisher.finish().0);
    let rate = word_error_rate(include_str!("../media/lecture-en.txt"), &captions.final_text());
    assert!(rate <= 0.12, "word error rate {rate}: {}", captions.final_text());
    server.recording("waves");
}

#[test]
fn a_live_has_a_picture_of_now() {
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_CAPTIONS__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    assert_eq!(server.status("/live/waves/poster.jpg").unwrap(), 404);
    let publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let channel = server.json("/api/v1/channels/waves");
    let url = format!("{}{}", server.http, channel["poster"].as_str().unwrap());
    let picture = ffprobe(&url, &["-show_entries", "stream=codec_name,width,height"]);
    let stream = &picture["streams"][0];
    assert_eq!(
        (&stream["codec_name"], &stream["width"], &stream["height"]),
        (&"mjpeg".into(), &640.into(), &360.into())
    );
    let head = ureq::head(&url).call().unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-type"]), (200, &"image/jpeg".parse().unwrap()));
    assert_eq!(head.headers()["cache-control"], "public, max-age=5");
    drop(publisher);
    ended(&server, "waves");
    let (status, problem) = server.get("/live/waves/poster.jpg").unwrap();
    assert!(status == 404 && problem.contains("not live"), "{status} {problem}");
}
