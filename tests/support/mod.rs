//! A whole server as its own process, and the real programs that talk to it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part; tests may panic")]

use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A hang guard for conditions that take seconds.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until `condition` gives something; panics with `what` after `limit`.
pub fn wait<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    let (_keep, pause) = mpsc::channel::<()>();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        // Gives the processor away between looks at the condition.
        let _ = pause.recv_timeout(Duration::from_millis(50));
    }
}

/// A server's configuration file, beside its data directory.
const CONFIGURATION: &str = "amphi.toml";

/// A running `amphi serve`.
pub struct Server {
    child: Child,
    /// Where it keeps its things.
    pub data: PathBuf,
    /// `http://127.0.0.1:PORT`.
    pub http: String,
    /// `rtmp://127.0.0.1:PORT/live`.
    pub rtmp: String,
    /// Where WebRTC's datagrams go.
    pub webrtc: SocketAddr,
    /// `srt://127.0.0.1:PORT`.
    pub srt: String,
    /// `rtsp://127.0.0.1:PORT`.
    pub rtsp: String,
    environment: Vec<(String, String)>,
    _home: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts one on free ports with a data directory of its own.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let mut server = Self::start_in(&data, environment);
        server._home = Some(home);
        server
    }

    /// Starts one with a configuration file.
    pub fn configured(toml: &str, environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(CONFIGURATION), toml).unwrap();
        let mut server = Self::start_in(&home.path().join("data"), environment);
        server._home = Some(home);
        server
    }

    /// Starts one on an existing data directory, configured by the file beside it, if there is one.
    pub fn start_in(data: &Path, environment: &[(&str, &str)]) -> Self {
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (child, [http, rtmp, webrtc, srt, rtsp]) = spawn(data, &environment);
        let webrtc = webrtc.parse().unwrap();
        let server = Self { child, data: data.to_owned(), http, rtmp, webrtc, srt, rtsp, environment, _home: None };
        wait("the server is ready", SOON, || server.status("/readyz").is_ok_and(|code| code == 200).then_some(()));
        server
    }

    /// `kill -9`, then a new start on the same data.
    pub fn crash_and_restart(&mut self) {
        self.kill();
        self.restart(&[]);
    }

    /// A new start on the same data after [`Server::kill`], HTTP and WebRTC on the same ports.
    pub fn restart_in_place(&mut self) {
        let http = self.http.trim_start_matches("http://").to_owned();
        let webrtc = self.webrtc.to_string();
        self.restart(&[("AMPHI_HTTP__LISTEN", &http), ("AMPHI_WEBRTC__LISTEN", &webrtc)]);
    }

    fn restart(&mut self, settings: &[(&str, &str)]) {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(settings).collect();
        let (child, [http, rtmp, webrtc, srt, rtsp]) = spawn(&self.data, &environment);
        (self.child, self.http, self.rtmp, self.srt, self.rtsp) = (child, http, rtmp, srt, rtsp);
        self.webrtc = webrtc.parse().unwrap();
        wait("the server is ready again", SOON, || self.status("/readyz").is_ok_and(|code| code == 200).then_some(()));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        wait("the server has stopped", SOON, || self.child.try_wait().unwrap()).code()
    }

    /// How it ended, if it has; -1 for a signal.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it holds, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// `amphi ARGS…` on the same data directory; its standard output.
    pub fn amphi(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_amphi"))
            .args(args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("AMPHI_DATA_DIR", &self.data)
            .output()
            .unwrap();
        assert!(output.status.success(), "amphi {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a channel and returns its stream key.
    pub fn channel(&self, name: &str, options: &[&str]) -> String {
        let mut args = vec!["channel", "add", name, "--json"];
        args.extend(options);
        let channel: Value = serde_json::from_str(&self.amphi(&args)).unwrap();
        channel["stream_key"].as_str().unwrap().to_owned()
    }

    /// GET; status and body.
    pub fn get(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        get(&format!("{}{path}", self.http))
    }

    /// GET; status alone.
    pub fn status(&self, path: &str) -> Result<u16, ureq::Error> {
        self.get(path).map(|(status, _)| status)
    }

    /// GET of a JSON document.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until a channel's multivariant playlist is there, and returns it.
    pub fn playlist(&self, channel: &str) -> String {
        let path = format!("/live/{channel}/index.m3u8");
        wait("the multivariant playlist", SOON, || {
            self.get(&path).ok().filter(|(status, _)| *status == 200).map(|(_, body)| body)
        })
    }

    /// Waits until a channel's recording is ready, and returns its id.
    pub fn recording(&self, channel: &str) -> String {
        wait("the recording is ready", SOON, || {
            let list = self.json("/api/v1/recordings");
            let item = list["items"].as_array()?.iter().find(|item| item["channel"] == channel)?;
            (item["state"] == "ready").then(|| item["id"].as_str().unwrap().to_owned())
        })
    }

    /// Publishes in real time with ffmpeg: a moving test picture with the file's sound. The picture is encoded as it is
    /// sent where `options` say more than how long and of the sound, and else as it was encoded once, which costs a
    /// quarter.
    pub fn publish(&self, audio: &Path, url: &str, options: &[&str]) -> Publisher {
        let as_it_was = options.iter().step_by(2).all(|option| ["-t", "-c:a", "-ar", "-ac", "-b:a"].contains(option));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning"]);
        if as_it_was {
            command.args(["-stream_loop", "-1", "-re", "-i"]).arg(picture());
        } else {
            command.arg("-re").args(PICTURE);
        }
        command.args(["-re", "-i"]).arg(audio).args(["-map", "0:v", "-map", "1:a", "-shortest"]);
        command.args(if as_it_was { &["-c:v", "copy"] } else { ENCODED });
        command.args(["-c:a", "aac", "-ar", "48000", "-b:a", "96k"]);
        command.args(options).args(["-f", if url.starts_with("srt:") { "mpegts" } else { "flv" }, url]);
        Publisher(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

/// What ffmpeg draws, and how it encodes it for a live.
const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"];
const ENCODED: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-g",
    "60",
    "-b:v",
    "1500k",
    "-pix_fmt",
    "yuv420p",
];

/// A minute of it, encoded by the first test that asks; others wait for it.
fn picture() -> PathBuf {
    let encode = [&["-v", "error"], &PICTURE[..], &["-t", "60"], ENCODED].concat();
    let mut made_as = DefaultHasher::new();
    encode.hash(&mut made_as);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("picture-{:x}.mp4", made_as.finish()));
    let alone = File::create(folder.join("picture.lock")).unwrap();
    alone.lock().unwrap();
    if !file.is_file() {
        // What an interrupted run leaves has another name.
        let new = folder.join("picture-new.mp4");
        assert!(Command::new("ffmpeg").args(encode).arg("-y").arg(&new).status().unwrap().success());
        std::fs::rename(&new, &file).unwrap();
    }
    file
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &Path, environment: &[(String, String)]) -> (Child, [String; 5]) {
    let configuration = Some(data.with_file_name(CONFIGURATION)).filter(|file| file.is_file());
    let configuration = configuration.map(|file| format!("--config={}", file.display()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_amphi"))
        .arg("serve")
        .args(configuration)
        .env("AMPHI_DATA_DIR", data)
        .env("AMPHI_HTTP__LISTEN", "127.0.0.1:0")
        .env("AMPHI_RTMP__LISTEN", "127.0.0.1:0")
        .env("AMPHI_WEBRTC__LISTEN", "127.0.0.1:0")
        .env("AMPHI_SRT__LISTEN", "127.0.0.1:0")
        .env("AMPHI_RTSP__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, receive) = mpsc::channel();
    let output = child.stdout.take().unwrap();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                // The test no longer listens; the pipe must stay empty all the same.
                continue;
            }
        }
    });
    let mut addresses = ["http", "rtmp", "webrtc", "srt", "rtsp"].map(|name| (name, None));
    while addresses.iter().any(|(_, url)| url.is_none()) {
        let line = receive.recv_timeout(SOON).expect("the server prints its addresses");
        let mut words = line.split_whitespace();
        let (Some(name), Some(url)) = (words.next(), words.next()) else { continue };
        if let Some((_, address)) = addresses.iter_mut().find(|(known, _)| *known == name) {
            let url = url.split_once('?').map_or(url, |(address, _)| address);
            *address = Some(url.trim_end_matches("/live/NAME").trim_end_matches('/').to_owned());
        }
    }
    (child, addresses.map(|(_, url)| url.unwrap()))
}

/// A running ffmpeg that publishes. Dropping it cuts the connection.
pub struct Publisher(pub Child);

impl Publisher {
    /// Waits until it ends by itself; whether it went well, and what it said.
    pub fn finish(mut self) -> (bool, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().success(), said)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// GET; status and body, whatever the status.
pub fn get(url: &str) -> Result<(u16, String), ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut response = agent.get(url).call()?;
    let status = response.status().as_u16();
    Ok((status, response.body_mut().read_to_string()?))
}

/// A file of the test media.
pub fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

/// What ffprobe says of a file or URL, as JSON.
pub fn ffprobe(target: &str, args: &[&str]) -> Value {
    let output = Command::new("ffprobe").args(["-v", "error", "-of", "json"]).args(args).arg(target).output().unwrap();
    assert!(output.status.success(), "ffprobe {target}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
