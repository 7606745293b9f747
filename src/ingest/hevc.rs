//! H.265 configuration and access units (ISO 14496-15 §8.3, ISO 23008-2 §7.3). Pure.

use bytes::{Buf, Bytes};

use super::{
    avc::{self, Config, InvalidVideo},
    bits::Bits,
};
use crate::model::{VideoCodec, VideoFormat};

/// Bytes of an `HEVCDecoderConfigurationRecord` before its arrays (ISO 14496-15 §8.3.3.1.2).
const HEAD: usize = 23;
/// Type of a sequence parameter set (ISO 23008-2 table 7-1).
const SPS: u8 = 33;

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
    let (width, height) = parse_sps(sps)?;
    let config = if length_size == 4 {
        record.clone()
    } else {
        let mut bytes = record.to_vec();
        bytes[21] |= 3;
        bytes.into()
    };
    Ok(Config { format: VideoFormat { codec: VideoCodec::Hevc, config, width, height, frame_rate }, length_size })
}

/// Width and height in pixels, after cropping, of a sequence parameter set, NAL unit header included
/// (ISO 23008-2 §7.3.2.2).
///
/// # Errors
/// [`InvalidVideo::Config`] and [`InvalidVideo::Size`].
pub fn parse_sps(nal: &[u8]) -> Result<(u32, u32), InvalidVideo> {
    if nal.len() < 2 || nal[0] >> 1 != SPS {
        return Err(InvalidVideo::Config);
    }
    let payload = avc::without_emulation_prevention(&nal[2..]);
    let (width, height) = picture(&mut Bits::new(&payload)).ok_or(InvalidVideo::Config)?;
    let side = |size: u64| u32::try_from(size).unwrap_or(0);
    let (width, height) = (side(width), side(height));
    if avc::is_plausible(width, height) { Ok((width, height)) } else { Err(InvalidVideo::Size) }
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

fn picture(bits: &mut Bits<'_>) -> Option<(u64, u64)> {
    bits.take(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.take(3)?;
    bits.flag()?;
    profile_tier_level(bits, sub_layers)?;
    bits.golomb()?; // sps_seq_parameter_set_id
    let chroma = bits.golomb()?;
    let planes = chroma == 3 && bits.flag()?;
    let (width, height) = (u64::from(bits.golomb()?), u64::from(bits.golomb()?));
    if !bits.flag()? {
        return Some((width, height));
    }
    // Table 6-1: SubWidthC and SubHeightC.
    let unit_x = if matches!(chroma, 1 | 2) && !planes { 2 } else { 1 };
    let unit_y = if chroma == 1 && !planes { 2 } else { 1 };
    let mut sum = || Some(u64::from(bits.golomb()?) + u64::from(bits.golomb()?));
    let (crop_x, crop_y) = (sum()? * unit_x, sum()? * unit_y);
    Some((width.saturating_sub(crop_x), height.saturating_sub(crop_y)))
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
