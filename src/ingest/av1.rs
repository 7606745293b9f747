//! AV1 configuration and temporal units (AV1-ISOBMFF §2; AV1 bit stream specification §5). Pure.

use bytes::{Buf, Bytes};

use super::{
    avc::{self, InvalidVideo},
    bits::Bits,
};
use crate::model::{VideoCodec, VideoFormat};

/// Bytes of an `AV1CodecConfigurationRecord` before its OBUs (AV1-ISOBMFF §2.3.3).
const HEAD: usize = 4;
/// OBU types (§6.2.2).
mod kind {
    pub const SEQUENCE_HEADER: u8 = 1;
    pub const TEMPORAL_DELIMITER: u8 = 2;
    pub const FRAME_HEADER: u8 = 3;
    pub const FRAME: u8 = 6;
    pub const TILE_LIST: u8 = 8;
    pub const PADDING: u8 = 15;
}

/// Reads an `AV1CodecConfigurationRecord`.
///
/// # Errors
/// [`InvalidVideo`], also where it holds no sequence header.
pub fn parse_config(record: Bytes) -> Result<VideoFormat, InvalidVideo> {
    if record.len() < HEAD || record[0] != 0x81 {
        return Err(InvalidVideo::Config);
    }
    let header = obus(&record[HEAD..]).flatten().find(|obu| obu.kind == kind::SEQUENCE_HEADER);
    let sequence = header.and_then(|header| sequence(&mut Bits::new(header.payload)));
    let Sequence { width, height, frame_rate } = sequence.ok_or(InvalidVideo::Config)?;
    if !avc::is_plausible(width, height) {
        return Err(InvalidVideo::Size);
    }
    Ok(VideoFormat { codec: VideoCodec::Av1, config: record, width, height, frame_rate })
}

/// A temporal unit ready for packaging, and whether a decoder can start at it: it begins with a key frame that is
/// shown (AV1-ISOBMFF §2.5); nothing if it holds no frame.
///
/// What samples do not hold goes: temporal delimiters, tile lists, padding (§2.4). A key frame without a sequence
/// header gets that of `config`. Without either the very same bytes return.
///
/// # Errors
/// [`InvalidVideo::AccessUnit`] if the sizes do not add up.
pub fn normalise(unit: Bytes, config: &[u8]) -> Result<Option<(Bytes, bool)>, InvalidVideo> {
    let (mut key, mut header, mut surplus) = (None, false, false);
    for obu in obus(&unit) {
        let obu = obu?;
        match obu.kind {
            kind::SEQUENCE_HEADER => header = true,
            kind::FRAME | kind::FRAME_HEADER if key.is_none() => key = Some(is_key(obu.payload)),
            _ => surplus |= is_surplus(obu.kind),
        }
    }
    let Some(key) = key else { return Ok(None) };
    let headless = key && !header;
    if !surplus && !headless {
        return Ok(Some((unit, key)));
    }
    let mut bytes = Vec::with_capacity(unit.len() + if headless { config.len() } else { 0 });
    if headless {
        bytes.extend_from_slice(config.get(HEAD..).unwrap_or_default());
    }
    obus(&unit).flatten().filter(|obu| !is_surplus(obu.kind)).for_each(|obu| bytes.extend_from_slice(obu.whole));
    Ok(Some((bytes.into(), key)))
}

struct Obu<'a> {
    kind: u8,
    payload: &'a [u8],
    /// Header and size too.
    whole: &'a [u8],
}

/// The OBUs of the low-overhead format (§5.2); the last one may leave out its size.
fn obus(mut rest: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, InvalidVideo>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let obu = split(&mut rest);
        if obu.is_none() {
            rest = &[];
        }
        Some(obu.ok_or(InvalidVideo::AccessUnit))
    })
}

fn split<'a>(rest: &mut &'a [u8]) -> Option<Obu<'a>> {
    let begin = *rest;
    let header = rest.try_get_u8().ok()?;
    let (kind, extended, sized) = (header >> 3 & 0x0f, header & 4 != 0, header & 2 != 0);
    if header & 0x80 != 0 {
        return None;
    }
    if extended {
        rest.try_get_u8().ok()?;
    }
    let size = if sized { leb128(rest)? } else { rest.len() };
    let (payload, after) = rest.split_at_checked(size)?;
    *rest = after;
    Some(Obu { kind, payload, whole: &begin[..begin.len() - after.len()] })
}

/// §4.10.5; sizes beyond 32 bits are none.
fn leb128(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for index in 0..8 {
        let byte = rest.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok()?.try_into().ok();
        }
    }
    None
}

fn is_surplus(kind: u8) -> bool {
    matches!(kind, kind::TEMPORAL_DELIMITER | kind::TILE_LIST | kind::PADDING)
}

/// A frame header (§5.9.2): no frame shown again, of type KEY_FRAME, shown.
fn is_key(header: &[u8]) -> bool {
    header.first().is_some_and(|bits| bits & 0xf0 == 0x10)
}

/// What a sequence header says about the picture.
struct Sequence {
    width: u32,
    height: u32,
    frame_rate: Option<f64>,
}

/// §5.5.1, as far as the size of the picture.
fn sequence(bits: &mut Bits<'_>) -> Option<Sequence> {
    bits.take(4)?; // seq_profile, still_picture
    let (mut frame_rate, mut decoder_model) = (None, None);
    if bits.flag()? {
        bits.take(5)?; // a still picture's level
    } else {
        if bits.flag()? {
            frame_rate = timing(bits)?;
            if bits.flag()? {
                decoder_model = Some(bits.take(5)? + 1);
                bits.take(32)?;
                bits.take(10)?;
            }
        }
        operating_points(bits, decoder_model)?;
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    Some(Sequence { width: bits.take(width_bits)? + 1, height: bits.take(height_bits)? + 1, frame_rate })
}

/// §5.5.3: the rate, if pictures come at equal distances. None: it ends early.
fn timing(bits: &mut Bits<'_>) -> Option<Option<f64>> {
    let (units, scale) = (bits.take(32)?, bits.take(32)?);
    if !bits.flag()? {
        return Some(None);
    }
    // uvlc() (§4.10.3) is the Exp-Golomb code.
    let ticks = f64::from(bits.golomb()?) + 1.0;
    let rate = f64::from(scale) / (f64::from(units) * ticks);
    Some(Some(rate).filter(|rate| *rate > 0.0 && *rate <= 240.0))
}

/// Reads over the operating points; `decoder_model` is `buffer_delay_length`, where there is one.
fn operating_points(bits: &mut Bits<'_>, decoder_model: Option<u32>) -> Option<()> {
    let display_delay = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.take(12)?; // operating_point_idc
        if bits.take(5)? > 7 {
            bits.flag()?; // seq_tier
        }
        if let Some(length) = decoder_model
            && bits.flag()?
        {
            bits.take(length)?;
            bits.take(length)?;
            bits.flag()?;
        }
        if display_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
#[path = "av1_tests.rs"]
mod tests;
