//! MPEG audio frame headers (ISO 11172-3 §2.4.1.3, ISO 13818-3 §2.4.2.3). Pure.

use crate::model::AudioCodec;

/// What the header of a frame of layer II or III says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// [`AudioCodec::Mp2`] or [`AudioCodec::Mp3`].
    pub codec: AudioCodec,
    /// Samples a second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u16,
    /// Samples in the frame.
    pub samples: u32,
    /// Bytes of the frame, header included; `None` where it states no bit rate (free format).
    pub length: Option<usize>,
}

/// Kilobits a second by index, of layer II and III of MPEG-1, and of both of MPEG-2 (tables of §2.4.2.3).
const RATES: [[usize; 14]; 3] = [
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Reads the header of the frame that `data` begins with.
pub fn frame(data: &[u8]) -> Option<Frame> {
    let &[0xff, second, third, fourth] = data.first_chunk()? else { return None };
    let codec = match second >> 1 & 3 {
        1 => AudioCodec::Mp3,
        2 => AudioCodec::Mp2,
        _ => return None,
    };
    let halved = match (second >> 5, second >> 3 & 3) {
        (7, 3) => 0,
        (7, 2) => 1,
        // MPEG-2.5, which the standards do not know.
        (7, 0) => 2,
        _ => return None,
    };
    let sample_rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))? >> halved;
    let (samples, rates) = match (codec, halved) {
        (AudioCodec::Mp2, 0) => (1152, RATES[0]),
        (AudioCodec::Mp2, _) => (1152, RATES[2]),
        (_, 0) => (1152, RATES[1]),
        _ => (576, RATES[2]),
    };
    let (index, padding) = (usize::from(third >> 4), usize::from(third >> 1 & 1));
    let length = match index {
        0 => None,
        _ => Some(samples as usize / 8 * rates.get(index - 1)? * 1000 / sample_rate as usize + padding),
    };
    let channels = if fourth >> 6 == 3 { 1 } else { 2 };
    Some(Frame { codec, sample_rate, channels, samples, length })
}

/// Samples a second and channels of the layer III frame that `data` begins with.
pub fn format(data: &[u8]) -> Option<(u32, u16)> {
    let frame = frame(data).filter(|frame| frame.codec == AudioCodec::Mp3)?;
    Some((frame.sample_rate, frame.channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_state_rate_and_channels() {
        assert_eq!(format(&[0xff, 0xfb, 0x90, 0x44]), Some((44_100, 2)));
        assert_eq!(format(&[0xff, 0xfb, 0x94, 0xc4]), Some((48_000, 1)));
        assert_eq!(format(&[0xff, 0xf3, 0x80, 0xc4]), Some((22_050, 1)));
        assert_eq!(format(&[0xff, 0xe3, 0x88, 0x44]), Some((8_000, 2)));
    }

    #[test]
    fn what_is_no_layer_three_frame_has_no_format() {
        for data in [&[][..], &[0xff, 0xfb, 0x90], b"ID3\x03", &[0xff, 0xfd, 0x90, 0x44], &[0xff, 0xfb, 0x9c, 0x44]] {
            assert_eq!(format(data), None, "{data:x?}");
        }
    }

    #[test]
    fn frames_state_their_length() {
        let length = |header: [u8; 4]| frame(&header).map(|frame| (frame.codec, frame.samples, frame.length));
        // 128 kbit/s at 44.1 kHz, without and with padding.
        assert_eq!(length([0xff, 0xfb, 0x90, 0x44]), Some((AudioCodec::Mp3, 1152, Some(417))));
        assert_eq!(length([0xff, 0xfb, 0x92, 0x44]), Some((AudioCodec::Mp3, 1152, Some(418))));
        // 64 kbit/s at 22.05 kHz.
        assert_eq!(length([0xff, 0xf3, 0x80, 0xc4]), Some((AudioCodec::Mp3, 576, Some(208))));
        // 192 kbit/s at 48 kHz in layer II.
        assert_eq!(length([0xff, 0xfd, 0xa4, 0x04]), Some((AudioCodec::Mp2, 1152, Some(576))));
        assert_eq!(length([0xff, 0xfb, 0x00, 0x44]), Some((AudioCodec::Mp3, 1152, None)), "free format");
        assert_eq!(length([0xff, 0xff, 0x90, 0x44]), None, "layer I");
    }
}
