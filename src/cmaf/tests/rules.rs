//! Made-up packets for what real encoders do only sometimes.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Random, audio_track,
    checker::{Expect, LENIENT, STRICT, check, check_lock_step},
    interleave, packet, run, video_track,
};
use crate::{
    cmaf::{Output, Packager, Settings},
    model::{MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId},
};

fn source() -> Track {
    video_track(TrackId::VIDEO, RenditionId::source())
}

/// Frames from `from` to `to` (ms) at `rate`, a key frame every `gop` frames.
fn video(from: f64, to: f64, rate: f64, gop: u32) -> Vec<Packet> {
    let count = ((to - from) * rate / 1000.0).round() as u32;
    let at = |n: u32| (from + f64::from(n) * 1000.0 / rate).round();
    (0..count).map(|n| packet(TrackId::VIDEO, at(n), n % gop == 0)).collect()
}

/// Sound from `from` to `to` (ms) at 48 kHz, stamps in whole milliseconds.
fn audio(from: f64, to: f64) -> Vec<Packet> {
    let count = ((to - from) * 48.0 / 1024.0) as u32;
    (0..count).map(|n| packet(TrackId::AUDIO, (from + f64::from(n) * 1024.0 / 48.0).round(), true)).collect()
}

/// A rung's packets, coming `delay` ms after the source's.
fn with_rung(packets: &[Packet], delay: i64) -> Vec<Packet> {
    let rung = |packet: &Packet| Packet { track: TrackId::rung(0), ..packet.clone() };
    let late = Duration::from_millis(delay as u64);
    let video = packets.iter().filter(|packet| packet.track == TrackId::VIDEO);
    let mut all: Vec<_> = packets.iter().map(|packet| (packet.dts, packet.clone())).collect();
    all.extend(video.map(|packet| (packet.dts + late, rung(packet))));
    all.sort_by_key(|(arrival, _)| *arrival);
    all.into_iter().map(|(_, packet)| packet).collect()
}

fn rung() -> Track {
    video_track(TrackId::rung(0), RenditionId::rung(480))
}

fn numbers(out: &[Output], rendition: &RenditionId) -> Vec<u64> {
    let mut all: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Part(part) if part.rendition == *rendition => Some(part.msn),
            _ => None,
        })
        .collect();
    all.dedup();
    all
}

#[test]
fn jittering_frames_neither_overshoot_nor_starve_their_parts_and_lose_no_time() {
    for seed in 1..40 {
        let mut random = Random(seed * 0x9e37_79b9);
        let rate = [24.0, 25.0, 29.97, 30.0, 50.0, 60.0][random.next(6) as usize];
        let gop = 20 + random.next(200) as u32;
        let mut frames = video(0.0, 20_000.0, rate, gop);
        for frame in &mut frames[1..] {
            frame.dts += Duration::from_micros(random.next(11_000));
            frame.pts = frame.dts;
        }
        let all = interleave([frames.clone(), audio(0.0, 20_000.0)].concat());
        let (packager, out) = run(&[source(), audio_track(48_000), rung()], with_rung(&all, 300));
        let renditions = check(&packager, &out, STRICT);
        check_lock_step(&renditions, 0.045);
        for id in [RenditionId::source(), RenditionId::rung(480)] {
            assert_eq!(renditions[&id].samples() as usize, frames.len(), "seed {seed}: no frame is lost");
        }
        let parts = &renditions[&RenditionId::source()].parts;
        let total: Duration = parts.iter().map(|part| part.duration).sum();
        assert!((total.as_secs_f64() - 20.0).abs() < 0.06, "seed {seed}: {total:?}");
    }
}

#[test]
fn wild_stamps_keep_every_bound() {
    for seed in 1..60 {
        let mut random = Random(seed * 0x1234_5677);
        let (mut time, mut packets) = ([0u64; 3], Vec::new());
        for n in 0..3_000 {
            let track = random.next(3) as u8;
            let clock = &mut time[usize::from(track)];
            *clock += match random.next(60) {
                0 => random.next(9_000),
                1 => 0,
                _ => random.next(80),
            };
            let mut made = packet(TrackId(track), *clock as f64, n % 50 == 0 || track == 1);
            made.pts += Duration::from_millis(random.next(200));
            made.data = Bytes::from(vec![0; random.next(40) as usize]);
            packets.push(made);
        }
        let (packager, out) = run(&[source(), audio_track(48_000), rung()], packets);
        check(&packager, &out, LENIENT);
        assert!(packager.waiting() <= 4096);
    }
}

#[test]
fn a_rung_that_lags_has_the_same_segments_as_its_source() {
    let all = interleave([video(0.0, 20_000.0, 30.0, 60), audio(0.0, 20_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(48_000), rung()], with_rung(&all, 1_500));
    let renditions = check(&packager, &out, STRICT);
    assert_eq!(renditions[&RenditionId::rung(480)].segments(), renditions[&RenditionId::source()].segments());
    check_lock_step(&renditions, 0.022);
    assert_eq!(renditions.len(), 3);
}

#[test]
fn a_rung_that_starts_late_begins_at_the_number_of_its_time() {
    let all = with_rung(&video(0.0, 12_000.0, 30.0, 60), 0);
    let late = all.into_iter().filter(|p| p.track == TrackId::VIDEO || p.pts > MediaTime::from_millis(5_000));
    let (packager, out) = run(&[source(), rung()], late);
    let renditions = check(&packager, &out, STRICT);
    let segments = renditions[&RenditionId::rung(480)].segments();
    assert_eq!(segments[0], (3, 6.0), "its first key frame is at 6 s: {segments:?}");
}

#[test]
fn a_long_group_of_pictures_is_cut_at_four_seconds_everywhere() {
    let all = interleave([video(0.0, 25_000.0, 25.0, 250), audio(0.0, 25_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(48_000), rung()], with_rung(&all, 200));
    let renditions = check(&packager, &out, STRICT);
    check_lock_step(&renditions, 0.022);
    let source = &renditions[&RenditionId::source()];
    let starts: Vec<_> = source.segments().iter().map(|(_, start)| *start).collect();
    assert_eq!(starts, [0.0, 4.0, 8.0, 10.0, 14.0, 18.0, 20.0, 24.0]);
    let opening: Vec<_> = source.parts.iter().filter(|p| p.index == 0).map(|p| p.independent).collect();
    assert_eq!(opening, [true, false, false, true, false, false, true, false]);
}

#[test]
fn sound_alone_makes_a_live() {
    let (packager, out) = run(&[audio_track(44_100)], audio(0.0, 10_000.0));
    let renditions = check(&packager, &out, STRICT);
    assert_eq!(packager.reference(), Some(&RenditionId::audio()));
    assert_eq!(packager.timing().unwrap().part_target, Duration::from_micros(234_375));
    assert_eq!(renditions[&RenditionId::audio()].segments().len(), 5);
    assert!(renditions[&RenditionId::audio()].parts.iter().all(|part| part.independent));
}

#[test]
fn a_video_that_never_gets_its_key_frame_does_not_hold_up_the_sound() {
    let mut frames = video(0.0, 10_000.0, 30.0, 60);
    frames.iter_mut().for_each(|frame| frame.key = false);
    let all = interleave([frames, audio(0.0, 10_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(48_000)], all);
    let renditions = check(&packager, &out, STRICT);
    assert!(renditions[&RenditionId::source()].parts.is_empty());
    assert_eq!(renditions[&RenditionId::audio()].segments().len(), 5);
}

#[test]
fn video_that_comes_late_takes_the_lead_at_its_first_key_frame() {
    let all = interleave([video(5_100.0, 12_000.0, 30.0, 60), audio(0.0, 12_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(48_000)], all);
    let renditions = check(&packager, &out, LENIENT);
    check_lock_step(&renditions, 0.045);
    assert_eq!(packager.reference(), Some(&RenditionId::source()));
    let segments = renditions[&RenditionId::source()].segments();
    assert!((segments[0].1 - 5.1).abs() < 0.001 && segments[0].0 == 3, "{segments:?}");
}

#[test]
fn sound_goes_on_while_the_video_stalls_and_both_meet_again() {
    let frames = [video(0.0, 5_000.0, 30.0, 60), video(16_000.0, 24_000.0, 30.0, 60)].concat();
    let all = interleave([frames, audio(0.0, 24_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(48_000)], all);
    let renditions = check(&packager, &out, LENIENT);
    let sound = renditions[&RenditionId::audio()].segments();
    assert_eq!(sound.iter().map(|(msn, _)| *msn).collect::<Vec<_>>(), (0..sound.len() as u64).collect::<Vec<_>>());
    for (msn, start) in renditions[&RenditionId::source()].segments() {
        let (_, heard) = sound[msn as usize];
        let behind = start - heard;
        assert!((-0.03..4.1).contains(&behind), "segment {msn}: picture at {start}, sound at {heard}");
    }
    let seam = |p: &[crate::model::Part]| p[1].start.since(p[0].start + p[0].duration) < Duration::from_millis(25);
    assert!(renditions[&RenditionId::audio()].parts.windows(2).all(seam), "sound has no hole");
}

#[test]
fn sound_waits_no_longer_than_a_second() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    packager.track(&source(), &mut out).unwrap();
    packager.track(&audio_track(48_000), &mut out).unwrap();
    let all = interleave([video(0.0, 3_000.0, 30.0, 60), audio(0.0, 9_000.0)].concat());
    for sent in all {
        packager.push(sent.clone(), &mut out);
        let last = out.iter().rev().find_map(|output| match output {
            Output::Part(part) if part.rendition == RenditionId::audio() => Some(part.start + part.duration),
            _ => None,
        });
        let behind = sent.pts.since(last.unwrap_or_default());
        assert!(behind < Duration::from_millis(1_400), "{behind:?} at {:?}", sent.pts);
    }
    assert_eq!(packager.reference(), Some(&RenditionId::audio()), "while the video stalls");
}

#[test]
fn a_break_closes_the_open_segment_and_shows_once_in_every_rendition() {
    let before = interleave([video(0.0, 5_000.0, 30.0, 60), audio(0.0, 5_000.0)].concat());
    let after = interleave([video(9_000.0, 14_000.0, 30.0, 60), audio(8_900.0, 14_000.0)].concat());
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    for track in [source(), audio_track(48_000), rung()] {
        packager.track(&track, &mut out).unwrap();
    }
    let (early, late): (Vec<_>, Vec<_>) =
        with_rung(&before, 500).into_iter().partition(|p| p.track != TrackId::rung(0) || p.pts.as_secs_f64() < 4.5);
    early.into_iter().for_each(|packet| packager.push(packet, &mut out));
    packager.discontinuity(&mut out);
    for id in [RenditionId::source(), RenditionId::audio()] {
        let last = out.iter().rev().find_map(|output| match output {
            Output::Part(part) if part.rendition == id => Some(part.clone()),
            _ => None,
        });
        let last = last.unwrap();
        assert!(last.ends_segment && last.start + last.duration > MediaTime::from_millis(4_950), "{last:?}");
    }
    // What the ladder still had in its pipes belongs to the time before.
    late.into_iter().for_each(|packet| packager.push(packet, &mut out));
    with_rung(&after, 500).into_iter().for_each(|packet| packager.push(packet, &mut out));
    packager.finish(&mut out);
    let renditions = check(&packager, &out, LENIENT);
    for (id, rendition) in &renditions {
        let breaks: Vec<_> = rendition.parts.iter().filter(|part| part.discontinuity).collect();
        assert_eq!(breaks.len(), 1, "{id}");
        assert_eq!((breaks[0].msn, breaks[0].index, breaks[0].independent), (3, 0, true), "{id}");
        assert!((breaks[0].start.as_secs_f64() - 9.0).abs() < 0.025, "{id}: {:?}", breaks[0].start);
        assert_eq!(numbers(&out, id), (0..=5).collect::<Vec<_>>(), "{id}");
    }
    assert_eq!(renditions[&RenditionId::rung(480)].samples(), 300, "no frame of the rung is lost");
}

#[test]
fn a_new_format_gets_a_new_init_behind_a_break_and_a_repeated_one_does_not() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    let tracks = [source(), audio_track(48_000)];
    let announce = |packager: &mut Packager, out: &mut Vec<Output>| {
        tracks.iter().for_each(|track| packager.track(track, out).unwrap());
    };
    let send = |packager: &mut Packager, out: &mut Vec<Output>, from: f64| {
        let all = interleave([video(from, from + 3_000.0, 30.0, 60), audio(from, from + 3_000.0)].concat());
        all.into_iter().for_each(|packet| packager.push(packet, out));
    };
    announce(&mut packager, &mut out);
    send(&mut packager, &mut out, 0.0);
    announce(&mut packager, &mut out);
    send(&mut packager, &mut out, 3_000.0);
    let inits = |out: &[Output]| out.iter().filter(|output| matches!(output, Output::Init(_))).count();
    assert_eq!(inits(&out), 2);
    let mut smaller = source();
    if let TrackFormat::Video(format) = &mut smaller.format {
        format.width = 160;
    }
    packager.track(&smaller, &mut out).unwrap();
    send(&mut packager, &mut out, 6_000.0);
    packager.track(&audio_track(44_100), &mut out).unwrap();
    send(&mut packager, &mut out, 9_000.0);
    packager.finish(&mut out);
    let renditions = check(&packager, &out, LENIENT);
    for (id, rendition) in &renditions {
        assert_eq!(rendition.inits.len(), 2, "{id}");
        let breaks: Vec<_> = rendition.parts.iter().filter(|part| part.discontinuity).map(|part| part.msn).collect();
        assert_eq!(breaks.len(), 2, "{id}: every rendition breaks with either");
    }
    check_lock_step(&renditions, 0.025);
}

#[test]
fn a_rung_that_changes_alone_goes_on_at_the_next_segment_and_all_break_there() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    packager.track(&source(), &mut out).unwrap();
    packager.track(&rung(), &mut out).unwrap();
    let all = with_rung(&video(0.0, 10_000.0, 30.0, 60), 0);
    let (first, second) = all.split_at(all.len() / 2);
    first.iter().cloned().for_each(|packet| packager.push(packet, &mut out));
    let mut other = rung();
    if let TrackFormat::Video(format) = &mut other.format {
        format.height = 90;
    }
    packager.track(&other, &mut out).unwrap();
    second.iter().cloned().for_each(|packet| packager.push(packet, &mut out));
    packager.finish(&mut out);
    let renditions = check(&packager, &out, LENIENT);
    let rung = &renditions[&RenditionId::rung(480)];
    let changed = rung.parts.iter().find(|part| part.init == 1).unwrap();
    assert_eq!((changed.msn, changed.index, changed.discontinuity, changed.independent), (3, 0, true, true));
    check_lock_step(&renditions, 0.0);
    for (id, rendition) in &renditions {
        let breaks: Vec<_> = rendition.parts.iter().filter(|part| part.discontinuity).map(|part| part.msn).collect();
        assert_eq!(breaks, [3], "{id}");
    }
}

#[test]
fn a_frame_rate_stated_late_is_no_new_format() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    packager.track(&source(), &mut out).unwrap();
    let mut stated = source();
    if let TrackFormat::Video(format) = &mut stated.format {
        format.frame_rate = Some(29.97);
    }
    packager.track(&stated, &mut out).unwrap();
    video(0.0, 1_000.0, 29.97, 60).into_iter().for_each(|packet| packager.push(packet, &mut out));
    assert_eq!(packager.timing().unwrap().frame, Duration::from_secs(1).div_f64(29.97));
    packager.track(&source(), &mut out).unwrap();
    packager.finish(&mut out);
    check(&packager, &out, STRICT);
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Init(_))).count(), 1);
}

#[test]
fn a_rung_that_leaves_and_returns_goes_on_with_its_numbers() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    packager.track(&source(), &mut out).unwrap();
    for from in [0.0, 5_000.0, 10_000.0] {
        packager.track(&rung(), &mut out).unwrap();
        with_rung(&video(from, from + 5_000.0, 30.0, 60), 0).into_iter().for_each(|p| packager.push(p, &mut out));
        packager.remove(TrackId::rung(0), &mut out);
    }
    packager.finish(&mut out);
    let renditions = check(&packager, &out, LENIENT);
    assert!(renditions[&RenditionId::rung(480)].samples() > 300);
    check_lock_step(&renditions, 0.0);
}

#[test]
fn a_video_joined_before_its_key_frame_already_sets_the_pace() {
    let frames: Vec<_> = video(0.0, 9_000.0, 24.0, 80).into_iter().skip(20).collect();
    let all = interleave([frames, audio(833.0, 9_000.0)].concat());
    let (packager, out) = run(&[source(), audio_track(44_100)], all);
    assert!((packager.timing().unwrap().frame.as_secs_f64() - 1.0 / 24.0).abs() < 0.0002);
    let renditions = check(&packager, &out, LENIENT);
    check_lock_step(&renditions, 0.045);
    assert!(!renditions[&RenditionId::source()].parts.is_empty());
}

#[test]
fn a_configuration_that_does_not_parse_is_refused_and_its_packets_dropped() {
    let mut broken = source();
    if let TrackFormat::Video(format) = &mut broken.format {
        format.config = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7]);
    }
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    assert!(packager.track(&broken, &mut out).is_err());
    packager.track(&source(), &mut out).unwrap();
    video(0.0, 3_000.0, 30.0, 60).into_iter().for_each(|packet| packager.push(packet, &mut out));
    assert!(packager.track(&broken, &mut out).is_err());
    video(3_000.0, 6_000.0, 30.0, 60).into_iter().for_each(|packet| packager.push(packet, &mut out));
    packager.track(&source(), &mut out).unwrap();
    video(6_000.0, 9_000.0, 30.0, 60).into_iter().for_each(|packet| packager.push(packet, &mut out));
    packager.finish(&mut out);
    let renditions = check(&packager, &out, LENIENT);
    let source = &renditions[&RenditionId::source()];
    assert_eq!(source.samples(), 180);
    let breaks: Vec<_> = source.parts.iter().filter(|part| part.discontinuity).map(|part| part.msn).collect();
    assert_eq!(breaks, [2]);
}

#[test]
fn another_frame_rate_keeps_the_target_of_the_live() {
    let frames =
        [video(0.0, 6_000.0, 30.0, 60), video(6_000.0, 12_000.0, 50.0, 100), video(12_000.0, 18_000.0, 12.0, 24)];
    let (packager, out) = run(&[source()], frames.concat());
    assert_eq!(packager.timing().unwrap().part_target, Duration::from_millis(250));
    let renditions = check(&packager, &out, Expect { full: false, seamless: true });
    let parts = &renditions[&RenditionId::source()].parts;
    assert_eq!(renditions[&RenditionId::source()].samples(), 180 + 300 + 72);
    let share = parts.iter().map(|part| part.duration.as_secs_f64()).sum::<f64>() / parts.len() as f64;
    assert!(share > 0.2, "{share}");
}

#[test]
fn a_frame_that_stands_for_five_seconds_makes_no_long_part_and_its_gap_shows() {
    let frames = [video(0.0, 4_000.0, 30.0, 60), video(9_000.0, 12_000.0, 30.0, 60)].concat();
    let (packager, out) = run(&[source()], frames);
    let renditions = check(&packager, &out, LENIENT);
    let parts = &renditions[&RenditionId::source()].parts;
    let gap = parts.windows(2).find(|pair| pair[1].start.since(pair[0].start) > Duration::from_secs(1)).unwrap();
    assert_eq!(gap[0].duration, packager.timing().unwrap().part_target, "stretched as far as it may");
    assert_eq!(gap[1].start, MediaTime::from_millis(9_000));
}

#[test]
fn the_timing_waits_for_half_a_second_of_video() {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    packager.track(&source(), &mut out).unwrap();
    for packet in video(0.0, 600.0, 25.0, 50) {
        assert!(packager.timing().is_none() == (packet.dts <= MediaTime::from_millis(520)), "{:?}", packet.dts);
        packager.push(packet, &mut out);
    }
    let timing = packager.timing().unwrap();
    assert_eq!((timing.frame, timing.part), (Duration::from_millis(40), Duration::from_millis(240)));
}

#[test]
fn nonsense_is_bounded() {
    let all = [source(), audio_track(48_000), rung()];
    for packets in [
        vec![packet(TrackId::AUDIO, 0.0, true); 10_000],
        vec![packet(TrackId::VIDEO, 0.0, true); 10_000],
        vec![packet(TrackId::VIDEO, 0.0, false); 10_000],
        vec![packet(TrackId::rung(0), 5.0, true); 10_000],
        vec![packet(TrackId(77), 5.0, true); 10],
        vec![Packet { data: Bytes::new(), ..packet(TrackId::VIDEO, 0.0, true) }; 10],
        (0..5_000).map(|n| packet(TrackId::VIDEO, -f64::from(n) * 1e9, n % 2 == 0)).collect(),
        (0..5_000).map(|n| packet(TrackId(n as u8 % 3), 1e15 * f64::from(n % 7), true)).collect(),
        [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]
            .map(|n| Packet { pts: MediaTime::from_nanos(n), ..packet(TrackId::VIDEO, n as f64, true) })
            .to_vec(),
    ] {
        let (packager, out) = run(&all, packets);
        assert!(packager.waiting() <= 4096);
        let bytes = out.iter().map(|output| if let Output::Part(part) = output { part.data.len() } else { 0 });
        assert!(bytes.sum::<usize>() < 4 << 20);
    }
}

#[test]
fn impossible_sample_rates_do_no_harm() {
    for rate in [0, 1, 7, u32::MAX] {
        let mut all = audio(0.0, 3_000.0);
        all.push(packet(TrackId::AUDIO, 9e15, true));
        all.push(packet(TrackId::AUDIO, 9.1e15, true));
        let (_, out) = run(&[audio_track(rate)], all);
        assert!(out.len() > 1, "{rate}");
    }
}

#[test]
fn an_end_without_a_beginning_is_quiet() {
    let (packager, out) = run(&[], []);
    assert!(out.is_empty() && packager.timing().is_none() && packager.reference().is_none());
    let (_, out) = run(&[source()], [packet(TrackId::VIDEO, 0.0, true)]);
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Part(part) if part.ends_segment)).count(), 1);
}
