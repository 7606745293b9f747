//! H.264 configuration and access units (ISO 14496-15 §5.3, ISO 14496-10 §7.3.2.1). Pure.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{bits::Bits, parameter_sets::Sets};
use crate::model::{VideoCodec, VideoFormat};

/// Why a decoder configuration or access unit cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVideo {
    /// It ends early, or holds what the codec does not allow.
    #[error("broken video configuration")]
    Config,
    /// A picture larger than H.264's level 6.2 has, or without an area.
    #[error("unsupported picture size")]
    Size,
    /// Lengths do not add up.
    #[error("broken access unit")]
    AccessUnit,
}

/// The widest and highest picture of any H.264 level, with a margin; no decoder here takes larger ones of other codecs.
const MAX_SIDE: u32 = 8_704;
/// Profiles whose configuration says how samples are coded (ISO 14496-15 §5.3.3.1.2, and those that came later).
const HIGH: [u8; 6] = [100, 110, 122, 144, 244, 44];
/// Type of the NAL unit of an IDR picture (ISO 14496-10 table 7-1).
const IDR: u8 = 5;
/// Type of a sequence parameter set.
const SPS: u8 = 7;

/// What a sequence parameter set says about the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sps {
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
    /// From VUI timing (§E.2.1), if it is stated and plausible: 0 < rate ≤ 240.
    pub frame_rate: Option<f64>,
    /// Pictures that may precede another in decoding and follow it on the screen (`max_num_reorder_frames`, §E.2.1):
    /// 0 where no order but that of decoding can be, `None` where it is not stated.
    pub reordered: Option<u32>,
    /// How its slices are written.
    pub coding: Coding,
}

/// What a sequence parameter set says about slice headers (§7.3.3), as it says it: unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// `seq_parameter_set_id`.
    pub id: u32,
    /// `ChromaArrayType`: 0 without chroma, or with planes coded apart.
    pub chroma: u32,
    /// `separate_colour_plane_flag`.
    pub planes: bool,
    /// Bits of `frame_num`; 4 to 16 in a valid stream.
    pub frame_num_bits: u32,
    /// How the order of pictures is told.
    pub order: Order,
    /// `max_num_ref_frames`.
    pub references: u32,
    /// Macroblocks of a frame.
    pub macroblocks: u64,
    /// No fields, no macroblock pairs.
    pub frames_only: bool,
}

/// `pic_order_cnt_type` (§8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// 0: each slice carries so many low bits of it; 4 to 16 in a valid stream.
    Written {
        /// Bits of `pic_order_cnt_lsb`.
        bits: u32,
    },
    /// 1: it follows a cycle.
    Cycle,
    /// 2: it is the order of decoding.
    Decoding,
}

/// A decoder configuration, ready for packaging.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The format; its configuration announces lengths of four bytes.
    pub format: VideoFormat,
    /// Bytes of each NAL unit's length as the publisher writes them: 1, 2 or 4.
    pub length_size: usize,
}

/// Reads an `AVCDecoderConfigurationRecord`.
///
/// # Errors
/// [`InvalidVideo`], also where it holds no sequence parameter set.
pub fn parse_config(record: Bytes) -> Result<Config, InvalidVideo> {
    let [1, _, _, _, sizes, count, ref rest @ ..] = record[..] else { return Err(InvalidVideo::Config) };
    let length_size = usize::from(sizes & 3) + 1;
    if length_size == 3 || count & 0x1f == 0 {
        return Err(InvalidVideo::Config);
    }
    let (length, rest) = rest.split_first_chunk().ok_or(InvalidVideo::Config)?;
    let sps = rest.get(..u16::from_be_bytes(*length).into()).ok_or(InvalidVideo::Config)?;
    let Sps { width, height, frame_rate, .. } = parse_sps(sps)?;
    let config = if length_size == 4 {
        record.clone()
    } else {
        let mut bytes = record.to_vec();
        bytes[4] |= 3;
        bytes.into()
    };
    Ok(Config { format: VideoFormat { codec: VideoCodec::H264, config, width, height, frame_rate }, length_size })
}

/// Reads a sequence parameter set, NAL unit header included (ISO 14496-10 §7.3.2.1.1).
///
/// # Errors
/// [`InvalidVideo::Config`] and [`InvalidVideo::Size`].
pub fn parse_sps(nal: &[u8]) -> Result<Sps, InvalidVideo> {
    if nal.first().map(|header| header & 0x9f) != Some(SPS) {
        return Err(InvalidVideo::Config);
    }
    let payload = without_emulation_prevention(&nal[1..]);
    let picture = picture(&mut Bits::new(&payload)).ok_or(InvalidVideo::Config)?;
    let cropped = |size: u64, crop: u64| size.checked_sub(crop).and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
    let Picture { width, height, crop_x, crop_y, vui, coding } = picture;
    let reordered = if coding.order == Order::Decoding { Some(0) } else { vui.reordered };
    let (width, height) = (cropped(width, crop_x), cropped(height, crop_y));
    let sps = Sps { width, height, frame_rate: vui.frame_rate, reordered, coding };
    if is_plausible(sps.width, sps.height) { Ok(sps) } else { Err(InvalidVideo::Size) }
}

/// The `AVCDecoderConfigurationRecord` of a stream's parameter sets, with lengths of four bytes (ISO 14496-15
/// §5.3.3.1); `None` where one kind is missing, where there are too many (31 and 255) or one is too long (65,535 bytes).
pub fn record(sequence: &Sets, picture: &Sets) -> Option<Bytes> {
    let &[_, profile, compatibility, level, ..] = &sequence.values().next()?[..] else { return None };
    if picture.is_empty() || sequence.len() > 31 || picture.len() > 255 {
        return None;
    }
    let mut record = BytesMut::new();
    record.extend_from_slice(&[1, profile, compatibility, level, 0xff, 0xe0 | sequence.len() as u8]);
    let put = |record: &mut BytesMut, set: &Bytes| {
        record.put_u16(u16::try_from(set.len()).ok()?);
        record.extend_from_slice(set);
        Some(())
    };
    for set in sequence.values() {
        put(&mut record, set)?;
    }
    record.put_u8(picture.len() as u8);
    for set in picture.values() {
        put(&mut record, set)?;
    }
    if HIGH.contains(&profile) {
        let (chroma, luma_depth, chroma_depth) = depths(sequence.values().next()?)?;
        record.extend_from_slice(&[0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
    }
    Some(record.freeze())
}

/// `chroma_format_idc` and both `bit_depth_minus8` of a high profile's sequence parameter set (ISO 14496-10 §7.3.2.1.1).
fn depths(nal: &[u8]) -> Option<(u8, u8, u8)> {
    // All three stand in the first bytes.
    let payload = without_emulation_prevention(&nal[4..nal.len().min(32)]);
    let mut bits = Bits::new(&payload);
    bits.golomb()?; // seq_parameter_set_id
    let chroma = bits.golomb().filter(|chroma| *chroma <= 3)?;
    if chroma == 3 {
        bits.flag()?;
    }
    let mut depth = || bits.golomb().filter(|depth| *depth <= 6);
    Some((chroma as u8, depth()? as u8, depth()? as u8))
}

/// An access unit ready for packaging, and whether it holds an IDR picture; nothing if it is empty.
///
/// Lengths become four bytes and empty NAL units go. Without either the very same bytes return.
///
/// # Errors
/// [`InvalidVideo::AccessUnit`] if the lengths do not add up.
pub fn normalise(unit: Bytes, length_size: usize) -> Result<Option<(Bytes, bool)>, InvalidVideo> {
    normalise_with(unit, length_size, |header| header & 0x1f == IDR)
}

/// [`normalise`] for any codec of NAL units: `is_key` judges the first byte of each.
pub(super) fn normalise_with(
    unit: Bytes,
    length_size: usize,
    is_key: impl Fn(u8) -> bool,
) -> Result<Option<(Bytes, bool)>, InvalidVideo> {
    let (mut key, mut empty, mut count) = (false, 0_usize, 0_usize);
    for nal in nals(&unit, length_size) {
        let nal = nal?;
        key |= nal.first().is_some_and(|header| is_key(*header));
        empty += usize::from(nal.is_empty());
        count += 1;
    }
    if count == empty {
        return Ok(None);
    }
    if length_size == 4 && empty == 0 {
        return Ok(Some((unit, key)));
    }
    let mut bytes = Vec::with_capacity(unit.len() + count * (4 - length_size));
    for nal in nals(&unit, length_size).flatten().filter(|nal| !nal.is_empty()) {
        bytes.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        bytes.extend_from_slice(nal);
    }
    Ok(Some((bytes.into(), key)))
}

/// The NAL units of an access unit whose lengths have `size` bytes.
pub fn nals(mut rest: &[u8], size: usize) -> impl Iterator<Item = Result<&[u8], InvalidVideo>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = rest.split_at_checked(size).and_then(|(length, tail)| {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            tail.split_at_checked(length)
        });
        let Some((nal, tail)) = split else {
            rest = &[];
            return Some(Err(InvalidVideo::AccessUnit));
        };
        rest = tail;
        Some(Ok(nal))
    })
}

/// It has an area, and none that no level allows.
pub(super) fn is_plausible(width: u32, height: u32) -> bool {
    let plausible = |side| (1..=MAX_SIDE).contains(&side);
    plausible(width) && plausible(height)
}

struct Picture {
    width: u64,
    height: u64,
    crop_x: u64,
    crop_y: u64,
    vui: Vui,
    coding: Coding,
}

/// What video usability information says that we use; all of it may be absent.
#[derive(Default)]
struct Vui {
    frame_rate: Option<f64>,
    reordered: Option<u32>,
}

fn picture(bits: &mut Bits<'_>) -> Option<Picture> {
    let profile = bits.take(8)?;
    bits.take(16)?;
    let id = bits.golomb()?;
    let (mut chroma, mut planes) = (1, false);
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = bits.golomb()?;
        if chroma == 3 && bits.flag()? {
            (chroma, planes) = (0, true);
        }
        bits.golomb()?; // bit_depth_luma_minus8
        bits.golomb()?; // bit_depth_chroma_minus8
        bits.flag()?;
        if bits.flag()? {
            scaling_matrix(bits, if chroma == 3 || planes { 12 } else { 8 })?;
        }
    }
    let frame_num_bits = bits.golomb()?.saturating_add(4);
    let order = match bits.golomb()? {
        0 => Order::Written { bits: bits.golomb()?.saturating_add(4) },
        1 => {
            bits.flag()?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            let cycle = bits.golomb()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.signed_golomb()?;
            }
            Order::Cycle
        }
        2 => Order::Decoding,
        _ => return None,
    };
    let references = bits.golomb()?;
    bits.flag()?;
    let width = 16 * (u64::from(bits.golomb()?) + 1);
    let map_units = u64::from(bits.golomb()?) + 1;
    let fields = u64::from(!bits.flag()?);
    if fields == 1 {
        bits.flag()?;
    }
    let height = 16 * map_units * (1 + fields);
    bits.flag()?; // direct_8x8_inference
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.flag()? {
        let mut sum = || Some(u64::from(bits.golomb()?) + u64::from(bits.golomb()?));
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 } * (1 + fields);
        (crop_x, crop_y) = (sum()? * unit_x, sum()? * unit_y);
    }
    // It is a bonus: a set that ends early in it still describes the picture.
    let mut vui = Vui::default();
    if bits.flag()? {
        let _ = usability(bits, &mut vui);
    }
    let (macroblocks, frames_only) = (width / 16 * (height / 16), fields == 0);
    let coding = Coding { id, chroma, planes, frame_num_bits, order, references, macroblocks, frames_only };
    Some(Picture { width, height, crop_x, crop_y, vui, coding })
}

fn scaling_matrix(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed_golomb()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// VUI parameters (ISO 14496-10 §E.1.1); what was read before they end stays.
fn usability(bits: &mut Bits<'_>, vui: &mut Vui) -> Option<()> {
    if bits.flag()? && bits.take(8)? == 255 {
        bits.take(32)?; // sample aspect ratio
    }
    if bits.flag()? {
        bits.flag()?; // overscan
    }
    if bits.flag()? {
        bits.take(4)?;
        if bits.flag()? {
            bits.take(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.golomb()?;
        bits.golomb()?; // chroma location
    }
    if bits.flag()? {
        // Two fields a frame.
        let (units, scale) = (bits.take(32)?, bits.take(32)?);
        let rate = f64::from(scale) / (2.0 * f64::from(units));
        vui.frame_rate = (rate > 0.0 && rate <= 240.0).then_some(rate);
        bits.flag()?;
    }
    let models = [bits.flag()?.then(|| buffering(bits)), bits.flag()?.then(|| buffering(bits))];
    if models.iter().any(|model| matches!(model, Some(None))) {
        return None;
    }
    if models.iter().any(Option::is_some) {
        bits.flag()?; // low_delay_hrd
    }
    bits.flag()?; // pic_struct_present
    if bits.flag()? {
        bits.flag()?;
        for _ in 0..4 {
            bits.golomb()?;
        }
        vui.reordered = Some(bits.golomb()?);
    }
    Some(())
}

/// `hrd_parameters` (§E.1.2).
fn buffering(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.golomb()?;
    bits.take(8)?;
    for _ in 0..=count.min(31) {
        bits.golomb()?;
        bits.golomb()?;
        bits.flag()?;
    }
    bits.take(20).map(drop)
}

/// The payload of a NAL unit: 00 00 03 stands for 00 00 (§7.4.1).
pub fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
#[path = "avc_tests.rs"]
mod tests;
