//! Access units as RTP payloads (RFC 6184). Pure.

use bytes::Bytes;

/// Bytes of a payload: with headers, extensions and the SRTP tag it fits the smallest MTU of IPv6 (1280).
pub const MAX_PAYLOAD: usize = 1_188;

/// NAL unit types (ISO 14496-10 table 7-1, RFC 6184 table 1).
const SPS: u8 = 7;
const DELIMITER: u8 = 9;
const END_OF_SEQUENCE: u8 = 10;
const END_OF_STREAM: u8 = 11;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Cuts the access units of one format into payloads of packetization mode 1 (RFC 6184 §6.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packetiser {
    parameter_sets: Vec<Bytes>,
}

impl Packetiser {
    /// For a format whose `avcC` (ISO 14496-15 §5.3.3.1) is `config`. One that ends early has no parameter sets:
    /// decoders find those that the pictures bring.
    pub fn new(config: &Bytes) -> Self {
        Self { parameter_sets: parameter_sets(config).unwrap_or_default() }
    }

    /// The payloads of an access unit with four-byte lengths, in order; none for one that shows nothing. The last
    /// one's RTP packet carries the marker (§5.1). Parameter sets precede the key frame that brings none of its own.
    ///
    /// NAL units that fit are put together (STAP-A, §5.7.1), larger ones cut (FU-A, §5.8); delimiters and filler are
    /// left out. A length that lies ends the access unit.
    pub fn packetise(&self, unit: &[u8], key: bool) -> Vec<Bytes> {
        let own = nals(unit).any(|nal| kind(nal) == SPS);
        let sets = if key && !own { &self.parameter_sets[..] } else { &[] };
        let mut payloads = Payloads::new(unit.len() + sets.iter().map(Bytes::len).sum::<usize>());
        for nal in sets.iter().map(|set| &set[..]).chain(nals(unit)) {
            match kind(nal) {
                DELIMITER | END_OF_SEQUENCE | END_OF_STREAM | FILLER => {}
                _ if nal.len() > MAX_PAYLOAD => payloads.cut(nal),
                _ => payloads.add(nal),
            }
        }
        payloads.finish()
    }
}

/// Whether an access unit with four-byte lengths has anything that is sent.
pub fn shows(unit: &[u8]) -> bool {
    nals(unit).any(|nal| !matches!(kind(nal), DELIMITER | END_OF_SEQUENCE | END_OF_STREAM | FILLER))
}

/// All payloads of an access unit in one allocation.
struct Payloads {
    bytes: Vec<u8>,
    /// Where each payload ends.
    ends: Vec<usize>,
    /// NAL units put together in the payload that is open.
    open: usize,
}

impl Payloads {
    fn new(size: usize) -> Self {
        let packets = size / MAX_PAYLOAD + 4;
        Self { bytes: Vec::with_capacity(size + packets * 4), ends: Vec::with_capacity(packets), open: 0 }
    }

    fn add(&mut self, nal: &[u8]) {
        let start = self.start();
        let length = self.bytes.len() - start;
        // The one that is alone so far needs the header and its length in front.
        let grown = if self.open == 1 { length + 3 } else { length } + 2 + nal.len();
        if self.open > 0 && grown > MAX_PAYLOAD {
            self.close();
        }
        match self.open {
            0 => self.bytes.extend_from_slice(nal),
            1 => {
                let [high, low] = (length as u16).to_be_bytes();
                let header = self.bytes[start] & 0x60 | STAP_A;
                self.bytes.splice(start..start, [header, high, low]);
                self.aggregate(start, nal);
            }
            _ => self.aggregate(start, nal),
        }
        self.open += 1;
    }

    /// Puts a NAL unit behind the others of a STAP-A, whose importance is the highest of theirs (§5.7.1).
    fn aggregate(&mut self, start: usize, nal: &[u8]) {
        let importance = (self.bytes[start] & 0x60).max(nal[0] & 0x60);
        self.bytes[start] = importance | STAP_A;
        self.bytes.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(nal);
    }

    fn cut(&mut self, nal: &[u8]) {
        self.close();
        let (header, body) = (nal[0], &nal[1..]);
        let pieces = body.len().div_ceil(MAX_PAYLOAD - 2);
        // Of equal size: a last piece of a few bytes costs a packet and saves nothing.
        let size = body.len().div_ceil(pieces);
        for (index, piece) in body.chunks(size).enumerate() {
            let (first, last) = (index == 0, (index + 1) * size >= body.len());
            self.bytes.push(header & 0x60 | FU_A);
            self.bytes.push(u8::from(first) << 7 | u8::from(last) << 6 | header & 0x1f);
            self.bytes.extend_from_slice(piece);
            self.ends.push(self.bytes.len());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close();
        let bytes = Bytes::from(self.bytes);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| bytes.slice(start..*end)).collect()
    }

    fn close(&mut self) {
        if self.open > 0 {
            self.ends.push(self.bytes.len());
            self.open = 0;
        }
    }

    fn start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

fn kind(nal: &[u8]) -> u8 {
    nal[0] & 0x1f
}

/// The NAL units of an access unit; never an empty one.
fn nals(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (length, behind) = rest.split_first_chunk()?;
            let (nal, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = behind;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// Sequence and picture parameter sets of an `avcC`.
fn parameter_sets(config: &Bytes) -> Option<Vec<Bytes>> {
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let count = config.get(at)? & mask;
        at += 1;
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([*config.get(at)?, *config.get(at + 1)?]));
            at += 2;
            if at + length > config.len() {
                return None;
            }
            // Larger than a payload, it is no parameter set of this world.
            if (1..=MAX_PAYLOAD).contains(&length) {
                sets.push(config.slice(at..at + length));
            }
            at += length;
        }
    }
    Some(sets)
}
