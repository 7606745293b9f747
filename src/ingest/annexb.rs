//! H.264 and H.265 as byte streams (annex B of ISO 14496-10 and of ISO 23008-2) into access units and configurations as
//! packaging wants them. Pure.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    avc::{self, InvalidVideo},
    bits::Bits,
    hevc,
};
use crate::model::VideoFormat;

/// Profiles whose configuration says how samples are coded (ISO 14496-15 §5.3.3.1.2, and those that came later).
const HIGH: [u8; 6] = [100, 110, 122, 144, 244, 44];
/// A stream's parameter sets are this long at most, together.
const LONGEST: usize = 16 << 10;

/// Whose NAL units a byte stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// H.264 (ISO 14496-10 §7.3.1).
    H264,
    /// H.265 (ISO 23008-2 §7.3.1).
    H265,
}

/// An access unit, ready for packaging.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The stream's configuration, where it is new.
    pub format: Option<VideoFormat>,
    /// It holds an IDR picture, of H.265 any that a decoder can start at (IDR, BLA, CRA).
    pub idr: bool,
    /// It brings parameter sets, as encoders do where a decoder can start.
    pub configured: bool,
    /// NAL units with lengths of four bytes, without parameter sets, delimiters and filler.
    pub data: Bytes,
}

/// One video stream's parameter sets, kept across its access units.
#[derive(Debug)]
pub struct Stream {
    syntax: Syntax,
    sets: Sets,
    /// The configuration that was told last.
    config: Bytes,
}

impl Stream {
    /// A stream of which nothing has come.
    pub fn new(syntax: Syntax) -> Self {
        Self { syntax, sets: Sets::default(), config: Bytes::new() }
    }

    /// The access units in a piece of byte stream that begins with one; more than one where delimiters part them.
    /// Those before the first parameter sets are left out: nothing can decode them.
    ///
    /// # Errors
    /// [`InvalidVideo`] for parameter sets that are broken or of an absurd size.
    pub fn units(&mut self, bytes: &[u8]) -> Result<Vec<Unit>, InvalidVideo> {
        let mut units = Vec::new();
        let mut data = BytesMut::with_capacity(bytes.len() + 16);
        let (mut idr, mut configured) = (false, false);
        for nal in nals(bytes) {
            match self.syntax.role(nal)? {
                Role::Set(kind, id) => {
                    keep(&mut self.sets, (kind, id), nal)?;
                    configured = true;
                }
                Role::Delimiter if !data.is_empty() => {
                    units.extend(self.unit(&mut data, idr, configured)?);
                    (idr, configured) = (false, false);
                }
                Role::Delimiter | Role::Nothing => {}
                Role::Sample { key } => {
                    idr |= key;
                    data.put_u32(nal.len() as u32);
                    data.extend_from_slice(nal);
                }
            }
        }
        units.extend(self.unit(&mut data, idr, configured)?);
        Ok(units)
    }

    fn unit(&mut self, data: &mut BytesMut, idr: bool, configured: bool) -> Result<Option<Unit>, InvalidVideo> {
        let (data, mut format) = (data.split().freeze(), None);
        if configured
            && let Some(record) = self.record()
            && record != self.config
        {
            let config = match self.syntax {
                Syntax::H264 => avc::parse_config(record.clone()),
                Syntax::H265 => hevc::parse_config(record.clone()),
            };
            format = Some(config?.format);
            self.config = record;
        }
        let decodable = !self.config.is_empty() && !data.is_empty();
        Ok(decodable.then_some(Unit { format, idr, configured, data }))
    }

    fn record(&self) -> Option<Bytes> {
        let of = |kind| self.sets.range((kind, 0)..=(kind, u32::MAX)).map(|(_, set)| set).collect::<Vec<_>>();
        match self.syntax {
            Syntax::H264 => record(&of(avc::SPS), &of(avc::PPS)),
            Syntax::H265 => hevc::record(&of(hevc::VPS), &of(hevc::SPS), &of(hevc::PPS)),
        }
    }
}

/// What a NAL unit is to a byte stream.
enum Role {
    /// A parameter set: its type, and its number among those.
    Set(u8, u32),
    /// It parts access units.
    Delimiter,
    /// An end or filler: it says nothing to who has lengths and times.
    Nothing,
    /// A piece of an access unit.
    Sample {
        /// A decoder can start at it.
        key: bool,
    },
}

impl Syntax {
    /// ISO 14496-10 table 7-1, ISO 23008-2 table 7-1.
    fn role(self, nal: &[u8]) -> Result<Role, InvalidVideo> {
        let &[header, ..] = nal else { return Ok(Role::Nothing) };
        Ok(match (self, header & 0x1f, header >> 1 & 0x3f) {
            (Self::H264, avc::SPS, _) => Role::Set(avc::SPS, avc::parse_sps(nal)?.coding.id),
            (Self::H264, avc::PPS, _) => Role::Set(avc::PPS, number(nal, 1)),
            (Self::H264, 9, _) | (Self::H265, _, 35) => Role::Delimiter,
            (Self::H264, 10..=12, _) | (Self::H265, _, 36..=38) => Role::Nothing,
            (Self::H264, kind, _) => Role::Sample { key: kind == avc::IDR },
            (Self::H265, _, hevc::VPS) => Role::Set(hevc::VPS, nal.get(2).map_or(0, |byte| u32::from(byte >> 4))),
            (Self::H265, _, hevc::SPS) => Role::Set(hevc::SPS, hevc::parse_sps(nal)?.id),
            (Self::H265, _, hevc::PPS) => Role::Set(hevc::PPS, number(nal, 2)),
            (Self::H265, ..) => Role::Sample { key: hevc::is_key(header) },
        })
    }
}

/// The NAL units of a byte stream (§B.1), none of them empty; what stands before the first start code is no part.
pub fn nals(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(bytes).map(|at| &bytes[at + 3..]);
    std::iter::from_fn(move || {
        let nal = rest.take()?;
        let end = start_code(nal);
        rest = end.map(|at| &nal[at + 3..]);
        let nal = &nal[..end.unwrap_or(nal.len())];
        // A zero in front of a start code belongs to it, and trailing ones to nothing: a NAL unit ends with a one.
        let end = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..end])
    })
    .filter(|nal| !nal.is_empty())
}

/// Where 00 00 01 stands.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            0 => at += 1,
            1 if bytes[at - 1] == 0 && bytes[at - 2] == 0 => return Some(at - 2),
            // No start code ends with the next byte or the one after it.
            _ => at += 3,
        }
    }
    None
}

/// Parameter sets by their type and number, NAL unit headers included.
type Sets = BTreeMap<(u8, u32), Bytes>;

/// The `AVCDecoderConfigurationRecord` of a stream's parameter sets, with lengths of four bytes (ISO 14496-15
/// §5.3.3.1); `None` where one kind is missing, where there are too many (31 and 255) or one is too long (65,535 bytes).
fn record(sequence: &[&Bytes], picture: &[&Bytes]) -> Option<Bytes> {
    let first = *sequence.first()?;
    let &[_, profile, compatibility, level, ..] = &first[..] else { return None };
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
    for set in sequence {
        put(&mut record, set)?;
    }
    record.put_u8(picture.len() as u8);
    for set in picture {
        put(&mut record, set)?;
    }
    if HIGH.contains(&profile) {
        let (chroma, luma_depth, chroma_depth) = depths(first)?;
        record.extend_from_slice(&[0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
    }
    Some(record.freeze())
}

/// `chroma_format_idc` and both `bit_depth_minus8` of a high profile's sequence parameter set (ISO 14496-10 §7.3.2.1.1).
fn depths(nal: &[u8]) -> Option<(u8, u8, u8)> {
    // All three stand in the first bytes.
    let payload = avc::without_emulation_prevention(&nal[4..nal.len().min(32)]);
    let mut bits = Bits::new(&payload);
    bits.golomb()?; // seq_parameter_set_id
    let chroma = bits.golomb().filter(|chroma| *chroma <= 3)?;
    if chroma == 3 {
        bits.flag()?;
    }
    let mut depth = || bits.golomb().filter(|depth| *depth <= 6);
    Some((chroma as u8, depth()? as u8, depth()? as u8))
}

/// The number that a picture parameter set begins with behind a header of so many bytes; one that cannot be read stands
/// for 0.
fn number(nal: &[u8], header: usize) -> u32 {
    let head = nal.get(header..).unwrap_or_default();
    Bits::new(&head[..head.len().min(8)]).golomb().unwrap_or(0)
}

/// Keeps a parameter set in the place of its predecessor.
fn keep(sets: &mut Sets, key: (u8, u32), nal: &[u8]) -> Result<(), InvalidVideo> {
    if sets.get(&key).is_none_or(|known| known != nal) {
        sets.insert(key, Bytes::copy_from_slice(nal));
        if sets.values().map(Bytes::len).sum::<usize>() > LONGEST {
            return Err(InvalidVideo::Config);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x0c, 0xda, 5, 7, 0xec, 4, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 7, 0x83, 0xc5, 0x0a, 0xa8];
    const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
    const IDR: &[u8] = &[0x65, 0x88, 0x84];
    const P: &[u8] = &[0x41, 0x9a, 0x01];

    fn stream(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect()
    }

    fn lengths(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes_part_nal_units() {
        let bytes = [9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 0, 0, 3, 1, 0, 0, 0, 0, 1, 0x65, 0, 0, 1, 0, 0, 1, 0x41];
        let found: Vec<_> = nals(&bytes).collect();
        assert_eq!(found, [&[0x67, 1][..], &[0x68, 0, 0, 3, 1], &[0x65], &[0x41]]);
        assert_eq!(nals(&[0, 0]).count() + nals(&[0, 0, 1]).count() + nals(&[1; 9]).count(), 0);
    }

    #[test]
    fn every_start_code_is_found_wherever_it_stands() {
        for before in 0..20 {
            for fill in [0, 1, 2, 0xff] {
                let bytes = [&vec![fill; before][..], &[0, 0, 1, 0x41, 0x80]].concat();
                assert_eq!(nals(&bytes).last(), Some(&[0x41, 0x80][..]), "{before} times {fill}");
            }
        }
    }

    #[test]
    fn configurations_are_told_once_and_kept_out_of_the_samples() {
        let mut video = Stream::new(Syntax::H264);
        assert_eq!(video.units(&stream(&[P])), Ok(vec![]), "nothing can decode it");
        let key = stream(&[&[9, 0xf0], SPS, PPS, &[6, 5, 1, 9, 0x80], IDR]);
        let [first] = &video.units(&key).unwrap()[..] else { panic!() };
        let format = first.format.clone().unwrap();
        assert_eq!((format.width, format.height, format.frame_rate), (320, 240, Some(15.0)));
        let config = "0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8";
        assert_eq!(format.config.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), config);
        assert!(first.idr && first.configured);
        assert_eq!(first.data[..], lengths(&[&[6, 5, 1, 9, 0x80], IDR]));
        let [again] = &video.units(&key).unwrap()[..] else { panic!() };
        assert_eq!(again.format, None);
        let [next] = &video.units(&stream(&[P, P])).unwrap()[..] else { panic!() };
        assert_eq!((next.idr, next.configured, &next.data[..]), (false, false, &lengths(&[P, P])[..]));
    }

    #[test]
    fn delimiters_part_access_units() {
        let mut video = Stream::new(Syntax::H264);
        let units = video.units(&stream(&[&[9, 0x10], SPS, PPS, IDR, &[9, 0x30], P, &[12, 0xff], &[9, 0x30]])).unwrap();
        let seen: Vec<_> = units.iter().map(|unit| (unit.idr, &unit.data[..])).collect();
        assert_eq!(seen, [(true, &lengths(&[IDR])[..]), (false, &lengths(&[P]))]);
    }

    #[test]
    fn a_flood_of_parameter_sets_ends() {
        let mut video = Stream::new(Syntax::H264);
        let flood: Vec<u8> = (0..200_u8)
            .flat_map(|n| stream(&[&[0x68, 1, n, 1], &[&[0x68, n, 0x80][..], &[n; 900]].concat()]))
            .collect();
        assert_eq!(video.units(&flood), Err(InvalidVideo::Config));
    }
}
