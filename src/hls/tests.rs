use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::*;
use crate::model::{
    Anchor, AudioCodec, AudioFormat, Init, LanguageTag, MediaTime, Part, RenditionId, StreamName, TrackFormat,
    VideoCodec, VideoFormat,
};

const PART: Duration = Duration::from_millis(250);
/// Parts a segment; two seconds.
const PARTS: u64 = 8;

pub(super) fn settings() -> Settings {
    let anchor = Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123));
    Settings::new(StreamName::parse("maths").unwrap(), PART, anchor, Instant::now())
}

fn video(id: &RenditionId, version: u32, height: u32, bitrate: Option<u32>) -> Init {
    let config = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe1, 0]);
    let format =
        VideoFormat { codec: VideoCodec::H264, config, width: height * 16 / 9, height, frame_rate: Some(30.0) };
    Init {
        rendition: id.clone(),
        version,
        format: Arc::new(TrackFormat::Video(format)),
        bitrate,
        label: None,
        data: format!("init {id} {version}").into(),
    }
}

pub(super) fn audio() -> Init {
    let config = Bytes::from_static(&[0x11, 0x90]);
    let format = AudioFormat { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
    Init {
        rendition: RenditionId::audio(),
        version: 0,
        format: Arc::new(TrackFormat::Audio(format)),
        bitrate: Some(128_000),
        label: None,
        data: Bytes::from_static(b"init audio"),
    }
}

pub(super) fn part(id: &RenditionId, number: u64) -> Part {
    Part {
        rendition: id.clone(),
        msn: number / PARTS,
        index: (number % PARTS) as u32,
        number,
        start: MediaTime::ZERO + PART * number as u32,
        duration: PART,
        independent: number.is_multiple_of(PARTS),
        ends_segment: number % PARTS == PARTS - 1,
        discontinuity: false,
        init: 0,
        data: format!("{id} {number};").into(),
    }
}

pub(super) fn source_window(parts: u64) -> Window {
    let mut window = Window::new(settings());
    let id = RenditionId::source();
    window.init(video(&id, 0, 720, Some(2_000_000)));
    for number in 0..parts {
        assert!(window.part(part(&id, number)));
    }
    window
}

fn text(window: &mut Window, directives: Directives) -> String {
    text_of(window, &RenditionId::source(), directives)
}

fn text_of(window: &mut Window, id: &RenditionId, directives: Directives) -> String {
    match window.playlist(id, Reach::Edge, directives) {
        Answer::Ready(playlist) => String::from_utf8(playlist.text().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn at(msn: u64, part: impl Into<Option<u64>>) -> Directives {
    Directives { msn: Some(msn), part: part.into(), skip: false }
}

/// What the window says to a reload with directives: `R`eady, `W`ait, `B`ad request, `N`ot found.
fn verdict(window: &mut Window, directives: Directives) -> char {
    match window.playlist(&RenditionId::source(), Reach::Edge, directives) {
        Answer::Ready(_) => 'R',
        Answer::Wait => 'W',
        Answer::BadRequest(_) => 'B',
        Answer::NotFound => 'N',
    }
}

#[test]
fn parts_add_up_to_their_segment_to_the_last_digit() {
    let mut window = Window::new(settings());
    let id = RenditionId::source();
    window.init(video(&id, 0, 720, Some(2_000_000)));
    for number in 0..16 {
        let duration = Duration::from_nanos(7 * 33_333_333);
        assert!(window.part(Part { duration, ..part(&id, number) }));
    }
    let playlist = text(&mut window, Directives::default());
    let micros = |number: &str| number.replace('.', "").parse::<u64>().unwrap();
    let (mut sum, mut segments) = (0, 0);
    for line in playlist.lines() {
        if let Some(rest) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            sum += micros(rest.split(',').next().unwrap());
        } else if let Some(rest) = line.strip_prefix("#EXTINF:") {
            assert_eq!(std::mem::take(&mut sum), micros(rest.trim_end_matches(',')), "{playlist}");
            segments += 1;
        }
    }
    assert_eq!(segments, 2, "{playlist}");
}

#[test]
fn a_playlist_in_full() {
    let mut window = source_window(10);
    window.part(part(&RenditionId::audio(), 0));
    let expected = expect_test::expect![[r#"
        #EXTM3U
        #EXT-X-VERSION:9
        #EXT-X-TARGETDURATION:4
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,HOLD-BACK=12.0,PART-HOLD-BACK=0.750000
        #EXT-X-PART-INF:PART-TARGET=0.250000
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-MAP:URI="/live/maths/source/init-0.mp4?l=30e23401"
        #EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:00.123Z
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-0.m4s?l=30e23401",INDEPENDENT=YES
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-1.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-2.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-3.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-4.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-5.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-6.m4s?l=30e23401"
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-7.m4s?l=30e23401"
        #EXTINF:2.000000,
        /live/maths/source/seg-0.m4s?l=30e23401
        #EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:02.123Z
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-8.m4s?l=30e23401",INDEPENDENT=YES
        #EXT-X-PART:DURATION=0.250000,URI="/live/maths/source/part-9.m4s?l=30e23401"
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI="/live/maths/source/part-10.m4s?l=30e23401"
        #EXT-X-RENDITION-REPORT:URI="/live/maths/audio/stream.m3u8",LAST-MSN=0,LAST-PART=0
    "#]];
    expected.assert_eq(&text(&mut window, Directives::default()));
    let parsed = m3u8_rs::parse_media_playlist_res(text(&mut window, Directives::default()).as_bytes()).unwrap();
    assert_eq!(parsed.segments.len(), 1);
}

#[test]
fn blocking_reload_waits_for_what_comes_next_and_refuses_what_lies_too_far_ahead() {
    // Segments 0 and 1 are complete, segment 2 has parts 0 to 2; the advance limit is 12 parts.
    let mut window = source_window(19);
    let mut check = |directives, expected| assert_eq!(verdict(&mut window, directives), expected, "{directives:?}");
    for (msn, expected) in [(0, 'R'), (1, 'R'), (2, 'W'), (3, 'W'), (4, 'B'), (u64::MAX, 'B')] {
        check(at(msn, None), expected);
    }
    for (part, expected) in [(0, 'R'), (2, 'R'), (3, 'W'), (14, 'W'), (15, 'B'), (u64::MAX, 'B')] {
        check(at(2, part), expected);
    }
    for (part, expected) in [(0, 'W'), (11, 'W'), (12, 'B')] {
        check(at(3, part), expected);
    }
    check(at(4, 0), 'B');
    check(at(1, 8), 'R');
    check(at(1, u64::MAX), 'R');
    check(Directives { part: Some(0), ..Default::default() }, 'B');
}

#[test]
fn a_part_past_the_end_of_a_segment_is_the_first_of_the_next() {
    let mut window = source_window(16);
    assert_eq!(verdict(&mut window, at(1, 8)), 'W');
    assert_eq!(verdict(&mut window, at(1, None)), 'R');
    window.part(part(&RenditionId::source(), 16));
    assert_eq!(verdict(&mut window, at(1, 8)), 'R');
    assert_eq!(verdict(&mut window, at(1, 99)), 'R');
}

#[test]
fn directives_are_read_strictly() {
    let parse = |query: &str| Directives::parse(query);
    assert_eq!(parse(""), Ok(Directives::default()));
    assert_eq!(parse("x=1&_HLS_msn=7&_HLS_part=0&_HLS_skip=YES"), Ok(Directives { skip: true, ..at(7, 0) }));
    assert_eq!(parse("_HLS_msn=18446744073709551615"), Ok(at(u64::MAX, None)));
    for bad in [
        "_HLS_part=1",
        "_HLS_msn=-1",
        "_HLS_msn=+1",
        "_HLS_msn=",
        "_HLS_msn",
        "_HLS_msn=18446744073709551616",
        "_HLS_msn=1&_HLS_msn=1",
        "_HLS_msn=1&_HLS_part=1&_HLS_part=2",
        "_HLS_skip=no",
        "_HLS_skip=YES&_HLS_skip=YES",
        "_HLS_msn=1e3",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn after_the_end_directives_are_ignored_and_nothing_is_hinted() {
    let mut window = source_window(19);
    window.end();
    for directives in [at(u64::MAX, None), Directives { skip: true, ..at(3, 99) }] {
        let text = text(&mut window, directives);
        assert!(text.contains("#EXT-X-ENDLIST") && !text.contains("PRELOAD-HINT") && !text.contains("SKIP:"), "{text}");
        assert!(text.contains("#EXTINF:0.750000,\n/live/maths/source/seg-2.m4s"), "the open segment is complete");
    }
    let id = RenditionId::source();
    assert_eq!(window.part_bytes(&id, 19), Answer::NotFound);
    assert!(!window.part(part(&id, 19)));
}

#[test]
fn the_playlist_slides_and_what_left_it_stays_fetchable_for_a_while_only() {
    let mut window = source_window(8 * 100);
    let id = RenditionId::source();
    let text = text(&mut window, Directives::default());
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:70\n"), "{text}");
    assert_eq!(text.matches("#EXTINF").count(), 30);
    assert_eq!(text.matches("#EXT-X-PART:").count(), 6 * 8, "parts of the last three target durations");
    assert_eq!(window.part_bytes(&id, 799), Answer::Ready("source 799;".into()));
    assert_eq!(window.part_bytes(&id, 800), Answer::Wait);
    assert_eq!(window.part_bytes(&id, 801), Answer::NotFound);
    assert_eq!(window.part_bytes(&id, u64::MAX), Answer::NotFound);
    // A removed segment stays as long as the playlist that listed it, and itself.
    assert!(matches!(window.segment(&id, 40), Answer::Ready(parts) if parts.len() == 8));
    assert_eq!(window.segment(&id, 35), Answer::NotFound);
    assert_eq!(window.part_bytes(&id, 35 * 8), Answer::NotFound);
    let held = window.bytes();
    for number in 800..8 * 1_000 {
        window.part(part(&id, number));
    }
    assert!(window.bytes() < held * 3 / 2, "memory does not grow: {held} then {}", window.bytes());
}

#[test]
fn a_delta_update_merges_into_the_full_playlist() {
    let mut window = source_window(8 * 40 + 3);
    let full = text(&mut window, Directives::default());
    let delta = text(&mut window, Directives { skip: true, ..Default::default() });
    let (head, tail) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=").unwrap();
    let (count, tail) = tail.split_once('\n').unwrap();
    let count: usize = count.parse().unwrap();
    assert!(!tail.contains("EXT-X-MAP") && delta.len() < full.len() * 4 / 5);
    let body = full.strip_prefix(head).unwrap();
    let end = body.match_indices("?l=").filter(|(at, _)| body[..*at].rsplit('\n').next().unwrap().starts_with('/'));
    let (end, _) = end.take(count).last().unwrap();
    let rest = &body[end..];
    assert_eq!(rest.split_once('\n').unwrap().1, tail);
    let kept: f64 =
        tail.lines().filter_map(|l| l.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok()).sum();
    assert!((24.0..26.1).contains(&(kept + 0.75)), "{kept}");
    let few = source_window(8 * 8);
    let mut few = few;
    assert!(!text(&mut few, Directives { skip: true, ..Default::default() }).contains("SKIP:"), "nothing to skip yet");
}

#[test]
fn a_discontinuity_stands_before_its_first_part_and_is_counted_when_it_leaves() {
    let mut window = source_window(8);
    let id = RenditionId::source();
    window.init(video(&id, 1, 1080, None));
    for number in 8..8 * 60 {
        window.part(Part { discontinuity: number == 8, init: 1, ..part(&id, number) });
        if number == 8 {
            let text = text(&mut window, Directives::default());
            let order = ["seg-0.m4s", "#EXT-X-DISCONTINUITY\n", "init-1.mp4", "08:00:02.123Z", "part-8.m4s"];
            let places = order.map(|what| text.find(what).unwrap());
            assert!(places.is_sorted(), "{text}");
        }
        if number == 8 * 20 {
            assert!(window.init_bytes(&id, 0).is_some(), "still in use");
        }
    }
    let text = text(&mut window, Directives::default());
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n") && !text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    // A rendition that begins after the break counts it as well.
    let late = RenditionId::rung(240);
    window.init(video(&late, 0, 240, None));
    window.part(part(&late, 60 * 8));
    window.part(part(&late, 61 * 8));
    let Answer::Ready(playlist) = window.playlist(&late, Reach::Edge, Directives::default()) else { panic!() };
    assert!(String::from_utf8_lossy(&playlist.text()).contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
}

#[test]
fn lost_segments_are_listed_as_gaps_and_a_long_loss_starts_anew() {
    let mut window = source_window(8);
    let id = RenditionId::source();
    for number in 32..48 {
        window.part(part(&id, number));
    }
    let playlist = text(&mut window, Directives::default());
    assert_eq!(playlist.matches("#EXT-X-GAP\n").count(), 3, "{playlist}");
    let uris: Vec<_> = playlist.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(uris.len(), 6, "{uris:?}");
    assert_eq!(window.segment(&id, 2), Answer::NotFound);
    assert_eq!(window.part_bytes(&id, 33), Answer::Ready("source 33;".into()));
    assert_eq!(window.part_bytes(&id, 20), Answer::NotFound);
    for number in 8_000..8_016 {
        window.part(part(&id, number));
    }
    let playlist = text(&mut window, Directives::default());
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:1000\n"), "{playlist}");
    assert!(!window.part(part(&id, 100)), "nothing goes back");
    assert!(!window.part(Part { duration: Duration::ZERO, ..part(&id, 8_016) }));
    assert!(!window.part(Part { number: u64::MAX, msn: u64::MAX, ..part(&id, 0) }));
}

#[test]
fn the_multivariant_playlist_waits_for_what_is_expected_and_no_longer_than_the_deadline() {
    let mut window = Window::new(settings());
    let (source, rung) = (RenditionId::source(), RenditionId::rung(480));
    let portuguese = LanguageTag::parse("pt").unwrap();
    window.expect([source.clone(), rung.clone(), RenditionId::audio()]);
    window.captions([
        Captions { language: LanguageTag::parse("en").unwrap(), name: "Eng\"lish\n".into(), spoken: true },
        Captions { language: portuguese.clone(), name: "Português".into(), spoken: false },
    ]);
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(4));
    assert!(window.multivariant(Reach::Edge, later).is_none(), "nothing at all");
    window.init(video(&source, 0, 720, Some(2_000_000)));
    window.part(part(&source, 0));
    window.init(audio());
    window.part(part(&RenditionId::audio(), 0));
    assert!(window.multivariant(Reach::Edge, now).is_none());
    let early = String::from_utf8(window.multivariant(Reach::Edge, later).unwrap().text().to_vec()).unwrap();
    assert!(early.contains("/source/") && !early.contains("/480p/"), "{early}");
    window.init(video(&rung, 0, 480, Some(800_000)));
    window.part(part(&rung, 0));
    let full = window.multivariant(Reach::Edge, now).unwrap();
    let expected = expect_test::expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:9
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="/live/maths/audio/stream.m3u8"
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="English",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,CHARACTERISTICS="public.accessibility.transcribes-spoken-dialog",URI="/live/maths/captions-en/stream.m3u8"
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="Português",LANGUAGE="pt",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="/live/maths/captions-pt/stream.m3u8"
        #EXT-X-STREAM-INF:BANDWIDTH=2200384,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO="audio",SUBTITLES="captions",CLOSED-CAPTIONS=NONE
        /live/maths/source/stream.m3u8
        #EXT-X-STREAM-INF:BANDWIDTH=720,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=853x480,FRAME-RATE=30.000,AUDIO="audio",SUBTITLES="captions",CLOSED-CAPTIONS=NONE
        /live/maths/480p/stream.m3u8
    "##]];
    expected.assert_eq(&String::from_utf8_lossy(&full.text()));
    let parsed = m3u8_rs::parse_master_playlist_res(&full.text()).unwrap();
    assert_eq!((parsed.variants.len(), parsed.alternatives.len()), (2, 3));
    // A caption track without a part is waited for, never missing.
    assert!(matches!(
        window.playlist(&RenditionId::captions(&portuguese), Reach::Edge, Directives::default()),
        Answer::Wait
    ));
    assert_eq!(verdict(&mut window, Directives::default()), 'W', "no complete segment yet");
    for number in 1..100 {
        window.part(Part { data: vec![0; 60_000].into(), ..part(&source, number) });
    }
    assert!(Arc::ptr_eq(&full, &window.multivariant(Reach::Edge, later).unwrap()), "it stays as it is");
    for number in 100..200 {
        window.part(Part { data: vec![0; 1_000_000].into(), ..part(&source, number) });
    }
    let more = String::from_utf8_lossy(&window.multivariant(Reach::Edge, later).unwrap().text()).into_owned();
    assert!(more.contains("#EXT-X-STREAM-INF:BANDWIDTH=32000384,"), "whoever comes now is told the truth: {more}");
    window.captions([Captions { language: portuguese, name: "Português".into(), spoken: true }]);
    let changed = String::from_utf8_lossy(&window.multivariant(Reach::Edge, later).unwrap().text()).into_owned();
    assert!(changed.contains("NAME=\"Português\"") && !changed.contains("LANGUAGE=\"en\""), "{changed}");
}

#[test]
fn bandwidth_is_never_below_what_was_measured() {
    let mut window = Window::new(settings());
    let id = RenditionId::audio();
    window.expect([id.clone()]);
    window.init(Init { bitrate: None, ..audio() });
    for number in 0..9 {
        assert!(window.multivariant(Reach::Edge, Instant::now()).is_none());
        window.part(Part { data: vec![0; 4_000].into(), ..part(&id, number) });
        if number == 7 {
            break;
        }
    }
    let playlist = window.multivariant(Reach::Edge, Instant::now()).unwrap();
    let parsed = m3u8_rs::parse_master_playlist_res(&playlist.text()).unwrap();
    assert_eq!(parsed.variants[0].bandwidth, 4_000 * 8 * 4 * 3 / 2);
    assert_eq!(parsed.variants[0].uri, "/live/maths/audio/stream.m3u8", "audio alone is a variant itself");
    assert_eq!(parsed.variants[0].codecs.as_deref(), Some("mp4a.40.2"));
}

#[test]
fn caption_parts_are_webvtt_and_need_no_map() {
    let mut window = Window::new(settings());
    let language = LanguageTag::parse("en").unwrap();
    let id = RenditionId::captions(&language);
    window.captions([Captions { language, name: "English".into(), spoken: true }]);
    for number in 0..=PARTS {
        window.part(part(&id, number));
    }
    assert_eq!(window.kind(&id), Some(Kind::Captions));
    let text = text_of(&mut window, &id, Directives::default());
    assert!(!text.contains("MAP") && text.contains("seg-0.vtt?") && text.contains("part-9.vtt?"), "{text}");
}

#[test]
fn a_caption_segment_ends_with_the_first_part_behind_it() {
    let mut window = Window::new(settings());
    let id = RenditionId::captions(&LanguageTag::parse("en").unwrap());
    for number in 0..2 * PARTS {
        window.part(part(&id, number));
    }
    let between = text_of(&mut window, &id, Directives::default());
    assert!(between.contains("seg-0.vtt?") && !between.contains("seg-1.vtt?"), "{between}");
    assert!(between.contains(&format!("PRELOAD-HINT:TYPE=PART,URI=\"/live/maths/captions-en/part-{}.vtt", 2 * PARTS)));
    let asked = |part| Directives { msn: Some(1), part, ..Directives::default() };
    assert!(matches!(window.playlist(&id, Reach::Edge, asked(None)), Answer::Wait), "the segment is not listed yet");
    assert!(
        matches!(window.playlist(&id, Reach::Edge, asked(Some(PARTS))), Answer::Wait),
        "neither is the part behind it"
    );
    assert!(matches!(window.playlist(&id, Reach::Edge, asked(Some(PARTS - 1))), Answer::Ready(_)));
    window.part(part(&id, 2 * PARTS));
    for part in [None, Some(PARTS)] {
        let behind = text_of(&mut window, &id, asked(part));
        assert!(behind.contains("seg-1.vtt?") && behind.contains(&format!("part-{}.vtt", 2 * PARTS)), "{behind}");
    }
    for number in 2 * PARTS + 1..3 * PARTS {
        window.part(part(&id, number));
    }
    window.end();
    assert!(text_of(&mut window, &id, Directives::default()).contains("seg-2.vtt?"), "an end leaves none untold");
}

#[test]
fn a_playlist_is_rendered_once_a_change() {
    let mut window = source_window(9);
    let id = RenditionId::source();
    let get = |window: &mut Window| match window.playlist(&id, Reach::Edge, Directives::default()) {
        Answer::Ready(playlist) => playlist,
        other => panic!("{other:?}"),
    };
    let first = get(&mut window);
    assert!(Arc::ptr_eq(&first, &get(&mut window)));
    window.part(part(&RenditionId::source(), 9));
    assert!(!Arc::ptr_eq(&first, &get(&mut window)));
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&first.gzip()[..]), &mut text).unwrap();
    assert_eq!(text, first.text());
}

#[test]
fn no_sequence_of_parts_and_requests_breaks_the_window() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        // Numbers that look random and are the same every time (Knuth's MMIX generator).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut window = Window::new(settings());
    let ids = [RenditionId::source(), RenditionId::audio(), RenditionId::parse("captions-en").unwrap()];
    let (mut number, mut taken) = (0, 0);
    for n in 0..10_000_u64 {
        let id = &ids[random(3) as usize];
        let wild = [0, 1, n, number, u64::MAX - 1, u64::MAX];
        number += random(3);
        let offered = Part {
            msn: if n > 9_000 { wild[random(6) as usize] } else { number / 5 + random(2) },
            number: if n > 9_500 { wild[random(6) as usize] } else { number },
            start: MediaTime::from_nanos(random(u64::MAX >> 34) as i64 * 1_000_000 - 5),
            duration: [PART, PART * 3, Duration::ZERO, Duration::MAX][random(40).min(3) as usize],
            ends_segment: random(4) == 0,
            discontinuity: random(50) == 0,
            init: random(3) as u32,
            ..part(id, number)
        };
        let offered = if random(2) == 0 { Part { duration: PART, ..offered } } else { offered };
        taken += u64::from(window.part(offered));
        if random(100) == 0 {
            window.init(video(id, n as u32, 720, None));
        }
        let (msn, part) = (wild[random(6) as usize], wild[random(6) as usize]);
        let directives = Directives { msn: Some(msn), part: (random(2) == 0).then_some(part), skip: random(2) == 0 };
        let _ = window.playlist(id, Reach::Edge, directives);
        let _ = (window.part_bytes(id, part), window.segment(id, msn), window.init_bytes(id, part as u32));
        if random(10) == 0 {
            let _ = window.multivariant(Reach::Edge, Instant::now());
        }
    }
    assert!(taken > 3_000, "{taken}");
    assert!(window.bytes() < 1 << 20);
}
