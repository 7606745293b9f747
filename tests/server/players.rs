//! What people open a live and a recording with besides browsers: mpv and VLC, headless.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Publisher, SOON, Server, media, wait};

/// So much is watched.
const WATCHED: f64 = 4.0;

fn server() -> Server {
    Server::start(&[
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
    ])
}

/// A small moving picture with the lecture, and the playlist that it is listed in.
fn publish(server: &Server, channel: &str, seconds: u32) -> Publisher {
    let key = server.channel(channel, &[]);
    let url = format!("{}/{channel}?key={key}", server.rtmp);
    let publisher = server.publish(
        &media("lecture-en.opus"),
        &url,
        &["-s", "320x180", "-r", "25", "-g", "50", "-b:v", "300k", "-t", &seconds.to_string()],
    );
    server.playlist(channel);
    publisher
}

/// A live that has been recorded.
fn recording(server: &Server, channel: &str) -> String {
    let (well, said) = publish(server, channel, 8).finish();
    assert!(well, "{said}");
    format!("{}/vod/{}/index.m3u8", server.http, server.recording(channel))
}

/// A player with a socket that it is asked through. Dropping it ends it.
struct Player {
    child: Child,
    lines: BufReader<UnixStream>,
    home: tempfile::TempDir,
}

/// What a player notes in its home folder.
const LOG: &str = "log";

impl Player {
    /// Starts what `command` makes of its home folder and the socket's path.
    fn start(command: impl FnOnce(&Path, &Path) -> Command) -> Self {
        let home = tempfile::tempdir().unwrap();
        // It may be another user's that the player runs as.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let socket = home.path().join("socket");
        let mut command = command(home.path(), &socket);
        command.env("HOME", home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let stream = wait("the player's socket", SOON, || UnixStream::connect(&socket).ok());
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { child, lines: BufReader::new(stream), home }
    }

    fn say(&mut self, text: &str) {
        writeln!(self.lines.get_mut(), "{text}").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the player has gone");
        line
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let noted = fs::read(self.home.path().join(LOG)).unwrap_or_default();
        if std::thread::panicking() {
            let noted = String::from_utf8_lossy(&noted);
            let lines: Vec<_> = noted.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// mpv, asked in JSON.
struct Mpv(Player);

impl Mpv {
    fn open(url: &str, options: &[&str]) -> Self {
        Self(Player::start(|home, socket| {
            let mut command = Command::new("mpv");
            command.args(["--no-config", "--no-terminal", "--vo=null", "--ao=null", "--msg-level=all=v"]);
            command.arg(format!("--log-file={}", home.join(LOG).display()));
            command.arg(format!("--input-ipc-server={}", socket.display())).args(options).arg(url);
            command
        }))
    }

    /// Null while there is none.
    fn get(&mut self, property: &str) -> Value {
        self.0.say(&json!({ "command": ["get_property", property], "request_id": 7 }).to_string());
        loop {
            // Events come in between.
            let answer: Value = serde_json::from_str(&self.0.line()).unwrap();
            if answer["request_id"] == 7 {
                return answer["data"].clone();
            }
        }
    }

    /// Waits until it has played for some seconds, sound and picture in the order of time.
    fn plays(mut self, what: &str) {
        let (mut first, mut last, mut kinds) = (None, [f64::MIN; 2], String::new());
        wait(&format!("mpv playing {what}"), SOON, || {
            let now = ["time-pos", "audio-pts"].map(|property| self.get(property).as_f64());
            let [Some(picture), Some(sound)] = now else { return None };
            assert!(picture >= last[0] && sound >= last[1], "{what}: {picture} and {sound} after {last:?}");
            last = [picture, sound];
            kinds += self.get("video-frame-info")["picture-type"].as_str().unwrap_or_default();
            let begun = *first.get_or_insert(last);
            (picture - begun[0] > WATCHED && sound - begun[1] > WATCHED).then_some(())
        });
        assert!(kinds.contains('P'), "{what}: pictures {kinds}");
        let decoded = [self.get("video-dec-params"), self.get("audio-params")];
        assert_eq!((&decoded[0]["w"], &decoded[0]["h"]), (&320.into(), &180.into()), "{what}: {decoded:?}");
        assert_eq!(decoded[1]["samplerate"], 48_000, "{what}: {decoded:?}");
        let codecs = ["video-codec", "audio-codec"].map(|property| self.get(property).to_string().to_lowercase());
        assert!(codecs[0].contains("h.264") && codecs[1].contains("aac"), "{what}: {codecs:?}");
        let drops = ["frame-drop-count", "decoder-frame-drop-count", "avsync"].map(|property| self.get(property));
        println!("mpv, {what}: {:.1} s, dropped late, by the decoder, sound ahead by: {drops:?}", last[0]);
    }
}

/// VLC, asked through its remote control.
struct Vlc(Player);

/// What VLC says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Stats {
    pictures: u64,
    shown: u64,
    lost: u64,
    sounds: u64,
    played: u64,
    /// Seconds on the stream's clock.
    time: u64,
}

impl Vlc {
    fn open(url: &str) -> Self {
        Self(Player::start(|home, socket| {
            // It does not run as root.
            let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
            let mut command = Command::new(if is_root { "setpriv" } else { "vlc" });
            if is_root {
                command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "vlc"]);
            }
            command.args(["-I", "dummy", "--no-dbus", "--no-media-library", "--vout", "dummy", "--aout", "dummy"]);
            command.args(["--extraintf", "oldrc", "--rc-fake-tty", "--rc-unix"]).arg(socket).arg(url).current_dir(home);
            command
        }))
    }

    fn stats(&mut self) -> Stats {
        self.0.say("stats\nget_time");
        let mut stats = Stats::default();
        loop {
            let line = self.0.line();
            if let Ok(time) = line.trim().parse() {
                return Stats { time, ..stats };
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let Ok(value) = value.trim().parse() else { continue };
            match name.trim_start_matches(['|', ' ']).trim() {
                "video decoded" => stats.pictures = value,
                "frames displayed" => stats.shown = value,
                "frames lost" => stats.lost = value,
                "audio decoded" => stats.sounds = value,
                "buffers played" => stats.played = value,
                _ => {}
            }
        }
    }

    /// Waits until it has shown pictures and played sound for some seconds, time going on.
    fn plays(mut self, what: &str) {
        let (mut begun, mut last, mut falls) = (u64::MAX, 0, 0);
        let stats = wait(&format!("VLC playing {what}"), SOON, || {
            let stats = self.stats();
            // It sets its clock once, while it begins.
            falls += u32::from(stats.time < last);
            assert!(falls < 2, "{what}: {stats:?} after {last} s");
            last = stats.time;
            begun = begun.min(last);
            // 25 pictures and 46.9 access units a second.
            let counts = stats.shown as f64 > 25.0 * WATCHED && stats.played as f64 > 45.0 * WATCHED;
            (counts && last > begun).then_some(stats)
        });
        println!("VLC, {what}: {stats:?}");
        assert!(stats.pictures >= stats.shown && stats.sounds > 0, "{what}: {stats:?}");
    }
}

#[test]
fn mpv_plays_a_live_over_hls_and_rtsp() {
    let server = server();
    let _publisher = publish(&server, "hall", 100);
    let rtsp = format!("{}/live/hall", server.rtsp);
    Mpv::open(&format!("{}/live/hall/index.m3u8", server.http), &[]).plays("HLS");
    Mpv::open(&rtsp, &["--rtsp-transport=tcp"]).plays("RTSP over TCP");
    Mpv::open(&rtsp, &["--rtsp-transport=udp"]).plays("RTSP over UDP");
}

#[test]
fn vlc_plays_a_live_over_hls() {
    let server = server();
    let _publisher = publish(&server, "hall", 100);
    Vlc::open(&format!("{}/live/hall/index.m3u8", server.http)).plays("HLS");
}

#[test]
fn a_recording_plays_in_both() {
    let server = server();
    let url = recording(&server, "hall");
    Mpv::open(&url, &[]).plays("a recording");
    Vlc::open(&url).plays("a recording");
}
