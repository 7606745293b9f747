use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Feed, Kind, Next, Output, Recent, Source, Unit, Wants,
    h264::{MAX_PAYLOAD, Packetiser},
    session::Outbox,
};
use crate::{
    media::tests::support::{Flv, PATIENCE, annex_b, flv, pictures, run, templates},
    model::{Anchor, AudioCodec, MediaTime, StreamName, TrackId},
    rtc::Codec,
    stream::{Claim, Event, Frame, Rank, Registry},
};
use tokio_util::sync::CancellationToken;

/// What GStreamer's depacketiser makes of payloads: an Annex B stream.
fn depacketised(units: &[Vec<Bytes>]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut sequence = 65_530u16;
    for (index, payloads) in units.iter().enumerate() {
        for (at, payload) in payloads.iter().enumerate() {
            // RFC 3550 §5.1 within RFC 4571.
            stream.extend_from_slice(&(payload.len() as u16 + 12).to_be_bytes());
            stream.extend_from_slice(&[0x80, if at + 1 == payloads.len() { 0x80 | 96 } else { 96 }]);
            stream.extend_from_slice(&sequence.to_be_bytes());
            stream.extend_from_slice(&(index as u32 * 3_000).to_be_bytes());
            stream.extend_from_slice(&7u32.to_be_bytes());
            stream.extend_from_slice(payload);
            sequence = sequence.wrapping_add(1);
        }
    }
    run(
        "gst-launch-1.0",
        "-q fdsrc ! application/x-rtp-stream,media=video,clock-rate=90000,encoding-name=H264,payload=96 \
         ! rtpstreamdepay ! rtph264depay ! video/x-h264,stream-format=byte-stream,alignment=au ! fdsink",
        &stream,
    )
}

/// What ffmpeg sees in an Annex B stream, picture by picture.
fn seen(stream: &[u8]) -> String {
    String::from_utf8(run("ffmpeg", "-v error -f h264 -i pipe:0 -f framemd5 pipe:1", stream)).unwrap()
}

#[test]
fn an_independent_depacketiser_gives_the_same_pictures() {
    for options in ["-b:v 3M", "-b:v 6M -x264-params slices=4", "-x264-params slice-max-size=400:aud=1", "-qp 51"] {
        let source = pictures("640x360", "30", 30, &format!("-tune zerolatency {options}"));
        let packetiser = Packetiser::new(&source.video_config);
        let units: Vec<_> =
            source.packets.iter().map(|packet| packetiser.packetise(&packet.data, packet.key)).collect();
        assert!(units.iter().flatten().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.len())), "{options}");
        let expected = annex_b(&source.video_config, source.packets.iter());
        assert_eq!(seen(&depacketised(&units)), seen(&expected), "{options}");
    }
}

#[test]
fn small_units_share_a_payload_and_large_ones_are_cut() {
    let nal =
        |kind: u8, length: usize| [(length as u32).to_be_bytes().as_slice(), &[kind], &vec![1; length - 1]].concat();
    let config = Bytes::from([&[1, 66, 0, 30, 0xff, 0xe1, 0, 4, 0x67, 66, 0, 30, 1, 0, 2, 0x68, 1][..]].concat());
    let packetiser = Packetiser::new(&config);
    let shapes = |unit: Vec<u8>, key| {
        let payloads = packetiser.packetise(&unit, key);
        payloads.iter().map(|payload| (payload[0], payload.len())).collect::<Vec<_>>()
    };
    // Delimiter and filler are left out; what is alone stays as it is.
    assert_eq!(shapes([nal(0x09, 2), nal(0x41, 100), nal(0x0c, 50)].concat(), false), [(0x41, 100)]);
    // Parameter sets and a small key frame in one STAP-A, as important as the most important in it.
    assert_eq!(shapes(nal(0x65, 100), true), [(0x78, 1 + 2 + 4 + 2 + 2 + 2 + 100)]);
    // Those that the key frame brings come alone.
    assert_eq!(shapes([nal(0x67, 9), nal(0x65, 100)].concat(), true), [(0x78, 1 + 2 + 9 + 2 + 100)]);
    let body = 2 * (MAX_PAYLOAD - 2) + 1;
    assert_eq!(shapes(nal(0x41, 1 + body), false).len(), 3);
    assert_eq!(shapes(nal(0x41, MAX_PAYLOAD), false), [(0x41, MAX_PAYLOAD)]);
    // Lengths that lie.
    assert_eq!(shapes(vec![0xff, 0xff, 0xff, 0xff, 0x65], true), [(0x78, 11)]);
    assert_eq!(shapes(vec![0, 0, 0, 0, 0, 0], false), []);
    for cut in 0..config.len() {
        Packetiser::new(&config.slice(..cut)).packetise(&nal(0x65, 10), true);
    }
}

#[test]
fn recent_pictures_begin_with_a_key_frame_and_are_bounded() {
    let unit = |key, bytes| {
        let payloads = vec![Bytes::from(vec![0; bytes])];
        Arc::new(Unit::cut(Kind::Video, MediaTime::ZERO, key, payloads))
    };
    let mut recent = Recent::default();
    recent.push(unit(false, 1));
    assert!(recent.units().is_empty());
    for key in [true, false, false, true, false] {
        recent.push(unit(key, 1));
    }
    assert_eq!(recent.units().len(), 2);
    recent.push(unit(false, Recent::BYTES));
    recent.push(unit(false, 1));
    assert!(recent.units().is_empty(), "a group that grows too large is useless as a whole");
}

fn units(source: &mut Source, flv: &Flv) -> usize {
    let outputs = flv.packets.iter().filter_map(|packet| source.published(Event::Packet(packet.clone())));
    outputs.filter(|output| matches!(output, Output::Unit(_))).count()
}

#[test]
fn pictures_in_order_pass_and_others_are_made() {
    for (options, pass) in [("-bf 0", true), ("-bf 2", false), ("-bf 2 -b_strategy 0", false)] {
        let flv = pictures("320x180", "30", 30, options);
        let mut source = Source::default();
        source.published(Event::Track(Arc::new(flv.video(320, 180, None))));
        let seen = units(&mut source, &flv);
        assert_eq!(source.wants(), Wants { pictures: !pass, sound: false }, "{options}");
        assert!(if pass { seen == 60 } else { seen < 6 }, "{options}: {seen}");
        // Another encoder may do otherwise.
        source.published(Event::Track(Arc::new(flv.video(320, 180, None))));
        assert_eq!(source.wants(), Wants::default());
    }
}

#[test]
fn opus_passes_and_aac_is_made_into_it() {
    let aac = flv("-f lavfi -i sine=duration=1 -c:a aac");
    let mut source = Source::default();
    source.published(Event::Track(Arc::new(aac.audio(44_100, 1))));
    assert_eq!((units(&mut source, &aac), source.wants().sound), (0, true));
    source.published(Event::Track(Arc::new(Flv::foreign(AudioCodec::Opus, 48_000, 2))));
    assert!(!source.wants().sound);
    let mut opus = aac.packets[0].clone();
    opus.track = TrackId::FOREIGN_AUDIO;
    let Some(Output::Unit(unit)) = source.published(Event::Packet(opus.clone())) else { panic!() };
    assert_eq!((unit.kind, unit.payloads()), (Kind::Audio, &[opus.data][..]));
}

#[test]
fn nothing_is_shown_behind_a_break_before_the_next_key_frame() {
    let flv = pictures("320x180", "30", 15, "-bf 0");
    let mut source = Source::default();
    source.published(Event::Track(Arc::new(flv.video(320, 180, None))));
    let mut passed = String::new();
    for (index, packet) in flv.packets.iter().enumerate() {
        if index == 20 {
            assert_eq!(source.published(Event::Discontinuity), Some(Output::Break));
        }
        passed.push(if source.published(Event::Packet(packet.clone())).is_some() { 'x' } else { '.' });
    }
    assert_eq!(passed, format!("{}{}{}", "x".repeat(20), ".".repeat(10), "x".repeat(30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_begins_with_the_last_key_frame_and_hears_opus_while_it_watches() {
    let source = flv(
        "-f lavfi -i testsrc2=size=320x180:rate=30:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 -bf 0 -g 30 -c:a aac",
    );
    let (registry, mut started) = Registry::new(Duration::from_secs(30));
    let peer = (std::net::Ipv4Addr::LOCALHOST, 1).into();
    let now = std::time::Instant::now();
    let claim = Claim { rank: Rank::Main, takeover: false, protocol: "rtmp", peer };
    let mut publication = registry.publish(&StreamName::parse("maths").unwrap(), claim, now).unwrap();
    let live = started.recv().await.unwrap();
    let feed = Feed::new(live.clone());
    let (running, published) = (feed.clone(), live.producer.consume());
    let task = tokio::spawn(async move { running.run(published, templates(), CancellationToken::new()).await });
    let mut first = feed.join().await.unwrap().0;
    publication.video(source.video(320, 180, None).format.video().unwrap().clone(), None);
    publication.audio(source.audio(44_100, 1).format.audio().unwrap().clone(), None);
    let mut packets = (0..).flat_map(|round| source.packets.iter().map(move |packet| (round, packet)));
    let (mut video, mut audio) = (Vec::new(), 0);
    while video.len() < 45 || audio < 20 {
        // One picture at a time, with the sound before it.
        for (round, packet) in packets.by_ref() {
            let nanos = |time: MediaTime| time.as_nanos() + round * 2_000_000_000;
            let (dts, pts, data) = (nanos(packet.dts), nanos(packet.pts), packet.data.clone());
            publication.write(Frame { track: packet.track, dts, pts, key: packet.key, data }, now).unwrap();
            if packet.track == TrackId::VIDEO {
                break;
            }
        }
        loop {
            match tokio::time::timeout(PATIENCE, first.recv()).await.unwrap().unwrap() {
                Next::Unit(unit) if unit.kind == Kind::Video => {
                    video.push(unit);
                    break;
                }
                Next::Unit(_) => audio += 1,
                Next::Anew(_) => panic!("fell behind"),
            }
        }
    }
    assert_eq!(feed.viewers(), 1);
    let (_second, recent) = feed.join().await.unwrap();
    let key = video.iter().rposition(|unit| unit.key).unwrap();
    assert_eq!(recent, video[key..]);
    registry.end_all();
    while tokio::time::timeout(PATIENCE, first.recv()).await.unwrap().is_some() {}
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(feed.join().await.is_none());
}

#[test]
fn what_a_viewer_begins_with_is_shown_at_once_and_nothing_runs_backwards() {
    let unit = |kind, millis, payloads: usize| {
        let payloads = vec![Bytes::from_static(b"x"); payloads];
        Arc::new(Unit::cut(kind, MediaTime::from_millis(millis), millis == 0, payloads))
    };
    let mut outbox = Outbox::new(Anchor::new(std::time::SystemTime::UNIX_EPOCH));
    let group: Vec<_> = (0..30).map(|n| unit(Kind::Video, n * 40, 3)).collect();
    outbox.begin(group.clone());
    let mut sent = Vec::new();
    // 90 packets that last 1.16 s are on their way for a quarter of it, in steps of 5 ms.
    for paced in [2, 4] {
        outbox.send(|_, packet| sent.push(packet));
        assert_eq!(sent.len(), paced);
    }
    // The viewer wants to begin anew while a picture is half out.
    outbox.begin(group);
    outbox.add(unit(Kind::Audio, 1_180, 1));
    outbox.add(unit(Kind::Video, 1_200, 2));
    let mut codecs = Vec::new();
    while !outbox.is_empty() {
        outbox.send(|codec, packet| {
            codecs.push(codec);
            if codec == Codec::H264 {
                sent.push(packet);
            }
        });
    }
    assert!(sent.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    let stamps: Vec<_> = sent.iter().filter(|packet| packet.marker).map(|packet| packet.timestamp).collect();
    assert_eq!(stamps.len(), 2 + 30 + 1);
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
    // Those of the group that was cut short come again.
    assert_eq!((stamps[2], stamps[31], stamps[32]), (104_403, 104_432, 108_000));
    assert_eq!(codecs.iter().filter(|codec| **codec == Codec::Opus).count(), 1);
    let reports: Vec<_> = outbox.reports().collect();
    let wall = |millis| std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    assert_eq!(reports, [(Codec::H264, 108_000, wall(1_200)), (Codec::Opus, 56_640, wall(1_180))]);
}

fn picture(millis: i64, key: bool) -> Arc<Unit> {
    let payloads = vec![Bytes::from_static(b"x")];
    Arc::new(Unit::cut(Kind::Video, MediaTime::from_millis(millis), key, payloads))
}

/// RTP times of all that waits.
fn sent(outbox: &mut Outbox) -> Vec<u32> {
    let mut stamps = Vec::new();
    while !outbox.is_empty() {
        outbox.send(|_, packet| stamps.push(packet.timestamp));
    }
    stamps
}

#[test]
fn the_same_pictures_begun_with_again_lie_behind_themselves() {
    let mut outbox = Outbox::new(Anchor::new(std::time::SystemTime::UNIX_EPOCH));
    let group = vec![picture(0, true), picture(40, false)];
    let mut stamps = Vec::new();
    // The publisher is away: nothing new comes between.
    for _ in 0..3 {
        outbox.begin(group.clone());
        stamps.extend(sent(&mut outbox));
    }
    assert_eq!(stamps, [3_601, 3_602, 3_603, 3_604, 3_605, 3_606]);
    outbox.add(picture(80, false));
    assert_eq!(sent(&mut outbox), [7_200]);
    // Two within a tick of each other.
    outbox.add(picture(80, false));
    assert_eq!(sent(&mut outbox), [7_201]);
}

#[test]
fn without_pictures_to_begin_with_a_viewer_begins_with_the_next_key_frame() {
    let mut outbox = Outbox::new(Anchor::new(std::time::SystemTime::UNIX_EPOCH));
    outbox.begin(Vec::new());
    outbox.add(picture(40, false));
    assert!(outbox.is_empty(), "no decoder makes anything of it");
    outbox.add(picture(80, true));
    outbox.add(picture(120, false));
    // It fell behind, and the last group has grown too large to be kept: what waits is whole.
    outbox.begin(Vec::new());
    outbox.add(picture(200, false));
    assert_eq!(sent(&mut outbox), [7_200, 10_800]);
    outbox.add(picture(240, true));
    // Pictures rest.
    outbox.rest();
    outbox.add(picture(280, false));
    assert!(sent(&mut outbox).is_empty());
}

#[test]
fn what_a_viewer_begins_with_takes_a_second_at_most_and_never_more_than_50_megabits() {
    let group = |pictures: i64, payloads: usize| -> Vec<_> {
        let payloads = vec![Bytes::from_static(&[0; 1_200]); payloads];
        let unit = |n| Unit::cut(Kind::Video, MediaTime::from_millis(n * 40), n == 0, payloads.clone());
        (0..pictures).map(|n| Arc::new(unit(n))).collect()
    };
    // Pictures, packets of each, packets a step of 5 ms.
    for (pictures, payloads, expected) in [(1, 100, 26), (50, 10, 6), (250, 1, 2), (250, 10, 13), (250, 30, 26)] {
        let mut outbox = Outbox::new(Anchor::new(std::time::SystemTime::UNIX_EPOCH));
        outbox.begin(group(pictures, payloads));
        let mut packets = 0;
        outbox.send(|_, _| packets += 1);
        assert_eq!(packets, expected, "{pictures} pictures of {payloads} packets");
    }
}
