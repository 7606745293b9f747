use std::time::Duration;

use bytes::Bytes;

use super::pictures::{Stream, x264};
use crate::{
    cmaf::{Output, Packager, Settings},
    model::{AudioCodec, AudioFormat, MediaTime, Packet, Part, RenditionId, Track, TrackFormat, TrackId, VideoFormat},
    still::StandIn,
};

const FRAME: Duration = Duration::from_nanos(33_333_333);
const SEGMENT: Duration = Duration::from_secs(2);
const RUNG: TrackId = TrackId::rung(0);

fn at(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

/// A live of a source, a rung and sound, whose publisher sends 30 pictures a second from zero.
struct Live {
    still: StandIn,
    stream: Stream,
}

impl Live {
    fn new(audio: &'static [u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stream = x264(dir.path(), "320x240", &["-profile:v", "high"]);
        let mut live = Self { still: StandIn::default(), stream };
        for track in live.tracks(audio) {
            live.still.track(&track);
        }
        live
    }

    fn tracks(&self, audio: &'static [u8]) -> [Track; 3] {
        let video = |format: &VideoFormat| TrackFormat::Video(format.clone());
        let config = Bytes::from_static(audio);
        let sound = AudioFormat { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
        let track = |id, rendition, format| Track { id, rendition, format, bitrate: None, label: None };
        [
            track(TrackId::VIDEO, RenditionId::source(), video(&self.stream.format)),
            track(TrackId::AUDIO, RenditionId::audio(), TrackFormat::Audio(sound)),
            track(RUNG, RenditionId::rung(240), video(&self.stream.format)),
        ]
    }

    fn picture(&self, track: TrackId, nth: u32) -> Packet {
        let time = MediaTime::ZERO + FRAME * nth;
        let data = if nth == 0 { self.stream.key.clone() } else { Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9a]) };
        Packet { track, pts: time, dts: time, key: nth == 0, data }
    }

    fn sound(nth: i64) -> Packet {
        let time = MediaTime::from_ticks(1024 * nth, 48_000);
        Packet { track: TrackId::AUDIO, pts: time, dts: time, key: true, data: Bytes::from_static(b"x") }
    }

    /// Pictures of the source and sound up to a second, of the rung as many as asked for.
    fn first_second(&mut self, of_rung: u32) -> Vec<Packet> {
        let mut packets: Vec<_> = (0..30).map(|nth| self.picture(TrackId::VIDEO, nth)).collect();
        packets.extend((0..47).map(Self::sound));
        packets.extend((0..of_rung).map(|nth| self.picture(RUNG, nth)));
        packets.sort_by_key(|packet| packet.dts);
        packets.iter().for_each(|packet| assert!(self.still.packet(packet)));
        packets
    }

    fn until(&mut self, now: MediaTime) -> Vec<Packet> {
        let mut out = Vec::new();
        self.still.until(now, &mut out);
        out
    }
}

fn times(packets: &[Packet], track: TrackId) -> Vec<MediaTime> {
    packets.iter().filter(|packet| packet.track == track).map(|packet| packet.pts).collect()
}

#[test]
fn it_goes_on_at_the_pace_of_the_clock_and_never_ahead_of_it() {
    let mut live = Live::new(&[0x11, 0x90]);
    assert!(live.until(at(60_000)).is_empty(), "while the publisher is there nothing stands in");
    live.first_second(30);
    assert!(live.still.leave(FRAME, SEGMENT));
    assert!(live.until(at(1_000)).is_empty());
    let mut packets = Vec::new();
    for now in (1_000..6_000).step_by(125) {
        let fresh = live.until(at(now));
        assert!(fresh.iter().all(|packet| packet.pts + FRAME <= at(now)), "nothing lies ahead of {now} ms");
        assert!(fresh.windows(2).all(|pair| pair[0].dts <= pair[1].dts), "decoding order");
        packets.extend(fresh);
    }
    for track in [TrackId::VIDEO, RUNG] {
        let times = times(&packets, track);
        assert_eq!(times[0], MediaTime::ZERO + FRAME * 30);
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]).abs_diff(FRAME) < Duration::from_micros(1)));
        assert!(*times.last().unwrap() > at(5_600), "a tenth of a second behind at most, and a frame");
        let keys = packets.iter().filter(|packet| packet.track == track && packet.key);
        let keys: Vec<_> = keys.map(|packet| packet.pts.as_nanos() / 10_000_000).collect();
        assert_eq!(keys, [99, 299, 499]);
    }
    let sound = times(&packets, TrackId::AUDIO);
    let heard = MediaTime::from_ticks(47 * 1024, 48_000);
    assert!(sound[0].since(heard).max(heard.since(sound[0])) < Duration::from_micros(1), "sound goes on where it was");
    let total = Duration::from_nanos(1_024_000_000_000 / 48_000) * (sound.len() as u32 - 1);
    assert!(sound.last().unwrap().since(sound[0]).abs_diff(total) < Duration::from_micros(1), "without a seam");
}

#[test]
fn a_rung_that_lags_is_waited_for_and_what_comes_later_still_is_dropped() {
    let mut live = Live::new(&[0x11, 0x90]);
    live.first_second(20);
    assert!(live.still.leave(FRAME, SEGMENT));
    let mut packets = live.until(at(1_500));
    assert!(times(&packets, RUNG).is_empty(), "the rung may yet show what was sent");
    let late = live.picture(RUNG, 21);
    assert!(live.still.packet(&late));
    packets.extend(live.until(at(3_000)));
    let rung = times(&packets, RUNG);
    assert_eq!(rung[..8], [22, 23, 24, 25, 26, 27, 28, 29].map(|nth| MediaTime::ZERO + FRAME * nth), "made up for");
    assert_eq!(rung[8..], times(&packets, TrackId::VIDEO), "in step with the source");
    let keys: Vec<_> = packets.iter().filter(|packet| packet.track == RUNG).map(|packet| packet.key).collect();
    assert!(keys[0] && keys[8] && keys.iter().filter(|key| **key).count() == 2, "{keys:?}");
    assert!(!live.still.packet(&live.picture(RUNG, 22)), "its time has been taken");
}

#[test]
fn a_rung_still_waiting_catches_up_when_the_publisher_returns() {
    let mut live = Live::new(&[0x11, 0x90]);
    live.first_second(20);
    assert!(live.still.leave(FRAME, SEGMENT));
    let source = times(&live.until(at(1_500)), TrackId::VIDEO);
    let mut out = Vec::new();
    live.still.back(&mut out);
    assert_eq!(times(&out, RUNG)[10..], source);
    assert!(!live.still.is_away() && live.until(at(9_000)).is_empty());
    assert!(live.still.packet(&live.picture(TrackId::VIDEO, 30)), "the publisher's picture is never late");
}

#[test]
fn a_key_frame_never_follows_itself() {
    let mut live = Live::new(&[0x11, 0x90]);
    let (first, rung) = (live.picture(TrackId::VIDEO, 0), live.picture(RUNG, 0));
    live.still.packet(&first);
    live.still.packet(&rung);
    assert!(live.still.leave(FRAME, SEGMENT));
    let packets = live.until(at(3_000));
    for track in [TrackId::VIDEO, RUNG] {
        let keys: Vec<_> = packets.iter().filter(|packet| packet.track == track).map(|packet| packet.key).collect();
        assert_eq!(keys.iter().position(|key| *key), Some(1));
        assert_eq!(keys[2..].iter().position(|key| *key), Some(59));
    }
}

#[test]
fn where_picture_or_sound_cannot_go_on_the_live_stands_still() {
    // AAC Main.
    let mut live = Live::new(&[0x09, 0x90]);
    live.first_second(30);
    assert!(!live.still.leave(FRAME, SEGMENT));
    assert!(live.until(at(9_000)).is_empty());
    let mut silent = StandIn::default();
    assert!(!silent.leave(FRAME, SEGMENT), "a live without a packet");
}

#[test]
fn packaged_it_keeps_renditions_in_step_and_tells_itself_from_the_publisher() {
    let mut live = Live::new(&[0x11, 0x90]);
    let settings = Settings::default();
    let (mut packager, mut out) = (Packager::new(settings), Vec::new());
    for track in live.tracks(&[0x11, 0x90]) {
        packager.track(&track, &mut out).unwrap();
    }
    for packet in live.first_second(30) {
        packager.push(packet, &mut out);
    }
    assert!(live.still.leave(packager.timing().unwrap().frame, settings.segment));
    packager.stand_in();
    for now in (1_000..7_500).step_by(125) {
        live.until(at(now)).into_iter().for_each(|packet| packager.push(packet, &mut out));
    }
    packager.discontinuity(&mut out);
    for track in [TrackId::VIDEO, RUNG] {
        let packet = Packet { key: true, data: live.stream.key.clone(), ..live.picture(track, 240) };
        packager.push(packet, &mut out);
    }
    packager.push(Live::sound(376), &mut out);
    packager.finish(&mut out);
    let of = |id: &RenditionId, stands_in: bool| -> Vec<Part> {
        let parts = out.iter().filter_map(|output| match output {
            Output::Part(part) => (!stands_in).then_some(part),
            Output::StandIn(part) => stands_in.then_some(part),
            Output::Init(_) => None,
        });
        parts.filter(|part| part.rendition == *id).cloned().collect()
    };
    for id in [RenditionId::source(), RenditionId::rung(240), RenditionId::audio()] {
        let (real, still) = (of(&id, false), of(&id, true));
        let mut segments: Vec<_> = still.iter().map(|part| part.msn).collect();
        segments.dedup();
        assert_eq!(segments, [1, 2, 3, 4], "{id}");
        assert!(still.iter().all(|part| !part.discontinuity), "{id}");
        assert!(still.last().unwrap().ends_segment, "{id}");
        for part in &still {
            let full = part.duration.as_secs_f64() >= 0.85 * packager.timing().unwrap().part_target.as_secs_f64();
            assert!(full || part.ends_segment || part.independent, "{id}: {part:?}");
        }
        let mut real: Vec<_> = real.iter().map(|part| (part.msn, part.ends_segment, part.discontinuity)).collect();
        real.retain(|(_, ends, _)| *ends);
        assert_eq!(real, [(0, true, false), (5, true, true)], "{id}: what is recorded is whole");
    }
}

#[test]
fn a_live_of_sound_alone_goes_on_in_silence() {
    let live = Live::new(&[0x11, 0x90]);
    let [_, track, _] = live.tracks(&[0x11, 0x90]);
    let (mut still, mut packager, mut out) = (StandIn::default(), Packager::new(Settings::default()), Vec::new());
    still.track(&track);
    packager.track(&track, &mut out).unwrap();
    for packet in (0..120).map(Live::sound) {
        assert!(still.packet(&packet));
        packager.push(packet, &mut out);
    }
    assert!(still.leave(packager.timing().unwrap().frame, SEGMENT));
    packager.stand_in();
    let mut packets = Vec::new();
    still.until(at(8_000), &mut packets);
    packets.into_iter().for_each(|packet| packager.push(packet, &mut out));
    packager.finish(&mut out);
    let silent: Duration = out
        .iter()
        .filter_map(|output| if let Output::StandIn(part) = output { Some(part.duration) } else { None })
        .sum();
    assert!(silent.abs_diff(Duration::from_millis(5_340)) < Duration::from_millis(30), "{silent:?}");
}

/// A packet goes by, and what stands in for the other half behind it. Whether it was taken.
fn passes(still: &mut StandIn, packet: &Packet, out: &mut Vec<Packet>) -> bool {
    if still.lacking() == Some(packet.track) && !still.joins(packet, out) {
        return false;
    }
    let taken = still.packet(packet);
    if taken {
        still.beside(packet, FRAME, SEGMENT, out);
    }
    taken
}

#[test]
fn sound_that_stops_is_silence_until_it_comes_again_however_far_it_runs_behind_the_pictures() {
    for lag in [0, 200, 800, 1_500] {
        let mut live = Live::new(&[0x11, 0x90]);
        live.first_second(30);
        let (mut silence, mut heard, mut next) = (Vec::new(), Vec::new(), 150);
        for nth in 30..300 {
            let picture = live.picture(TrackId::VIDEO, nth);
            passes(&mut live.still, &picture, &mut silence);
            // From its 150th packet on, at 3.2 s, when pictures are as far as they run ahead.
            while Live::sound(next).dts + Duration::from_millis(lag) <= picture.dts {
                let sound = Live::sound(next);
                next += 1;
                if passes(&mut live.still, &sound, &mut silence) {
                    heard.push(sound);
                }
            }
        }
        assert!(live.still.lacking().is_none(), "{lag} ms behind");
        let last = at(10_000 - lag as i64);
        assert!(heard.last().unwrap().pts + Duration::from_millis(60) > last, "{lag} ms behind: {:?}", heard.last());
        let times: Vec<_> = silence.iter().chain(&heard).map(|packet| packet.pts).collect();
        assert!(silence.iter().all(|packet| packet.track == TrackId::AUDIO) && silence.len() > 80);
        let frame = Duration::from_nanos(21_333_333);
        let apart = times.windows(2).map(|pair| pair[1].since(pair[0]));
        assert!(apart.clone().all(|apart| apart < 2 * frame && apart > frame / 2), "{lag}");
    }
}

#[test]
fn a_camera_that_joins_opens_behind_what_stood_in_for_it() {
    let mut live = Live::new(&[0x11, 0x90]);
    live.first_second(30);
    live.still.break_here();
    let mut pictures = Vec::new();
    for nth in 47..150 {
        assert!(passes(&mut live.still, &Live::sound(nth), &mut pictures));
    }
    assert_eq!(live.still.lacking(), Some(TrackId::VIDEO));
    let key = |millis| Packet { key: true, pts: at(millis), dts: at(millis), ..live.picture(TrackId::VIDEO, 0) };
    let (late, next, between) = (key(2_800), key(4_800), live.picture(TrackId::VIDEO, 140));
    assert!(!passes(&mut live.still, &between, &mut pictures), "a picture that cannot be decoded");
    assert!(!passes(&mut live.still, &late, &mut pictures), "its time has been shown");
    for nth in 150..225 {
        passes(&mut live.still, &Live::sound(nth), &mut pictures);
    }
    for track in [TrackId::VIDEO, RUNG] {
        let times = times(&pictures, track);
        assert!(times[0].since(at(1_000)) < 2 * FRAME && times.is_sorted(), "{track:?}: {times:?}");
        assert!((at(2_900)..at(3_200)).contains(times.last().unwrap()), "the next one's time is free: {times:?}");
    }
    assert!(passes(&mut live.still, &next, &mut pictures) && live.still.lacking().is_none());
}

#[test]
fn pictures_that_no_decoder_can_begin_with_are_stood_in_for() {
    let mut live = Live::new(&[0x11, 0x90]);
    live.first_second(30);
    live.still.break_here();
    let (mut pictures, mut next) = (Vec::new(), 47);
    for nth in 30..90 {
        let picture = live.picture(TrackId::VIDEO, nth);
        passes(&mut live.still, &picture, &mut pictures);
        while Live::sound(next).dts <= picture.dts {
            assert!(passes(&mut live.still, &Live::sound(next), &mut pictures));
            next += 1;
        }
    }
    assert_eq!(live.still.lacking(), Some(TrackId::VIDEO));
    assert!(times(&pictures, TrackId::VIDEO)[0].since(at(1_000)) < 2 * FRAME, "from the break on");
}
