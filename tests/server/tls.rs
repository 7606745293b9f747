//! RTMPS and HTTPS, with certificates that openssl makes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    browser::Browser,
    sound::{begins, ended, flashes},
    support::{Publisher, SOON, Server, media, wait},
    whip::offsets_in,
};

/// A certificate for `localhost` that certifies itself, under this name.
fn certify(folder: &Path, name: &str) {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
         -addext subjectAltName=DNS:localhost -keyout key.pem -out chain.pem"
    );
    let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Free ports, since those that the server picks are not printed in time for what needs them.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Who a port says it is.
fn subject(address: &str) -> String {
    let shown = Command::new("openssl").args(["s_client", "-connect", address]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("subject=")).unwrap_or_default().trim().to_owned()
}

const WITHOUT_CAPTIONS: &[(&str, &str)] = &[("AMPHI_CAPTIONS__ENABLED", "false")];

struct House {
    server: Server,
    folder: tempfile::TempDir,
    https: String,
    rtmps: String,
}

fn open(environment: &[(&str, &str)]) -> House {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "first");
    let file = |name| folder.path().join(name).to_string_lossy().into_owned();
    let (https, rtmps, certificate, key) = (address(), address(), file("chain.pem"), file("key.pem"));
    let usual = [
        ("AMPHI_RECORDING__ENABLED", "false"),
        ("AMPHI_LADDER__ENABLED", "false"),
        ("AMPHI_RECONNECT_GRACE", "1s"),
        ("AMPHI_HTTP__TLS_LISTEN", &https),
        ("AMPHI_RTMP__TLS_LISTEN", &rtmps),
        ("AMPHI_TLS__CERTIFICATE", &certificate),
        ("AMPHI_TLS__KEY", &key),
    ];
    let server = Server::start(&[&usual, environment].concat());
    House { server, folder, https, rtmps }
}

/// What curl says after it has fetched something: `code version size`.
fn curl(house: &House, options: &[&str], path: &str) -> String {
    let (_, port) = house.https.split_once(':').unwrap();
    let chain = house.folder.path().join("chain.pem");
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{size_download}"]);
    command.args(["--connect-to", &format!("localhost:{port}:127.0.0.1:{port}"), "--cacert"]).arg(chain);
    let said = command.args(options).arg(format!("https://localhost:{port}{path}")).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn a_publisher_in_tls_is_watched_in_tls_over_one_connection() {
    let house = open(WITHOUT_CAPTIONS);
    let key = house.server.channel("hall", &[]);
    let (_, port) = house.rtmps.split_once(':').unwrap();
    let url = format!("rtmps://localhost:{port}/live/hall?key={key}");
    let chain = house.folder.path().join("chain.pem");
    let publisher = flashes(&url, 11, &format!("-c:a aac -tls_verify 1 -ca_file {}", chain.display()));
    house.server.playlist("hall");
    assert_eq!(house.server.json("/api/v1/channels/hall/status")["protocol"], "rtmps");
    let path = "/live/hall/index.m3u8";
    assert!(curl(&house, &[], path).starts_with("200 2 "), "{}", curl(&house, &[], path));
    assert!(curl(&house, &["--http1.1"], path).starts_with("200 1.1 "));
    // The hinted part of a rendition that goes on is held, and comes.
    let next = wait("a hint", SOON, || {
        let (_, playlist) = house.server.get("/live/hall/audio/stream.m3u8").ok()?;
        let hint = playlist.lines().find(|line| line.starts_with("#EXT-X-PRELOAD-HINT"))?;
        Some(hint.split('"').nth(1)?.to_owned())
    });
    assert!(curl(&house, &[], &next).starts_with("200 2 "), "{next}");
    let (well, said) = publisher.finish();
    assert!(well, "{said}");
    ended(&house.server, "hall");
    let offsets = offsets_in(begins(&format!("{}{path}", house.server.http)));
    assert!(offsets.iter().all(|offset| *offset <= 0.01), "beeps lie {offsets:?} s from their flashes");
}

/// GStreamer's encoder, which insists on what `checks` lists.
fn gstreamer(house: &House, key: &str, checks: &str) -> Command {
    let (_, port) = house.rtmps.split_once(':').unwrap();
    let pipeline = format!(
        "flvmux name=mux streamable=true ! rtmp2sink location=rtmps://localhost:{port}/live/hall?key={key} \
         tls-validation-flags={checks} videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 ! h264parse ! mux. audiotestsrc is-live=true ! \
         audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! mux."
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace()).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn gstreamer_publishes_in_tls_to_a_certificate_it_trusts() {
    let house = open(WITHOUT_CAPTIONS);
    let key = house.server.channel("hall", &[]);
    // Whose certificate it is, who certified it and until when.
    let all = "unknown-ca+bad-identity+not-activated+expired+revoked+insecure+generic-error";
    let turned_away = gstreamer(&house, &key, all).output().unwrap();
    assert!(!turned_away.status.success(), "nobody it knows has certified this one");
    let publisher = Publisher(gstreamer(&house, &key, all.strip_prefix("unknown-ca+").unwrap()).spawn().unwrap());
    house.server.playlist("hall");
    let status = house.server.json("/api/v1/channels/hall/status");
    assert_eq!((&status["state"], &status["protocol"]), (&"live".into(), &"rtmps".into()), "{status}");
    drop(publisher);
}

#[test]
fn a_page_in_tls_plays_and_has_its_captions_from_a_websocket() {
    let house = open(&[]);
    let key = house.server.channel("hall", &[]);
    let url = format!("rtmps://{}/live/hall?key={key}", house.rtmps);
    let publisher = house.server.publish(&media("lecture-en.opus"), &url, &["-t", "40"]);
    house.server.playlist("hall");
    let mut browser = Browser::open(&format!("https://{}/watch/hall", house.https), 60, &["--any-certificate"]);
    browser.until("captions over a moving picture", |row| {
        let shown = row["captions"].as_str().is_some_and(|words| !words.is_empty());
        row["state"] == "live" && row["source"] == "websocket" && shown && row["time"].as_f64() > Some(3.0)
    });
    drop((browser, publisher));
}

#[test]
fn a_certificate_that_is_renewed_is_shown_without_a_restart() {
    let house = open(WITHOUT_CAPTIONS);
    for address in [&house.https, &house.rtmps] {
        assert!(subject(address).ends_with("first"), "{}", subject(address));
    }
    // A key that does not fit is no reason to stop.
    let chain = house.folder.path().join("chain.pem");
    let before = std::fs::read(&chain).unwrap();
    certify(house.folder.path(), "second");
    let renewed = std::fs::read(&chain).unwrap();
    std::fs::write(&chain, [&before[..], b"\n"].concat()).unwrap();
    assert!(subject(&house.https).ends_with("first"));
    std::fs::write(&chain, renewed).unwrap();
    for address in [&house.https, &house.rtmps] {
        wait("the new certificate", SOON, || subject(address).ends_with("second").then_some(()));
    }
}

#[test]
fn who_never_ends_the_handshake_is_cut_like_any_stranger() {
    let house = open(WITHOUT_CAPTIONS);
    let strangers = [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], b"\x03not tls at all"].map(|hello| {
        let mut stream = TcpStream::connect(&house.rtmps).unwrap();
        stream.write_all(hello).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    });
    for mut stream in strangers {
        let mut rest = Vec::new();
        // Cut in order, or with what is unread thrown away.
        let cut = stream.read_to_end(&mut rest);
        let waited = matches!(cut, Err(error) if error.kind() == ErrorKind::WouldBlock);
        assert!(!waited, "a silent stranger keeps its place");
    }
    assert!(subject(&house.rtmps).ends_with("first"), "others are let in");
}
