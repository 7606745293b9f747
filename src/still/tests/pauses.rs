use std::{fs, path::Path, time::Duration};

use bytes::Bytes;

use super::{
    checksums,
    pictures::{Stream, openh264, x264},
    run,
};
use crate::{
    model::{MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId},
    still::{Pace, Pauses, Picture},
};

const PACE: Pace = Pace { frame: Duration::from_millis(40), longest: Duration::from_millis(250) };
const RUNG: TrackId = TrackId::rung(0);

/// Pictures behind which the stream pauses, for so many repetitions.
const AT: [usize; 4] = [0, 3, 4, 22];
const LONG: usize = 40;

fn paused(stream: &Stream) -> Vec<Bytes> {
    let picture = Picture::new(&stream.format, &stream.key).expect("a picture that can be repeated");
    let repeated = |(index, unit): (usize, Bytes)| {
        let pause = AT.contains(&index).then(|| picture.pause(&unit).expect("a pause that can be filled"));
        std::iter::once(unit).chain(pause.into_iter().flat_map(|unit| vec![unit; LONG]))
    };
    stream.units().into_iter().enumerate().flat_map(repeated).collect()
}

/// What is decoded of a stream with pauses, from what is decoded of it without.
fn expected<T: Clone>(frames: &[T]) -> Vec<T> {
    let repeated = |(index, frame): (usize, &T)| vec![frame.clone(); if AT.contains(&index) { 1 + LONG } else { 1 }];
    frames.iter().enumerate().flat_map(repeated).collect()
}

fn check(stream: &Stream, dir: &Path) {
    let whole = checksums(&["-f", "h264", "-i", &stream.file(dir, &stream.units())]);
    assert_eq!(whole.len(), 23);
    assert!(whole.windows(2).all(|pair| pair[0] != pair[1]), "the test picture moves");
    let filled = checksums(&["-f", "h264", "-i", &stream.file(dir, &paused(stream))]);
    assert_eq!(filled, expected(&whole));
}

#[test]
fn a_pause_shows_the_last_picture_and_changes_none_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        &["-profile:v", "baseline", "-tune", "zerolatency"][..],
        &["-profile:v", "main", "-tune", "zerolatency", "-x264-params", "ref=4:weightp=2"],
        &["-profile:v", "high", "-bf", "0", "-x264-params", "ref=3:slices=4"],
        &["-profile:v", "high", "-tune", "zerolatency", "-g", "10"],
    ] {
        eprintln!("{options:?}");
        check(&x264(dir.path(), "320x240", options), dir.path());
    }
}

#[test]
fn the_encoder_of_browsers_pauses_too_and_their_decoders_follow() {
    let dir = tempfile::tempdir().unwrap();
    let stream = openh264(dir.path());
    check(&stream, dir.path());
    let decode = |decoder: &str, units: &[Bytes]| -> Vec<Vec<u8>> {
        let decoded = dir.path().join("decoded.yuv");
        let from = format!("location={}", stream.file(dir.path(), units));
        let to = format!("location={}", decoded.to_str().unwrap());
        run("gst-launch-1.0", &["-q", "filesrc", &from, "!", "h264parse", "!", decoder, "!", "filesink", &to]);
        fs::read(decoded).unwrap().chunks(320 * 240 * 3 / 2).map(<[u8]>::to_vec).collect()
    };
    for decoder in ["openh264dec", "avdec_h264"] {
        let (whole, filled) = (decode(decoder, &stream.units()), decode(decoder, &paused(&stream)));
        assert!(filled == expected(&whole), "{decoder}: {} pictures of {}", filled.len(), expected(&whole).len());
    }
}

#[test]
fn what_is_no_reference_or_is_broken_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let stream = x264(dir.path(), "320x240", &["-profile:v", "high", "-tune", "zerolatency"]);
    let picture = Picture::new(&stream.format, &stream.key).unwrap();
    let unit = stream.units()[1].to_vec();
    let mut other = unit.clone();
    other[4] &= 0x1f;
    assert!(picture.pause(&unit).is_some() && picture.pause(&other).is_none());
    for length in 0..unit.len().min(40) {
        let _ = picture.pause(&unit[..length]);
    }
    for bit in 0..unit.len().min(40) * 8 {
        let mut broken = unit.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let _ = picture.pause(&broken);
    }
}

/// A live whose packets go by: what comes out, as tracks and milliseconds; `+` for what fills a pause.
struct Live {
    pauses: Pauses,
    units: Vec<Bytes>,
    out: Vec<(TrackId, i64, bool)>,
}

impl Live {
    fn new(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stream = x264(dir.path(), "320x240", options);
        let mut pauses = Pauses::default();
        for (id, rendition) in [(TrackId::VIDEO, RenditionId::source()), (RUNG, RenditionId::rung(240))] {
            let format = TrackFormat::Video(stream.format.clone());
            pauses.track(&Track { id, rendition, format, bitrate: None, label: None });
        }
        Self { pauses, units: stream.units(), out: Vec::new() }
    }

    fn plain() -> Self {
        Self::new(&["-profile:v", "high", "-tune", "zerolatency"])
    }

    fn push(&mut self, track: TrackId, dts: i64, pts: i64, data: Bytes, key: bool) {
        let (pts, dts) = (MediaTime::from_millis(pts), MediaTime::from_millis(dts));
        let mut out = Vec::new();
        self.pauses.packet(Packet { track, pts, dts, key, data: data.clone() }, Some(PACE), &mut out);
        self.out.extend(out.iter().map(|packet| {
            assert!(packet.key || packet.pts >= packet.dts);
            (packet.track, packet.dts.as_nanos() / 1_000_000, packet.data != data)
        }));
    }

    fn picture(&mut self, track: TrackId, millis: i64, nth: usize) {
        self.push(track, millis, millis, self.units[nth].clone(), nth == 0);
    }

    /// Sound every 20 ms.
    fn sound(&mut self, millis: std::ops::Range<i64>) {
        millis.step_by(20).for_each(|at| self.push(TrackId::AUDIO, at, at, Bytes::from_static(b"x"), true));
    }

    fn times(&self, track: TrackId, filling: bool) -> Vec<i64> {
        let of = self.out.iter().filter(|(id, _, fills)| *id == track && *fills == filling);
        of.map(|(_, millis, _)| *millis).collect()
    }
}

#[test]
fn a_pause_is_filled_while_it_lasts_and_up_to_the_next_picture() {
    let mut live = Live::plain();
    live.picture(TrackId::VIDEO, 0, 0);
    live.sound(0..280);
    assert_eq!(live.times(TrackId::VIDEO, true), [0; 0], "no pause yet");
    live.sound(280..1_020);
    let filled: Vec<_> = (1..=18).map(|nth| 40 * nth).collect();
    assert_eq!(live.times(TrackId::VIDEO, true), filled, "as far behind the sound as a picture may stand");
    live.picture(TrackId::VIDEO, 1_010, 1);
    let filled: Vec<_> = (1..=24).map(|nth| 40 * nth).collect();
    assert_eq!(live.times(TrackId::VIDEO, true), filled);
    assert_eq!(live.times(TrackId::VIDEO, false), [0, 1_010]);
}

#[test]
fn pictures_that_only_come_late_or_seldom_are_left_alone() {
    let mut live = Live::plain();
    for nth in 0..10 {
        live.sound(240 * nth..240 * (nth + 1));
        live.picture(TrackId::VIDEO, 240 * nth, nth as usize);
    }
    // Sound that comes 400 ms ahead of its pictures is no pause, once that is known.
    let mut ahead = Live::plain();
    ahead.sound(0..400);
    for nth in 0..20 {
        ahead.picture(TrackId::VIDEO, 40 * nth, nth as usize);
        ahead.sound(400 + 40 * nth..400 + 40 * (nth + 1));
    }
    for live in [live, ahead] {
        assert_eq!(live.times(TrackId::VIDEO, true), [0; 0]);
    }
}

#[test]
fn a_rung_is_filled_where_the_source_was_once_it_has_caught_up() {
    let mut live = Live::plain();
    for nth in 0..2 {
        live.picture(TrackId::VIDEO, 40 * nth, nth as usize);
    }
    live.picture(RUNG, 0, 0);
    live.sound(0..1_000);
    assert_eq!(live.times(RUNG, true), [0; 0], "a picture of the source is still to come");
    live.picture(RUNG, 40, 1);
    let source = live.times(TrackId::VIDEO, true);
    assert!(source.len() > 10);
    assert_eq!(live.times(RUNG, true), source);
    live.picture(TrackId::VIDEO, 1_000, 2);
    live.picture(RUNG, 1_000, 2);
    assert_eq!(live.times(RUNG, true), live.times(TrackId::VIDEO, true));
}

#[test]
fn pictures_in_another_order_are_left_alone_and_so_is_what_lies_before_a_break() {
    let mut reordered = Live::new(&["-profile:v", "high", "-bf", "2"]);
    for (nth, shown) in [80, 200, 120, 160].into_iter().enumerate() {
        let unit = reordered.units[nth].clone();
        reordered.push(TrackId::VIDEO, 40 * nth as i64, shown, unit, nth == 0);
    }
    reordered.sound(0..2_000);
    assert_eq!(reordered.times(TrackId::VIDEO, true), [0; 0]);
    let mut broken = Live::plain();
    broken.picture(TrackId::VIDEO, 0, 0);
    broken.pauses.clear();
    broken.sound(0..2_000);
    assert_eq!(broken.times(TrackId::VIDEO, true), [0; 0]);
}
