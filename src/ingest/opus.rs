//! Opus (RFC 6716, RFC 7845). Pure.

/// Channels that an identification header (RFC 7845 §5.1) states, if it is one of mapping family 0.
pub fn channels(header: &[u8]) -> Option<u16> {
    let head: &[u8; 19] = header.first_chunk()?;
    let (version, channels, family) = (head[8], head[9], head[18]);
    (head.starts_with(b"OpusHead") && version >> 4 == 0 && family == 0 && (1..=2).contains(&channels))
        .then_some(channels.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_channels_are_taken() {
        let header =
            |channels, family| [&b"OpusHead\x01"[..], &[channels, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, family]].concat();
        assert_eq!(channels(&header(1, 0)), Some(1));
        assert_eq!(channels(&header(2, 0)), Some(2));
        for refused in [header(0, 0), header(3, 0), header(2, 1), header(2, 0)[..18].to_vec(), vec![0; 19]] {
            assert_eq!(channels(&refused), None, "{refused:?}");
        }
    }
}
