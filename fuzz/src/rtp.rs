//! RTP and RTCP of a publisher.

use std::time::{Duration, Instant};

use amphi::ingest::rtp::{Codec, Depacketizer, Next, Order, Packet, rtcp};
use bytes::Bytes;

/// The largest access unit that is put together, and a packet.
const LARGEST: usize = (16 << 20) + (64 << 10);

/// Packets behind lengths of two bytes, in the codec that the first byte names; the top bit of a length says that the
/// packet before it took 100 ms.
pub fn packets(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let codec = match first % 9 {
        0 => Codec::H264,
        1 => Codec::Hevc,
        2 => Codec::Aac { size: 13, index: 3 },
        3 => Codec::Aac { size: 1 + u32::from(first >> 4), index: u32::from(first >> 3) % 17 },
        4 => Codec::Latm,
        5 => Codec::Mpa,
        6 => Codec::Vp8,
        7 => Codec::L16,
        _ => Codec::Whole,
    };
    let patience = Duration::from_millis(if first & 0x40 == 0 { 0 } else { 100 });
    let (mut order, mut depacketizer) = (Order::new(90_000, patience), Depacketizer::new(codec));
    let (mut now, mut taken, mut given) = (Instant::now(), 0, 0);
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = u16::from_be_bytes(*length);
        now += Duration::from_millis(if length & 0x8000 == 0 { 1 } else { 100 });
        let (packet, tail) = tail.split_at(tail.len().min(usize::from(length & 0x7fff)));
        rest = tail;
        let _ = rtcp::sender_report(packet);
        let payload_type = packet.get(1).map_or(0, |second| second & 0x7f);
        let Some(packet) = Packet::parse(&Bytes::copy_from_slice(packet), payload_type) else { continue };
        taken += packet.payload.len();
        order.push(packet, now);
        while let Some(next) = order.pop(now) {
            let units = match next {
                Next::Packet(packet, _) => depacketizer.take(&packet),
                Next::Lost(_) => {
                    depacketizer.lost();
                    Vec::new()
                }
                Next::Anew => {
                    depacketizer.restart();
                    Vec::new()
                }
            };
            for unit in units {
                assert!(!unit.pieces.is_empty() && unit.pieces.iter().map(Bytes::len).sum::<usize>() <= LARGEST);
                given += unit.pieces.iter().map(Bytes::len).sum::<usize>();
            }
        }
        if let Some(figures) = order.figures() {
            assert!((0.0..=1.0).contains(&figures.loss));
            assert_eq!(rtcp::receiver_report(1, &figures, None).len() % 4, 0);
        }
    }
    // A fragment's first piece brings a header back, of two bytes at most.
    assert!(given <= 3 * taken, "{given} bytes of {taken}");
}
