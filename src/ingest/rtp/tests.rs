//! Packets as encoders send them, and as networks deliver them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    clock::Clock,
    depacketizer::Depacketizer,
    order::{Next, Order, PATIENCE},
    rtcp::SenderReport,
    *,
};
use crate::ingest::parameter_sets::{Family, ParameterSets};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn of(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    Packet { marker, sequence: 0, timestamp, ssrc: 7, payload: Bytes::copy_from_slice(payload) }
}

fn packet(sequence: u16) -> Packet {
    Packet { sequence, ..of(0, false, &[1]) }
}

fn units(codec: Codec, packets: &[(&[u8], u32, bool)]) -> (Vec<(u32, Vec<u8>)>, u64) {
    let mut depacketizer = Depacketizer::new(codec);
    let take = |(payload, timestamp, marker): &(&[u8], u32, bool)| depacketizer.take(&of(*timestamp, *marker, payload));
    let units = packets.iter().flat_map(take).map(|unit| (unit.timestamp, unit.pieces[0].to_vec())).collect();
    (units, depacketizer.dropped())
}

#[test]
fn a_header_with_everything_in_it() {
    let mut data = vec![0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
    data.extend([1, 1, 1, 1]); // one contributing source
    data.extend([0xbe, 0xde, 0, 1, 2, 2, 2, 2]); // an extension of one word
    data.extend([42, 43, 0, 2]); // payload and two bytes of padding
    let parsed = Packet::parse(&data.clone().into(), 0x60).unwrap();
    assert_eq!((parsed.marker, parsed.sequence, parsed.timestamp, parsed.ssrc), (true, 0x1234, 9, 7));
    assert_eq!(&parsed.payload[..], [42, 43]);
    for length in 0..data.len() - 4 {
        // None of what is cut off reads beyond its end.
        let _ = Packet::parse(&Bytes::copy_from_slice(&data[..length]), 96);
    }
    assert_eq!(Packet::parse(&Bytes::from_static(&[0x80; 11]), 0), None);
    assert_eq!(Packet::parse(&data.clone().into(), 97), None, "another payload");
    data[23] = 200;
    *data.last_mut().unwrap() = 200;
    assert_eq!(Packet::parse(&data.into(), 96), None, "more padding than packet");
}

#[test]
fn aac_comes_bundled_and_in_pieces() {
    let codec = Codec::Aac { size: 13, index: 3 };
    // Two headers of 16 bits: sizes 2 and 3.
    let bundle = [0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5];
    let (found, dropped) = units(codec, &[(&bundle, 100, true)]);
    assert_eq!((found, dropped), (vec![(100, vec![1, 2]), (1124, vec![3, 4, 5])], 0));
    // Four bytes in two packets, each with a header that tells the whole size.
    let (found, dropped) = units(codec, &[(&[0, 16, 0, 4 << 3, 1, 2], 5, false), (&[0, 16, 0, 4 << 3, 3, 4], 5, true)]);
    assert_eq!((found, dropped), (vec![(5, vec![1, 2, 3, 4])], 0));
    for wrong in [&[0][..], &[0, 0], &[0, 64, 0, 16], &[0, 32, 0, 16, 0, 255, 1, 2], &[0xff, 0xff]] {
        let (found, dropped) = units(codec, &[(wrong, 1, true)]);
        assert!(dropped >= 1 && found.len() < 2, "{wrong:?} {found:?}");
    }
}

#[test]
fn latm_says_how_long_it_is() {
    let mut long = vec![255, 1];
    long.extend([9; 256]);
    let (found, _) = units(Codec::Latm, &[(&[2, 1, 2], 5, true), (&long[..100], 6, false), (&long[100..], 6, true)]);
    assert_eq!(found, [(5, vec![1, 2]), (6, vec![9; 256])]);
    assert_eq!(units(Codec::Latm, &[(&[200, 1], 5, true), (&[0], 6, true)]), (vec![], 2));
}

#[test]
fn samples_change_their_byte_order_and_mpeg_audio_loses_its_header() {
    assert_eq!(units(Codec::L16, &[(&[1, 2, 3, 4], 5, false)]).0, [(5, vec![2, 1, 4, 3])]);
    assert_eq!(units(Codec::Mpa, &[(&[0, 0, 0, 0, 0xff, 0xfb], 5, false)]).0, [(5, vec![0xff, 0xfb])]);
}

#[test]
fn packets_of_noise_do_no_harm() {
    // Knuth's linear congruential generator: the same noise in every run.
    let mut seed = 3_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let codecs = [Codec::H264, Codec::Hevc, Codec::Vp8, Codec::Aac { size: 13, index: 3 }, Codec::Latm, Codec::Mpa];
    let mut depacketizers = codecs.map(Depacketizer::new);
    let mut sets = [Family::Avc, Family::Hevc].map(ParameterSets::new);
    let (mut pictures, mut timestamp) = (0, 0);
    for _ in 0..100_000 {
        // Types that mean something come more often than by chance.
        let types = [0x67, 0x68, 0x65, 0x41, 24, 28, 0x7c, 0x90, 0x40, 0x42, 0x44, 0x26, 0x60, 0x62, 0, 0];
        let first = types[random(16) as usize] ^ (random(4) == 0) as u8;
        let length = random(40);
        let payload: Vec<u8> = std::iter::once(first).chain((0..length).map(|_| random(256) as u8)).collect();
        timestamp += u32::from(random(3) == 0) * 3_000;
        let packet = of(timestamp, random(3) == 0, &payload);
        let lost = random(50) == 0;
        for (index, depacketizer) in depacketizers.iter_mut().enumerate() {
            for unit in depacketizer.take(&packet) {
                pictures += 1;
                vp8::key_frame(&unit.pieces[0]);
                if let Some(sets) = sets.get_mut(index) {
                    sets.take(&unit.pieces);
                    let _ = sets.changed();
                }
            }
            if lost {
                depacketizer.lost();
            }
        }
    }
    assert!(pictures > 10_000, "{pictures}");
}

/// Sequence numbers as they come out; what is lost as a negative count, a new sender as `ANEW`.
fn numbers(order: &mut Order, now: Instant) -> Vec<i32> {
    let next = std::iter::from_fn(|| order.pop(now));
    next.map(|next| match next {
        Next::Packet(packet, _) => packet.sequence.into(),
        Next::Lost(count) => -(count as i32),
        Next::Anew => ANEW,
    })
    .collect()
}

const ANEW: i32 = i32::MAX;

#[test]
fn in_order_nothing_waits_and_wraps_are_no_break() {
    let (mut order, now) = (Order::new(90_000, PATIENCE), Instant::now());
    for sequence in [65_534, 65_535, 0, 1] {
        order.push(packet(sequence), now);
        assert_eq!(numbers(&mut order, now), [i32::from(sequence)]);
    }
    assert_eq!(order.deadline(), None);
    let figures = order.figures().unwrap();
    assert_eq!((figures.loss, figures.lost, figures.highest), (0.0, 0, 65_537));
}

#[test]
fn what_comes_late_is_put_in_its_place_once() {
    let (mut order, now) = (Order::new(90_000, PATIENCE), Instant::now());
    for sequence in [10, 12, 13, 12] {
        order.push(packet(sequence), now);
    }
    assert_eq!(numbers(&mut order, now), [10]);
    assert_eq!(order.deadline(), Some(now + PATIENCE));
    order.push(packet(11), now);
    assert_eq!(numbers(&mut order, now), [11, 12, 13]);
    order.push(packet(11), now);
    assert_eq!(numbers(&mut order, now), [0; 0]);
}

#[test]
fn what_does_not_come_in_time_is_lost() {
    let (mut order, now) = (Order::new(90_000, PATIENCE), Instant::now());
    order.push(packet(1), now);
    order.push(packet(4), now);
    assert_eq!(numbers(&mut order, now + PATIENCE / 2), [1]);
    assert_eq!(numbers(&mut order, now + PATIENCE), [-2, 4]);
    order.push(packet(3), now);
    assert_eq!(numbers(&mut order, now + PATIENCE), [0; 0]);
    assert_eq!(order.figures().unwrap().loss, 0.25);
    assert_eq!(order.figures().unwrap().loss, 0.0, "since the last look");
    // Where nothing can come late, nothing is waited for.
    let mut order = Order::new(90_000, Duration::ZERO);
    [1, 3].into_iter().for_each(|sequence| order.push(packet(sequence), now));
    assert_eq!(numbers(&mut order, now), [1, -1, 3]);
}

#[test]
fn a_flood_behind_a_gap_does_not_grow_memory() {
    let (mut order, now) = (Order::new(90_000, PATIENCE), Instant::now());
    let mut out = 0;
    for sequence in (0..1).chain(2..=2_100) {
        order.push(packet(sequence), now);
        out += numbers(&mut order, now).len();
    }
    // One was given up because of the crowd behind it; the last came through at once.
    assert_eq!(out, 2_101);
}

#[test]
fn a_stray_packet_begins_nothing() {
    let (mut order, start) = (Order::new(90_000, PATIENCE), Instant::now());
    for n in 0..200_u16 {
        let now = start + Duration::from_millis(20) * n.into();
        order.push(packet(n), now);
        // Of far away, of another sender, and two of them that follow each other while the sender is there.
        order.push(packet(20_000 + n % 7 * 4_000 + n), now);
        order.push(Packet { ssrc: 100 + u32::from(n), ..packet(n) }, now);
        order.push(Packet { ssrc: 9, ..packet(n) }, now);
        let out: Vec<_> = numbers(&mut order, now);
        assert_eq!(out, [i32::from(n)]);
    }
    // Not even in a pause, if it is alone.
    let later = start + Duration::from_secs(10);
    order.push(packet(40_000), later);
    order.push(packet(200), later);
    assert_eq!(numbers(&mut order, later), [200]);
    assert_eq!(order.figures().unwrap().lost, 0);
}

#[test]
fn another_sender_goes_on_when_the_one_before_is_silent() {
    for ssrc in [7, 8] {
        let (mut order, start) = (Order::new(90_000, PATIENCE), Instant::now());
        order.push(packet(100), start);
        assert_eq!(numbers(&mut order, start), [100]);
        let other = |sequence| Packet { ssrc, ..packet(sequence) };
        let mut out = Vec::new();
        // The last two of the old one come among the first of the new, which come in another order.
        for (millis, packet) in [
            (10, other(30_000)),
            (20, packet(101)),
            (30, other(30_002)),
            (40, packet(102)),
            (50, other(30_001)),
            (200, other(30_004)),
            (400, other(30_003)),
        ] {
            let now = start + Duration::from_millis(millis);
            order.push(packet, now);
            out.extend(numbers(&mut order, now));
        }
        assert_eq!(out, [101, 102, ANEW, 30_000, 30_001, 30_002, 30_003, 30_004]);
        assert_eq!(order.ssrc(), Some(ssrc));
    }
}

#[test]
fn jitter_is_what_the_standard_says() {
    let (mut order, start) = (Order::new(1_000, Duration::ZERO), Instant::now());
    // Every second packet is 16 ms late: the estimate approaches that from below. The stamps wrap.
    for n in 0..400u16 {
        let late = if n % 2 == 1 { 16 } else { 0 };
        let at = start + Duration::from_millis(u64::from(n) * 20 + late);
        order.push(Packet { timestamp: (u32::from(n) * 20).wrapping_sub(2_000), ..packet(n) }, at);
    }
    let jitter = order.figures().unwrap().jitter_time;
    assert!((15..=16).contains(&jitter.as_millis()), "{jitter:?}");
}

/// A publisher whose clocks both begin at its second 100, with sound of 50 packets and 25 pictures a second.
struct Talk {
    clock: Clock,
    sound: usize,
    picture: usize,
    /// What the wall clock is ahead of itself.
    set: i64,
    seed: u64,
    /// Where sound lies against the time it was made.
    sounds: i64,
    /// By how much pictures are early against the sound, at each picture.
    early: Vec<i64>,
}

impl Talk {
    fn new() -> Self {
        let mut clock = Clock::default();
        let (sound, picture) = (clock.add(48_000, true), clock.add(90_000, false));
        Self { clock, sound, picture, set: 0, seed: 1, sounds: 0, early: Vec::new() }
    }

    /// Some of `most`, by chance.
    fn some(&mut self, most: i64) -> i64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as i64 % most.max(1)
    }

    /// One millisecond of a talk in which packets are late by up to `jitter`, and pictures by `late` besides.
    fn goes_on(&mut self, millis: i64, jitter: i64, late: i64) {
        let now = millis * MS;
        if millis % 20 == 0 {
            let arrived = now + self.some(jitter);
            let time = self.clock.unwrapped(self.sound, 5_000 + millis as u32 * 48);
            self.sounds = time + self.clock.offset(self.sound, time, arrived) - now;
        }
        if millis % 40 == 0 {
            let arrived = now + late + self.some(jitter);
            let time = self.clock.unwrapped(self.picture, 1_000 + millis as u32 * 90);
            self.early.push(time + self.clock.offset(self.picture, time, arrived) - now - self.sounds);
        }
    }

    fn reports(&mut self, track: usize, millis: i64) {
        let wall = 100_000 + millis + self.set;
        let ntp = ((wall as u64 / 1_000) << 32) + ((wall as u64 % 1_000) << 32) / 1_000;
        let timestamp = if track == self.sound { 5_000 + millis * 48 } else { 1_000 + millis * 90 };
        self.clock.report(track, &SenderReport { ssrc: 7, ntp, timestamp: timestamp as u32 });
    }

    fn worst(&self, pictures: std::ops::Range<usize>) -> i64 {
        self.early[pictures].iter().map(|early| early.abs()).max().unwrap() / MS
    }
}

#[test]
fn jitter_does_not_part_sound_and_picture_before_any_report() {
    let mut talk = Talk::new();
    (0..20_000).for_each(|millis| talk.goes_on(millis, 200 * MS, 0));
    assert!(talk.worst(75..500) <= 20, "{} ms", talk.worst(75..500));
}

#[test]
fn reports_bring_pictures_to_the_sound_without_a_jump() {
    let mut talk = Talk::new();
    for millis in 0..20_000 {
        talk.goes_on(millis, 200 * MS, 150 * MS);
        if millis % 1_000 == 500 {
            talk.reports(talk.picture, millis);
        }
        if millis % 5_000 == 2_500 {
            talk.reports(talk.sound, millis);
        }
    }
    assert!(talk.worst(60..75) > 100, "as they arrive: {} ms", talk.worst(60..75));
    assert!(talk.worst(150..500) <= 1, "{} ms", talk.worst(150..500));
    let steps = talk.early.windows(2).map(|two| (two[1] - two[0]).abs());
    assert!(steps.max().unwrap() <= 5 * MS, "an eighth of 40 ms");
}

#[test]
fn a_report_may_come_ahead_of_the_first_packet() {
    let mut talk = Talk::new();
    talk.reports(talk.picture, 0);
    talk.reports(talk.sound, 0);
    (0..2_000).for_each(|millis| talk.goes_on(millis, 200 * MS, 400 * MS));
    assert_eq!(talk.worst(0..50), 0);
}

#[test]
fn a_wall_clock_that_is_set_moves_nothing() {
    // Forth and back, by what NTP would slew, by half a minute and by years.
    for set in [150, -150, 3_000, -3_000, 30_000, -30_000, 1_000_000_000, -90_000] {
        let mut talk = Talk::new();
        for millis in 0..120_000 {
            talk.goes_on(millis, 50 * MS, 30 * MS);
            talk.set = if millis < 20_700 { 0 } else { set };
            if millis % 1_000 == 500 {
                talk.reports(talk.picture, millis);
            }
            if millis % 5_000 == 2_500 {
                talk.reports(talk.sound, millis);
            }
        }
        assert!(talk.worst(250..3_000) <= 1, "set by {set} ms: {} ms", talk.worst(250..3_000));
    }
}

#[test]
fn the_time_of_sending_in_reports_is_late_by_chance_and_counts_where_it_is_not() {
    let mut talk = Talk::new();
    for millis in 0..20_000 {
        talk.goes_on(millis, 50 * MS, 30 * MS);
        if millis % 1_000 == 500 {
            talk.set = [80, 30, 0, 50, 180, 70, 20][millis as usize / 1_000 % 7];
            talk.reports(talk.picture, millis);
            talk.set = 0;
            talk.reports(talk.sound, millis);
        }
    }
    assert!(talk.worst(150..500) <= 1, "{} ms", talk.worst(150..500));
}

#[test]
fn reports_that_cannot_be_are_passed_over() {
    let mut talk = Talk::new();
    for millis in 0..20_000 {
        talk.goes_on(millis, 0, 0);
        if millis % 1_000 == 500 {
            talk.reports(talk.sound, millis);
            talk.set = 800_000;
            talk.reports(talk.picture, millis);
            talk.set = 0;
        }
        // Of a sender that has no clock or has sent nothing yet; and one that is wrong.
        let ntp = if millis % 2 == 0 { 0 } else { 1 };
        if millis % 3_000 < 2 {
            talk.clock.report(talk.picture, &SenderReport { ssrc: 7, ntp, timestamp: 0 });
        }
    }
    assert_eq!(talk.worst(0..500), 0);
}

#[test]
fn time_stamps_wrap() {
    let mut clock = Clock::default();
    let video = clock.add(90_000, false);
    let mut time = |timestamp, arrived| {
        let time = clock.unwrapped(video, timestamp);
        time + clock.offset(video, time, arrived)
    };
    assert_eq!(time(u32::MAX - 89_999, 0), 0);
    assert_eq!(time(0, 5), SECOND);
    assert_eq!(time(90_000, 5), 2 * SECOND);
    // Steps back over the wrap again: reordered pictures do that.
    assert_eq!(time(u32::MAX - 89_999, 5), 0);
}

#[test]
fn a_track_that_begins_anew_lies_where_the_others_are() {
    let mut talk = Talk::new();
    for millis in 0..4_000 {
        talk.goes_on(millis, 100 * MS, 0);
    }
    talk.clock.restart(talk.picture);
    (4_000..8_000).for_each(|millis| talk.goes_on(millis, 100 * MS, 0));
    assert!(talk.worst(101..200) <= 100, "{} ms", talk.worst(101..200));
    assert!(talk.worst(150..200) <= 20, "{} ms", talk.worst(150..200));
}

#[test]
fn reports_are_read_and_written() {
    let mut data = vec![0x80, 200, 0, 6];
    data.extend([0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9]);
    data.extend([0; 8]);
    let found = rtcp::sender_report(&data).unwrap();
    assert_eq!((found.ssrc, found.ntp, found.timestamp), (7, 0x0102_0304_0506_0708, 9));
    // Behind another packet; and cut short.
    let compound = [&[0x80, 203, 0, 0][..], &data].concat();
    assert_eq!(rtcp::sender_report(&compound), Some(found));
    (0..data.len()).for_each(|length| assert_eq!(rtcp::sender_report(&data[..length]), None));

    let (mut order, now) = (Order::new(90_000, PATIENCE), Instant::now());
    [1, 2, 4].into_iter().for_each(|sequence| order.push(packet(sequence), now));
    let written = rtcp::receiver_report(1, &order.figures().unwrap(), Some((found, Duration::from_secs(1))));
    assert_eq!(written.len() % 4, 0);
    assert_eq!(&written[..4], [0x81, 201, 0, 7]);
    assert_eq!(written[12], 63, "a quarter of 255");
    assert_eq!(&written[13..16], [0, 0, 1]);
    assert_eq!(&written[24..28], [3, 4, 5, 6]);
    assert_eq!(&written[28..32], [0, 1, 0, 0]);
    let description = &written[32..];
    assert_eq!(description.len(), 4 + 4 * usize::from(description[3]));
}
