//! VP8 in RTP (RFC 7741).

use bytes::{Buf, Bytes, BytesMut};

use super::{MAX_PICTURE, Picture};

/// Packets of one stream, in order, into frames.
#[derive(Debug, Default)]
pub struct Depacketizer {
    timestamp: Option<u32>,
    frame: BytesMut,
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
    /// Takes the next packet; returns what whole frames it ends.
    pub fn take(&mut self, timestamp: u32, marker: bool, payload: &Bytes) -> impl Iterator<Item = Picture> + use<> {
        let before = match self.timestamp {
            Some(current) if current != timestamp => self.finish(),
            _ => None,
        };
        self.timestamp = Some(timestamp);
        match descriptor(payload) {
            Some((begins, data)) if begins == self.frame.is_empty() && self.frame.len() + data.len() <= MAX_PICTURE => {
                self.frame.extend_from_slice(&data);
            }
            // Later partitions begin anew inside the frame, with a number of their own.
            _ => self.broken = true,
        }
        let ended = if marker { self.finish() } else { None };
        before.into_iter().chain(ended)
    }

    /// Packets are missing here.
    pub fn lost(&mut self) {
        self.broken = true;
    }

    fn finish(&mut self) -> Option<Picture> {
        let Self { timestamp, frame, broken } = std::mem::take(self);
        let whole = !broken && !frame.is_empty();
        timestamp.filter(|_| whole).map(|timestamp| Picture { timestamp, units: vec![frame.freeze()] })
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
        depacketizer
            .take(timestamp, marker, &Bytes::copy_from_slice(payload))
            .map(|picture| picture.units[0].to_vec())
            .collect()
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
