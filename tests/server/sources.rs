//! Channels that the server fetches from a source.

use std::{
    io::Write,
    net::UdpSocket,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Publisher, SOON, Server, media, wait};

/// A server that may fetch from this machine, with a channel `hall`, and a port for what it fetches.
pub fn hall() -> (Server, u16) {
    let server = Server::start(&[
        ("AMPHI_PULL__PRIVATE", "true"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_CAPTIONS__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
    ]);
    server.channel("hall", &[]);
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (server, port)
}

/// ffmpeg, which waits for one caller and sends it a test picture with the lecture, encrypted.
fn listener(port: u16) -> Publisher {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-re", "-i"]);
    command.arg(media("lecture-en.opus")).args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]);
    command.args(["-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts"]);
    command.arg(format!("srt://127.0.0.1:{port}?mode=listener&passphrase=0123456789"));
    Publisher(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

fn status(server: &Server) -> Value {
    server.json("/api/v1/channels/hall/status")
}

#[test]
fn an_srt_source_is_fetched_while_it_is_set_and_its_key_is_never_shown() {
    let (server, port) = hall();
    let _source = listener(port);
    let url = format!("srt://127.0.0.1:{port}?passphrase=0123456789");
    let changed = server.amphi(&["channel", "change", "hall", "--source", &url, "--json"]);
    assert!(changed.contains(&format!("srt://127.0.0.1:{port}/…")) && !changed.contains("0123456789"), "{changed}");
    server.playlist("hall");
    let live = status(&server);
    assert_eq!((&live["state"], &live["protocol"]), (&"live".into(), &"srt".into()), "{live}");
    assert!(!server.get("/api/v1/channels/hall").unwrap().1.contains("0123456789"));
    server.amphi(&["channel", "change", "hall", "--source", ""]);
    wait("the live has ended", SOON, || (status(&server)["state"] == "ended").then_some(()));
}

#[test]
fn a_source_is_read_from_standard_input_so_that_no_process_title_shows_its_password() {
    let server = Server::start(&[]);
    server.channel("hall", &[]);
    for (command, name) in [("change", "hall"), ("add", "yard")] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_amphi"))
            .args(["channel", command, name, "--source", "-", "--json"])
            .env("AMPHI_DATA_DIR", &server.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"rtsp://me:s3cret@cam.example.org/1\n").unwrap();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && !said.contains("s3cret"), "{said}");
        let channel = server.json(&format!("/api/v1/channels/{name}"));
        assert_eq!(channel["source"], "rtsp://cam.example.org/…");
    }
}

#[test]
fn a_source_at_a_private_address_is_refused_unless_the_operator_allows_it() {
    let server = Server::start(&[]);
    server.channel("hall", &[]);
    for source in ["srt://127.0.0.1:9000", "rtsp://192.168.1.7/1", "rtsp://[::ffff:10.0.0.1]/1", "file:///etc/passwd"] {
        let done = Command::new(env!("CARGO_BIN_EXE_amphi"))
            .args(["channel", "change", "hall", "--source", source])
            .env("AMPHI_DATA_DIR", &server.data)
            .output()
            .unwrap();
        assert!(!done.status.success(), "{source}");
    }
    assert_eq!(server.json("/api/v1/channels/hall")["source"], Value::Null);
}
