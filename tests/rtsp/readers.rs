//! Players read; what they decode is what was published.

use super::*;

/// A fixture with a publisher on air, as `app` wires it.
async fn airing(seconds: u32, parts: &[&str]) -> (Fixture, Arc<Live>, tokio::process::Child) {
    let mut fixture = Fixture::start().await;
    let url = fixture.publish_url();
    let parts = [&["-bf", "0", "-rtsp_transport", "tcp"], parts].concat();
    let publisher = publish(&url, seconds, &parts).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    on_air(&mut consumer).await;
    (fixture, live, publisher)
}

fn decode(url: &str, transport: &str) -> Command {
    ffmpeg(["-rtsp_transport", transport, "-i", url, "-t", "3", "-f", "framecrc", "-"])
}

#[tokio::test]
async fn ffmpeg_decodes_over_tcp_and_udp() {
    let (fixture, live, _publisher) = airing(40, &[]).await;
    let _mount = fixture.mount(live).await;
    for transport in ["tcp", "udp"] {
        let output = finished(&mut decode(&fixture.watch_url(), transport)).await;
        assert!(output.status.success(), "{transport}: {}", said(&output));
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = |stream: &str| out.lines().filter(|line| line.starts_with(stream)).count();
        assert!(count("0,") > 40 && count("1,") > 100, "{transport}: {} {}", count("0,"), count("1,"));
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_live_whose_sound_has_fallen_silent_is_watched_all_the_same() {
    let (fixture, live, _publisher) = airing(60, &["-af", "atrim=end=2"]).await;
    let _mount = fixture.mount(live.clone()).await;
    let url = fixture.watch_url();
    let begun_before = ffmpeg(["-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"]).spawn().unwrap();
    silence(&live).await;
    let mut begun_before = Some(begun_before);
    for transport in ["udp", "tcp", "udp"] {
        // For sound it would wait without end.
        let pictures = ["-map", "0:v", "-t", "3", "-f", "framecrc", "-"];
        let output = finished(ffmpeg(["-rtsp_transport", transport, "-i", &url]).args(pictures)).await;
        let pictures = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("0,")).count();
        assert!(output.status.success() && pictures > 40, "{transport}: {pictures} {}", said(&output));
        // Readers after the first have a pipeline that has never heard any.
        drop(begun_before.take());
    }
    fixture.stop().await;
}

/// Until its sound has been silent for two seconds: a reader that comes then hears nothing any more.
async fn silence(live: &Live) {
    let mut consumer = live.producer.consume();
    let mut silent = 0;
    while silent < 50 {
        match in_time(consumer.recv()).await.unwrap() {
            Event::Packet(packet) if packet.track == TrackId::VIDEO => silent += 1,
            Event::Packet(_) => silent = 0,
            _ => {}
        }
    }
}

#[tokio::test]
async fn sound_that_falls_silent_is_heard_when_it_is_back() {
    // Pictures do not wait for it.
    let parts = ["-af", "aselect='lt(t,4)+gt(t,8)'", "-max_interleave_delta", "100000"];
    let (fixture, live, _publisher) = airing(60, &parts).await;
    let _mount = fixture.mount(live).await;
    let parts = ["-map", "0", "-t", "10", "-f", "framecrc", "-"];
    let output = finished(ffmpeg(["-rtsp_transport", "tcp", "-i", &fixture.watch_url()]).args(parts)).await;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let times = |stream: &str| -> Vec<f64> {
        let lines = out.lines().filter(|line| line.starts_with(stream));
        lines.map(|line| line.split(',').nth(1).unwrap().trim().parse().unwrap()).collect()
    };
    let (pictures, sounds) = (times("0,").len(), times("1,"));
    let pause = sounds.windows(2).map(|pair| (pair[1] - pair[0]) / 48_000.0).fold(0.0, f64::max);
    assert!(output.status.success() && pictures > 200 && sounds.len() > 150, "{pictures} {}", sounds.len());
    assert!((3.9..4.1).contains(&pause), "{pause} s");
    fixture.stop().await;
}

#[tokio::test]
async fn a_live_that_is_not_on_is_not_found() {
    let fixture = Fixture::start().await;
    let mut raw = fixture.raw().await;
    let head = raw.ask(format!("DESCRIBE {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", fixture.watch_url())).await;
    assert!(head.starts_with("RTSP/1.0 404"), "{head}");
    fixture.stop().await;
}

/// Plays over TCP; the connection, and the SSRC of what comes.
async fn play(fixture: &Fixture) -> (Raw, String) {
    let (mut raw, url) = (fixture.raw().await, fixture.watch_url());
    let head = raw.ask(format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n")).await;
    assert!(head.starts_with("RTSP/1.0 200"), "{head}");
    let mut body = vec![0; field(&head, "Content-Length").parse().unwrap()];
    in_time(raw.0.read_exact(&mut body)).await.unwrap();
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let head = raw.ask(format!("SETUP {url}/stream=0 RTSP/1.0\r\nCSeq: 2\r\n{transport}\r\n\r\n")).await;
    assert!(head.starts_with("RTSP/1.0 200"), "{head}");
    let ssrc = field(&head, "Transport").split(';').find(|field| field.starts_with("ssrc=")).unwrap().to_owned();
    let session = field(&head, "Session").split(';').next().unwrap().to_owned();
    let head = raw.ask(format!("PLAY {url}/ RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n")).await;
    assert!(head.starts_with("RTSP/1.0 200"), "{head}");
    (raw, ssrc)
}

#[tokio::test]
async fn readers_share_one_pipeline_and_one_that_stalls_costs_only_itself() {
    let (fixture, live, _publisher) = airing(60, HEAVY).await;
    let _mount = fixture.mount(live).await;
    let (_stalled, first) = play(&fixture).await;
    let (mut reading, second) = play(&fixture).await;
    assert_eq!(first, second);
    // More than the sockets between here and there hold for the one that reads nothing.
    let mut buffer = vec![0; 64 << 10];
    let mut read = 0;
    while read < 8 << 20 {
        read += in_time(reading.0.read(&mut buffer)).await.unwrap();
    }
    let output = finished(&mut decode(&fixture.watch_url(), "tcp")).await;
    assert!(output.status.success(), "{}", said(&output));
    fixture.stop().await;
}

/// Bit rates of which no socket between here and there holds much.
const HEAVY: &[&str] = &["-vf", "noise=alls=80:allf=t+u", "-b:v", "20M", "-maxrate", "20M", "-bufsize", "5M"];

#[tokio::test]
async fn a_reader_over_tcp_that_stalls_stops_none_over_udp_nor_those_who_come_when_it_has_gone() {
    let (fixture, live, _publisher) = airing(120, HEAVY).await;
    let _mount = fixture.mount(live).await;
    let (stalled, _) = play(&fixture).await;
    let reads = async |transport| {
        let output = finished(&mut decode(&fixture.watch_url(), transport)).await;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let pictures = out.lines().filter(|line| line.starts_with("0,")).count();
        // What is lost on the way of so much is not what is asked here.
        assert!(output.status.success() && pictures > 10, "{transport}: {pictures}: {}", said(&output));
    };
    // The first one's way stands still after a second or two.
    reads("udp").await;
    reads("udp").await;
    drop(stalled);
    for transport in ["udp", "tcp", "udp"] {
        reads(transport).await;
    }
    fixture.stop().await;
}

#[tokio::test]
async fn readers_hear_the_end() {
    let (fixture, live, mut publisher) = airing(60, &[]).await;
    let mount = fixture.mount(live.clone()).await;
    let mut reader = ffmpeg(["-rtsp_transport", "tcp", "-i", &fixture.watch_url(), "-f", "null", "-"]);
    let mut reader = reader.spawn().unwrap();
    let (mut watching, _) = play(&fixture).await;
    in_time(watching.0.read(&mut [0; 4096])).await.unwrap();
    publisher.kill().await.unwrap();
    fixture.registry.end(&live);
    drop(mount);
    in_time(reader.wait()).await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn readers_come_again_when_the_codec_changes_and_find_the_new_one() {
    let (fixture, live, mut publisher) = airing(60, &[]).await;
    let _mount = fixture.mount(live.clone()).await;
    let mut reader = ffmpeg(["-rtsp_transport", "tcp", "-i", &fixture.watch_url(), "-f", "null", "-"]);
    let mut reader = reader.spawn().unwrap();
    // It stays on, whatever it is told, and keeps what it shares with the other one.
    let (mut watching, _) = play(&fixture).await;
    in_time(watching.0.read(&mut [0; 4096])).await.unwrap();
    publisher.kill().await.unwrap();
    let missed = async {
        while live.state() == State::Live {
            tokio::task::yield_now().await;
        }
    };
    in_time(missed).await;
    let h265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25:bframes=0"];
    let url = fixture.publish_url();
    let _other = publish(&url, 120, &[&h265[..], &["-rtsp_transport", "tcp"]].concat()).spawn().unwrap();
    in_time(reader.wait()).await.unwrap();
    let output = finished(&mut decode(&fixture.watch_url(), "tcp")).await;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = |stream: &str| out.lines().filter(|line| line.starts_with(stream)).count();
    assert!(output.status.success() && count("0,") > 40, "{}: {}", count("0,"), said(&output));
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-rtsp_transport", "tcp", "-show_entries", "stream=codec_name", &fixture.watch_url()]);
    let output = finished(probe.stdin(Stdio::null())).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("hevc"), "{}", said(&output));
    drop(watching);
    fixture.stop().await;
}

/// Flashes and beeps that begin together, every second for a tenth of it, in real time.
pub const FLASH_AND_BEEP: &[&str] = &[
    "-re",
    "-f",
    "lavfi",
    "-i",
    "color=black:s=160x90:r=50,drawbox=c=white:t=fill:enable='lt(mod(t\\,1)\\,0.1)'",
    "-re",
    "-f",
    "lavfi",
    "-i",
    "aevalsrc='if(lt(mod(t\\,1)\\,0.1)\\,sin(2*PI*1000*t)\\,0)':s=48000",
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-g",
    "25",
    "-bf",
    "0",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
];

#[tokio::test]
async fn sound_and_picture_stay_together() {
    for transport in ["tcp", "udp"] {
        let mut fixture = Fixture::start().await;
        let options = ["-t", "40", "-rtsp_transport", transport, "-f", "rtsp"];
        let _publisher = ffmpeg(FLASH_AND_BEEP.iter().chain(&options)).arg(fixture.publish_url()).spawn().unwrap();
        let (live, mut consumer) = fixture.live().await;
        on_air(&mut consumer).await;
        let _mount = fixture.mount(live).await;
        let offsets = offsets(&fixture.watch_url(), transport, 12).await;
        println!("{transport}: offset p95 {:.0} ms", p95(&offsets) * 1e3);
        assert!(offsets.len() >= 8 && p95(&offsets) <= 0.04, "{offsets:?}");
        fixture.stop().await;
    }
}

/// How far flashes lie from their beeps in so many seconds of what is read, in seconds, sorted.
pub async fn offsets(url: &str, transport: &str, seconds: u32) -> Vec<f64> {
    let file = tempfile::Builder::new().suffix(".mkv").tempfile().unwrap();
    let path = file.path().to_str().unwrap();
    let seconds = seconds.to_string();
    let recording = ["-rtsp_transport", transport, "-i", url, "-t", &seconds, "-c", "copy", "-y", path];
    let output = finished(&mut ffmpeg(recording)).await;
    assert!(output.status.success(), "{}", said(&output));
    let (flashes, beeps) = (flashes(path).await, beeps(path).await);
    let mut offsets: Vec<f64> = flashes
        .iter()
        .filter_map(|flash| {
            let nearest = beeps.iter().map(|beep| (beep - flash).abs()).min_by(f64::total_cmp);
            nearest.filter(|offset| *offset < 0.5)
        })
        .collect();
    offsets.sort_by(f64::total_cmp);
    assert!(!offsets.is_empty(), "{flashes:?} {beeps:?}");
    offsets
}

/// What at most one in twenty exceeds.
pub fn p95(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() * 95).div_ceil(100) - 1]
}

#[tokio::test]
async fn a_play_that_is_refused_makes_no_reader() {
    let settings = Settings { authenticate: Duration::from_secs(2), ..Settings::default() };
    let fixture = Fixture::with(settings).await;
    let mut raw = fixture.raw().await;
    let url = fixture.watch_url();
    let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: 1\r\nSession: 0123456789abcdef\r\n\r\n");
    // One that is granted does not count for one of the same number that is refused.
    let both = format!("{play}OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    let head = raw.ask(&both).await;
    assert!(head.starts_with("RTSP/1.0 4"), "{head}");
    assert!(raw.head().await.starts_with("RTSP/1.0 200"));
    raw.is_cut().await;
    // Nor does a flood of them take the readers' places.
    let mut raw = fixture.raw().await;
    raw.say(play.repeat(2_000)).await;
    raw.is_cut().await;
    fixture.stop().await;
}

/// When the picture turns white, by ffmpeg's decoder.
async fn flashes(path: &str) -> Vec<f64> {
    let output =
        finished(&mut ffmpeg(["-i", path, "-vf", "signalstats,metadata=print:file=-", "-f", "null", "-"])).await;
    let (mut found, mut time, mut white) = (Vec::new(), 0.0, true);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, at)) = line.split_once("pts_time:") {
            time = at.trim().parse().unwrap();
        } else if let Some(luma) = line.strip_prefix("lavfi.signalstats.YAVG=") {
            let now = luma.parse::<f64>().unwrap() > 120.0;
            if now && !white {
                found.push(time);
            }
            white = now;
        }
    }
    found
}

/// When silence ends, by ffmpeg's decoder.
async fn beeps(path: &str) -> Vec<f64> {
    let filter = "silencedetect=noise=-30dB:d=0.2,ametadata=print:file=-";
    let output = finished(&mut ffmpeg(["-i", path, "-af", filter, "-f", "null", "-"])).await;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    out.lines().filter_map(|line| line.strip_prefix("lavfi.silence_end=")?.parse().ok()).collect()
}
