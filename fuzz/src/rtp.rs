//! RTP and RTCP of a publisher.

use std::time::{Duration, Instant};

use amphi::ingest::rtsp::rtp::{Codec, Depacketizer, Order, Packet, rtcp};
use bytes::Bytes;

/// The largest access unit that is put together, and a packet.
const LARGEST: usize = (8 << 20) + (64 << 10);

/// Packets behind lengths of two bytes, in the codec that the first byte names; the top bit of a length says that the
/// packet before it took 100 ms.
pub fn packets(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let codec = match first % 7 {
        0 | 1 => Codec::H264,
        2 => Codec::Aac { size: 13, index: 3 },
        3 => Codec::Aac { size: 1 + u32::from(first >> 4), index: u32::from(first >> 3) % 17 },
        4 => Codec::Latm,
        5 => Codec::Mpa,
        _ if first & 0x80 == 0 => Codec::L16,
        _ => Codec::Whole,
    };
    let (mut order, mut depacketizer) = (Order::new(90_000, first & 0x40 != 0), Depacketizer::new(codec));
    let (mut now, mut taken, mut given) = (Instant::now(), 0, 0);
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = u16::from_be_bytes(*length);
        now += Duration::from_millis(if length & 0x8000 == 0 { 1 } else { 100 });
        let (packet, tail) = tail.split_at(tail.len().min(usize::from(length & 0x7fff)));
        rest = tail;
        let _ = rtcp::sender_report(packet);
        let Some(packet) = Packet::parse(&Bytes::copy_from_slice(packet)) else { continue };
        taken += packet.payload.len();
        order.push(packet, now);
        while let Some((packet, gap)) = order.pop(now) {
            for unit in depacketizer.push(&packet, gap) {
                assert!(!unit.data.is_empty() && unit.data.len() <= LARGEST);
                given += unit.data.len();
            }
        }
        if let Some(figures) = order.figures() {
            assert!((0.0..=1.0).contains(&figures.loss));
            assert_eq!(rtcp::receiver_report(1, &figures, None).len() % 4, 0);
        }
    }
    // A NAL unit of one byte takes two at least, and gets a length of four.
    assert!(given <= 5 * taken, "{given} bytes of {taken}");
}
