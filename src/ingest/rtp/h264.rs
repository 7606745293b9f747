//! H.264 in RTP (RFC 6184), packetization modes 0 and 1.

use bytes::{Bytes, BytesMut};

use super::{MAX_PICTURE, MAX_UNITS, Picture};

/// NAL unit types beyond those of H.264 (RFC 6184 table 1).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Packets of one stream, in order, into pictures.
#[derive(Debug, Default)]
pub struct Depacketizer {
    timestamp: Option<u32>,
    units: Vec<Bytes>,
    size: usize,
    /// A NAL unit whose fragments are coming.
    fragments: Option<BytesMut>,
    /// Something of the picture is missing: it is dropped when it ends.
    broken: bool,
}

impl Depacketizer {
    /// Takes the next packet; returns what whole pictures it ends: its own with the marker, and the one before where
    /// that had none.
    pub fn take(&mut self, timestamp: u32, marker: bool, payload: &Bytes) -> impl Iterator<Item = Picture> + use<> {
        let before = match self.timestamp {
            // The marker of a whole picture that was lost, or a sender that sets none.
            Some(current) if current != timestamp => self.finish(),
            _ => None,
        };
        self.timestamp = Some(timestamp);
        if self.unpack(payload).is_none() {
            self.broken = true;
        }
        let ended = if marker { self.finish() } else { None };
        before.into_iter().chain(ended)
    }

    /// Packets are missing here: the picture they were of cannot be shown.
    pub fn lost(&mut self) {
        self.broken = true;
        self.fragments = None;
    }

    fn unpack(&mut self, payload: &Bytes) -> Option<()> {
        match payload.first()? & 0x1f {
            1..=23 => self.unit(payload.clone()),
            STAP_A => {
                let mut rest = payload.slice(1..);
                while !rest.is_empty() {
                    let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                    let unit = rest.get(2..2 + length)?;
                    if !unit.is_empty() {
                        self.unit(rest.slice(2..2 + length))?;
                    }
                    rest = rest.slice(2 + length..);
                }
                Some(())
            }
            FU_A => self.fragment(payload),
            // Modes beyond what was agreed on (STAP-B, MTAP, FU-B), and types without a meaning.
            _ => None,
        }
    }

    /// §5.8: the indicator has the NAL unit's importance, the header its type, and says whether it is its first or last.
    fn fragment(&mut self, payload: &Bytes) -> Option<()> {
        let (indicator, header) = (*payload.first()?, *payload.get(1)?);
        let (first, last) = (header & 0x80 != 0, header & 0x40 != 0);
        if first {
            let mut unit = BytesMut::with_capacity(4 * payload.len());
            unit.extend_from_slice(&[indicator & 0xe0 | header & 0x1f]);
            self.fragments = Some(unit);
        }
        let unit = self.fragments.as_mut()?;
        if self.size + unit.len() + payload.len() > MAX_PICTURE {
            self.fragments = None;
            return None;
        }
        unit.extend_from_slice(&payload[2..]);
        if last { self.fragments.take().and_then(|unit| self.unit(unit.freeze())) } else { Some(()) }
    }

    fn unit(&mut self, unit: Bytes) -> Option<()> {
        self.size += unit.len();
        if self.size > MAX_PICTURE || self.units.len() == MAX_UNITS {
            return None;
        }
        self.units.push(unit);
        Some(())
    }

    fn finish(&mut self) -> Option<Picture> {
        let Self { timestamp, units, fragments, broken, .. } = std::mem::take(self);
        let whole = !broken && fragments.is_none() && !units.is_empty();
        timestamp.filter(|_| whole).map(|timestamp| Picture { timestamp, units })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Units = Vec<Vec<u8>>;

    fn take(depacketizer: &mut Depacketizer, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<Units> {
        let pictures = depacketizer.take(timestamp, marker, &Bytes::copy_from_slice(payload));
        pictures.map(|picture| picture.units.iter().map(|unit| unit.to_vec()).collect()).collect()
    }

    const NONE: Vec<Units> = Vec::new();

    #[test]
    fn single_units_aggregates_and_fragments_make_one_picture() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(take(&mut depacketizer, 1, false, &[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]), NONE);
        assert_eq!(take(&mut depacketizer, 1, false, &[0x06, 5]), NONE);
        assert_eq!(take(&mut depacketizer, 1, false, &[0x7c, 0x85, 10, 11]), NONE);
        assert_eq!(take(&mut depacketizer, 1, false, &[0x7c, 0x05, 12]), NONE);
        let pictures = take(&mut depacketizer, 1, true, &[0x7c, 0x45, 13]);
        assert_eq!(pictures, [[vec![0x67, 1], vec![0x68], vec![0x06, 5], vec![0x65, 10, 11, 12, 13]]]);
    }

    #[test]
    fn without_a_marker_the_next_picture_ends_it() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(take(&mut depacketizer, 1, false, &[0x41, 1]), NONE);
        assert_eq!(take(&mut depacketizer, 2, false, &[0x41, 2]), [[vec![0x41, 1]]]);
        assert_eq!(take(&mut depacketizer, 3, true, &[0x41, 3]), [[vec![0x41, 2]], [vec![0x41, 3]]]);
    }

    #[test]
    fn a_picture_that_misses_a_packet_is_dropped_and_the_next_is_not() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(take(&mut depacketizer, 1, false, &[0x7c, 0x85, 1]), NONE);
        depacketizer.lost();
        assert_eq!(take(&mut depacketizer, 1, true, &[0x7c, 0x45, 3]), NONE);
        assert_eq!(take(&mut depacketizer, 2, true, &[0x41, 2]), [[vec![0x41, 2]]]);
    }

    #[test]
    fn what_lies_about_its_length_breaks_its_own_picture_alone() {
        let mut depacketizer = Depacketizer::default();
        for payload in
            [&[][..], &[0x78], &[0x78, 0], &[0x78, 0xff, 0xff, 1], &[0x7c], &[0x7c, 0x05, 1], &[0x1d, 1], &[0]]
        {
            assert_eq!(take(&mut depacketizer, 1, true, payload), NONE, "{payload:?}");
            assert_eq!(take(&mut depacketizer, 2, true, &[0x41]), [[vec![0x41]]], "behind {payload:?}");
        }
    }

    #[test]
    fn an_endless_picture_does_not_grow_memory() {
        let mut depacketizer = Depacketizer::default();
        let mut payload = vec![7; 60_000];
        (payload[0], payload[1]) = (0x7c, 0x85);
        for _ in 0..1_000 {
            take(&mut depacketizer, 1, false, &payload);
            payload[1] = 0x05;
            let held = depacketizer.fragments.as_ref().map_or(0, BytesMut::len);
            assert!(held + depacketizer.size <= MAX_PICTURE);
        }
        assert_eq!(take(&mut depacketizer, 1, true, &payload), NONE);
    }
}
