//! H.264 and H.265 parameter sets that come among the pictures, and the decoder configuration they make (ISO 14496-15
//! §5.3.3, §8.3.3). Pure.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{
    avc::{self, Config, InvalidVideo},
    bits::Bits,
    hevc,
};
use crate::model::VideoFormat;

/// The longest set that is kept; real ones have tens of bytes.
const MAX_SET: usize = 1_024;
/// `payloadType` of a recovery point (ISO 14496-10 §D.1.1).
const RECOVERY_POINT: usize = 6;
/// Sets of each kind that are kept; encoders have one or two.
const MAX_SETS: usize = 16;

/// Parameter sets of one kind by their number, NAL unit headers included.
pub(super) type Sets = BTreeMap<u32, Bytes>;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
}

/// What a NAL unit is to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A parameter set: of a video, a sequence, a picture.
    Set(usize),
    /// Says nothing that the container does not: a delimiter, an end, filler.
    Idle,
    /// Part of a picture at which decoders can start.
    Key,
    /// Says something about the picture, where decoders can start perhaps.
    About,
    Other,
}

/// The parameter sets of one stream.
#[derive(Debug)]
pub struct ParameterSets {
    family: Family,
    /// Of a video (H.265 alone), of sequences, of pictures; by the number that they are named with.
    sets: [Sets; 3],
    changed: bool,
}

/// A picture as CMAF wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units with four bytes of length each; no parameter sets, no delimiters.
    pub data: Bytes,
    /// A decoder can start here.
    pub key: bool,
    /// It came with parameter sets.
    pub configured: bool,
}

impl Family {
    /// Bytes of a NAL unit's header.
    pub fn header(self) -> usize {
        match self {
            Self::Avc => 1,
            Self::Hevc => 2,
        }
    }

    /// A NAL unit's type, by its first byte.
    pub fn kind(self, first: u8) -> u8 {
        match self {
            Self::Avc => first & 0x1f,
            Self::Hevc => first >> 1 & 0x3f,
        }
    }

    /// Whether a NAL unit that begins with this byte is an access unit delimiter.
    pub fn is_delimiter(self, first: u8) -> bool {
        matches!((self, self.kind(first)), (Self::Avc, 9) | (Self::Hevc, 35))
    }

    /// Reads a NAL unit that is a sequence parameter set.
    ///
    /// # Errors
    /// [`InvalidVideo`]: it is broken, or of an absurd size.
    pub fn check(self, unit: &[u8]) -> Result<(), InvalidVideo> {
        match (self, unit.first().map(|first| self.kind(*first))) {
            (Self::Avc, Some(7)) => avc::parse_sps(unit).map(drop),
            (Self::Hevc, Some(33)) => hevc::parse_sps(unit).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether a slice is the first of its picture: `first_mb_in_slice` is 0 (ISO 14496-10 §7.3.3),
    /// `first_slice_segment_in_pic_flag` is set (ISO 23008-2 §7.3.6.1). `None`: the NAL unit is no slice.
    pub fn begins_picture(self, unit: &[u8]) -> Option<bool> {
        let slice = match self {
            Self::Avc => 1..=5,
            Self::Hevc => 0..=31,
        };
        let is_slice = unit.first().is_some_and(|first| slice.contains(&self.kind(*first)));
        is_slice.then(|| unit.get(self.header()).is_some_and(|byte| byte & 0x80 != 0))
    }

    /// By type (ISO 14496-10 table 7-1, ISO 23008-2 table 7-1).
    fn role(self, first: u8) -> Role {
        match (self, self.kind(first)) {
            (Self::Avc, 7) | (Self::Hevc, 33) => Role::Set(1),
            (Self::Avc, 8) | (Self::Hevc, 34) => Role::Set(2),
            (Self::Hevc, 32) => Role::Set(0),
            (Self::Avc, 0 | 9..=12) | (Self::Hevc, 35..=38) => Role::Idle,
            (Self::Avc, 5) | (Self::Hevc, 16..=21) => Role::Key,
            (Self::Avc, 6) => Role::About,
            _ => Role::Other,
        }
    }

    /// The number of a set of a kind. `None`: it is broken.
    fn id(self, kind: usize, unit: &[u8]) -> Option<u32> {
        // All numbers stand in the first bytes but that of H.265's sequences, of which there is one.
        let head = |unit: &[u8]| Some(unit.get(self.header()..)?.iter().take(8).copied().collect::<Vec<_>>());
        match (self, kind) {
            (Self::Avc, 1) => avc::parse_sps(unit).ok().map(|set| set.coding.id),
            (Self::Hevc, 1) => hevc::parse_sps(unit).ok().map(|_| 0),
            (Self::Hevc, 0) => Some(0),
            _ => Bits::new(&head(unit)?).golomb(),
        }
    }
}

impl ParameterSets {
    /// None yet.
    pub fn new(family: Family) -> Self {
        Self { family, sets: Default::default(), changed: false }
    }

    /// Takes the NAL units of one picture: parameter sets are kept, the rest is the picture. `None`: nothing is left.
    pub fn take(&mut self, units: &[impl AsRef<[u8]>]) -> Option<AccessUnit> {
        let mut data = BytesMut::with_capacity(units.iter().map(|unit| unit.as_ref().len() + 4).sum());
        let (mut key, mut configured) = (false, false);
        for unit in units.iter().map(AsRef::as_ref) {
            match unit.first().map_or(Role::Idle, |first| self.family.role(*first)) {
                Role::Set(kind) => {
                    self.keep(kind, unit);
                    configured = true;
                }
                Role::Idle => {}
                role => {
                    key |= role == Role::Key || role == Role::About && recovers(unit);
                    data.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
                    data.extend_from_slice(unit);
                }
            }
        }
        (!data.is_empty()).then(|| AccessUnit { data: data.freeze(), key, configured })
    }

    /// The format that the sets describe, once after each change; `None` too while one is missing.
    ///
    /// # Errors
    /// [`InvalidVideo`], once after each change.
    pub fn changed(&mut self) -> Result<Option<VideoFormat>, InvalidVideo> {
        let [_, sequence, picture] = &self.sets;
        if !self.changed || sequence.is_empty() || picture.is_empty() {
            return Ok(None);
        }
        self.changed = false;
        self.format().map(Some)
    }

    /// The format that the sets describe.
    ///
    /// # Errors
    /// [`InvalidVideo`] also while one is missing.
    pub fn format(&self) -> Result<VideoFormat, InvalidVideo> {
        let [video, sequence, picture] = &self.sets;
        let config = match self.family {
            Family::Avc => avc::parse_config(avc::record(sequence, picture).ok_or(InvalidVideo::Config)?),
            Family::Hevc => hevc::parse_config(hevc::record(video, sequence, picture).ok_or(InvalidVideo::Config)?),
        };
        config.map(|Config { format, .. }| format)
    }

    /// How many pictures may precede another in decoding and follow it on the screen, as far as it is told.
    pub fn reordered(&self) -> Option<u32> {
        let sequence = self.sets[1].values().next()?;
        match self.family {
            Family::Avc => avc::parse_sps(sequence).ok()?.reordered,
            Family::Hevc => Some(hevc::parse_sps(sequence).ok()?.reordered),
        }
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.sets.iter().flat_map(Sets::values).map(Bytes::len).sum()
    }

    fn keep(&mut self, kind: usize, unit: &[u8]) {
        let Some(id) = self.family.id(kind, unit) else { return };
        // Another sequence's pictures need sets of their own.
        if kind == 1 && self.sets[1].get(&id).is_some_and(|known| known != unit) {
            self.sets[2].clear();
        }
        let sets = &mut self.sets[kind];
        let fits = unit.len() <= MAX_SET && (sets.len() < MAX_SETS || sets.contains_key(&id));
        if fits && sets.get(&id).is_none_or(|known| known != unit) {
            // Copied: a slice would hold the whole packet it came in.
            sets.insert(id, Bytes::copy_from_slice(unit));
            self.changed = true;
        }
    }
}

/// Whether supplemental information says that a decoder which starts at this picture shows it and all that follow
/// (`recovery_point`, ISO 14496-10 §D.2.8): so encoders mark the key frames of open groups, which are no IDR pictures.
fn recovers(unit: &[u8]) -> bool {
    let payload = avc::without_emulation_prevention(unit.get(1..unit.len().min(MAX_SET)).unwrap_or_default());
    let mut rest = &payload[..];
    while let Some((kind, size)) = varying(&mut rest).zip(varying(&mut rest)) {
        if kind == RECOVERY_POINT {
            // `recovery_frame_cnt` is 0.
            return rest.first().is_some_and(|byte| byte & 0x80 != 0);
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    false
}

/// A number as messages of supplemental information have it (§7.3.2.3.1).
fn varying(rest: &mut &[u8]) -> Option<usize> {
    let long = rest.iter().take_while(|byte| **byte == 0xff).count();
    let last = *rest.get(long)?;
    *rest = &rest[long + 1..];
    Some(long * 0xff + usize::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_can_start_where_the_encoder_says_so() {
        for (about, starts) in [
            (&[0x06, 0x06, 0x01, 0xc4, 0x80][..], true),
            // Behind another message, and behind one of 255 bytes and more.
            (&[0x06, 0x01, 0x02, 0xaa, 0xbb, 0x06, 0x01, 0xc4, 0x80], true),
            (&[&[0x06, 0x05, 0xff, 0x01][..], &[7; 256], &[0x06, 0x01, 0x80, 0x80]].concat(), true),
            // Whole only some pictures later: the picture is refreshed bit by bit.
            (&[0x06, 0x06, 0x02, 0x01, 0xe0, 0x80], false),
            (&[0x06, 0x05, 0x01, 0xc4, 0x80], false),
            (&[0x06, 0x06], false),
            (&[0x06, 0x01, 0xff], false),
            (&[0x06], false),
        ] {
            let units = [about, &[0x41, 1, 2]];
            assert_eq!(ParameterSets::new(Family::Avc).take(&units).unwrap().key, starts, "{about:02x?}");
        }
    }

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
        let mut sets = ParameterSets::new(Family::Avc);
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
        let mut sets = ParameterSets::new(Family::Avc);
        let long = [&[0x68, 0x80][..], &[1; 70_000]].concat();
        sets.take(&[Bytes::from(long)]);
        assert!(sets.sets[2].is_empty());
        for id in 0..=255_u8 {
            sets.take(&[Bytes::from(vec![0x68, 0, id | 1, id])]);
        }
        assert!(sets.sets[2].len() <= MAX_SETS);
    }
}
