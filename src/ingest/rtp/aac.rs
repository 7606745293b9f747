//! AAC in RTP: `mpeg4-generic` (RFC 3640), and `MP4A-LATM` (RFC 6416) whose configuration is in the session description.

use bytes::{Bytes, BytesMut};

use super::{Packet, Unit};
use crate::ingest::bits::Bits;

/// Samples in an access unit, which is what the clock counts.
const FRAME: u32 = 1024;
/// The largest access unit taken; 48 channels have less (ISO 14496-3 §4.5.3.3: 6,144 bits each).
const MAX_UNIT: usize = 64 << 10;

/// How packets tell where access units begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Headers with so many bits of size and of index.
    Headers(u32, u32),
    /// Its length comes before it.
    Latm,
}

/// Packets of one stream, in order, into access units.
#[derive(Debug)]
pub struct Depacketizer {
    form: Form,
    /// One that comes in several packets: its time stamp and what there is of it.
    open: Option<(u32, BytesMut)>,
    dropped: u64,
}

impl Depacketizer {
    pub fn new(form: Form) -> Self {
        Self { form, open: None, dropped: 0 }
    }

    pub fn take(&mut self, packet: &Packet) -> Vec<Unit> {
        match self.form {
            Form::Headers(size, index) => self.headers(packet, size, index),
            Form::Latm => self.latm(packet).into_iter().collect(),
        }
    }

    /// Packets are missing here, or another stream begins.
    pub fn lost(&mut self) {
        self.dropped += u64::from(self.open.take().is_some());
    }

    /// Access units that could not be put together.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// RFC 3640 §3.2: several access units in a packet, or one in several.
    fn headers(&mut self, packet: &Packet, size: u32, index: u32) -> Vec<Unit> {
        let mut units = Vec::new();
        let Some((sizes, data)) = split(&packet.payload, size, index) else {
            (self.open, self.dropped) = (None, self.dropped + 1);
            return units;
        };
        if let [whole] = sizes[..]
            && (whole > data.len() || self.open.is_some())
        {
            units.extend(self.piece(packet, &data, Some(whole)));
            return units;
        }
        self.lost();
        let mut at = 0;
        for (count, size) in (0u32..).zip(sizes) {
            let Some(end) = Some(at + size).filter(|end| *end <= data.len() && size > 0) else {
                self.dropped += 1;
                break;
            };
            let timestamp = packet.timestamp.wrapping_add(count.wrapping_mul(FRAME));
            units.push(Unit { timestamp, pieces: vec![data.slice(at..end)] });
            at = end;
        }
        units
    }

    /// RFC 6416 §6.3: an `AudioMuxElement` without its configuration, one access unit, perhaps in several packets.
    fn latm(&mut self, packet: &Packet) -> Option<Unit> {
        let mut unit = self.piece(packet, &packet.payload, None)?;
        let element = &mut unit.pieces[0];
        let lengths = 1 + element.iter().take_while(|byte| **byte == 255).count();
        let length: usize = element.iter().take(lengths).map(|byte| usize::from(*byte)).sum();
        let whole = element.len() >= lengths + length && length > 0;
        self.dropped += u64::from(!whole);
        whole.then(|| *element = element.slice(lengths..lengths + length)).map(|()| unit)
    }

    /// A piece of an access unit, whose last packet has the marker; `whole` bytes of it, where that is told.
    fn piece(&mut self, packet: &Packet, data: &[u8], whole: Option<usize>) -> Option<Unit> {
        if self.open.as_ref().is_some_and(|(timestamp, _)| *timestamp != packet.timestamp) {
            self.lost();
        }
        let (timestamp, building) = self.open.get_or_insert_with(|| (packet.timestamp, BytesMut::new()));
        building.extend_from_slice(data);
        let ends = packet.marker && building.len() <= MAX_UNIT;
        let fits = whole.is_none_or(|whole| whole == building.len()) && !building.is_empty();
        if ends && fits {
            let unit = Unit { timestamp: *timestamp, pieces: vec![building.split().freeze()] };
            self.open = None;
            return Some(unit);
        }
        if packet.marker || building.len() > MAX_UNIT {
            self.lost();
        }
        None
    }
}

/// Sizes of the access units that a packet's headers tell, and the data behind them.
fn split(payload: &Bytes, size: u32, index: u32) -> Option<(Vec<usize>, Bytes)> {
    let (length, rest) = payload.split_first_chunk()?;
    let bits = usize::from(u16::from_be_bytes(*length));
    let (headers, _) = rest.split_at_checked(bits.div_ceil(8))?;
    let each = usize::try_from(size + index).ok().filter(|each| *each > 0 && size > 0)?;
    let mut reader = Bits::new(headers);
    let mut sizes = Vec::with_capacity(bits / each);
    for _ in 0..bits / each {
        sizes.push(usize::try_from(reader.take(size)?).ok()?);
        // Interleaved units, whose index would not be zero, nobody sends.
        reader.take(index)?;
    }
    (!sizes.is_empty()).then(|| (sizes, payload.slice(2 + headers.len()..)))
}
