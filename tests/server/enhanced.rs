//! Enhanced RTMP: other codecs and further sounds, through every exit.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    browser::Browser,
    ertmp, film,
    sound::{begins, ended},
    strict,
    support::{SOON, Server, ffprobe, get, wait},
};

/// A flash and a beep together, 200 ms of every two seconds, and a hundredth of the picture that always moves.
const FLASHES: &str = "-f lavfi -i color=black:s=640x360:r=25,drawbox=t=fill:color=white:enable='lt(mod(t\\,2)\\,0.2)'[b];\
                       testsrc2=s=64x36:r=25[t];[b][t]overlay \
                       -f lavfi -i aevalsrc='sin(2*PI*1000*t)*lt(mod(t\\,2)\\,0.2)':s=48000 -pix_fmt yuv420p -g 50 -c:a aac";
const HEVC: &str = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=error:keyint=50:bframes=3";
const AV1: &str = "-c:v libaom-av1 -usage realtime -cpu-used 8 -keyint_min 50";

/// The hash of every picture, as ffmpeg decodes them.
fn pictures(input: &str) -> Vec<String> {
    let arguments = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i", input]).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let hash = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(hash).collect()
}

/// Times a second that the sound of an input goes through zero upwards, in seconds of it: the pitch of a sine.
fn pitch(input: &str, from: &str, to: &str) -> f64 {
    let arguments = ["-ss", from, "-to", to, "-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"];
    let output =
        Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-i", input]).args(arguments).output().unwrap();
    let samples: Vec<_> = output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    rises as f64 * 48_000.0 / samples.len() as f64
}

#[test]
fn hevc_and_av1_pass_through_exactly_beside_rungs_that_anything_plays() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__RUNGS", "240"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let lives = [("hevc", HEVC, "hvc1.1.6.L63.90"), ("av1", AV1, "av01.0.01M.08")].map(|(name, encoder, codec)| {
        let film = film::encode(&format!("{FLASHES} -t 9 {encoder}"));
        let file = folder.path().join(name);
        fs::write(&file, &film.file).unwrap();
        let [picture, sound] = &film.strips[..] else { panic!("two tracks") };
        (name, codec, file, [ertmp::pictures(picture), ertmp::sound(sound)].concat())
    });
    for (name, codec, file, tags) in lives {
        let key = server.channel(name, &[]);
        let publisher = ertmp::publish(&server.rtmp, format!("{name}?key={key}"), tags);
        let playlist = server.playlist(name);
        for part in
            [&format!("CODECS=\"{codec},mp4a.40.2\",RESOLUTION=640x360"), "CODECS=\"avc1.", "RESOLUTION=426x240"]
        {
            assert!(playlist.contains(part), "{part} is not in\n{playlist}");
        }
        assert!(playlist.find(codec) < playlist.find("avc1."), "the source comes first:\n{playlist}");
        assert_eq!(server.json(&format!("/api/v1/channels/{name}/status"))["codecs"][0], codec);
        let poster = format!("{}/live/{name}/poster.jpg", server.http);
        let picture = ffprobe(&poster, &["-show_entries", "stream=codec_name,width,height"]);
        assert_eq!(picture["streams"][0]["codec_name"], "mjpeg", "{picture}");
        publisher.join().unwrap().unwrap();
        ended(&server, name);
        check_exits(&server, name, &file);
    }
}

fn check_exits(server: &Server, name: &str, file: &Path) {
    let sent = pictures(file.to_str().unwrap());
    assert_eq!(sent.len(), 225);
    let base = format!("{}/live/{name}", server.http);
    assert!(pictures(&format!("{base}/source/stream.m3u8")) == sent, "{name}: other pictures come out");
    let rung = pictures(&format!("{base}/240p/stream.m3u8")).len();
    assert!((sent.len() - 5..=sent.len()).contains(&rung), "{name}: {rung} of {} pictures in a rung", sent.len());
    check_step(&format!("{base}/index.m3u8"));
    let id = server.recording(name);
    let recorded = format!("{}/vod/{id}/source/stream.m3u8", server.http);
    assert!(pictures(&recorded) == sent, "{name}: other pictures are recorded");
}

/// Every beep lies at its flash.
fn check_step(url: &str) {
    let (seen, heard) = begins(url);
    assert!(heard.len() >= 4, "{url}: seen {seen:?}, heard {heard:?}");
    for at in heard {
        let nearest = seen.iter().map(|flash| at - flash).min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        assert!(nearest.abs() <= 0.01, "{url}: a beep lies {nearest} s from its flash");
    }
}

#[test]
fn opus_is_heard_in_step_with_the_picture() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let encoders = "-c:v libx264 -preset ultrafast -tune zerolatency -c:a libopus";
    let film = film::encode(&format!("{} -t 11 {encoders}", FLASHES.replace("-c:a aac", "")));
    let [picture, sound] = &film.strips[..] else { panic!("two tracks") };
    let key = server.channel("hall", &[]);
    let tags = [ertmp::pictures(picture), ertmp::named_sound(sound)].concat();
    let publisher = ertmp::publish(&server.rtmp, format!("hall?key={key}"), tags);
    assert!(server.playlist("hall").contains("mp4a.40.2"));
    let codecs = &server.json("/api/v1/channels/hall/status")["codecs"];
    assert_eq!(codecs[1], "opus", "{codecs}");
    publisher.join().unwrap().unwrap();
    ended(&server, "hall");
    check_step(&format!("{}/live/hall/index.m3u8", server.http));
}

#[test]
fn further_sounds_are_renditions_in_lock_step_with_names_and_languages() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let sines: Vec<_> =
        [440, 880, 1320, 1760].map(|pitch| format!("-f lavfi -i sine=frequency={pitch}:sample_rate=48000")).into();
    let maps =
        "-map 0 -map 1 -map 2 -map 3 -map 4 -t 14 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 50 -c:a aac";
    let mut film = film::encode(&format!("-f lavfi -i testsrc2=s=320x180:r=25 {} {maps}", sines.join(" ")));
    let [picture, first, second, third, fourth] = &mut film.strips[..] else { panic!("five tracks") };
    second.units.retain(|unit| unit.dts < 6.0);
    // One track in tags of its own, two that share theirs.
    let tags = [
        vec![(18, 0, metadata())],
        ertmp::pictures(picture),
        ertmp::sound(first),
        ertmp::sounds(&[(1, second)], false),
        ertmp::sounds(&[(2, third), (5, fourth)], true),
    ];
    let key = server.channel("hall", &[]);
    let publisher = ertmp::publish(&server.rtmp, format!("hall?key={key}"), tags.concat());
    let playlist = server.playlist("hall");
    let listed = [
        ("audio", "NAME=\"Audio\",DEFAULT=YES", 440.0),
        ("audio-2", "NAME=\"Français\",LANGUAGE=\"fr\",DEFAULT=NO", 880.0),
        ("audio-3", "NAME=\"Audio 3\",DEFAULT=NO", 1320.0),
        ("audio-6", "NAME=\"Audio 4\",LANGUAGE=\"en\",DEFAULT=NO", 1760.0),
    ];
    for (rendition, attributes, _) in listed {
        let line = playlist.lines().find(|line| line.contains(&format!("/{rendition}/stream.m3u8"))).unwrap();
        assert!(
            line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\"") && line.contains(attributes),
            "{playlist}"
        );
    }
    let stops = |rendition: &str| (rendition == "audio-2").then_some(440.0);
    let report = strict::watch(&server.http, "hall", Duration::from_secs(10));
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert_eq!(report.renditions, 5);
    publisher.join().unwrap().unwrap();
    ended(&server, "hall");
    let vod = format!("{}/vod/{}", server.http, server.recording("hall"));
    for base in [format!("{}/live/hall", server.http), vod.clone()] {
        let streams = ffprobe(&format!("{base}/index.m3u8"), &["-show_entries", "stream=codec_type:stream_tags"]);
        let count =
            streams["streams"].as_array().unwrap().iter().filter(|stream| stream["codec_type"] == "audio").count();
        assert_eq!(count, 4, "{streams}");
        for (rendition, _, expected) in listed {
            // One stops, and the first one is heard in its place. Behind both comes what stands in for a publisher that
            // is away.
            for (from, to, expected) in [("0", "5", expected), ("8", "13", stops(rendition).unwrap_or(expected))] {
                let heard = pitch(&format!("{base}/{rendition}/stream.m3u8"), from, to);
                assert!((heard / expected - 1.0).abs() < 0.02, "{base}/{rendition} sounds at {heard} Hz from {from} s");
            }
        }
    }
    let (_, recorded) = get(&format!("{vod}/index.m3u8")).unwrap();
    assert!(recorded.contains("NAME=\"Français\"") && recorded.contains("LANGUAGE=\"fr\""), "{recorded}");
}

#[test]
fn a_further_sound_in_opus_is_a_rendition_like_the_others() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let publisher = two_sounds(&server, "-t 14 -c:a:0 aac -c:a:1 libopus");
    let playlist = server.playlist("hall");
    let line = playlist.lines().find(|line| line.contains("/audio-2/stream.m3u8")).unwrap();
    assert!(line.contains("NAME=\"Français\",LANGUAGE=\"fr\",DEFAULT=NO"), "{playlist}");
    let report = strict::watch(&server.http, "hall", Duration::from_secs(8));
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert_eq!(report.renditions, 3);
    publisher.join().unwrap().unwrap();
    ended(&server, "hall");
    let vod = format!("{}/vod/{}", server.http, server.recording("hall"));
    for base in [format!("{}/live/hall", server.http), vod] {
        for (rendition, expected) in [("audio", 440.0), ("audio-2", 880.0)] {
            let heard = pitch(&format!("{base}/{rendition}/stream.m3u8"), "2", "10");
            assert!((heard / expected - 1.0).abs() < 0.02, "{base}/{rendition} sounds at {heard} Hz");
        }
    }
}

#[test]
fn a_viewer_chooses_what_is_heard() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let publisher = two_sounds(&server, "-t 40 -c:a aac");
    let hears = |page: &str, options: &[&str], expected: f64| {
        let mut browser = Browser::open(&format!("{}{page}", server.http), 40, &[&["--pitch"], options].concat());
        let near = |heard: f64| (heard / expected - 1.0).abs() < 0.02;
        browser.until("the sound that was chosen", |row| row["pitch"].as_f64().is_some_and(near));
    };
    hears("/watch/hall", &[], 440.0);
    hears("/watch/hall", &["--choose", "Sound/Français"], 880.0);
    publisher.join().unwrap().unwrap();
    ended(&server, "hall");
    hears(&format!("/v/{}", server.recording("hall")), &["--choose", "Sound/Français"], 880.0);
}

/// Publishes a live at 440 Hz, with a further sound at 880 Hz, and waits until both can be heard.
fn two_sounds(server: &Server, options: &str) -> ertmp::Publishing {
    let sines = [440, 880].map(|pitch| format!("-f lavfi -i sine=frequency={pitch}:sample_rate=48000")).join(" ");
    let maps = "-map 0 -map 1 -map 2 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 50 -bf 0";
    let film = film::encode(&format!("-f lavfi -i testsrc2=s=320x180:r=25 {sines} {maps} {options}"));
    let [picture, first, second] = &film.strips[..] else { panic!("three tracks") };
    let tags = [
        vec![(18, 0, metadata())],
        ertmp::pictures(picture),
        ertmp::sound(first),
        ertmp::sounds(&[(1, second)], false),
    ];
    let key = server.channel("hall", &[]);
    let publisher = ertmp::publish(&server.rtmp, format!("hall?key={key}"), tags.concat());
    wait("the further sound", SOON, || server.playlist("hall").contains("/audio-2/stream.m3u8").then_some(()));
    publisher
}

/// `onMetaData` with what encoders say of their tracks.
fn metadata() -> Vec<u8> {
    use amphi::ingest::rtmp::amf::Value;
    let track = |members: &[(&str, &str)]| {
        Value::Object(members.iter().map(|(name, text)| ((*name).to_owned(), Value::string(text))).collect())
    };
    let tracks = [
        ("1", track(&[("language", "fr"), ("title", "Français")])),
        ("2", track(&[("language", "und")])),
        ("5", track(&[("language", "en")])),
    ];
    let mut bytes = Vec::new();
    Value::string("@setDataFrame").write(&mut bytes);
    Value::string("onMetaData").write(&mut bytes);
    Value::object([("audioTrackIdInfoMap", Value::object(tracks))]).write(&mut bytes);
    bytes
}

#[test]
fn a_browser_plays_av1_as_it_was_sent() {
    let server = Server::start(&[
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let film = film::encode(&format!("{FLASHES} -t 30 {AV1}"));
    let tags = [ertmp::pictures(&film.strips[0]), ertmp::sound(&film.strips[1])].concat();
    let key = server.channel("hall", &[]);
    let publisher = ertmp::publish(&server.rtmp, format!("hall?key={key}"), tags);
    server.playlist("hall");
    let mut browser = Browser::open(&format!("{}/watch/hall", server.http), 40, &[]);
    let begun = browser.until("the source's picture", |row| row["height"] == 360 && row["state"] == "live");
    let time = begun["time"].as_f64().unwrap();
    browser.until("a picture that moves on", |row| row["time"].as_f64().is_some_and(|now| now > time + 3.0));
    drop(browser);
    publisher.join().unwrap().unwrap();
}

#[test]
fn hevc_over_srt_plays_in_step() {
    let server = Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_RECORDING__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ]);
    let key = server.channel("hall", &[]);
    let mut publisher = Command::new("ffmpeg");
    publisher.args(["-nostdin", "-v", "error"]);
    publisher.args(FLASHES.replace("-f lavfi", "-re -f lavfi").split_whitespace()).args(HEVC.split_whitespace());
    publisher.args(["-t", "11", "-f", "mpegts", &format!("{}?streamid=publish:hall:{key}", server.srt)]);
    let publisher = publisher.stdin(Stdio::null()).spawn().unwrap();
    let playlist = server.playlist("hall");
    assert!(playlist.contains("CODECS=\"hvc1.1.6.L63.90,mp4a.40.2\",RESOLUTION=640x360"), "{playlist}");
    let status = server.json("/api/v1/channels/hall/status");
    assert_eq!((&status["protocol"], &status["codecs"][0]), (&"srt".into(), &"hvc1.1.6.L63.90".into()), "{status}");
    assert!(publisher.wait_with_output().unwrap().status.success());
    ended(&server, "hall");
    check_step(&format!("{}/live/hall/index.m3u8", server.http));
}
