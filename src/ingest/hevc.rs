//! H.265 configuration and access units (ISO 14496-15 §8.3, ISO 23008-2 §7.3). Pure.

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use super::{
    avc::{self, Config, InvalidVideo},
    bits::Bits,
};
use crate::model::{VideoCodec, VideoFormat};

/// Bytes of an `HEVCDecoderConfigurationRecord` before its arrays (ISO 14496-15 §8.3.3.1.2).
const HEAD: usize = 23;
/// Type of a video parameter set (ISO 23008-2 table 7-1).
pub(super) const VPS: u8 = 32;
/// Type of a sequence parameter set.
pub(super) const SPS: u8 = 33;
/// Type of a picture parameter set.
pub(super) const PPS: u8 = 34;

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub id: u32,
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
    /// Profile, tier and level of the whole as sets and records write them (`general_profile_space` to
    /// `general_level_idc`).
    profile: [u8; 12],
    /// `sps_max_sub_layers_minus1`.
    sub_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    nested: bool,
    /// `chroma_format_idc`.
    chroma: u8,
    /// `bit_depth_luma_minus8`, `bit_depth_chroma_minus8`.
    depths: [u8; 2],
}

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

/// The `HEVCDecoderConfigurationRecord` of a stream's parameter sets, all that there are, with lengths of four bytes
/// (ISO 14496-15 §8.3.3.1); `None` where one kind is missing or a set is too long (65,535 bytes).
pub fn record(video: &[&Bytes], sequence: &[&Bytes], picture: &[&Bytes]) -> Option<Bytes> {
    let sps = parse_sps(sequence.first()?).ok()?;
    let mut record = BytesMut::new();
    record.put_u8(1);
    record.extend_from_slice(&sps.profile);
    // No least size of what can be decoded side by side is told, and how it could be is not known.
    record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | sps.chroma, 0xf8 | sps.depths[0], 0xf8 | sps.depths[1]]);
    record.put_u16(0);
    record.extend_from_slice(&[(sps.sub_layers + 1) << 3 | u8::from(sps.nested) << 2 | 3, 3]);
    for (kind, sets) in [(VPS, video), (SPS, sequence), (PPS, picture)] {
        if sets.is_empty() {
            return None;
        }
        record.put_u8(0x80 | kind);
        record.put_u16(u16::try_from(sets.len()).ok()?);
        for set in sets {
            record.put_u16(u16::try_from(set.len()).ok()?);
            record.extend_from_slice(set);
        }
    }
    Some(record.freeze())
}

/// Reads a sequence parameter set, NAL unit header included (ISO 23008-2 §7.3.2.2).
///
/// # Errors
/// [`InvalidVideo::Config`] and [`InvalidVideo::Size`].
pub fn parse_sps(nal: &[u8]) -> Result<Sps, InvalidVideo> {
    if nal.len() < 2 || nal[0] >> 1 != SPS {
        return Err(InvalidVideo::Config);
    }
    let payload = avc::without_emulation_prevention(&nal[2..]);
    let sps = sequence(&payload).ok_or(InvalidVideo::Config)?;
    if avc::is_plausible(sps.width, sps.height) { Ok(sps) } else { Err(InvalidVideo::Size) }
}

/// Whether a decoder can start at what begins with this byte: an IDR, BLA or CRA picture (ISO 14496-15 §8.4.3).
pub fn is_key(header: u8) -> bool {
    (16..=21).contains(&(header >> 1 & 0x3f))
}

/// An access unit ready for packaging, and whether a decoder can start at it ([`is_key`]); nothing if it is empty. As
/// [`avc::normalise`].
///
/// # Errors
/// [`InvalidVideo::AccessUnit`] if the lengths do not add up.
pub fn normalise(unit: Bytes, length_size: usize) -> Result<Option<(Bytes, bool)>, InvalidVideo> {
    avc::normalise_with(unit, length_size, is_key)
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
    let sub_layers = bits.take(3).filter(|layers| *layers < 7)?;
    let nested = bits.flag()?;
    let profile = *payload.get(1..)?.first_chunk()?;
    profile_tier_level(bits, sub_layers)?;
    let id = bits.golomb()?;
    let chroma = u8::try_from(bits.golomb()?).ok().filter(|chroma| *chroma <= 3)?;
    let planes = chroma == 3 && bits.flag()?;
    let (width, height) = (u64::from(bits.golomb()?), u64::from(bits.golomb()?));
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.flag()? {
        // Table 6-1: SubWidthC and SubHeightC.
        let unit_x = if matches!(chroma, 1 | 2) && !planes { 2 } else { 1 };
        let unit_y = if chroma == 1 && !planes { 2 } else { 1 };
        let mut sum = || Some(u64::from(bits.golomb()?) + u64::from(bits.golomb()?));
        (crop_x, crop_y) = (sum()? * unit_x, sum()? * unit_y);
    }
    let mut depth = || bits.golomb().and_then(|depth| u8::try_from(depth).ok()).filter(|depth| *depth <= 7);
    let depths = [depth()?, depth()?];
    let side = |size: u64, crop| u32::try_from(size.saturating_sub(crop)).unwrap_or(0);
    let (width, height) = (side(width, crop_x), side(height, crop_y));
    Some(Sps { id, width, height, profile, sub_layers: sub_layers as u8, nested, chroma, depths })
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
