//! What broke other servers, sent to this one beside a live that a strict reader watches: it is refused or borne, it
//! takes no memory, and the neighbour never notices.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use amphi::ingest::rtmp::{Client, ClientError};
use bytes::Bytes;

use crate::{
    crowd::raise_open_file_limit,
    ertmp::{self, Tag},
    film::{self, Strip},
    refusals::shaken,
    strict,
    support::{Publisher, SOON, Server, media, wait},
};

/// What the server may hold more of afterwards, in KiB: what its allocator keeps of what came and went.
const SPARE: u64 = 64 << 10;

/// What ffmpeg is told for an encoder that costs little and keeps its bit rate. One rung is smaller, where there are any.
const SMALL: &[&str] = &["-s", "400x300", "-b:v", "600k", "-maxrate", "600k", "-bufsize", "150k"];

/// A server with a live that is watched strictly for as long as the test takes its time.
struct Street {
    server: Server,
    key: String,
    _neighbour: Publisher,
    watching: thread::JoinHandle<strict::Report>,
}

impl Street {
    fn open(settings: &[(&str, &str)], watched: Duration) -> Self {
        let quiet = [("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_RECONNECT_GRACE", "200ms")];
        let server = Server::start(&[&quiet[..], settings].concat());
        let [neighbours, key] = ["neighbour", "target"].map(|name| server.channel(name, &[]));
        let url = format!("{}/neighbour?key={neighbours}", server.rtmp);
        let neighbour = server.publish(&media("lecture-en.opus"), &url, SMALL);
        server.playlist("neighbour");
        let http = server.http.clone();
        let watching = thread::spawn(move || strict::watch(&http, "neighbour", watched));
        Self { server, key, _neighbour: neighbour, watching }
    }

    /// Nobody was hurt, and who behaves is welcome.
    fn close(mut self, before: u64) {
        assert!(self.server.is_running(), "the server fell over it");
        let report = self.watching.join().unwrap();
        assert!(report.errors.is_empty() && !report.ended, "{}", report.errors.join("\n"));
        let after = self.server.memory();
        assert!(after < before + SPARE, "{before} KiB became {after}");
        let url = format!("{}/target?key={}", self.server.rtmp, self.key);
        let _honest = self.server.publish(&media("lecture-en.opus"), &url, SMALL);
        self.server.playlist("target");
    }
}

/// A chunk of type 0 that announces a message (RTMP 1.0 §5.3.1.2.1) on a chunk stream from 64 on.
fn announces(stream: u16, length: u32, kind: u8) -> Vec<u8> {
    let [low, high] = (stream - 64).to_le_bytes();
    let length = length.to_be_bytes();
    vec![1, low, high, 0, 0, 0, length[1], length[2], length[3], kind, 1, 0, 0, 0]
}

/// SetChunkSize (§5.4.1).
fn chunk_size(size: u32) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &size.to_be_bytes()].concat()
}

#[test]
fn rtmp_that_lies_about_its_lengths_ends_its_own_connection_alone() {
    raise_open_file_limit();
    let street = Street::open(&[("AMPHI_LADDER__ENABLED", "false")], Duration::from_secs(20));
    let before = street.server.memory();
    let connect = b"\x03\0\0\0\0\0\x19\x14\0\0\0\0\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0";
    // An ECMA array of 2³² − 1 members.
    let endless = [&connect[..], b"\x08\xff\xff\xff\xff\0\0"].concat();
    let thousand = (64..1_064).flat_map(|stream| [announces(stream, 16 << 20, 9), vec![0]].concat()).collect();
    let lies: [Vec<u8>; 8] = [
        [chunk_size(0), connect.to_vec()].concat(),
        [chunk_size(1), vec![3; 70_000]].concat(),
        [chunk_size(0x7fff_ffff), announces(64, 0xff_ffff, 20), vec![0; 600_000]].concat(),
        // Changed in mid-message, on another chunk stream.
        [announces(64, 60_000, 20), vec![0; 128], chunk_size(65_536), vec![1; 600_000]].concat(),
        thousand,
        // A chunk of type 3 first.
        vec![0xc3; 600_000],
        endless,
        vec![0xff; 600_000],
    ];
    for lie in &lies {
        let mut stranger = shaken(&street.server);
        // The server may close before the last byte.
        let _ = stranger.write_all(lie);
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 64 << 10, "{} bytes for nothing", answer.len());
    }
    // A thousand that begin a handshake, and say no more than that they do.
    let address = street.server.rtmp.trim_start_matches("rtmp://").trim_end_matches("/live");
    let mut silent: Vec<_> = (0..1_000).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent.iter_mut().for_each(|stranger| drop(stranger.write_all(&[3])));
    let crowded = street.server.memory();
    assert!(crowded < before + SPARE, "{before} KiB became {crowded}");
    for stranger in &mut silent {
        stranger.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = Vec::new();
        let cut = stranger.read_to_end(&mut answer);
        assert!(!matches!(&cut, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "it is awaited");
    }
    street.close(before);
}

/// Publishes tags to the target as fast as they are taken. Why it was turned away, if it was.
fn send(street: &Street, name: &str, tags: &[Tag]) -> Option<ClientError> {
    let address = street.server.rtmp.trim_start_matches("rtmp://").trim_end_matches("/live").to_owned();
    let sent: Result<(), ClientError> =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut client = Client::publish(&address, "live", name).await?;
            for (kind, at, body) in tags {
                client.send(*kind, *at, Bytes::from(body.clone())).await?;
            }
            client.finish().await
        });
    sent.err()
}

#[test]
fn names_that_are_none_are_refused() {
    let street = Street::open(&[("AMPHI_LADDER__ENABLED", "false")], Duration::from_secs(6));
    let before = street.server.memory();
    let long = "x".repeat(60_000);
    for name in ["../target", "..%2ftarget", "%2e%2e/%2e%2e/etc", "target\0", "target\n", "/../target", ".", &long] {
        for name in [name.to_owned(), format!("{name}?key={}", street.key)] {
            let refused = send(&street, &name, &[]);
            assert!(refused.is_some(), "{:?} was let in", &name[..name.len().min(40)]);
        }
    }
    street.close(before);
}

/// The tags of H.264 as every encoder sends it (FLV 10.1 §E.4.3).
fn pictures(strip: &Strip) -> Vec<Tag> {
    let start = (9, 0, [&[0x17, 0, 0, 0, 0][..], &strip.config].concat());
    let frame = |unit: &film::Unit| {
        let head = [if unit.key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        (9, (unit.dts * 1000.0) as u32, [&head[..], &unit.data].concat())
    };
    std::iter::once(start).chain(strip.units.iter().map(frame)).collect()
}

/// A sequence parameter set (ITU-T H.264 §7.3.2.1.1) of a picture of 65,536 by 65,536.
fn gigantic() -> Vec<u8> {
    let mut bits = String::new();
    let golomb = |bits: &mut String, value: u32| {
        let code = format!("{:b}", value + 1);
        *bits += &"0".repeat(code.len() - 1);
        *bits += &code;
    };
    // Its id, the frame number's length, no order count, one reference, no gaps, and the size in macroblocks.
    for value in [0, 0, 2, 1] {
        golomb(&mut bits, value);
    }
    bits += "0";
    golomb(&mut bits, 4_095);
    golomb(&mut bits, 4_095);
    // Frames alone, direct inference, neither cropping nor usability information; the stop bit.
    bits += "11001";
    bits += &"0".repeat(bits.len().next_multiple_of(8) - bits.len());
    let bytes = (0..bits.len()).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap());
    [0x67, 66, 0xc0, 51].into_iter().chain(bytes).collect()
}

/// A decoder configuration (ISO/IEC 14496-15 §5.3.3.1) with that set.
fn gigantic_configuration() -> Vec<u8> {
    let set = gigantic();
    let length = (set.len() as u16).to_be_bytes();
    let pps = [0x68, 0xcb, 0x83, 0xcb, 0x20];
    [&[1, 66, 0xc0, 51, 0xff, 0xe1][..], &length, &set, &[1, 0, 5], &pps].concat()
}

/// By name, what is sent to the target in place of a lecture.
fn lectures() -> Vec<(&'static str, Vec<Tag>)> {
    let encode = |size, rate| {
        let sound = format!("-f lavfi -i sine=r={rate} -map 0 -map 1 -c:a aac -ac 1 -t 4");
        let codec = "-c:v libx264 -preset ultrafast -g 25 -bf 0 -pix_fmt yuv420p";
        film::encode(&format!("-f lavfi -i testsrc2=s={size}:r=25 {sound} {codec}"))
    };
    let (film, other) = (encode("640x360", 48_000), encode("480x270", 44_100));
    let [video, audio, small, low] = [
        pictures(&film.strips[0]),
        ertmp::sound(&film.strips[1]),
        pictures(&other.strips[0]),
        ertmp::sound(&other.strips[1]),
    ];
    let hevc =
        film::encode("-f lavfi -i testsrc2=s=320x180:r=25 -c:v libx265 -tag:v hvc1 -x265-params log-level=none -t 2");
    let opus = film::encode("-f lavfi -i sine=r=48000 -c:a libopus -ac 1 -strict -2 -t 4");
    let whole = || {
        let mut tags = [video.clone(), audio.clone()].concat();
        tags.sort_by_key(|(_, at, _)| *at);
        tags
    };
    let at = |shift: fn(usize, u32) -> u32| -> Vec<Tag> {
        whole().into_iter().enumerate().map(|(nth, (kind, at, body))| (kind, shift(nth, at), body)).collect()
    };
    let nal = |bytes: &[u8]| -> Vec<Tag> {
        let broken = |(kind, at, body): Tag| (kind, at, [&body[..5], bytes].concat());
        let (start, frames) = video.split_at(1);
        start.iter().cloned().chain(frames.iter().cloned().map(broken)).collect()
    };
    let gigantic = std::iter::once((9, 0, [&[0x17, 0, 0, 0, 0][..], &gigantic_configuration()].concat()));
    let mut headless = whole();
    headless.retain(|(kind, _, body)| *kind == 8 || body[1] != 0);
    let mut keyless = whole();
    let mut keys = 0;
    keyless.retain(|(kind, _, body)| {
        let key = *kind == 9 && body[0] == 0x17 && body[1] == 1;
        keys += usize::from(key);
        !key || keys == 1
    });
    let after =
        |tags: &[Tag]| tags.iter().map(|(kind, at, body)| (*kind, at + 4_000, body.clone())).collect::<Vec<_>>();
    vec![
        ("times that wrap", at(|_, at| at.wrapping_sub(2_000))),
        ("times that go back", at(|nth, at| if nth % 200 < 100 { at + 100_000 } else { at })),
        ("times that jump six days", at(|nth, at| if nth > 150 { at + 518_400_000 } else { at })),
        ("times that stand still", at(|_, _| 7)),
        ("a picture a second", at(|_, at| at * 25)),
        ("a picture of 65,536 by 65,536", gigantic.chain(video[1..].iter().cloned()).chain(audio.clone()).collect()),
        ("nal units of no length", nal(&[0; 64])),
        ("nal units that are longer than all", nal(&[0x7f, 0xff, 0xff, 0xff, 0x65, 0x88])),
        ("no nal unit at all", nal(&[])),
        ("hevc sent as avc", pictures(&hevc.strips[0])),
        ("video before its header", [headless, video[..1].to_vec()].concat()),
        ("another size and sample rate", [whole(), after(&small), after(&low)].concat()),
        ("no second key frame", keyless),
        ("sound alone", audio.clone()),
        ("pictures alone", video.clone()),
        ("mono opus", ertmp::named_sound(&opus.strips[0])),
        ("headers alone, a thousand times", video[..1].iter().cycle().take(1_000).cloned().collect()),
    ]
}

#[test]
fn media_that_broke_others_ends_no_server_and_no_neighbour() {
    let street = Street::open(&[], Duration::from_secs(25));
    // It has loaded the libraries that any picture needs: how far a live of a second comes depends on the machine.
    wait("a rung of the neighbour's", SOON, || street.server.playlist("neighbour").contains("x240").then_some(()));
    let state = || street.server.json("/api/v1/channels/target/status")["state"].as_str().unwrap().to_owned();
    let name = format!("target?key={}", street.key);
    let mut before = 0;
    for (nth, (what, tags)) in lectures().iter().enumerate() {
        let refused = send(&street, &name, tags);
        wait(&format!("the channel is free again after {what}: {refused:?}"), SOON, || {
            ["idle", "ended"].contains(&&*state()).then_some(())
        });
        // The first has loaded what any sound needs as well.
        if nth == 0 {
            before = street.server.memory();
        }
    }
    street.close(before);
}

#[test]
fn a_live_that_another_follows_at_once_is_held_no_longer() {
    let street = Street::open(&[("AMPHI_LADDER__ENABLED", "false")], Duration::from_secs(25));
    // Noise, 8 MB of it: players of one that ended have two minutes to fetch the rest.
    let codec = "-c:v libx264 -preset ultrafast -g 25 -bf 0 -b:v 16M -minrate 16M -maxrate 16M -bufsize 4M";
    let noise = "-f lavfi -i nullsrc=s=640x360:r=25,geq=random(1)*255:128:128 -t 4 -pix_fmt yuv420p";
    let film = pictures(&film::encode(&format!("{noise} {codec}")).strips[0]);
    let size: usize = film.iter().map(|(_, _, body)| body.len()).sum();
    assert!(size > 6 << 20, "{size} bytes");
    let state = || street.server.json("/api/v1/channels/target/status")["state"].as_str().unwrap().to_owned();
    let mut before = 0;
    for nth in 0..16 {
        assert!(send(&street, &format!("target?key={}", street.key), &film).is_none());
        wait("its end", SOON, || (state() == "ended").then_some(()));
        if nth == 1 {
            before = street.server.memory();
        }
    }
    street.close(before);
}

/// What is answered to bytes on the HTTP port; as much as comes.
fn answer(server: &Server, request: &[u8]) -> String {
    let mut stranger = TcpStream::connect(server.http.trim_start_matches("http://")).unwrap();
    stranger.set_read_timeout(Some(SOON)).unwrap();
    // The server may close before the last byte.
    let _ = stranger.write_all(request);
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn http_that_asks_for_too_much_gets_little() {
    let street = Street::open(&[("AMPHI_LADDER__ENABLED", "false")], Duration::from_secs(8));
    let before = street.server.memory();
    let playlist = "/live/neighbour/source/stream.m3u8";
    let get = |path: &str, headers: &str| {
        answer(
            &street.server,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
        )
    };
    for query in [
        "_HLS_msn=18446744073709551615",
        "_HLS_msn=18446744073709551616",
        "_HLS_msn=-1",
        "_HLS_part=1",
        "_HLS_msn=1&_HLS_part=18446744073709551615",
        "_HLS_msn=99999999",
    ] {
        let said = get(&format!("{playlist}?{query}"), "");
        assert!(said.starts_with("HTTP/1.1 400"), "{query}: {said}");
    }
    for flood in ["A: b\r\n".repeat(100_000), format!("A: {}\r\n", "b".repeat(1 << 20))] {
        let said = get(playlist, &flood);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }
    assert!(get(&format!("/{}", "x".repeat(1 << 20)), "").len() < 1_000);
    let text = get(playlist, "");
    let path = text.split("URI=\"").nth(2).unwrap().split('"').next().unwrap().to_owned();
    let whole = get(&path, "");
    assert!(whole.starts_with("HTTP/1.1 200"), "{path}: {}", &whole[..20.min(whole.len())]);
    // Ranges that lie over each other are no way to have it a thousand times (RFC 9110 §17.15).
    let ranges = vec!["0-"; 1_000].join(",");
    assert!(get(&path, &format!("Range: bytes={ranges}\r\n")).len() < 2 * whole.len());
    for path in ["/", "/live/neighbour/index.m3u8", playlist, &path, "/api/v1/channels", "/healthz", "/watch/neighbour"]
    {
        let said =
            answer(&street.server, format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("\r\n\r\n"), "{path}: {said}");
    }
    street.close(before);
}
