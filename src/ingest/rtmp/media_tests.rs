use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::*;
use crate::{
    model::{Packet, StreamName, Track},
    stream::{Claim, Consumer, Event, Rank, Registry},
};

const AVC: &str = "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8";
const AVC_SMALL: &str = "0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn video_header(config: &str) -> Vec<u8> {
    [&[0x17, 0, 0, 0, 0][..], &hex(config)].concat()
}

const PICTURE: &[u8] = &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88];
const SOUND_HEADER: &[u8] = &[0xaf, 0, 0x12, 0x10];
const SOUND: &[u8] = &[0xaf, 1, 0x21, 0x10];

/// Media that comes in, and what readers see of it.
struct Bench {
    media: Media,
    publication: Publication,
    consumer: Consumer,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let (registry, _) = Registry::new(Duration::from_secs(30));
        let name = StreamName::parse("maths").unwrap();
        let (peer, now) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), Instant::now());
        let claim = Claim { rank: Rank::Main, takeover: false, protocol: "rtmp", peer };
        let publication = registry.publish(&name, claim, now).unwrap();
        let consumer = registry.get(&name).unwrap().producer.consume();
        Self { media: Media::default(), publication, consumer, now }
    }

    fn video(&mut self, time: u32, body: &[u8]) -> Result<(), Unusable> {
        self.media.take(kind::VIDEO, time, Bytes::copy_from_slice(body), &mut self.publication, self.now)
    }

    fn audio(&mut self, time: u32, body: &[u8]) -> Result<(), Unusable> {
        self.media.take(kind::AUDIO, time, Bytes::copy_from_slice(body), &mut self.publication, self.now)
    }

    async fn heard(mut self) -> (Vec<Track>, Vec<Packet>) {
        drop(self.publication);
        self.consumer.producer().end();
        let (mut tracks, mut packets) = (Vec::new(), Vec::new());
        while let Some(event) = self.consumer.recv().await {
            match event {
                Event::Track(track) => tracks.push((*track).clone()),
                Event::Packet(packet) => packets.push(packet),
                Event::Away => {}
                other => panic!("{other:?}"),
            }
        }
        (tracks, packets)
    }
}

#[tokio::test]
async fn packets_before_their_header_are_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.video(0, PICTURE).unwrap();
    bench.audio(0, SOUND).unwrap();
    bench.video(0, &[0x17, 1, 0, 0, 0, 0, 0, 0, 9, 0x65]).unwrap();
    assert_eq!(bench.media.dropped(), 3);
    bench.video(0, &video_header(AVC)).unwrap();
    bench.video(40, PICTURE).unwrap();
    let (tracks, packets) = bench.heard().await;
    assert_eq!((tracks.len(), packets.len()), (1, 1));
}

#[tokio::test]
async fn a_header_counts_when_it_changes() {
    let mut bench = Bench::new();
    for config in [AVC, AVC, AVC_SMALL] {
        bench.video(0, &video_header(config)).unwrap();
    }
    for header in [SOUND_HEADER, SOUND_HEADER, &[0xaf, 0, 0x11, 0x90]] {
        bench.audio(0, header).unwrap();
    }
    let (tracks, _) = bench.heard().await;
    let sizes: Vec<_> = tracks.iter().filter_map(|track| track.format.video()).map(|video| video.height).collect();
    let rates: Vec<_> = tracks.iter().filter_map(|track| track.format.audio()).map(|audio| audio.sample_rate).collect();
    assert_eq!((sizes, rates), (vec![1080, 240], vec![44_100, 48_000]));
}

#[tokio::test]
async fn metadata_hints_at_rates() {
    let mut bench = Bench::new();
    bench.media.metadata(&[
        Value::string("@setDataFrame"),
        Value::string("onMetaData"),
        Value::object([
            ("framerate", Value::string("60")),
            ("videodatarate", Value::Number(2500.0)),
            ("audiodatarate", Value::Number(f64::NAN)),
        ]),
    ]);
    bench.video(0, &video_header(AVC)).unwrap();
    bench.audio(0, SOUND_HEADER).unwrap();
    let (tracks, _) = bench.heard().await;
    assert_eq!(tracks[0].format.video().unwrap().frame_rate, Some(60.0));
    assert_eq!((tracks[0].bitrate, tracks[1].bitrate), (Some(2_500_000), None));
}

#[test]
fn absurd_metadata_is_no_hint() {
    for number in [-1.0, 0.0, f64::NAN, f64::INFINITY, 1e300] {
        let mut media = Media::default();
        let members = ["framerate", "videodatarate", "audiodatarate"].map(|name| (name, Value::Number(number)));
        media.metadata(&[Value::string("onMetaData"), Value::object(members)]);
        assert!(media.hints.frame_rate.is_none() && media.hints.video_bitrate.is_none(), "{number}");
    }
}

#[test]
fn what_cannot_be_taken_says_what_to_set() {
    let mut bench = Bench::new();
    let mut check = |video: bool, body: &[u8], words: &str| {
        let refused = if video { bench.video(0, body) } else { bench.audio(0, body) };
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    check(true, b"\x90vp09xx", "VP9: set the encoder's video codec to H.264");
    check(true, b"\x90av01xx", "broken video configuration: set");
    check(true, &[0x17, 0, 0, 0, 0, 1, 2, 3], "broken video configuration: set");
    check(false, b"\x91fLaCxx", "FLAC: set the encoder's audio codec to AAC");
    check(false, &[0xaf, 0, 0xb9, 0x90, 0], "unsupported AAC profile: set");
}

#[tokio::test]
async fn sound_that_is_not_aac_has_a_track_of_its_own() {
    let mut bench = Bench::new();
    let mp3 = [0x2e, 0xff, 0xf3, 0x80, 0xc4];
    bench.audio(0, &mp3).unwrap();
    bench.audio(26, &mp3).unwrap();
    bench.audio(52, &[0x2e, 9, 9, 9, 9]).unwrap();
    assert_eq!(bench.media.dropped(), 1);
    bench.audio(52, &[0x3f, 1, 2, 3, 4, 5]).unwrap();
    let (tracks, packets) = bench.heard().await;
    let formats: Vec<_> = tracks.iter().filter_map(|track| track.format.audio()).collect();
    assert_eq!((formats[0].codec, formats[0].sample_rate, formats[0].channels), (AudioCodec::Mp3, 22_050, 1));
    assert_eq!((formats[1].codec, formats[1].sample_rate, formats[1].channels), (AudioCodec::Pcm, 44_100, 2));
    assert!(tracks.iter().all(|track| track.id == TrackId::FOREIGN_AUDIO));
    assert!(packets.iter().all(|packet| packet.track == TrackId::FOREIGN_AUDIO));
    assert_eq!(packets.iter().map(|packet| packet.data.len()).collect::<Vec<_>>(), [4, 4, 4], "whole samples");
}

/// A tag of Enhanced RTMP about one further track.
fn of_track(kind: u8, fourcc: &[u8], track: u8, data: &[u8]) -> Vec<u8> {
    [&[0x95, kind][..], fourcc, &[track], data].concat()
}

#[tokio::test]
async fn further_tracks_of_sound_have_renditions_and_labels() {
    let mut bench = Bench::new();
    let track = |language: &str, title: &str| {
        Value::object([("language", Value::string(language)), ("title", Value::string(title))])
    };
    let map =
        Value::object([("1", track("fr", "Fran\u{e7}ais \"direct\"")), ("2", track("und", "")), ("x", Value::Null)]);
    bench.media.metadata(&[Value::string("onMetaData"), Value::object([("audioTrackIdInfoMap", map)])]);
    bench.audio(0, SOUND_HEADER).unwrap();
    for track in [1, 2, 7, 8, 255] {
        bench.audio(0, &of_track(0, b"mp4a", track, &[0x11, 0x90])).unwrap();
        bench.audio(10, &of_track(1, b"mp4a", track, &[0x21, 0x10])).unwrap();
    }
    // What would cost the first track its live costs a further one only itself.
    for (fourcc, data) in [(b"mp4a", &[0xb9, 0x90, 0][..]), (b"fLaC", b"x")] {
        bench.audio(0, &of_track(0, fourcc, 3, data)).unwrap();
    }
    bench.audio(20, &of_track(1, b"Opus", 4, b"xx")).unwrap();
    assert_eq!(bench.media.dropped(), 4);
    let (tracks, packets) = bench.heard().await;
    let renditions: Vec<_> = tracks.iter().map(|track| track.rendition.to_string()).collect();
    assert_eq!(renditions, ["audio", "audio-2", "audio-3", "audio-8", "audio-5"]);
    let label = tracks[1].label.clone().unwrap();
    assert_eq!((label.language.unwrap().as_str(), label.name.as_deref()), ("fr", Some("Fran\u{e7}ais direct")));
    assert_eq!(tracks[2].label, None);
    let ids: Vec<_> = packets.iter().map(|packet| packet.track).collect();
    let sound = |nth| TrackId::sound(nth).unwrap();
    assert_eq!(ids, [sound(1), sound(2), sound(7), sound(4).foreign().unwrap()]);
}

#[tokio::test]
async fn opus_of_more_channels_than_two_is_refused_aloud() {
    let mut bench = Bench::new();
    let header = |channels, family| {
        [
            b"\x90OpusOpusHead\x01",
            &[channels][..],
            b"\x38\x01\x80\xbb\0\0\0\0",
            &[family],
            b"\x04\x02\0\x04\x01\x02\x03\x05",
        ]
        .concat()
    };
    bench.audio(0, &header(2, 0)).unwrap();
    let refused = bench.audio(0, &header(6, 1)).unwrap_err();
    assert!(refused.to_string().contains("Opus of more than two channels: set the encoder"), "{refused}");
}

#[tokio::test]
async fn nanoseconds_refine_the_stamp() {
    let mut bench = Bench::new();
    bench.video(0, &video_header(AVC)).unwrap();
    for nanos in [0_u32, 500_000] {
        let [_, a, b, c] = nanos.to_be_bytes();
        let unit = [0, 0, 0, 2, 0x65, 0x88];
        bench.video(40, &[&[0x97, 2, a, b, c, 3][..], b"avc1", &unit].concat()).unwrap();
    }
    let (_, packets) = bench.heard().await;
    assert_eq!(packets[1].pts.as_nanos() - packets[0].pts.as_nanos(), 500_000);
}

#[tokio::test]
async fn going_to_aac_and_back_breaks_the_live() {
    let mut bench = Bench::new();
    let producer = bench.consumer.producer();
    bench.audio(0, &[0x72, 1]).unwrap();
    bench.audio(20, SOUND_HEADER).unwrap();
    assert!(producer.tracks().iter().all(|track| track.id == TrackId::AUDIO));
    bench.audio(20, SOUND).unwrap();
    bench.audio(40, &[0x72, 1]).unwrap();
    bench.audio(60, SOUND).unwrap();
    assert_eq!(bench.media.dropped(), 1, "AAC needs its header again");
    producer.end();
    let mut seen = String::new();
    while let Some(event) = bench.consumer.recv().await {
        seen.push(match event {
            Event::Track(track) if track.id == TrackId::AUDIO => 'A',
            Event::Track(_) => 'F',
            Event::Packet(_) => '.',
            _ => '|',
        });
    }
    assert_eq!(seen, "F.|A.|F.");
}

#[test]
fn noise_never_panics() {
    let mut bench = Bench::new();
    bench.video(0, &video_header(AVC)).unwrap();
    bench.audio(0, SOUND_HEADER).unwrap();
    let mut state = 5_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..20_000 {
        let mut body: Vec<u8> = (0..random() % 40).map(|_| random() as u8).collect();
        let (video, head) = (random() % 2 == 0, [0x17, 0x27, 0x90, 0x97, 0xaf, 0x95][random() as usize % 6]);
        if let [first, second, ..] = &mut body[..] {
            (*first, *second) = (head, *second % 3);
        }
        let time = random() << 8;
        let _ = if video { bench.video(time, &body) } else { bench.audio(time, &body) };
    }
    assert!(bench.media.dropped() > 100);
}

#[tokio::test]
async fn composition_times_lie_on_either_side() {
    let mut bench = Bench::new();
    bench.video(0, &video_header(AVC)).unwrap();
    bench.video(1000, &[0x17, 1, 0, 0, 80, 0, 0, 0, 2, 0x65, 0x88]).unwrap();
    bench.video(1040, &[0x27, 1, 0xff, 0xff, 0xd8, 0, 0, 0, 2, 0x41, 0x88]).unwrap();
    let (_, packets) = bench.heard().await;
    let offset = |packet: &Packet| packet.pts.as_nanos() - packet.dts.as_nanos();
    assert_eq!((offset(&packets[0]), offset(&packets[1])), (80 * MILLI, -40 * MILLI));
    assert_eq!((packets[0].key, packets[1].key), (true, false));
}

#[test]
fn the_clock_runs_on_when_32_bits_wrap() {
    let mut clock = Clock::default();
    let times = [u32::MAX - 20, u32::MAX - 30, 10, u32::MAX - 5, 40].map(|time| clock.unwrapped(time) / MILLI);
    let last = i64::from(u32::MAX);
    assert_eq!(times, [last - 20, last - 30, last + 11, last - 5, last + 41]);
}
