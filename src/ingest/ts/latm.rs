//! AAC in LATM within LOAS (ISO 14496-3 §1.7): one programme of one layer, as broadcast encoders send it. Pure.

use bytes::Bytes;

use super::audio::Cut;
use crate::{
    ingest::{
        aac::{self, InvalidConfig},
        bits::Bits,
    },
    model::AudioFormat,
};

/// The configuration that a stream states now and then, for the units that follow.
#[derive(Debug, Default)]
pub struct Stream {
    config: Option<Config>,
}

#[derive(Debug, Clone, PartialEq)]
struct Config {
    format: AudioFormat,
    /// Bits of other data behind each unit are left out with the rest of its frame.
    sub_frames: u32,
}

impl Stream {
    /// Cuts the frame that `bytes` begin with. Frames before the first configuration hold nothing.
    ///
    /// # Errors
    /// [`InvalidConfig`] for AAC that cannot be packaged.
    pub fn cut(&mut self, bytes: &[u8]) -> Result<Cut, InvalidConfig> {
        // AudioSyncStream (§1.7.2): eleven bits 0x2b7, thirteen of length.
        let Some((&[first, second, third], rest)) = bytes.split_first_chunk() else {
            return Ok(if bytes.first() == Some(&0x56) { Cut::More } else { Cut::Lost });
        };
        if first != 0x56 || second & 0xe0 != 0xe0 {
            return Ok(Cut::Lost);
        }
        let length = usize::from(second & 0x1f) << 8 | usize::from(third);
        let Some(frame) = rest.get(..length) else { return Ok(Cut::More) };
        let mut bits = Bits::new(frame);
        // A frame that makes no sense is passed over byte by byte, which finds the next one.
        let Some(element) = self.element(&mut bits) else { return Ok(Cut::Lost) };
        let (data, format) = element?;
        Ok(Cut::Unit { taken: 3 + length, data, format, samples: AudioFormat::FRAME })
    }

    /// AudioMuxElement (§1.7.3).
    fn element(&mut self, bits: &mut Bits<'_>) -> Option<Result<(Bytes, AudioFormat), InvalidConfig>> {
        if !bits.flag()? {
            match stream_mux_config(bits)? {
                Ok(config) => self.config = Some(config),
                Err(invalid) => return Some(Err(invalid)),
            }
        }
        let config = self.config.as_ref()?;
        if config.sub_frames != 1 {
            return Some(Err(InvalidConfig::Unsupported));
        }
        // PayloadLengthInfo (§1.7.3.1), then the payload, at any bit.
        let mut length = 0;
        loop {
            let byte = bits.take(8)?;
            length += byte;
            if byte != 0xff {
                break;
            }
        }
        let data: Option<Vec<u8>> = (0..length).map(|_| bits.take(8).map(|byte| byte as u8)).collect();
        Some(Ok((data?.into(), config.format.clone())))
    }
}

/// StreamMuxConfig (§1.7.3.1). `None` where it ends early.
fn stream_mux_config(bits: &mut Bits<'_>) -> Option<Result<Config, InvalidConfig>> {
    // Version 1 writes lengths in another way; encoders of broadcast send version 0.
    if bits.flag()? {
        return Some(Err(InvalidConfig::Unsupported));
    }
    let (same_time, sub_frames, programs, layers) = (bits.flag()?, bits.take(6)? + 1, bits.take(4)?, bits.take(3)?);
    if !same_time || programs != 0 || layers != 0 {
        return Some(Err(InvalidConfig::Unsupported));
    }
    let format = match config(bits)? {
        Ok(format) => format,
        Err(invalid) => return Some(Err(invalid)),
    };
    // frameLengthType 0: lengths stand before the payload.
    if bits.take(3)? != 0 {
        return Some(Err(InvalidConfig::Unsupported));
    }
    bits.take(8)?; // latmBufferFullness
    if bits.flag()? {
        // otherDataLenBits
        while bits.flag()? {
            bits.take(8)?;
        }
        bits.take(8)?;
    }
    if bits.flag()? {
        bits.take(8)?; // crcCheckSum
    }
    Some(Ok(Config { format, sub_frames }))
}

/// An `AudioSpecificConfig` (§1.6.2.1) that begins at any bit and whose length is not stated: the form that ends
/// behind `extensionFlag`, of LC and its like without and with band replication.
fn config(bits: &mut Bits<'_>) -> Option<Result<AudioFormat, InvalidConfig>> {
    let (begin, mut fields) = (bits.clone(), bits.clone());
    let mut length = 0;
    let mut take = |count: u32| {
        length += count;
        fields.take(count)
    };
    let mut object = take(5)?;
    let mut rate = take(4)?;
    if rate == 15 {
        take(24)?;
    }
    let channels = take(4)?;
    if object == 5 || object == 29 {
        rate = take(4)?;
        if rate == 15 {
            take(24)?;
        }
        object = take(5)?;
    }
    // frameLengthFlag, dependsOnCoreCoder, extensionFlag.
    let flags = take(3)?;
    if !(1..=4).contains(&object) || flags != 0 || channels == 0 {
        return Some(Err(InvalidConfig::Unsupported));
    }
    let mut begin = begin;
    let mut bytes = Vec::new();
    for at in (0..length).step_by(8) {
        let count = (length - at).min(8);
        bytes.push((begin.take(count)? << (8 - count)) as u8);
    }
    *bits = fields;
    Some(aac::parse_config(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits as text, filled up to bytes.
    fn pack(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        let text = format!("{text}{}", "0".repeat((8 - text.len() % 8) % 8));
        (0..text.len()).step_by(8).map(|at| u8::from_str_radix(&text[at..at + 8], 2).unwrap()).collect()
    }

    fn frame(bits: &str) -> Vec<u8> {
        let payload = pack(bits);
        [&[0x56, 0xe0 | (payload.len() >> 8) as u8, payload.len() as u8][..], &payload].concat()
    }

    #[test]
    fn units_are_taken_from_any_bit() {
        let config = "0  0 1 000000 0000 000  00010 0011 0010 000  000 11111111 0 0";
        let payload = "00000011 10101010 00000001 11111111";
        let mut stream = Stream::default();
        assert_eq!(stream.cut(&frame(&format!("1 {payload}"))), Ok(Cut::Lost), "before the configuration");
        for bits in [format!("{config} {payload}"), format!("1 {payload}")] {
            let bytes = frame(&bits);
            let Ok(Cut::Unit { taken, data, format, .. }) = stream.cut(&bytes) else { panic!("{bits}") };
            assert_eq!((taken, &data[..]), (bytes.len(), &[0xaa, 1, 0xff][..]));
            assert_eq!((&format.config[..], format.sample_rate, format.channels), (&[0x11, 0x90][..], 48_000, 2));
            assert_eq!(stream.cut(&bytes[..bytes.len() - 1]), Ok(Cut::More));
        }
    }

    #[test]
    fn rare_multiplexes_are_refused() {
        for config in ["0 1", "0  0 1 000000 0001 000", "0  0 0 000000 0000 000"] {
            assert_eq!(
                Stream::default().cut(&frame(&format!("{config} {}", "0".repeat(80)))),
                Err(InvalidConfig::Unsupported)
            );
        }
    }
}
