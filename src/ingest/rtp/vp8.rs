//! VP8 in RTP (RFC 7741).

use bytes::{Buf, Bytes, BytesMut};

use super::{MAX_PICTURE, Packet, Unit};

/// Packets of one stream, in order, into frames.
#[derive(Debug, Default)]
pub struct Depacketizer {
    open: Option<Frame>,
    dropped: u64,
}

/// A frame that is coming.
#[derive(Debug, Default)]
struct Frame {
    timestamp: u32,
    data: BytesMut,
    broken: bool,
}

/// What a key frame says of itself (RFC 6386 §9.1): width and height in pixels; nothing of other frames.
pub fn key_frame(frame: &[u8]) -> Option<(u32, u32)> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..] = *frame else { return None };
    // The upper two bits ask the player to scale.
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (side(a, b), side(c, d));
    (tag & 1 == 0 && width > 0 && height > 0).then_some((width, height))
}

impl Depacketizer {
    /// Takes the next packet; gives what whole frames it ends.
    pub fn take(&mut self, packet: &Packet) -> Vec<Unit> {
        let mut out = Vec::new();
        if self.open.as_ref().is_some_and(|open| open.timestamp != packet.timestamp) {
            out.extend(self.finish());
        }
        let Packet { timestamp, marker, ref payload, .. } = *packet;
        let open = self.open.get_or_insert_with(|| Frame { timestamp, ..Frame::default() });
        match descriptor(payload) {
            Some((begins, data)) if begins == open.data.is_empty() && open.data.len() + data.len() <= MAX_PICTURE => {
                open.data.extend_from_slice(&data);
            }
            // Later partitions begin anew inside the frame, with a number of their own.
            _ => open.broken = true,
        }
        if marker {
            out.extend(self.finish());
        }
        out
    }

    /// Packets are missing here. A frame that misses its beginning shows that itself.
    pub fn lost(&mut self) {
        if let Some(open) = &mut self.open {
            open.broken = true;
        }
    }

    /// Another stream begins.
    pub fn restart(&mut self) {
        self.dropped += u64::from(self.open.take().is_some());
    }

    /// Frames that could not be put together.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn finish(&mut self) -> Option<Unit> {
        let Frame { timestamp, data, broken } = self.open.take()?;
        let whole = !broken && !data.is_empty();
        self.dropped += u64::from(!whole);
        whole.then(|| Unit { timestamp, pieces: vec![data.freeze()] })
    }
}

/// Whether a packet begins a frame, and what it holds of it (RFC 7741 §4.2).
fn descriptor(payload: &Bytes) -> Option<(bool, Bytes)> {
    let mut rest = payload.clone();
    let mut byte = || rest.try_get_u8().ok();
    let first = byte()?;
    if first & 0x80 != 0 {
        let extensions = byte()?;
        if extensions & 0x80 != 0 && byte()? & 0x80 != 0 {
            byte()?; // a picture number of fifteen bits
        }
        if extensions & 0x40 != 0 {
            byte()?; // number of the base layer's picture
        }
        if extensions & 0x30 != 0 {
            byte()?; // temporal layer and key index
        }
    }
    // S, and partition number 0.
    (!rest.is_empty()).then_some((first & 0x17 == 0x10, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<Vec<u8>> = Vec::new();

    fn take(depacketizer: &mut Depacketizer, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<Vec<u8>> {
        let (sequence, ssrc, payload) = (0, 0, Bytes::copy_from_slice(payload));
        let units = depacketizer.take(&Packet { marker, sequence, timestamp, ssrc, payload });
        units.iter().map(|unit| unit.pieces[0].to_vec()).collect()
    }

    #[test]
    fn packets_of_every_form_of_descriptor_make_a_frame() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(take(&mut depacketizer, 1, false, &[0x90, 0x80, 0x81, 0x02, 1, 2]), NONE);
        assert_eq!(take(&mut depacketizer, 1, false, &[0x80, 0xf0, 0x01, 9, 9, 3]), NONE);
        assert_eq!(take(&mut depacketizer, 1, false, &[0x80, 0x00, 4]), NONE);
        // A later partition.
        assert_eq!(take(&mut depacketizer, 1, false, &[0x11, 5]), NONE);
        assert_eq!(take(&mut depacketizer, 1, true, &[0x01, 6]), [[1, 2, 3, 4, 5, 6]]);
    }

    #[test]
    fn a_frame_without_its_beginning_or_middle_is_dropped() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(take(&mut depacketizer, 1, true, &[0x00, 6]), NONE);
        assert_eq!(take(&mut depacketizer, 2, false, &[0x10, 6]), NONE);
        depacketizer.lost();
        assert_eq!(take(&mut depacketizer, 2, true, &[0x00, 7]), NONE);
        assert_eq!(take(&mut depacketizer, 3, true, &[0x10, 8]), [[8]]);
    }

    #[test]
    fn descriptors_that_end_early_are_no_packets() {
        for payload in [&[][..], &[0x10], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80], &[0x90, 0xff, 1, 2, 3]] {
            assert_eq!(descriptor(&Bytes::copy_from_slice(payload)), None, "{payload:?}");
        }
    }

    #[test]
    fn key_frames_say_their_size() {
        assert_eq!(key_frame(&[0x50, 0, 0, 0x9d, 1, 0x2a, 0x80, 0x42, 0xe0, 0x01]), Some((640, 480)));
        assert_eq!(key_frame(&[0x51, 0, 0, 0x9d, 1, 0x2a, 0x80, 0x02, 0xe0, 0x01]), None);
        assert_eq!(key_frame(&[0x50, 0, 0]), None);
    }
}
