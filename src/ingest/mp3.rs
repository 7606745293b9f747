//! MPEG audio frame headers (ISO 11172-3 §2.4.1.3, ISO 13818-3 §2.4.2.3). Pure.

/// Samples a second and channels of the layer III frame that `data` begins with.
pub fn format(data: &[u8]) -> Option<(u32, u16)> {
    let &[0xff, second, third, fourth] = data.first_chunk()? else { return None };
    let layer_three = second >> 1 & 3 == 1;
    let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3));
    let halved = match (second >> 5, second >> 3 & 3) {
        (7, 3) => 0,
        (7, 2) => 1,
        // MPEG-2.5, which the standards do not know.
        (7, 0) => 2,
        _ => return None,
    };
    let channels = if fourth >> 6 == 3 { 1 } else { 2 };
    rate.filter(|_| layer_three).map(|rate| (rate >> halved, channels))
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
}
