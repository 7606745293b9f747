//! Transport packets (ISO 13818-1 §2.4.3.2) out of a stream of bytes. Pure.

/// Bytes of a packet.
pub const SIZE: usize = 188;
/// What every packet begins with.
const SYNC: u8 = 0x47;

/// One packet's header and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whose payload it is.
    pub pid: u16,
    /// A section or PES packet begins in it.
    pub start: bool,
    /// Counts the packets of its PID that have a payload, modulo 16.
    pub counter: u8,
    /// The counter may break here without loss.
    pub discontinuity: bool,
    /// A decoder can start at what begins here.
    pub random_access: bool,
    /// The payload is encrypted.
    pub scrambled: bool,
    /// `None` in packets that only carry an adaptation field.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` if the sender marked it broken or its lengths lie.
    pub fn parse(bytes: &'a [u8; SIZE]) -> Option<Self> {
        let [SYNC, first, second, third, rest @ ..] = bytes else { return None };
        let (broken, control) = (first & 0x80 != 0, third >> 4 & 3);
        if broken || control == 0 {
            return None;
        }
        let (mut flags, mut rest) = (0, &rest[..]);
        if control & 2 != 0 {
            let (&length, tail) = rest.split_first()?;
            let (field, tail) = tail.split_at_checked(length.into())?;
            (flags, rest) = (field.first().copied().unwrap_or(0), tail);
        }
        Some(Self {
            pid: u16::from_be_bytes([first & 0x1f, *second]),
            start: first & 0x40 != 0,
            counter: third & 0x0f,
            discontinuity: flags & 0x80 != 0,
            random_access: flags & 0x40 != 0,
            scrambled: third & 0xc0 != 0,
            payload: (control & 1 != 0).then_some(rest),
        })
    }
}

/// Cuts bytes, however they are split, into packets; finds its way back where bytes are missing.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Less than two packets.
    carry: Vec<u8>,
    /// Bytes skipped since the last packet.
    skipped: usize,
}

impl Splitter {
    /// Hands over every whole packet.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8; SIZE])) {
        if self.carry.is_empty() {
            let whole = self.split(bytes, &mut each);
            self.carry.extend_from_slice(&bytes[whole..]);
        } else {
            let mut joined = std::mem::take(&mut self.carry);
            joined.extend_from_slice(bytes);
            let whole = self.split(&joined, &mut each);
            joined.drain(..whole);
            self.carry = joined;
        }
    }

    /// Bytes in a row that belonged to no packet.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// How many bytes are done with; less than two packets remain.
    fn split(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8; SIZE])) -> usize {
        let mut at = 0;
        while let Some(packet) = bytes[at..].first_chunk() {
            // A sync byte may stand anywhere: only one with another right behind its packet is trusted after a loss.
            let trusted = self.skipped == 0 || bytes.get(at + SIZE).is_some_and(|next| *next == SYNC);
            if packet[0] == SYNC && trusted {
                each(packet);
                self.skipped = 0;
                at += SIZE;
            } else if packet[0] == SYNC && at + SIZE == bytes.len() {
                break;
            } else {
                self.skipped += 1;
                at += 1;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, fill: u8) -> [u8; SIZE] {
        let mut packet = [fill; SIZE];
        let [high, low] = pid.to_be_bytes();
        packet[..4].copy_from_slice(&[SYNC, high, low, 0x10]);
        packet
    }

    fn pids(splitter: &mut Splitter, bytes: &[u8]) -> Vec<u16> {
        let mut pids = Vec::new();
        splitter.push(bytes, |packet| pids.extend(Packet::parse(packet).map(|packet| packet.pid)));
        pids
    }

    #[test]
    fn packets_are_found_however_bytes_are_split() {
        let stream: Vec<u8> = (1..=9).flat_map(|pid| packet(pid, 0)).collect();
        for size in [1, 7, 187, 188, 189, 376, 1316] {
            let mut splitter = Splitter::default();
            let found: Vec<_> = stream.chunks(size).flat_map(|chunk| pids(&mut splitter, chunk)).collect();
            assert_eq!(found, (1..=9).collect::<Vec<_>>(), "{size}");
        }
    }

    #[test]
    fn behind_missing_bytes_it_goes_on_with_the_next_packet() {
        let mut stream: Vec<u8> = (1..=6).flat_map(|pid| packet(pid, 0x11)).collect();
        stream.drain(SIZE + 50..SIZE + 90);
        let mut splitter = Splitter::default();
        assert_eq!(pids(&mut splitter, &stream), [1, 2, 4, 5, 6]);
        assert_eq!(pids(&mut splitter, &packet(7, 0)).last(), Some(&7));
        assert_eq!(splitter.skipped(), 0);
    }

    #[test]
    fn noise_is_skipped_and_counted_and_not_kept() {
        let mut splitter = Splitter::default();
        for _ in 0..1_000 {
            assert!(pids(&mut splitter, &[0xff; 1_316]).is_empty());
        }
        assert!(splitter.skipped() > 1_300_000 && splitter.carry.len() < 2 * SIZE);
    }

    #[test]
    fn adaptation_fields_are_read_and_lengths_that_lie_refused() {
        let mut bytes = packet(0x100, 9);
        bytes[1] |= 0x40;
        bytes[3] = 0x3a;
        (bytes[4], bytes[5]) = (7, 0x40);
        let parsed = Packet::parse(&bytes).unwrap();
        assert!(parsed.start && parsed.random_access && !parsed.discontinuity);
        assert_eq!((parsed.pid, parsed.counter, parsed.payload.unwrap().len()), (0x100, 10, 176));
        bytes[4] = 184;
        assert_eq!(Packet::parse(&bytes), None);
        bytes[3] = 0x20;
        bytes[4] = 183;
        assert_eq!(Packet::parse(&bytes).unwrap().payload, None);
    }
}
