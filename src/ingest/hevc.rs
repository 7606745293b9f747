//! H.265 configuration and access units (ISO 14496-15 §8.3, ISO 23008-2 §7.3). Pure.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    avc::{self, Config, InvalidVideo},
    bits::Bits,
    parameter_sets::Sets,
};
use crate::model::{VideoCodec, VideoFormat};

/// Bytes of an `HEVCDecoderConfigurationRecord` before its arrays (ISO 14496-15 §8.3.3.1.2).
const HEAD: usize = 23;
/// Types of parameter sets (ISO 23008-2 table 7-1).
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// Reads an `HEVCDecoderConfigurationRecord`.
///
/// # Errors
/// [`InvalidVideo`], also where it holds no sequence parameter set.
pub fn parse_config(record: Bytes) -> Result<Config, InvalidVideo> {
    let head: &[u8; HEAD] = record.first_chunk().ok_or(InvalidVideo::Config)?;
    let length_size = usize::from(head[21] & 3) + 1;
    if head[0] != 1 || length_size == 3 {
        return Err(InvalidVideo::Config);
    }
    // In 256ths; encoders that do not know it write 0.
    let frame_rate = f64::from(u16::from_be_bytes([head[19], head[20]])) / 256.0;
    let frame_rate = Some(frame_rate).filter(|rate| *rate > 0.0 && *rate <= 240.0);
    let sps = parameter_set(&record[HEAD..], head[22], SPS).ok_or(InvalidVideo::Config)?;
    let Sps { width, height, .. } = parse_sps(sps)?;
    let config = if length_size == 4 {
        record.clone()
    } else {
        let mut bytes = record.to_vec();
        bytes[21] |= 3;
        bytes.into()
    };
    Ok(Config { format: VideoFormat { codec: VideoCodec::Hevc, config, width, height, frame_rate }, length_size })
}

/// What a sequence parameter set says about the picture (ISO 23008-2 §7.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
    /// Pictures that may precede another in decoding and follow it on the screen (`sps_max_num_reorder_pics`).
    pub reordered: u32,
    /// Profile, tier, compatibility, constraints and level of the whole, as §7.3.3 writes them.
    general: [u8; 12],
    /// `chroma_format_idc`.
    chroma: u8,
    /// Bits of a sample beyond eight, of luma and chroma.
    depths: (u8, u8),
    /// Temporal layers, 1 to 7, and whether they are nested.
    layers: (u8, bool),
}

/// Reads a sequence parameter set, NAL unit header included.
///
/// # Errors
/// [`InvalidVideo::Config`] and [`InvalidVideo::Size`].
pub fn parse_sps(nal: &[u8]) -> Result<Sps, InvalidVideo> {
    if nal.len() < 2 || nal[0] >> 1 & 0x3f != SPS {
        return Err(InvalidVideo::Config);
    }
    let payload = avc::without_emulation_prevention(&nal[2..]);
    let sps = sequence(&payload).ok_or(InvalidVideo::Config)?;
    if avc::is_plausible(sps.width, sps.height) { Ok(sps) } else { Err(InvalidVideo::Size) }
}

/// The `HEVCDecoderConfigurationRecord` of a stream's parameter sets, of each kind by their id, with lengths of four
/// bytes (ISO 14496-15 §8.3.3.1.2); `None` where a kind is missing.
pub fn record(video: &Sets, sequence: &Sets, picture: &Sets) -> Option<Bytes> {
    let sps = parse_sps(sequence.values().next()?).ok()?;
    let mut record = BytesMut::from(&[1][..]);
    record.extend_from_slice(&sps.general);
    // Nothing is said of parallel decoding, nor of the frame rate.
    record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | sps.chroma, 0xf8 | sps.depths.0, 0xf8 | sps.depths.1, 0, 0]);
    record.extend_from_slice(&[sps.layers.0 << 3 | u8::from(sps.layers.1) << 2 | 3, 3]);
    for (kind, sets) in [(VPS, video), (SPS, sequence), (PPS, picture)] {
        if sets.is_empty() {
            return None;
        }
        // All of them are here, and none in the samples.
        record.extend_from_slice(&[0x80 | kind]);
        record.extend_from_slice(&u16::try_from(sets.len()).ok()?.to_be_bytes());
        for set in sets.values() {
            record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
            record.extend_from_slice(set);
        }
    }
    Some(record.freeze())
}

/// An access unit ready for packaging, and whether a decoder can start at it: an IDR, BLA or CRA picture
/// (ISO 14496-15 §8.4.3); nothing if it is empty. As [`avc::normalise`].
///
/// # Errors
/// [`InvalidVideo::AccessUnit`] if the lengths do not add up.
pub fn normalise(unit: Bytes, length_size: usize) -> Result<Option<(Bytes, bool)>, InvalidVideo> {
    avc::normalise_with(unit, length_size, |header| (16..=21).contains(&(header >> 1 & 0x3f)))
}

/// The first parameter set of a type in the arrays of a record.
fn parameter_set(mut arrays: &[u8], count: u8, wanted: u8) -> Option<&[u8]> {
    for _ in 0..count {
        let kind = arrays.try_get_u8().ok()? & 0x3f;
        for _ in 0..arrays.try_get_u16().ok()? {
            let length = arrays.try_get_u16().ok()?;
            let (set, rest) = arrays.split_at_checked(length.into())?;
            if kind == wanted {
                return Some(set);
            }
            arrays = rest;
        }
    }
    None
}

fn sequence(payload: &[u8]) -> Option<Sps> {
    let bits = &mut Bits::new(payload);
    bits.take(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.take(3)?;
    let nested = bits.flag()?;
    let general = *payload.get(1..)?.first_chunk()?;
    profile_tier_level(bits, sub_layers)?;
    bits.golomb()?; // sps_seq_parameter_set_id
    let chroma = bits.golomb().filter(|chroma| *chroma <= 3)?;
    if chroma == 3 {
        bits.flag()?; // separate_colour_plane_flag
    }
    let (mut width, mut height) = (u64::from(bits.golomb()?), u64::from(bits.golomb()?));
    if bits.flag()? {
        // Table 6-1: SubWidthC and SubHeightC.
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 };
        let mut sum = || Some(u64::from(bits.golomb()?) + u64::from(bits.golomb()?));
        let (crop_x, crop_y) = (sum()? * unit_x, sum()? * unit_y);
        (width, height) = (width.saturating_sub(crop_x), height.saturating_sub(crop_y));
    }
    let mut depth = || bits.golomb().filter(|depth| *depth <= 8).map(|depth| depth as u8);
    let depths = (depth()?, depth()?);
    bits.golomb()?; // log2_max_pic_order_cnt_lsb_minus4
    // Each sub-layer says so, or the highest for all.
    let told = if bits.flag()? { sub_layers + 1 } else { 1 };
    let mut reordered = 0;
    for _ in 0..told {
        bits.golomb()?;
        reordered = bits.golomb()?;
        bits.golomb()?;
    }
    let side = |size: u64| u32::try_from(size).unwrap_or(0);
    let layers = (sub_layers as u8 + 1, nested);
    let (width, height, chroma) = (side(width), side(height), chroma as u8);
    Some(Sps { width, height, reordered, general, chroma, depths, layers })
}

/// Reads over §7.3.3: 88 bits of profile and 8 of level, for the whole and for each sub-layer that says so.
fn profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    let skip = |bits: &mut Bits<'_>, bytes: u32| (0..bytes).try_for_each(|_| bits.take(8).map(drop));
    skip(bits, 12)?;
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(sub_layers as usize) {
        *layer = (bits.flag()?, bits.flag()?);
    }
    if sub_layers > 0 {
        bits.take(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        skip(bits, 11 * u32::from(profile) + u32::from(level))?;
    }
    Some(())
}

#[cfg(test)]
#[path = "hevc_tests.rs"]
mod tests;
