//! Packets as encoders send them, and as networks deliver them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{rtcp::SenderReport, *};

const SECOND: i64 = 1_000_000_000;

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    Packet { marker, payload_type: 96, sequence, timestamp, ssrc: 7, payload: Bytes::copy_from_slice(payload) }
}

fn units(codec: Codec, packets: &[(&[u8], u32, bool)]) -> (Vec<(u32, Vec<u8>)>, u64) {
    let mut depacketizer = Depacketizer::new(codec);
    let push = |(payload, timestamp, marker): &(&[u8], u32, bool)| {
        depacketizer.push(&packet(0, *timestamp, *marker, payload), false)
    };
    let units = packets.iter().flat_map(push).map(|unit| (unit.timestamp, unit.data.to_vec())).collect();
    (units, depacketizer.dropped())
}

#[test]
fn a_header_with_everything_in_it() {
    let mut data = vec![0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
    data.extend([1, 1, 1, 1]); // one contributing source
    data.extend([0xbe, 0xde, 0, 1, 2, 2, 2, 2]); // an extension of one word
    data.extend([42, 43, 0, 2]); // payload and two bytes of padding
    let parsed = Packet::parse(&data.clone().into()).unwrap();
    assert_eq!((parsed.marker, parsed.payload_type, parsed.sequence, parsed.timestamp), (true, 96, 0x1234, 9));
    assert_eq!(&parsed.payload[..], [42, 43]);
    for length in 0..data.len() - 4 {
        // None of what is cut off reads beyond its end.
        let _ = Packet::parse(&Bytes::copy_from_slice(&data[..length]));
    }
    assert_eq!(Packet::parse(&Bytes::from_static(&[0x80; 11])), None);
    data[23] = 200;
    *data.last_mut().unwrap() = 200;
    assert_eq!(Packet::parse(&data.into()), None, "more padding than packet");
}

#[test]
fn h264_comes_whole_bundled_and_in_pieces() {
    let (units, dropped) = units(
        Codec::H264,
        &[
            (&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68], 10, false),
            (&[0x7c, 0x85, 1, 2], 10, false),
            (&[0x7c, 0x05, 3], 10, false),
            (&[0x7c, 0x45, 4], 10, true),
            (&[0x41, 9], 20, false),
            // Without a marker the next time stamp tells.
            (&[0x41, 8], 30, true),
        ],
    );
    let idr = [&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x68][..], &[0, 0, 0, 5, 0x65, 1, 2, 3, 4]].concat();
    assert_eq!(units, [(10, idr), (20, vec![0, 0, 0, 2, 0x41, 9]), (30, vec![0, 0, 0, 2, 0x41, 8])]);
    assert_eq!(dropped, 0);
}

#[test]
fn broken_h264_costs_its_access_unit() {
    let wrong: [&[&[u8]]; 7] = [
        &[&[]],
        &[&[0x78, 0, 9, 1]],
        &[&[0x7c]],
        // A piece without its beginning, and one without its end.
        &[&[0x7c, 0x45, 1]],
        &[&[0x7c, 0x85, 1]],
        &[&[0x7c, 0x85, 1], &[0x41, 1]],
        // FU-B, which mode 1 has not.
        &[&[0x7d, 0x85, 1, 1]],
    ];
    for payloads in wrong {
        let last = payloads.len() - 1;
        let mut packets: Vec<_> = (0..).zip(payloads).map(|(at, payload)| (*payload, 1, at == last)).collect();
        packets.push((&[0x41, 7], 2, true));
        let (units, dropped) = units(Codec::H264, &packets);
        assert_eq!((units.len(), units[0].0, dropped), (1, 2, 1), "{payloads:?}");
    }
}

#[test]
fn a_gap_costs_the_access_unit_around_it() {
    let mut depacketizer = Depacketizer::new(Codec::H264);
    assert!(depacketizer.push(&packet(0, 1, false, &[0x7c, 0x85, 1]), false).is_empty());
    assert!(depacketizer.push(&packet(2, 1, true, &[0x7c, 0x45, 3]), true).is_empty());
    // A whole access unit that is missing costs no other.
    assert_eq!(depacketizer.push(&packet(9, 3, true, &[0x41, 3]), true).len(), 1);
    assert_eq!(depacketizer.dropped(), 1);
}

#[test]
fn aac_comes_bundled_and_in_pieces() {
    let codec = Codec::Aac { size: 13, index: 3 };
    // Two headers of 16 bits: sizes 2 and 3.
    let bundle = [0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5];
    let (found, dropped) = units(codec.clone(), &[(&bundle, 100, true)]);
    assert_eq!((found, dropped), (vec![(100, vec![1, 2]), (1124, vec![3, 4, 5])], 0));
    // Four bytes in two packets, each with a header that tells the whole size.
    let (found, dropped) =
        units(codec.clone(), &[(&[0, 16, 0, 4 << 3, 1, 2], 5, false), (&[0, 16, 0, 4 << 3, 3, 4], 5, true)]);
    assert_eq!((found, dropped), (vec![(5, vec![1, 2, 3, 4])], 0));
    for wrong in [&[][..], &[0], &[0, 0], &[0, 64, 0, 16], &[0, 32, 0, 16, 0, 255, 1, 2], &[0xff, 0xff]] {
        let (found, dropped) = units(codec.clone(), &[(wrong, 1, true)]);
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

fn order(sequences: &[u16]) -> (Vec<(u16, bool)>, Order) {
    let (mut order, now) = (Order::new(90_000, true), Instant::now());
    let mut out = Vec::new();
    for &sequence in sequences {
        order.push(packet(sequence, 0, false, &[]), now);
        while let Some((packet, gap)) = order.pop(now) {
            out.push((packet.sequence, gap));
        }
    }
    (out, order)
}

#[test]
fn packets_come_back_into_their_order_across_the_wrap() {
    let (out, mut order) = order(&[65_534, 0, 65_535, 1, 1, 3, 2]);
    assert_eq!(out.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [65_534, 65_535, 0, 1, 2, 3]);
    assert!(out.iter().all(|(_, gap)| !gap));
    let figures = order.figures().unwrap();
    assert_eq!((figures.loss, figures.highest), (0.0, 65_539));
}

#[test]
fn what_is_missing_is_waited_for_and_then_given_up() {
    let (out, mut order) = order(&[1, 3, 4]);
    assert_eq!(out, [(1, false)]);
    let later = Instant::now() + Duration::from_millis(300);
    assert_eq!(order.pop(later).map(|(packet, gap)| (packet.sequence, gap)), Some((3, true)));
    assert_eq!(order.pop(later).map(|(packet, gap)| (packet.sequence, gap)), Some((4, false)));
    assert_eq!(order.figures().unwrap().loss, 0.25);
    assert_eq!(order.figures().unwrap().loss, 0.0, "since the last look");
    // A crowd behind the gap does not wait.
    let many: Vec<_> = [1].into_iter().chain(3..200).collect();
    assert_eq!(self::order(&many).0.len(), 198 - 127 + 127);
}

#[test]
fn another_sender_begins_anew() {
    let (mut order, now) = (Order::new(90_000, true), Instant::now());
    assert!(order.push(packet(1, 0, false, &[]), now), "the first is no other");
    assert!(!order.push(packet(30_000, 0, false, &[]), now));
    assert_eq!(order.pop(now).map(|(packet, gap)| (packet.sequence, gap)), Some((30_000, false)));
    assert!(!order.push(Packet { ssrc: 8, ..packet(30_001, 0, false, &[]) }, now));
}

#[test]
fn jitter_is_what_the_standard_says() {
    let (mut order, start) = (Order::new(1_000, false), Instant::now());
    // Every second packet is 16 ms late: the estimate approaches that from below.
    for n in 0..400u16 {
        let late = if n % 2 == 1 { 16 } else { 0 };
        let at = start + Duration::from_millis(u64::from(n) * 20 + late);
        order.push(packet(n, u32::from(n) * 20, false, &[]), at);
    }
    let jitter = order.figures().unwrap().jitter_time;
    assert!((15..=16).contains(&jitter.as_millis()), "{jitter:?}");
}

fn report(seconds: u64, timestamp: u32) -> SenderReport {
    SenderReport { ssrc: 7, ntp: seconds << 32, timestamp }
}

#[test]
fn reports_bring_tracks_together() {
    let mut clock = Clock::default();
    let (video, audio) = (clock.add(90_000), clock.add(48_000));
    // Both begin with the same instant of the sender's; sound arrives 300 ms later.
    assert_eq!(clock.time(video, 1_000, 0), 0);
    assert_eq!(clock.time(audio, 5_000, 300_000_000), 300_000_000);
    clock.report(video, &report(100, 1_000));
    clock.report(audio, &report(100, 5_000));
    assert_eq!(clock.time(video, 1_000 + 90_000, SECOND), SECOND);
    assert_eq!(clock.time(audio, 5_000 + 48_000, SECOND), SECOND);
    // Later a report is a little off: the track follows slowly.
    clock.report(audio, &report(102, 5_000 + 2 * 48_000 - 480));
    let moved = clock.time(audio, 5_000 + 2 * 48_000, 2 * SECOND) - 2 * SECOND;
    assert_eq!(moved, 10_000_000 / 16);
}

#[test]
fn a_report_may_come_ahead_of_the_first_packet() {
    let mut clock = Clock::default();
    let (video, audio) = (clock.add(90_000), clock.add(48_000));
    clock.report(video, &report(100, 1_000));
    clock.report(audio, &report(100, 5_000));
    assert_eq!(clock.time(audio, 5_000, 0), 0);
    assert_eq!(clock.time(video, 1_000 + 9_000, 400_000_000), SECOND / 10, "as stamped, not as it came");
}

#[test]
fn time_stamps_wrap() {
    let mut clock = Clock::default();
    let video = clock.add(90_000);
    assert_eq!(clock.time(video, u32::MAX - 89_999, 0), 0);
    assert_eq!(clock.time(video, 0, 5), SECOND);
    assert_eq!(clock.time(video, 90_000, 5), 2 * SECOND);
    // One step back over the wrap again: reordered pictures do that.
    assert_eq!(clock.time(video, u32::MAX - 89_999, 5), 0);
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

    let (_, mut order) = order(&[1, 2, 4]);
    let written = rtcp::receiver_report(1, &order.figures().unwrap(), Some((found, 65_536)));
    assert_eq!(written.len() % 4, 0);
    assert_eq!(&written[..4], [0x81, 201, 0, 7]);
    assert_eq!(written[12], 63, "a quarter of 255");
    assert_eq!(&written[13..16], [0, 0, 1]);
    assert_eq!(&written[24..28], [3, 4, 5, 6]);
    assert_eq!(&written[28..32], [0, 1, 0, 0]);
    let description = &written[32..];
    assert_eq!(description.len(), 4 + 4 * usize::from(description[3]));
}
