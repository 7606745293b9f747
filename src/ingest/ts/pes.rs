//! PES packets (ISO 13818-1 §2.4.3.6) out of transport packets, and their clock. Pure.

use bytes::{Buf as _, BytesMut};

use super::packet::Packet;

/// More than an access unit of any level; what is longer is dropped.
pub const LONGEST: usize = 8 << 20;
/// Packets that are longer than this may be pieces of one access unit: `PES_packet_length` ends at 65,535.
const PIECE: usize = 0xff00;
/// Bytes before a packet's payload that every packet of audio and video has.
const FIXED: usize = 9;

/// One PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pes {
    /// 33 bits of 90 kHz: presentation and decoding time, where it states them.
    pub times: Option<(u64, u64)>,
    /// A decoder can start at what begins in it.
    pub random_access: bool,
    /// Something before it is missing.
    pub after_loss: bool,
    /// What it carries.
    pub payload: BytesMut,
}

/// Puts the PES packets of one PID together; holds one at most.
#[derive(Debug, Default)]
pub struct Reader {
    counter: Option<u8>,
    /// Header and payload of what has begun.
    buffer: BytesMut,
    open: bool,
    random_access: bool,
    /// Something is missing since the last packet that was whole.
    lost: bool,
}

impl Reader {
    /// Takes a transport packet; the PES packet that it completes, if any: with its last byte where its length is
    /// stated, otherwise with the first of the next one.
    pub fn push(&mut self, packet: &Packet<'_>) -> Option<Pes> {
        let payload = packet.payload.filter(|_| !packet.scrambled)?;
        let expected = self.counter.map(|counter| (counter + 1) & 0x0f);
        // A packet may be sent twice (§2.4.3.3).
        let repeated = self.buffer.is_empty() || self.buffer.ends_with(payload);
        if repeated && self.counter == Some(packet.counter) && !packet.discontinuity {
            return None;
        }
        if expected.is_some_and(|expected| expected != packet.counter) && !packet.discontinuity {
            self.drop();
        }
        self.counter = Some(packet.counter);
        let mut complete = None;
        if packet.start {
            let whole = self.stated().is_none_or(|length| self.buffer.len() >= length);
            complete = if whole { self.finish() } else { None };
            if self.open {
                self.drop();
            }
            (self.open, self.random_access) = (true, packet.random_access);
        }
        if !self.open {
            return complete;
        }
        if self.buffer.len() + payload.len() > LONGEST {
            self.drop();
            return complete;
        }
        self.buffer.extend_from_slice(payload);
        if let Some(length) = self.stated().filter(|length| self.buffer.len() >= *length) {
            self.buffer.truncate(length);
            // Where this packet has completed another one already, it waits for the next.
            complete = complete.or_else(|| self.finish());
        }
        complete
    }

    /// So much is missing that the counter does not tell.
    pub fn lost(&mut self) {
        self.drop();
        self.counter = None;
    }

    /// What has begun, at the end of the stream.
    pub fn finish(&mut self) -> Option<Pes> {
        if !std::mem::take(&mut self.open) {
            return None;
        }
        let mut payload = self.buffer.split();
        let Some((times, header)) = header(&payload) else {
            self.lost = true;
            return None;
        };
        payload.advance(header);
        let after_loss = std::mem::take(&mut self.lost);
        Some(Pes { times, random_access: self.random_access, after_loss, payload })
    }

    fn drop(&mut self) {
        self.buffer.clear();
        (self.open, self.lost) = (false, true);
    }

    /// Bytes of the packet, where it says so.
    fn stated(&self) -> Option<usize> {
        let length = u16::from_be_bytes([*self.buffer.get(4)?, *self.buffer.get(5)?]);
        (length > 0).then(|| 6 + usize::from(length))
    }
}

impl Pes {
    /// What follows may belong to the same access unit.
    pub fn may_go_on(&self) -> bool {
        self.payload.len() >= PIECE
    }
}

/// Times, and bytes of the header.
#[allow(clippy::type_complexity, reason = "said in the line above")]
fn header(packet: &[u8]) -> Option<(Option<(u64, u64)>, usize)> {
    // Streams other than audio, video and private ones have shorter headers and are not taken.
    let [0, 0, 1, 0xbd | 0xc0..=0xef | 0xfd, _, _, marker, flags, length, rest @ ..] = packet else { return None };
    let fields = rest.get(..usize::from(*length)).filter(|_| marker >> 6 == 2)?;
    let times = match (flags >> 6, fields.first_chunk::<5>(), fields.get(5..10).and_then(<[u8]>::first_chunk)) {
        (2, Some(pts), _) => Some((time(*pts), time(*pts))),
        (3, Some(pts), Some(dts)) => Some((time(*pts), time(*dts))),
        _ => None,
    };
    Some((times, FIXED + fields.len()))
}

fn time([a, b, c, d, e]: [u8; 5]) -> u64 {
    let bits = |byte: u8, shift: u32| u64::from(byte >> 1) << shift;
    u64::from(a >> 1 & 7) << 30 | u64::from(b) << 22 | bits(c, 15) | u64::from(d) << 7 | bits(e, 0)
}

/// Undoes the wrap of 33 bits of 90 kHz after 26.5 hours. All streams of a programme share it, so that one that
/// begins late begins in the same turn.
#[derive(Debug, Default)]
pub struct Clock {
    last: Option<i64>,
}

impl Clock {
    const TURN: u64 = 1 << 33;

    /// Presentation and decoding time in ticks of 90 kHz, wraps undone.
    pub fn unwrapped(&mut self, (pts, dts): (u64, u64)) -> (i64, i64) {
        let dts = match self.last {
            None => dts as i64,
            Some(last) => last + nearest(last as u64, dts),
        };
        self.last = Some(dts);
        (dts + nearest(dts as u64, pts), dts)
    }
}

/// The way from one time to another round the nearer side.
fn nearest(from: u64, to: u64) -> i64 {
    let ahead = to.wrapping_sub(from) % Clock::TURN;
    if ahead < Clock::TURN / 2 { ahead as i64 } else { ahead as i64 - Clock::TURN as i64 }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn stamp(mark: u8, time: u64) -> [u8; 5] {
        let byte = |shift: u32| (time >> shift) as u8;
        [mark << 4 | byte(29) & 0x0e | 1, byte(22), byte(14) | 1, byte(7), byte(0) << 1 | 1]
    }

    /// A PES packet of video, its length stated or not.
    pub fn pes(times: Option<(u64, u64)>, payload: &[u8], stated: bool) -> Vec<u8> {
        let fields = times.map(|(pts, dts)| [stamp(3, pts), stamp(1, dts)].concat()).unwrap_or_default();
        let length = if stated { 3 + fields.len() + payload.len() } else { 0 };
        let [high, low] = (length as u16).to_be_bytes();
        let flags = if times.is_some() { 0xc0 } else { 0 };
        [&[0, 0, 1, 0xe0, high, low, 0x80, flags, fields.len() as u8][..], &fields, payload].concat()
    }

    fn packets(bytes: &[u8], counter: &mut u8) -> Vec<(bool, u8, Vec<u8>)> {
        let mut packets = Vec::new();
        for (index, chunk) in bytes.chunks(184).enumerate() {
            packets.push((index == 0, *counter, chunk.to_vec()));
            *counter = (*counter + 1) & 0x0f;
        }
        packets
    }

    fn push(reader: &mut Reader, (start, counter, payload): &(bool, u8, Vec<u8>)) -> Option<Pes> {
        let (start, counter, payload) = (*start, *counter, Some(&payload[..]));
        reader.push(&Packet {
            pid: 0x100,
            start,
            counter,
            discontinuity: false,
            random_access: start,
            scrambled: false,
            payload,
        })
    }

    #[test]
    fn packets_come_out_whole_with_or_without_a_stated_length() {
        let times = Some(((1 << 33) - 1, 0x1_2345_6789));
        for stated in [false, true] {
            let (mut reader, mut counter, mut out) = (Reader::default(), 0, Vec::new());
            for fill in 0..3 {
                for packet in packets(&pes(times, &vec![fill; 1_000], stated), &mut counter) {
                    out.extend(push(&mut reader, &packet));
                }
                assert_eq!(out.len(), usize::from(fill) + usize::from(stated));
            }
            out.extend(reader.finish());
            assert_eq!(out.len(), 3);
            for (fill, pes) in (0..).zip(out) {
                assert_eq!((pes.times, &pes.payload[..]), (times, &[fill; 1_000][..]));
                assert!(pes.random_access && !pes.after_loss);
            }
        }
    }

    #[test]
    fn what_lost_a_packet_goes_and_the_next_says_so_and_a_repeated_packet_does_no_harm() {
        for stated in [false, true] {
            let (mut reader, mut counter, mut out) = (Reader::default(), 14, Vec::new());
            for fill in 0..4 {
                for (index, packet) in packets(&pes(None, &[fill; 700], stated), &mut counter).iter().enumerate() {
                    if (fill, index) != (1, 2) {
                        out.extend(push(&mut reader, packet));
                        assert_eq!(push(&mut reader, packet), None);
                    }
                }
            }
            out.extend(reader.finish());
            let seen: Vec<_> = out.iter().map(|pes| (pes.payload[0], pes.payload.len(), pes.after_loss)).collect();
            assert_eq!(seen, [(0, 700, false), (2, 700, true), (3, 700, false)], "{stated}");
        }
    }

    #[test]
    fn a_packet_without_end_is_dropped() {
        let mut reader = Reader::default();
        push(&mut reader, &(true, 0, pes(None, &[0; 170], false)));
        for n in 1..60_000_u32 {
            assert_eq!(push(&mut reader, &(false, n as u8 & 0x0f, vec![0; 184])), None);
            assert!(reader.buffer.len() <= LONGEST);
        }
        assert_eq!(reader.finish(), None);
    }

    #[test]
    fn short_packets_behind_long_ones_are_not_lost() {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        for n in 0..6 {
            out.extend(push(&mut reader, &(true, n, pes(None, &[n; 50], n % 2 == 1))));
        }
        out.extend(reader.finish());
        assert_eq!(out.iter().map(|pes| pes.payload[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn times_run_on_through_wraps_for_streams_that_come_out_of_step() {
        let mut clock = Clock::default();
        let wrap = 1 << 33;
        assert_eq!(clock.unwrapped((wrap - 10, wrap - 20)), (wrap as i64 - 10, wrap as i64 - 20));
        assert_eq!(clock.unwrapped((5, wrap - 10)), (wrap as i64 + 5, wrap as i64 - 10));
        assert_eq!(clock.unwrapped((30, 20)), (wrap as i64 + 30, wrap as i64 + 20));
        assert_eq!(clock.unwrapped((wrap - 5, wrap - 5)), (wrap as i64 - 5, wrap as i64 - 5));
        assert_eq!(clock.unwrapped((60, 50)), (wrap as i64 + 60, wrap as i64 + 50));
    }
}
