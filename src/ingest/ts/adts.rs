//! AAC behind ADTS headers (ISO 14496-3 §1.A.2.2). Pure.

use bytes::Bytes;

use super::audio::Cut;
use crate::{
    ingest::aac::{self, InvalidConfig},
    model::AudioFormat,
};

/// Cuts the access unit that `bytes` begin with.
///
/// # Errors
/// [`InvalidConfig`] for AAC that cannot be packaged, and for headers that stand for more than one access unit.
pub fn cut(bytes: &[u8]) -> Result<Cut, InvalidConfig> {
    let Some(&[sync, second, third, fourth, fifth, sixth, seventh]) = bytes.first_chunk() else {
        return Ok(if bytes.first() == Some(&0xff) { Cut::More } else { Cut::Lost });
    };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    // A checksum makes the header longer by two bytes.
    let header = if second & 1 == 1 { 7 } else { 9 };
    // Twelve ones, and layer 0.
    if sync != 0xff || second & 0xf6 != 0xf0 || length <= header || third >> 2 & 0x0f > 12 {
        return Ok(Cut::Lost);
    }
    let Some(data) = bytes.get(header..length) else { return Ok(Cut::More) };
    if seventh & 3 != 0 {
        return Err(InvalidConfig::Unsupported);
    }
    // Object type, rate and channels (§1.6.2.1) from the header's profile, rate and channels.
    let (object, rate, channels) = ((third >> 6) + 1, third >> 2 & 0x0f, third << 2 & 4 | fourth >> 6);
    let config = Bytes::copy_from_slice(&[object << 3 | rate >> 1, rate << 7 | channels << 3]);
    let format = aac::parse_config(config)?;
    Ok(Cut::Unit { taken: length, data: Bytes::copy_from_slice(data), format, samples: AudioFormat::FRAME })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(payload: usize, checksum: bool) -> Vec<u8> {
        let header = if checksum { 9 } else { 7 };
        let length = payload + header;
        let second = if checksum { 0xf0 } else { 0xf1 };
        // LC, 48 kHz, stereo.
        let mut bytes = vec![
            0xff,
            second,
            0x4c,
            0x80 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ];
        bytes.resize(header, 0);
        bytes.extend((0..payload).map(|n| n as u8));
        bytes
    }

    #[test]
    fn units_come_out_without_their_headers() {
        for checksum in [false, true] {
            let bytes = unit(300, checksum);
            let Ok(Cut::Unit { taken, data, format, samples: 1024 }) = cut(&bytes) else { panic!() };
            assert_eq!((taken, data.len(), data[5]), (bytes.len(), 300, 5));
            assert_eq!((&format.config[..], format.sample_rate, format.channels), (&[0x11, 0x90][..], 48_000, 2));
            for short in 7..bytes.len() {
                assert_eq!(cut(&bytes[..short]), Ok(Cut::More));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_passed_over() {
        for bytes in [
            &[0xff, 0xf1, 0x4c, 0x80, 0, 0xff, 0xfc][..],
            &[0x00],
            &[0xff, 0xfb, 0x90, 0x44, 0, 0, 0],
            &[0xff, 0xf1, 0x7c, 0x80, 9, 0x1f, 0xfc],
        ] {
            assert_eq!(cut(bytes), Ok(Cut::Lost), "{bytes:x?}");
        }
    }
}
