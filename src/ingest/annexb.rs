//! H.264 and H.265 as byte streams (annex B of ISO 14496-10 and of ISO 23008-2) into access units and configurations as
//! packaging wants them. Pure.

use bytes::Bytes;

use super::{
    avc::InvalidVideo,
    parameter_sets::{AccessUnit, Family, ParameterSets},
};
use crate::model::VideoFormat;

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
    family: Family,
    sets: ParameterSets,
    /// A configuration has been told.
    decodable: bool,
}

impl Stream {
    /// A stream of which nothing has come.
    pub fn new(family: Family) -> Self {
        Self { family, sets: ParameterSets::new(family), decodable: false }
    }

    /// The access units in a piece of byte stream that begins with one; more than one where delimiters part them.
    /// Those before the first parameter sets are left out: nothing can decode them.
    ///
    /// # Errors
    /// [`InvalidVideo`] for parameter sets that are broken or of an absurd size.
    pub fn units(&mut self, bytes: &[u8]) -> Result<Vec<Unit>, InvalidVideo> {
        let (nals, family) = (nals(bytes).collect::<Vec<_>>(), self.family);
        nals.iter().try_for_each(|nal| family.check(nal))?;
        let mut units = Vec::new();
        for nals in nals.chunk_by(|_, next| !next.first().is_some_and(|first| family.is_delimiter(*first))) {
            let Some(AccessUnit { data, key, configured }) = self.sets.take(nals) else { continue };
            let format = self.sets.changed()?;
            self.decodable |= format.is_some();
            if self.decodable {
                units.push(Unit { format, idr: key, configured, data });
            }
        }
        Ok(units)
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
        let mut video = Stream::new(Family::Avc);
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
        let mut video = Stream::new(Family::Avc);
        let units = video.units(&stream(&[&[9, 0x10], SPS, PPS, IDR, &[9, 0x30], P, &[12, 0xff], &[9, 0x30]])).unwrap();
        let seen: Vec<_> = units.iter().map(|unit| (unit.idr, &unit.data[..])).collect();
        assert_eq!(seen, [(true, &lengths(&[IDR])[..]), (false, &lengths(&[P]))]);
    }

    #[test]
    fn a_flood_of_parameter_sets_is_not_kept() {
        let mut video = Stream::new(Family::Avc);
        video.units(&stream(&[SPS, PPS, IDR])).unwrap();
        for n in 0..200_u8 {
            let _ = video.units(&stream(&[&[0x68, 1, n, 1], &[&[0x68, n, 0x80][..], &[n; 900]].concat(), P]));
        }
        assert!(video.units(&stream(&[P])).unwrap().len() == 1 && video.sets.size() < 32 << 10);
    }
}
