//! H.264 (RFC 6184, packetization modes 0 and 1) and H.265 (RFC 7798, without decoding order numbers) in RTP.

use bytes::{Bytes, BytesMut};

use super::{MAX_PICTURE, Packet, Unit};
use crate::ingest::parameter_sets::Family;

/// NAL units of one picture, at most.
const MAX_UNITS: usize = 4_096;

/// Packets of one stream, in order, into pictures.
#[derive(Debug)]
pub struct Depacketizer {
    family: Family,
    open: Option<Picture>,
    /// Packets are missing behind the last one.
    gap: bool,
    dropped: u64,
}

/// A picture that is coming.
#[derive(Debug)]
struct Picture {
    timestamp: u32,
    units: Vec<Bytes>,
    size: usize,
    /// A NAL unit whose fragments are coming.
    fragments: Option<BytesMut>,
    /// Something is missing: it is dropped when it ends.
    broken: bool,
    /// Packets are missing before it, which may have been its own.
    suspect: bool,
}

/// What a payload is, by its type (RFC 6184 table 1, RFC 7798 §4.4).
enum Kind {
    Single,
    Aggregate,
    Fragment,
    /// Modes beyond what was agreed on, and types without a meaning.
    Unknown,
}

impl Depacketizer {
    /// For pictures of one kind.
    pub fn new(family: Family) -> Self {
        Self { family, open: None, gap: false, dropped: 0 }
    }

    /// Takes the next packet; gives what whole pictures it ends: its own with the marker, and the one before where
    /// that had none.
    pub fn take(&mut self, packet: &Packet) -> Vec<Unit> {
        let mut out = Vec::new();
        // The marker of a whole picture that was lost, or a sender that sets none.
        if self.open.as_ref().is_some_and(|open| open.timestamp != packet.timestamp) {
            out.extend(self.finish());
        }
        let (family, suspect) = (self.family, std::mem::take(&mut self.gap));
        let open = self.open.get_or_insert_with(|| Picture::new(packet.timestamp, suspect));
        if open.unpack(family, &packet.payload).is_none() {
            open.broken = true;
        }
        if packet.marker {
            out.extend(self.finish());
        }
        out
    }

    /// Packets are missing here.
    pub fn lost(&mut self) {
        self.gap = true;
        if let Some(open) = &mut self.open {
            (open.broken, open.fragments) = (true, None);
        }
    }

    /// Another stream begins.
    pub fn restart(&mut self) {
        self.dropped += u64::from(self.open.take().is_some());
        self.gap = false;
    }

    /// Pictures that could not be put together.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn finish(&mut self) -> Option<Unit> {
        let Picture { timestamp, units, fragments, broken, suspect, .. } = self.open.take()?;
        let begins = || units.iter().find_map(|unit| self.family.begins_picture(unit)).unwrap_or(true);
        let whole = !broken && fragments.is_none() && !units.is_empty() && (!suspect || begins());
        self.dropped += u64::from(!whole);
        whole.then_some(Unit { timestamp, pieces: units })
    }
}

impl Picture {
    fn new(timestamp: u32, suspect: bool) -> Self {
        Self { timestamp, units: Vec::new(), size: 0, fragments: None, broken: false, suspect }
    }

    fn unpack(&mut self, family: Family, payload: &Bytes) -> Option<()> {
        let header = family.header();
        match kind(family, *payload.first()?) {
            Kind::Single => self.unit(payload.clone()),
            Kind::Aggregate => {
                let mut rest = payload.get(header..).map(|_| payload.slice(header..))?;
                while !rest.is_empty() {
                    let end = 2 + usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                    rest.get(..end)?;
                    if end > 2 {
                        self.unit(rest.slice(2..end))?;
                    }
                    rest = rest.slice(end..);
                }
                Some(())
            }
            Kind::Fragment => self.fragment(family, payload),
            Kind::Unknown => None,
        }
    }

    /// RFC 6184 §5.8, RFC 7798 §4.4.3: behind the payload's header one byte has the NAL unit's type, and says whether
    /// this is its first or last piece.
    fn fragment(&mut self, family: Family, payload: &Bytes) -> Option<()> {
        let (outer, rest) = payload.split_at_checked(family.header())?;
        let (&inner, data) = rest.split_first()?;
        if inner & 0x80 != 0 {
            let mut unit = BytesMut::with_capacity(4 * payload.len());
            match family {
                Family::Avc => unit.extend_from_slice(&[outer[0] & 0xe0 | inner & 0x1f]),
                Family::Hevc => unit.extend_from_slice(&[outer[0] & 0x81 | (inner & 0x3f) << 1, outer[1]]),
            }
            // One that was not ended is missing its end.
            self.broken |= self.fragments.replace(unit).is_some();
        }
        let unit = self.fragments.as_mut()?;
        if self.size + unit.len() + data.len() > MAX_PICTURE {
            self.fragments = None;
            return None;
        }
        unit.extend_from_slice(data);
        if inner & 0x40 == 0 {
            return Some(());
        }
        let unit = self.fragments.take()?.freeze();
        self.unit(unit)
    }

    fn unit(&mut self, unit: Bytes) -> Option<()> {
        self.size += unit.len();
        if self.fragments.is_some() || self.size > MAX_PICTURE || self.units.len() == MAX_UNITS {
            return None;
        }
        self.units.push(unit);
        Some(())
    }
}

fn kind(family: Family, first: u8) -> Kind {
    match (family, family.kind(first)) {
        (Family::Avc, 1..=23) | (Family::Hevc, 0..=47) => Kind::Single,
        (Family::Avc, 24) | (Family::Hevc, 48) => Kind::Aggregate,
        (Family::Avc, 28) | (Family::Hevc, 49) => Kind::Fragment,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(depacketizer: &mut Depacketizer, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let (sequence, ssrc, payload) = (0, 0, Bytes::copy_from_slice(payload));
        let units = depacketizer.take(&Packet { marker, sequence, timestamp, ssrc, payload });
        units.iter().map(|unit| unit.pieces.iter().map(|piece| piece.to_vec()).collect()).collect()
    }

    fn avc() -> Depacketizer {
        Depacketizer::new(Family::Avc)
    }

    const NONE: Vec<Vec<Vec<u8>>> = Vec::new();

    #[test]
    fn single_units_aggregates_and_fragments_make_one_picture() {
        let mut avc = avc();
        assert_eq!(take(&mut avc, 1, false, &[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]), NONE);
        assert_eq!(take(&mut avc, 1, false, &[0x06, 5]), NONE);
        assert_eq!(take(&mut avc, 1, false, &[0x7c, 0x85, 10, 11]), NONE);
        assert_eq!(take(&mut avc, 1, false, &[0x7c, 0x05, 12]), NONE);
        let pictures = take(&mut avc, 1, true, &[0x7c, 0x45, 13]);
        assert_eq!(pictures, [[vec![0x67, 1], vec![0x68], vec![0x06, 5], vec![0x65, 10, 11, 12, 13]]]);
    }

    #[test]
    fn h265_has_headers_of_two_bytes() {
        let mut hevc = Depacketizer::new(Family::Hevc);
        // VPS and SPS together, then an IDR picture of layer 0 and temporal id 1 in three pieces.
        assert_eq!(take(&mut hevc, 1, false, &[0x60, 1, 0, 3, 0x40, 1, 7, 0, 3, 0x42, 1, 8]), NONE);
        assert_eq!(take(&mut hevc, 1, false, &[0x62, 1, 0x93, 10]), NONE);
        assert_eq!(take(&mut hevc, 1, false, &[0x62, 1, 0x13, 11]), NONE);
        let pictures = take(&mut hevc, 1, true, &[0x62, 1, 0x53, 12]);
        assert_eq!(pictures, [[vec![0x40, 1, 7], vec![0x42, 1, 8], vec![0x26, 1, 10, 11, 12]]]);
        for payload in [&[0x62][..], &[0x62, 1], &[0x60, 1, 0], &[0x60], &[0x64, 1, 1], &[0xfe, 1]] {
            assert_eq!(take(&mut hevc, 2, true, payload), NONE, "{payload:?}");
        }
    }

    #[test]
    fn without_a_marker_the_next_picture_ends_it() {
        let mut avc = avc();
        assert_eq!(take(&mut avc, 1, false, &[0x41, 1]), NONE);
        assert_eq!(take(&mut avc, 2, false, &[0x41, 2]), [[vec![0x41, 1]]]);
        assert_eq!(take(&mut avc, 3, true, &[0x41, 3]), [[vec![0x41, 2]], [vec![0x41, 3]]]);
    }

    #[test]
    fn a_picture_that_misses_a_packet_is_dropped_and_the_next_is_not() {
        let mut avc = avc();
        assert_eq!(take(&mut avc, 1, false, &[0x7c, 0x85, 1]), NONE);
        avc.lost();
        assert_eq!(take(&mut avc, 1, true, &[0x7c, 0x45, 3]), NONE);
        assert_eq!(take(&mut avc, 2, true, &[0x41, 2]), [[vec![0x41, 2]]]);
        assert_eq!(avc.dropped(), 1);
    }

    #[test]
    fn behind_a_gap_a_picture_has_to_show_its_beginning() {
        let mut avc = avc();
        // The first macroblock of a slice is number 0 where its first bit is set.
        for (slice, whole) in [(0x88, true), (0x48, false)] {
            avc.lost();
            let pictures = take(&mut avc, 1, true, &[0x65, slice]);
            assert_eq!(pictures.len(), usize::from(whole), "{slice:x}");
            assert_eq!(take(&mut avc, 2, true, &[0x41, 0x48]).len(), 1, "without a gap nobody looks");
        }
    }

    #[test]
    fn half_a_picture_does_not_survive_a_restart() {
        let mut avc = avc();
        take(&mut avc, 1, false, &[0x41, 1]);
        avc.restart();
        // Another sender's time stamp may be the same.
        assert_eq!(take(&mut avc, 1, true, &[0x41, 2]), [[vec![0x41, 2]]]);
        assert_eq!(avc.dropped(), 1);
    }

    #[test]
    fn what_lies_about_its_length_breaks_its_own_picture_alone() {
        let mut avc = avc();
        for payloads in [
            &[&[][..]][..],
            &[&[0x78]],
            &[&[0x78, 0]],
            &[&[0x78, 0xff, 0xff, 1]],
            &[&[0x7c]],
            &[&[0x1d, 1]],
            &[&[0]],
            // A piece without its beginning, and ones without their end.
            &[&[0x7c, 0x45, 1]],
            &[&[0x7c, 0x85, 1]],
            &[&[0x7c, 0x85, 1], &[0x41, 1]],
            &[&[0x7c, 0x85, 1], &[0x7c, 0xc5, 1]],
            // FU-B, which mode 1 has not.
            &[&[0x7d, 0x85, 1, 1]],
        ] {
            for (index, payload) in payloads.iter().enumerate() {
                assert_eq!(take(&mut avc, 1, index + 1 == payloads.len(), payload), NONE, "{payloads:?}");
            }
            assert_eq!(take(&mut avc, 2, true, &[0x41]), [[vec![0x41]]], "behind {payloads:?}");
        }
        assert_eq!(avc.dropped(), 12);
    }

    #[test]
    fn an_endless_picture_does_not_grow_memory() {
        let mut avc = avc();
        let mut payload = vec![7; 60_000];
        (payload[0], payload[1]) = (0x7c, 0x85);
        for _ in 0..1_000 {
            take(&mut avc, 1, false, &payload);
            payload[1] = 0x05;
            let open = avc.open.as_ref().unwrap();
            let held = open.fragments.as_ref().map_or(0, BytesMut::len);
            assert!(held + open.size <= MAX_PICTURE);
        }
        assert_eq!(take(&mut avc, 1, true, &payload), NONE);
    }
}
