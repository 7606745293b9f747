use bytes::Bytes;

use super::bits::Bits;
use crate::{
    ingest::bits,
    model::{AudioCodec, AudioFormat},
};

/// Elements of a raw data block (ISO 14496-3 table 4.85).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Single = 0,
    Pair = 1,
    LowFrequency = 3,
}

/// What ends a raw data block.
const END: u32 = 7;

/// The elements of a channel configuration (ISO 14496-3 table 1.19), from 1.
const CONFIGURATIONS: [&[Element]; 7] = {
    use Element::{LowFrequency as L, Pair as P, Single as S};
    [&[S], &[P], &[S, P], &[S, P, S], &[S, P, P], &[S, P, P, L], &[S, P, P, P, L]]
};

/// An AAC frame of 1024 samples of digital zero for `format`.
///
/// `None` where the configuration is written out in an element of its own, and for object types
/// other than LC, with or without spectral band replication around it: without data of its own the
/// band is as silent as the core.
pub fn silence(format: &AudioFormat) -> Option<Bytes> {
    if format.codec != AudioCodec::Aac {
        return None;
    }
    let elements = CONFIGURATIONS.get(configuration(&format.config)?.checked_sub(1)? as usize)?;
    let mut bits = Bits::default();
    for (nth, element) in elements.iter().enumerate() {
        let tag = elements[..nth].iter().filter(|other| *other == element).count();
        bits.put(*element as u32, 3);
        bits.put(tag as u32, 4);
        if *element == Element::Pair {
            bits.put(1, 1); // common_window
            window(&mut bits);
            bits.put(0, 2); // ms_mask_present
            stream(&mut bits, true);
            stream(&mut bits, true);
        } else {
            stream(&mut bits, false);
        }
    }
    bits.put(END, 3);
    Some(bits.finish().into())
}

/// `individual_channel_stream` (table 4.50) of a channel without any band: no sections, no scale
/// factors and no spectrum follow.
fn stream(bits: &mut Bits, common_window: bool) {
    bits.put(0, 8); // global_gain
    if !common_window {
        window(bits);
    }
    bits.put(0, 3); // no pulses, no noise shaping, no gain control
}

/// `ics_info` (table 4.6).
fn window(bits: &mut Bits) {
    bits.put(0, 1); // ics_reserved_bit
    bits.put(0, 2); // ONLY_LONG_SEQUENCE
    bits.put(0, 1); // window_shape: sine
    bits.put(0, 6); // max_sfb
    bits.put(0, 1); // predictor_data_present
}

/// `channelConfiguration` of an `AudioSpecificConfig` (§1.6.2.1) whose core is AAC LC.
fn configuration(config: &[u8]) -> Option<u32> {
    let mut bits = bits::Bits::new(config);
    let object = bits.take(5)?;
    rate(&mut bits)?;
    let channels = bits.take(4)?;
    let core = match object {
        5 | 29 => {
            rate(&mut bits)?;
            bits.take(5)?
        }
        object => object,
    };
    (core == 2).then_some(channels)
}

fn rate(bits: &mut bits::Bits<'_>) -> Option<()> {
    if bits.take(4)? == 15 {
        bits.take(24)?;
    }
    Some(())
}
