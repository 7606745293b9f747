//! H.264 parameter sets that come among the pictures, and the decoder configuration they make (ISO 14496-15 §5.3.3).
//! Pure.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{
    avc::{self, Config, InvalidVideo},
    bits::Bits,
};
use crate::model::VideoFormat;

/// Types of NAL units (ISO 14496-10 table 7-1).
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const IDR: u8 = 5;
/// The longest set that is kept; real ones have tens of bytes.
const MAX_SET: usize = 1_024;
/// Sets of each kind that are kept; encoders have one or two.
const MAX_SETS: usize = 16;

/// The parameter sets of one stream.
#[derive(Debug, Default)]
pub struct ParameterSets {
    /// By the number that pictures name them with.
    sequence: BTreeMap<u32, Bytes>,
    picture: BTreeMap<u32, Bytes>,
    changed: bool,
}

/// A picture as CMAF wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units with four bytes of length each; no parameter sets, no delimiters.
    pub data: Bytes,
    /// A decoder can start here.
    pub key: bool,
}

impl ParameterSets {
    /// Takes the NAL units of one picture: parameter sets are kept, the rest is the picture. `None`: nothing is left.
    pub fn take(&mut self, units: &[Bytes]) -> Option<AccessUnit> {
        let mut data = BytesMut::with_capacity(units.iter().map(|unit| unit.len() + 4).sum());
        let mut key = false;
        for unit in units {
            match unit.first().map_or(0, |header| header & 0x1f) {
                SPS => self.keep_sequence(unit),
                PPS => self.keep_picture(unit),
                0 | DELIMITER | FILLER => {}
                kind => {
                    key |= kind == IDR;
                    data.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
                    data.extend_from_slice(unit);
                }
            }
        }
        (!data.is_empty()).then(|| AccessUnit { data: data.freeze(), key })
    }

    /// The format that the sets describe, once after each change; `None` too while one is missing.
    ///
    /// # Errors
    /// [`InvalidVideo`], once after each change.
    pub fn changed(&mut self) -> Result<Option<VideoFormat>, InvalidVideo> {
        if !self.changed || self.sequence.is_empty() || self.picture.is_empty() {
            return Ok(None);
        }
        self.changed = false;
        let record = self.record().ok_or(InvalidVideo::Config)?;
        avc::parse_config(record).map(|Config { format, .. }| Some(format))
    }

    fn keep_sequence(&mut self, unit: &Bytes) {
        let Ok(set) = avc::parse_sps(unit) else { return };
        // Sets of another size are of another sequence: the old picture sets say nothing of it.
        let other = self.sequence.get(&set.coding.id).is_some_and(|known| known != unit);
        if other {
            self.picture.clear();
        }
        self.changed |= keep(&mut self.sequence, set.coding.id, unit);
    }

    fn keep_picture(&mut self, unit: &Bytes) {
        let Some(id) = unit.get(1..).and_then(|payload| Bits::new(payload).golomb()) else { return };
        self.changed |= keep(&mut self.picture, id, unit);
    }

    fn record(&self) -> Option<Bytes> {
        let first = self.sequence.values().next()?;
        let [_, profile, compatibility, level, ..] = first[..] else { return None };
        let mut record = BytesMut::from(&[1, profile, compatibility, level, 0xff][..]);
        for (sets, reserved) in [(&self.sequence, 0xe0), (&self.picture, 0)] {
            record.extend_from_slice(&[reserved | u8::try_from(sets.len()).ok()?]);
            for set in sets.values() {
                record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
                record.extend_from_slice(set);
            }
        }
        // High profile is 4:2:0 or monochrome in eight bits; no other that has these fields travels over WebRTC.
        if profile == 100 {
            let chroma = avc::parse_sps(first).ok()?.coding.chroma.min(3) as u8;
            record.extend_from_slice(&[0xfc | chroma, 0xf8, 0xf8, 0]);
        }
        Some(record.freeze())
    }
}

/// True: it is new.
fn keep(sets: &mut BTreeMap<u32, Bytes>, id: u32, unit: &Bytes) -> bool {
    let fits = unit.len() <= MAX_SET && (sets.len() < MAX_SETS || sets.contains_key(&id));
    // Copied: a slice would hold the whole packet it came in.
    fits && sets.get(&id) != Some(unit) && sets.insert(id, Bytes::copy_from_slice(unit)) != Some(unit.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of x264: High and Baseline.
    const HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
        0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PICTURE: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn units(units: &[&'static [u8]]) -> Vec<Bytes> {
        units.iter().map(|unit| Bytes::from_static(unit)).collect()
    }

    #[test]
    fn sets_become_a_configuration_once() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.take(&units(&[HIGH])), None);
        assert_eq!(sets.changed(), Ok(None));
        let unit = sets.take(&units(&[&[0x09, 0xf0], HIGH, PICTURE, &[0x65, 1, 2]])).unwrap();
        assert_eq!((&unit.data[..], unit.key), (&[0, 0, 0, 3, 0x65, 1, 2][..], true));
        let format = sets.changed().unwrap().unwrap();
        assert_eq!((format.width, format.height, format.codecs().as_str()), (1280, 720, "avc1.64001f"));
        assert_eq!(format.config[format.config.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
        sets.take(&units(&[HIGH, PICTURE, &[0x41, 1]]));
        assert_eq!(sets.changed(), Ok(None));
    }

    #[test]
    fn many_and_long_sets_do_not_grow_memory() {
        let mut sets = ParameterSets::default();
        let long = [&[0x68, 0x80][..], &[1; 70_000]].concat();
        sets.take(&[Bytes::from(long)]);
        assert!(sets.picture.is_empty());
        for id in 0..=255_u8 {
            sets.take(&[Bytes::from(vec![0x68, 0, id | 1, id])]);
        }
        assert!(sets.picture.len() <= MAX_SETS);
    }
}
