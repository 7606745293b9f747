use bytes::{BufMut, Bytes, BytesMut};

use super::Packet;
use crate::ingest::bits::Bits;

/// The largest access unit taken.
const MAX_UNIT: usize = 8 << 20;
/// Samples in an AAC access unit, which is what its clock counts.
const AAC_FRAME: u32 = 1024;

/// What a track's packets carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// H.264 (RFC 6184), packetization modes 0 and 1.
    H264,
    /// AAC in `mpeg4-generic` (RFC 3640), with the bits of a header's size and index.
    Aac {
        /// Bits of `AU-size`.
        size: u32,
        /// Bits of `AU-Index` and of `AU-Index-delta`.
        index: u32,
    },
    /// AAC in `MP4A-LATM` (RFC 6416) whose configuration is in the session description.
    Latm,
    /// MPEG audio (RFC 2250 §3.5).
    Mpa,
    /// Samples of 16 bits, big-endian (RFC 3551 §4.5.11).
    L16,
    /// A packet is an access unit: Opus (RFC 7587), G.711 (RFC 3551 §4.5.14).
    Whole,
}

/// One access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Ticks of the payload's clock.
    pub timestamp: u32,
    /// NAL units with four-byte lengths of H.264; otherwise as the codec writes it.
    pub data: Bytes,
}

/// Puts access units together again from one track's packets in order.
#[derive(Debug)]
pub struct Depacketizer {
    codec: Codec,
    building: BytesMut,
    timestamp: Option<u32>,
    /// Where in `building` the NAL unit or access unit begins that is still on its way.
    open: Option<usize>,
    /// Something is missing in what is being built.
    broken: bool,
    dropped: u64,
}

impl Depacketizer {
    /// For packets that carry `codec`.
    pub fn new(codec: Codec) -> Self {
        Self { codec, building: BytesMut::new(), timestamp: None, open: None, broken: false, dropped: 0 }
    }

    /// Access units that could not be put together.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next packet, `gap` if some before it are missing, and gives the access units that are whole now.
    pub fn push(&mut self, packet: &Packet, gap: bool) -> Vec<Unit> {
        let mut units = Vec::new();
        match &self.codec {
            Codec::H264 => self.h264(packet, gap, &mut units),
            &Codec::Aac { size, index } => self.aac(packet, gap, size, index, &mut units),
            Codec::Latm => self.latm(packet, gap, &mut units),
            Codec::Mpa => match packet.payload.get(..4) {
                // A piece of a frame that was cut is of no use alone.
                Some([_, _, 0, 0]) => self.whole(packet, packet.payload.slice(4..), &mut units),
                _ => self.dropped += 1,
            },
            Codec::L16 => {
                let swapped = packet.payload.chunks_exact(2).flat_map(|sample| [sample[1], sample[0]]);
                self.whole(packet, swapped.collect(), &mut units);
            }
            Codec::Whole => self.whole(packet, packet.payload.clone(), &mut units),
        }
        units
    }

    fn whole(&mut self, packet: &Packet, data: Bytes, units: &mut Vec<Unit>) {
        if data.is_empty() {
            self.dropped += 1;
        } else {
            units.push(Unit { timestamp: packet.timestamp, data });
        }
    }

    fn h264(&mut self, packet: &Packet, gap: bool, units: &mut Vec<Unit>) {
        if self.timestamp.is_some_and(|timestamp| timestamp != packet.timestamp) {
            // Its last packet, which the marker would have told, is missing if there is a gap.
            self.broken |= gap;
            self.finish(units);
            // What is missing may also be the beginning of this one: its first slice tells only a decoder.
        } else {
            self.broken |= gap && self.timestamp.is_some();
        }
        self.timestamp = Some(packet.timestamp);
        if self.nal_units(&packet.payload).is_none() || self.building.len() > MAX_UNIT {
            self.broken = true;
        }
        if packet.marker {
            self.finish(units);
        }
    }

    /// RFC 6184 §5.6 single NAL units, §5.7.1 STAP-A, §5.8 FU-A. `None`: something is missing or wrong.
    fn nal_units(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, rest) = payload.split_first()?;
        match header & 0x1f {
            1..=23 => self.nal_unit(payload),
            24 => {
                let mut rest = rest;
                while let Some((length, tail)) = rest.split_first_chunk() {
                    let (nal, tail) = tail.split_at_checked(u16::from_be_bytes(*length).into())?;
                    self.nal_unit(nal)?;
                    rest = tail;
                }
                rest.is_empty().then_some(())
            }
            28 => {
                let (&fragment, data) = rest.split_first()?;
                if fragment & 0x80 != 0 {
                    self.open = Some(self.building.len());
                    self.building.put_u32(0);
                    self.building.put_u8(header & 0xe0 | fragment & 0x1f);
                }
                let open = self.open?;
                self.building.extend_from_slice(data);
                if fragment & 0x40 != 0 {
                    let length = u32::try_from(self.building.len() - open - 4).ok()?;
                    self.building[open..open + 4].copy_from_slice(&length.to_be_bytes());
                    self.open = None;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn nal_unit(&mut self, nal: &[u8]) -> Option<()> {
        if nal.is_empty() || self.open.is_some() {
            return None;
        }
        self.building.put_u32(u32::try_from(nal.len()).ok()?);
        self.building.extend_from_slice(nal);
        Some(())
    }

    /// RFC 3640 §3.2: several access units in a packet, or one in several.
    fn aac(&mut self, packet: &Packet, gap: bool, size: u32, index: u32, units: &mut Vec<Unit>) {
        let whole = split_aac(&packet.payload, size, index);
        let Some((sizes, data)) = whole else {
            self.abandon();
            return;
        };
        if let [whole] = sizes[..]
            && (whole > data.len() || self.open.is_some())
        {
            self.fragment(packet, gap, &data, Some(whole), units);
            return;
        }
        if self.open.is_some() {
            self.abandon();
        }
        let mut at = 0;
        for (count, size) in (0u32..).zip(sizes) {
            let Some(end) = Some(at + size).filter(|end| *end <= data.len() && size > 0) else {
                self.dropped += 1;
                return;
            };
            let timestamp = packet.timestamp.wrapping_add(count.wrapping_mul(AAC_FRAME));
            units.push(Unit { timestamp, data: data.slice(at..end) });
            at = end;
        }
    }

    /// RFC 6416 §6.3: an `AudioMuxElement` without its configuration, one access unit, perhaps in several packets.
    fn latm(&mut self, packet: &Packet, gap: bool, units: &mut Vec<Unit>) {
        let mut whole = Vec::new();
        self.fragment(packet, gap, &packet.payload, None, &mut whole);
        for unit in whole {
            let lengths = 1 + unit.data.iter().take_while(|byte| **byte == 255).count();
            let length: usize = unit.data.iter().take(lengths).map(|byte| usize::from(*byte)).sum();
            match unit.data.len() >= lengths + length && length > 0 {
                true => units.push(Unit { data: unit.data.slice(lengths..lengths + length), ..unit }),
                false => self.dropped += 1,
            }
        }
    }

    /// A piece of an access unit, whose last packet has the marker; `whole` bytes of it, where that is told.
    fn fragment(&mut self, packet: &Packet, gap: bool, data: &[u8], whole: Option<usize>, units: &mut Vec<Unit>) {
        let continues = self.open.is_some() && self.timestamp == Some(packet.timestamp);
        if self.open.is_some() && (gap || !continues) {
            self.abandon();
        }
        self.open = Some(0);
        self.timestamp = Some(packet.timestamp);
        self.building.extend_from_slice(data);
        if self.building.len() > MAX_UNIT {
            self.abandon();
        } else if packet.marker {
            let fits = whole.is_none_or(|whole| whole == self.building.len());
            let data = self.building.split().freeze();
            self.open = None;
            match fits && !data.is_empty() {
                true => units.push(Unit { timestamp: packet.timestamp, data }),
                false => self.dropped += 1,
            }
        }
    }

    fn finish(&mut self, units: &mut Vec<Unit>) {
        let whole = !self.broken && self.open.is_none() && !self.building.is_empty();
        if whole && let Some(timestamp) = self.timestamp.take() {
            units.push(Unit { timestamp, data: self.building.split().freeze() });
            return;
        }
        self.abandon();
    }

    fn abandon(&mut self) {
        self.dropped += 1;
        self.building.clear();
        (self.open, self.timestamp, self.broken) = (None, None, false);
    }
}

/// Sizes of the access units that a packet's headers tell, and the data behind them.
fn split_aac(payload: &Bytes, size: u32, index: u32) -> Option<(Vec<usize>, Bytes)> {
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
