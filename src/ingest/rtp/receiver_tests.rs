use std::net::Ipv4Addr;

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::*;
use crate::{
    ingest::rtp::Codec,
    model::{AudioCodec, AudioFormat, TrackId},
    stream::{Claim, Consumer, Event, Rank, Registry},
};

/// Of x264: High, with two pictures that may be reordered, and Baseline without.
const REORDERED: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00,
    0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x16, 0xd9, 0x00, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32,
    0x0f, 0x16, 0x2e, 0x48,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

/// A publisher of pictures, 25 a second, and sound, and what readers see of it.
struct Fixture {
    receiver: Receiver,
    consumer: Consumer,
    begun: Instant,
    sps: &'static [u8],
    sequence: u16,
    ssrc: u32,
}

impl Fixture {
    fn new(loss: Loss) -> Self {
        let (registry, _) = Registry::new(Duration::from_secs(30));
        let claim =
            Claim { rank: Rank::Main, takeover: false, protocol: "rtsp", peer: (Ipv4Addr::LOCALHOST, 1).into() };
        let begun = Instant::now();
        let name = StreamName::parse("maths").unwrap();
        let publication = registry.publish(&name, claim, begun).unwrap();
        let consumer = registry.get(&name).unwrap().producer.consume();
        let mut receiver = Receiver::new(publication, loss, begun);
        receiver.add(Content::Video { codec: Codec::H264, parameter_sets: Vec::new() }, 90_000, true);
        let format = AudioFormat { codec: AudioCodec::ALaw, config: Bytes::new(), sample_rate: 8_000, channels: 1 };
        receiver.add(Content::Audio { codec: Codec::Whole, format }, 8_000, true);
        Self { receiver, consumer, begun, sps: SPS, sequence: 0, ssrc: 7 }
    }

    fn at(&self, millis: u64) -> Instant {
        self.begun + Duration::from_millis(millis)
    }

    /// A packet of the picture that is shown at `shown`, and arrives at `millis`.
    fn sends(&mut self, shown: u64, millis: u64, marker: bool, payload: &[u8]) {
        let (sequence, timestamp) = (self.sequence, shown as u32 * 90);
        self.sequence = self.sequence.wrapping_add(1);
        let packet = Packet { marker, sequence, timestamp, ssrc: self.ssrc, payload: Bytes::copy_from_slice(payload) };
        let now = self.at(millis);
        self.receiver.packet(0, packet, now);
        self.receiver.drain(now).unwrap();
    }

    /// A whole picture, in one packet, with its parameter sets where it is a key frame.
    fn shows(&mut self, shown: u64, millis: u64, slice: &[u8]) {
        let units: &[&[u8]] = if slice[0] & 0x1f == 5 { &[self.sps, PPS, slice] } else { &[slice] };
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        self.sends(shown, millis, true, &payload);
    }

    /// The pictures so far: how they begin, and presentation and decoding times in milliseconds.
    fn seen(&mut self) -> Vec<(u8, i64, i64)> {
        let mut seen = Vec::new();
        while let Some(Some(event)) = self.consumer.recv().now_or_never() {
            if let Event::Packet(packet) = event
                && packet.track == TrackId::VIDEO
            {
                seen.push((packet.data[4], packet.pts.as_nanos() / 1_000_000, packet.dts.as_nanos() / 1_000_000));
            }
        }
        seen
    }
}

const KEY: &[u8] = &[0x65, 0x88];
const NEXT: &[u8] = &[0x41, 0x88];

#[test]
fn a_new_ssrc_goes_on_with_its_key_frame_and_without_what_was_half_there() {
    let mut fixture = Fixture::new(Loss::AwaitsKey);
    fixture.shows(0, 0, KEY);
    fixture.shows(40, 40, NEXT);
    // The first piece of a picture whose rest never comes.
    fixture.sends(80, 80, false, &[0x7c, 0x81, 0x88]);
    assert_eq!(fixture.seen().len(), 2);
    // The browser begins another stream: other numbers, another clock.
    (fixture.ssrc, fixture.sequence) = (8, 50_000);
    for n in 0..20 {
        fixture.shows(900_000 + n * 40, 120 + n * 40, if n == 0 { KEY } else { NEXT });
    }
    let seen = fixture.seen();
    assert_eq!(seen.len(), 20, "{seen:?}");
    assert_eq!(seen[0].0, 0x65);
    assert!(seen.windows(2).all(|two| two[1].2 > two[0].2), "{seen:?}");
    // The third picture was to come at 80 ms, the new stream's first came at 120 ms.
    assert!((80..=160).contains(&seen[0].2), "{seen:?}");
    assert_eq!(fixture.receiver.dropped(), 1);
}

#[test]
fn what_follows_a_loss_waits_for_a_key_frame_only_where_one_can_be_asked_for() {
    for (loss, expected) in [(Loss::AwaitsKey, 3), (Loss::Conceals, 5)] {
        let mut fixture = Fixture::new(loss);
        fixture.shows(0, 0, KEY);
        fixture.shows(40, 40, NEXT);
        fixture.sequence += 1;
        fixture.shows(120, 120, NEXT);
        fixture.shows(160, 160, NEXT);
        // Overdue by now.
        fixture.receiver.drain(fixture.at(600)).unwrap();
        assert_eq!(fixture.receiver.key_frames().unwrap().0, loss == Loss::AwaitsKey);
        fixture.shows(600, 600, KEY);
        let seen = fixture.seen();
        assert_eq!(seen.len(), expected, "{loss:?}: {seen:?}");
        assert!(!fixture.receiver.key_frames().unwrap().0);
    }
}

#[test]
fn the_first_report_moves_pictures_without_changing_their_order_or_their_wait() {
    let mut fixture = Fixture { sps: REORDERED, ..Fixture::new(Loss::Conceals) };
    let mut sound = 0_u16;
    let mut waits = Vec::new();
    // Two B-frames in a group of four, one referring to the other; they come as an encoder makes them.
    for group in 0..100 {
        let begin = 160 * group;
        for (index, shown) in [160, 80, 40, 120].into_iter().enumerate() {
            let (shown, now) = (begin + shown, begin + 40 * index as u64);
            let slice = if shown == 160 { KEY } else { NEXT };
            fixture.shows(shown, now, slice);
            for _ in 0..2 {
                let timestamp = u32::from(sound) * 160;
                let payload = Bytes::from_static(&[0xd5; 160]);
                let packet = Packet { marker: false, sequence: sound, timestamp, ssrc: 9, payload };
                fixture.receiver.packet(1, packet, fixture.at(now));
                sound += 1;
            }
            fixture.receiver.drain(fixture.at(now)).unwrap();
        }
        if group == 10 {
            // Pictures were 150 ms late on their way.
            let ntp = |millis: u64| (((100_000 + millis) / 1_000) << 32) + ((millis % 1_000) << 32) / 1_000;
            let at = fixture.at(begin);
            let report = |ssrc, millis, timestamp| SenderReport { ssrc, ntp: ntp(millis), timestamp };
            fixture.receiver.report(0, &report(7, begin - 150, begin as u32 * 90), at);
            fixture.receiver.report(1, &report(9, begin, begin as u32 * 8), at);
        }
        let seen = fixture.seen();
        waits.push(seen.last().map(|last| begin as i64 - last.2));
        assert!(seen.windows(2).all(|two| two[1].2 > two[0].2), "{seen:?}");
        let mut shown: Vec<_> = seen.iter().map(|picture| picture.1).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), seen.len(), "two at once: {seen:?}");
    }
    // Two wait for what may come before them, as before; those that do not lie 80 ms ahead, less 150 ms.
    assert!((waits[99].unwrap() - 70).abs() <= 2, "{waits:?}");
}
