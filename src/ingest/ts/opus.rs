//! Opus in MPEG-TS (Xiph.Org, "OpusTS", draft 0.1.3, as ffmpeg and GStreamer write it): a control header before each
//! packet. Pure.

use bytes::Bytes;

use super::{audio::Cut, section::Entry};
use crate::model::{AudioCodec, AudioFormat};

/// Opus always decodes at this rate (RFC 6716 §2.1.3 lists what it codes).
const RATE: u32 = 48_000;

/// Channels of a stream registered as Opus, from its extension descriptor (tag 0x7f, extension 0x80); `None` where it
/// has more than two, whose mapping the descriptor would have to give.
pub fn channels(entry: &Entry) -> Option<u16> {
    let code = entry.descriptors(0x7f).find_map(|body| body.strip_prefix(&[0x80])?.first().copied());
    match code {
        Some(1) => Some(1),
        // 0 are two channels of their own.
        Some(0 | 2) | None => Some(2),
        Some(_) => None,
    }
}

/// Cuts the packet that `bytes` begin with.
pub fn cut(bytes: &[u8], channels: u16) -> Cut {
    unit(bytes, channels).unwrap_or(Cut::More)
}

/// `None` where bytes are missing.
fn unit(bytes: &[u8], channels: u16) -> Option<Cut> {
    let (&[first, flags], mut rest) = bytes.split_first_chunk()?;
    if first != 0x7f || flags & 0xe0 != 0xe0 {
        return Some(Cut::Lost);
    }
    let mut length = 0;
    loop {
        let (&byte, tail) = rest.split_first()?;
        (length, rest) = (length + usize::from(byte), tail);
        if byte != 0xff {
            break;
        }
    }
    // What to leave out at the start and the end matters to files.
    for trim in [0x10, 0x08] {
        rest = rest.get(if flags & trim != 0 { 2 } else { 0 }..)?;
    }
    if flags & 0x04 != 0 {
        let (&extension, tail) = rest.split_first()?;
        rest = tail.get(usize::from(extension)..)?;
    }
    let data = rest.get(..length)?;
    let taken = bytes.len() - rest.len() + length;
    let Some(samples) = samples(data) else { return Some(Cut::Lost) };
    let format = AudioFormat { codec: AudioCodec::Opus, config: Bytes::new(), sample_rate: RATE, channels };
    Some(Cut::Unit { taken, data: Bytes::copy_from_slice(data), format, samples })
}

/// Samples of a packet at 48 kHz, from its first bytes (RFC 6716 §3.1, §3.2); `None` if it is empty or too long.
fn samples(packet: &[u8]) -> Option<u32> {
    let &toc = packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // At most 120 ms.
    Some(frame * count).filter(|samples| (1..=5760).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_by_their_control_headers() {
        // 20 ms of CELT, with a start trim, 300 bytes.
        let mut bytes = vec![0x7f, 0xf0, 0xff, 45, 0x01, 0x38, 0xfc];
        bytes.resize(6 + 300, 7);
        let Cut::Unit { taken, data, format, samples } = cut(&[&bytes[..], &[0x7f]].concat(), 2) else { panic!() };
        assert_eq!((taken, data.len(), samples), (306, 300, 960));
        assert_eq!((format.codec, format.sample_rate, format.channels), (AudioCodec::Opus, 48_000, 2));
        for short in 0..bytes.len() {
            assert_eq!(cut(&bytes[..short], 2), Cut::More, "{short}");
        }
        assert_eq!(cut(&[0x7e, 0xe0, 1, 0xfc], 2), Cut::Lost);
        assert_eq!(cut(&[0x7f, 0xe0, 0, 0xfc], 2), Cut::Lost, "empty");
    }

    #[test]
    fn packets_say_how_long_they_sound() {
        for (packet, expected) in [
            (&[0x00][..], Some(480)),
            (&[0x18], Some(2880)),
            (&[0x60], Some(480)),
            (&[0xe0], Some(120)),
            (&[0xfd], Some(1920)),
            (&[0xff, 0x03], Some(2880)),
            (&[0xff, 0x3f], None),
            (&[0xff], None),
            (&[], None),
        ] {
            assert_eq!(samples(packet), expected, "{packet:x?}");
        }
    }
}
