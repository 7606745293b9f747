//! AAC configuration (ISO 14496-3 §1.6.2.1). Pure.

use bytes::Bytes;

use super::bits::Bits;
use crate::model::{AudioCodec, AudioFormat};

/// Why an `AudioSpecificConfig` cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// It ends early or holds reserved values.
    #[error("broken AAC configuration")]
    Broken,
    /// Another object type or frame length than packaging knows.
    #[error("unsupported AAC profile")]
    Unsupported,
}

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Reads an `AudioSpecificConfig`. Rate and channels are those of the core: spectral band
/// replication and parametric stereo, which double them on output, leave packaging alone.
///
/// # Errors
/// [`InvalidConfig`], also for frames of other than 1024 samples.
pub fn parse_config(config: Bytes) -> Result<AudioFormat, InvalidConfig> {
    let mut bits = Bits::new(&config);
    let (mut object, sample_rate) = (object_type(&mut bits)?, rate(&mut bits)?);
    let channels = match take(&mut bits, 4)? {
        // 0: a program config element says it; two channels are what is meant in practice.
        0 => 2,
        channels @ 1..=6 => channels as u16,
        7 => 8,
        _ => return Err(InvalidConfig::Broken),
    };
    if object == 5 || object == 29 {
        rate(&mut bits)?;
        object = object_type(&mut bits)?;
    }
    // Main, LC, SSR and LTP share frames of 1024 samples, unless the next bit shortens them to 960.
    if !(1..=4).contains(&object) || take(&mut bits, 1)? == 1 {
        return Err(InvalidConfig::Unsupported);
    }
    if !(7_350..=96_000).contains(&sample_rate) {
        return Err(InvalidConfig::Broken);
    }
    Ok(AudioFormat { codec: AudioCodec::Aac, config, sample_rate, channels })
}

fn object_type(bits: &mut Bits<'_>) -> Result<u32, InvalidConfig> {
    match take(bits, 5)? {
        31 => Ok(32 + take(bits, 6)?),
        object => Ok(object),
    }
}

fn rate(bits: &mut Bits<'_>) -> Result<u32, InvalidConfig> {
    match take(bits, 4)? {
        15 => take(bits, 24),
        index => RATES.get(index as usize).copied().ok_or(InvalidConfig::Broken),
    }
}

fn take(bits: &mut Bits<'_>, count: u32) -> Result<u32, InvalidConfig> {
    bits.take(count).ok_or(InvalidConfig::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &'static [u8], expected: Result<(u32, u16), InvalidConfig>) {
        let parsed = parse_config(Bytes::from_static(config)).map(|format| (format.sample_rate, format.channels));
        assert_eq!(parsed, expected, "{config:x?}");
    }

    #[test]
    fn rates_and_channels() {
        check(&[0x12, 0x10], Ok((44_100, 2)));
        check(&[0x11, 0x88], Ok((48_000, 1)));
        check(&[0x11, 0x90, 0x56, 0xe5, 0x00], Ok((48_000, 2)));
        // Written out: 24 bits of rate.
        check(&[0x17, 0x80, 0x56, 0x22, 0x10], Ok((44_100, 2)));
    }

    #[test]
    fn band_replication_keeps_the_core_rate() {
        // HE-AAC, 24 kHz core, 48 kHz out.
        check(&[0x2b, 0x11, 0x88, 0x00], Ok((24_000, 2)));
    }

    #[test]
    fn what_cannot_be_packaged_is_refused() {
        check(&[], Err(InvalidConfig::Broken));
        check(&[0x12], Err(InvalidConfig::Broken));
        check(&[0x16, 0x90], Err(InvalidConfig::Broken));
        // Low delay (23), and frames of 960 samples.
        check(&[0xb9, 0x90, 0x00], Err(InvalidConfig::Unsupported));
        check(&[0x12, 0x14], Err(InvalidConfig::Unsupported));
    }
}
