use super::*;

fn videos(body: &[u8]) -> Vec<Unit<Video>> {
    video(Bytes::copy_from_slice(body)).collect()
}

fn audios(body: &[u8]) -> Vec<Unit<Audio>> {
    audio(Bytes::copy_from_slice(body)).collect()
}

/// What a tag says of its one track.
fn only_video(body: &[u8]) -> Video {
    let [Unit { track: 0, nanos: 0, content }] = &videos(body)[..] else { panic!("{body:x?}") };
    content.clone()
}

fn only_audio(body: &[u8]) -> Audio {
    let [Unit { track: 0, nanos: 0, content }] = &audios(body)[..] else { panic!("{body:x?}") };
    content.clone()
}

#[test]
fn composition_times_are_signed() {
    let data = Bytes::from_static(&[9]);
    let expected = Video::Frame { codec: VideoCodec::H264, key: false, composition: -41, data };
    assert_eq!(only_video(&[0x27, 1, 0xff, 0xff, 0xd7, 9]), expected);
    assert_eq!(only_video(b"\xa1avc1\xff\xff\xd7\x09"), expected);
}

#[test]
fn an_access_unit_is_a_slice_of_the_body() {
    for body in [&[0x17, 1, 0, 0, 0, 1, 2, 3][..], b"\x93hvc1\x01\x02\x03", b"\x96\x03hvc1\x00\x01\x02\x03"] {
        let body = Bytes::copy_from_slice(body);
        let Some(Unit { content: Video::Frame { data, .. }, .. }) = video(body.clone()).next() else { panic!() };
        assert_eq!(data.as_ptr(), body[body.len() - 3..].as_ptr());
    }
}

#[test]
fn other_codecs_are_named() {
    for (body, name) in [
        (&[0x12, 0][..], "Sorenson H.263"),
        (b"\x90vvc1", "VVC (H.266)"),
        (b"\x95av01", "AV1 in the form of MPEG-2 TS"),
    ] {
        assert_eq!(only_video(body), Video::Other(name));
    }
    for (body, name) in [(&[0x3d, 0][..], "PCM of 8 bits"), (b"\x91fLaCx", "FLAC"), (b"\x91ac-3x", "AC-3")] {
        assert_eq!(only_audio(body), Audio::Other(name));
    }
}

#[test]
fn codecs_with_a_fourcc() {
    let data = Bytes::from_static(b"xy");
    let header = |codec| Video::Header { codec, config: data.clone() };
    let frame = |codec, key, composition| Video::Frame { codec, key, composition, data: data.clone() };
    let (h264, hevc, av1) = (VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1);
    for (body, expected) in [
        (&b"\x90avc1xy"[..], header(h264)),
        (b"\x90hvc1xy", header(hevc)),
        (b"\x90av01xy", header(av1)),
        (b"\x91hvc1\0\0\x28xy", frame(hevc, true, 40)),
        (b"\xa3hvc1xy", frame(hevc, false, 0)),
        // AV1 has no composition time to leave out.
        (b"\x91av01xy", frame(av1, true, 0)),
        (b"\xa1hvc1\0\0", Video::Nothing),
        (b"\x92hvc1", Video::Nothing),
        (b"\x94hvc1\x02\0\x09colorInfo", Video::Nothing),
        // The form of before there was a FourCC.
        (b"\x1c\0\0\0\0xy", header(hevc)),
        (b"\x2c\x01\0\0\x28xy", frame(hevc, false, 40)),
    ] {
        assert_eq!(only_video(body), expected, "{body:x?}");
    }
    let opus = Audio::Plain { codec: AudioCodec::Opus, rate: 48_000, channels: 2, data: data.clone() };
    for (body, expected) in [
        (&b"\x90mp4axy"[..], Audio::Header(data.clone())),
        (b"\x91mp4axy", Audio::Frame(data.clone())),
        (b"\x90Opusxy", Audio::OpusHeader(data.clone())),
        (b"\x91Opusxy", opus),
        (b"\x92Opus", Audio::Nothing),
        (b"\x94mp4axy", Audio::Nothing),
    ] {
        assert_eq!(only_audio(body), expected, "{body:x?}");
    }
    // Commands of a server that plays hold no media.
    assert_eq!(videos(b"\xd1\0"), []);
}

#[test]
fn modifiers_are_read_over_and_nanoseconds_counted() {
    let plain = [&b"\x97\x02\0\x01\x02\x03"[..], b"avc1\x09"].concat();
    let [Unit { nanos, content: Video::Frame { key, data, .. }, .. }] = &videos(&plain)[..] else { panic!() };
    assert_eq!((*nanos, *key, &data[..]), (258, true, &[9][..]));
    // One of another kind first, of 300 bytes.
    let long = [&b"\x97\xff\x01\x2b"[..], &[7; 300], b"\x17\x02\x0f\x42\x40\x03hvc1\x09"].concat();
    assert_eq!(videos(&long).iter().map(|unit| unit.nanos).collect::<Vec<_>>(), [1_000_000]);
    let sound = b"\x97\x02\0\0\x05\x01mp4a\x09";
    assert_eq!(audios(sound), [Unit { track: 0, nanos: 5, content: Audio::Frame(Bytes::from_static(&[9])) }]);
}

#[test]
fn tags_of_many_tracks() {
    let frame = |track, byte: &'static [u8]| Unit { track, nanos: 0, content: Audio::Frame(Bytes::from_static(byte)) };
    assert_eq!(audios(b"\x95\x01mp4a\x05ab"), [frame(5, b"ab")]);
    assert_eq!(audios(b"\x95\x11mp4a\0\0\0\x01a\x02\0\0\x02bc"), [frame(0, b"a"), frame(2, b"bc")]);
    let opus = Audio::Plain { codec: AudioCodec::Opus, rate: 48_000, channels: 2, data: Bytes::from_static(b"bc") };
    let mixed = b"\x95\x21mp4a\0\0\0\x01aOpus\x02\0\0\x02bc";
    assert_eq!(audios(mixed), [frame(0, b"a"), Unit { track: 2, nanos: 0, content: opus }]);
    let pictures = videos(b"\x96\x13hvc1\0\0\0\x01a\x01\0\0\x01b");
    assert_eq!(pictures.iter().map(|unit| unit.track).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn tracks_that_lie_end_the_tag() {
    for (body, tracks) in [
        (&b"\x95\x11mp4a\0\0\0\x01a\x02\xff\xff\xffbc"[..], 1),
        (b"\x95\x11mp4a\0\0\0\x09a", 0),
        (b"\x95\x11mp4a\0\0", 0),
        (b"\x95\x11mp", 0),
        (b"\x95", 0),
        // Tracks in tracks, and a layout nobody knows.
        (b"\x95\x15mp4a\0\0\0\x01a", 0),
        (b"\x95\x31mp4a\0\0\0\x01a", 0),
        // A modifier that lies, one too many, and nothing behind one.
        (b"\x97\xff\xff\xff\x09\x01", 0),
        (b"\x97\0\0\x07\0\0\x07\0\0\x07\0\0\x07\0\0\x07\0\0\x07\0\0\x07\0\0\x07\0\0\x01mp4aa", 0),
        (b"\x97\0\0", 0),
    ] {
        assert_eq!(audios(body).len(), tracks, "{body:x?}");
    }
    let crowd = [&b"\x95\x11mp4a"[..], &[0; 4_000]].concat();
    assert_eq!(audios(&crowd).len(), 256);
}

#[test]
fn noise_never_panics() {
    let mut state = 13_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    for _ in 0..50_000 {
        let mut body = [&[random()][..], b"\x11mp4ahvc1av01\0\0\x01a\x02\0\0\x02bc"].concat();
        for _ in 0..3 {
            let at = usize::from(random()) % body.len();
            body[at] = random();
        }
        body.truncate(usize::from(random()) % body.len() + 1);
        assert!(videos(&body).len() <= 256 && audios(&body).len() <= 256);
    }
}

#[test]
fn sound_without_a_header_states_its_form() {
    for (first, expected) in [
        (0x2f, (AudioCodec::Mp3, 44_100, 2)),
        (0x3a, (AudioCodec::Pcm, 22_050, 1)),
        (0x72, (AudioCodec::ALaw, 8_000, 1)),
        (0x87, (AudioCodec::MuLaw, 11_025, 2)),
        (0xb2, (AudioCodec::Speex, 16_000, 1)),
        (0x52, (AudioCodec::Nellymoser, 8_000, 1)),
    ] {
        let Audio::Plain { codec, rate, channels, data } = only_audio(&[first, 9]) else { panic!("{first:x}") };
        assert_eq!((codec, rate, channels, &data[..]), (expected.0, expected.1, expected.2, &[9][..]));
    }
    let enhanced = only_audio(b"\x91.mp3x");
    assert!(matches!(enhanced, Audio::Plain { codec: AudioCodec::Mp3, .. }));
    assert_eq!(only_audio(&[0x2f]), Audio::Nothing);
}

#[test]
fn short_bodies_hold_nothing() {
    for length in 0..5 {
        assert_eq!(only_video(&[0x17, 1, 0, 0, 0][..length]), Video::Nothing);
    }
    for length in 0..3 {
        assert_eq!(only_audio(&[0xaf, 1, 0][..length]), Audio::Nothing);
    }
}

#[test]
fn a_file_that_stops_short_ends() {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    file.extend([9, 0, 0, 2, 0, 0, 5, 1, 0, 0, 0, 0x17, 2, 0, 0, 0, 13]);
    file.extend([9, 0xff, 0xff, 0xff, 0]);
    let tags: Vec<_> = Tags::of_file(file.into()).unwrap().collect();
    assert_eq!(tags, [Tag { kind: 9, timestamp: 0x0100_0005, body: Bytes::from_static(&[0x17, 2]) }]);
    assert!(Tags::of_file(Bytes::from_static(b"RIFF....WAVE")).is_none());
}
