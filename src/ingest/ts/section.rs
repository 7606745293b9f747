//! Programme tables (ISO 13818-1 §2.4.4): which PID carries what. Pure.

/// The longest association or map section (§2.4.4.4), header included.
const LONGEST: usize = 3 + 1021;
/// Programmes that are looked at.
pub const PROGRAMS: usize = 32;
/// Elementary streams of a programme that are looked at.
const STREAMS: usize = 32;

/// Puts the sections of one PID together, and passes on those that are whole, current and new.
#[derive(Debug, Default)]
pub struct Reader {
    section: Vec<u8>,
    /// A section has begun and nothing of it is missing.
    open: bool,
    /// The last that was whole: muxers repeat tables ten times a second.
    known: Vec<u8>,
}

impl Reader {
    /// Takes a packet's payload, in which a section begins if `start`; the section that it completes and that says
    /// something new.
    pub fn push(&mut self, start: bool, payload: &[u8]) -> Option<&[u8]> {
        let mut payload = payload;
        if start {
            let (&pointer, rest) = payload.split_first()?;
            // What stands before the pointer ends a section; tables of one section never use that.
            payload = rest.get(usize::from(pointer)..)?;
            self.section.clear();
            self.open = true;
        }
        if !self.open {
            return None;
        }
        self.section.extend_from_slice(payload);
        let [_, high, low, ..] = self.section[..] else { return None };
        let length = 3 + usize::from(u16::from_be_bytes([high & 0x0f, low]));
        if length > LONGEST {
            self.lost();
            return None;
        }
        if self.section.len() < length {
            return None;
        }
        self.section.truncate(length);
        self.open = false;
        let current = self.section.get(5).is_some_and(|byte| byte & 1 == 1);
        if !current || self.section == self.known || crc(&self.section) != 0 {
            return None;
        }
        self.known.clone_from(&self.section);
        Some(&self.known)
    }

    /// Something of the section is missing.
    pub fn lost(&mut self) {
        self.open = false;
        self.section.clear();
    }
}

/// The programmes of an association section (§2.4.4.3): number and PID of the map; `None` if it is none.
pub fn programs(section: &[u8]) -> Option<Vec<(u16, u16)>> {
    let body = body(section, 0)?;
    let entries = body.as_chunks::<4>().0.iter();
    let entries = entries.map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([c & 0x1f, *d])));
    // Number 0 is the network's own table.
    Some(entries.filter(|(number, _)| *number != 0).take(PROGRAMS).collect())
}

/// An elementary stream as a map lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its packets.
    pub pid: u16,
    /// `stream_type` (table 2-34).
    pub kind: u8,
    /// Descriptors, still packed.
    pub descriptors: Vec<u8>,
}

impl Entry {
    /// Bodies of its descriptors with a tag.
    pub fn descriptors(&self, tag: u8) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.descriptors[..];
        std::iter::from_fn(move || {
            let [tag, length, tail @ ..] = rest else { return None };
            let (body, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            Some((*tag, body))
        })
        .filter_map(move |(found, body)| (found == tag).then_some(body))
    }

    /// Whether a registration descriptor (§2.6.8) names this format.
    pub fn is_registered(&self, format: &[u8; 4]) -> bool {
        self.descriptors(0x05).any(|body| body.starts_with(format))
    }
}

/// The streams of a programme's map section (§2.4.4.8), and the programme's number; `None` if it is none.
pub fn streams(section: &[u8]) -> Option<(u16, Vec<Entry>)> {
    let number = u16::from_be_bytes([*section.get(3)?, *section.get(4)?]);
    let body = body(section, 2)?;
    let [_, _, high, low, rest @ ..] = body else { return None };
    let mut rest = rest.get(length(*high, *low)..)?;
    let mut entries = Vec::new();
    while let [kind, pid_high, pid_low, high, low, tail @ ..] = rest {
        let (descriptors, tail) = tail.split_at_checked(length(*high, *low))?;
        let pid = u16::from_be_bytes([pid_high & 0x1f, *pid_low]);
        entries.push(Entry { pid, kind: *kind, descriptors: descriptors.to_vec() });
        if entries.len() == STREAMS {
            break;
        }
        rest = tail;
    }
    Some((number, entries))
}

fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & 0x0f, low]))
}

/// What stands between a section's header and its checksum.
fn body(section: &[u8], table: u8) -> Option<&[u8]> {
    let end = section.len().checked_sub(4)?;
    section.get(8..end).filter(|_| section[0] == table)
}

/// CRC-32 of MPEG (§ annex A): zero over a section with its checksum.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A section with its checksum.
    pub fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = (body.len() as u16 + 9).to_be_bytes();
        let [id_high, id_low] = id.to_be_bytes();
        let mut section = vec![table, 0xb0 | high, low, id_high, id_low, 0xc1 | version << 1, 0, 0];
        section.extend_from_slice(body);
        let crc = crc(&section);
        section.extend(crc.to_be_bytes());
        section
    }

    #[test]
    fn a_table_is_read_once_however_often_it_is_sent() {
        let pat = section(0, 1, 0, &[0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0]);
        let payload = [&[0][..], &pat, &[0xff; 100]].concat();
        let mut reader = Reader::default();
        assert_eq!(reader.push(true, &payload).and_then(programs), Some(vec![(1, 0x1000)]));
        assert_eq!(reader.push(true, &payload), None);
        let (first, second) = payload.split_at(9);
        let mut reader = Reader::default();
        assert_eq!(reader.push(true, first), None);
        assert!(reader.push(false, second).is_some(), "in two packets");
    }

    #[test]
    fn what_is_broken_or_not_yet_valid_is_left() {
        let good = [&[0][..], &section(0, 1, 0, &[0, 1, 0xf0, 0])].concat();
        for at in 1..good.len() {
            let mut broken = good.clone();
            broken[at] ^= 0x10;
            assert_eq!(Reader::default().push(true, &broken), None, "byte {at}");
        }
        let mut reader = Reader::default();
        reader.push(true, &good[..7]);
        reader.lost();
        assert_eq!(reader.push(false, &good[7..]), None);
    }

    #[test]
    fn a_map_lists_streams_with_their_descriptors() {
        let opus = [6, 0xe1, 1, 0xf0, 10, 5, 4, b'O', b'p', b'u', b's', 0x7f, 2, 0x80, 2];
        let body = [&[0xe1, 0, 0xf0, 2, 9, 0][..], &[0x1b, 0xe1, 0, 0xf0, 0], &opus].concat();
        let (number, entries) = streams(&section(2, 7, 3, &body)).unwrap();
        assert_eq!((number, entries.len()), (7, 2));
        assert_eq!((entries[0].pid, entries[0].kind), (0x100, 0x1b));
        assert!(entries[1].is_registered(b"Opus") && !entries[0].is_registered(b"Opus"));
        assert_eq!(entries[1].descriptors(0x7f).collect::<Vec<_>>(), [&[0x80, 2]]);
        for short in 0..body.len() {
            // Whatever it makes of half a table, it does not panic.
            let _ = streams(&section(2, 7, 3, &body[..short]));
        }
    }
}
