use bytes::Bytes;

/// One RTP packet (RFC 3550 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it marks depends on the payload: the last of a picture, the first of a talk spurt.
    pub marker: bool,
    /// Counts packets; wraps.
    pub sequence: u16,
    /// Ticks of the payload's clock; wraps.
    pub timestamp: u32,
    /// Who sent it.
    pub ssrc: u32,
    /// Without padding.
    pub payload: Bytes,
}

/// Bytes of the fixed part.
const HEADER: usize = 12;

impl Packet {
    /// Reads a packet; `None` if it is none, or none of this payload type.
    pub fn parse(data: &Bytes, payload_type: u8) -> Option<Self> {
        let &[first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = data.first_chunk::<HEADER>()?;
        if first >> 6 != 2 || second & 0x7f != payload_type {
            return None;
        }
        let mut start = HEADER + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let extension = data.get(start..)?.first_chunk::<4>()?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let padding = if first & 0x20 != 0 { usize::from(*data.last()?) } else { 0 };
        let end = data.len().checked_sub(padding).filter(|end| *end >= start)?;
        Some(Self {
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            payload: data.slice(start..end),
        })
    }
}
