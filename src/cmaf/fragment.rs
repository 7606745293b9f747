use std::ops::Range;

use bytes::Bytes;

/// Every rendition is a file of one track.
pub(super) const TRACK: u32 = 1;
/// Sample flags (ISO 14496-12 §8.8.3.1): depends on no other sample.
pub(super) const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others and is not a sync sample.
pub(super) const NON_SYNC: u32 = 0x0101_0000;

/// What a `moof` says about its one track run; read back by the recorder and by checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// Decoding time of the first sample (`tfdt`), in ticks of the track.
    pub decode_time: u64,
    /// Sum of the sample durations, in ticks of the track.
    pub duration: u64,
    /// Earliest presentation time of a sample, in ticks of the track.
    pub presentation_time: i64,
    /// How many samples.
    pub samples: u32,
    /// The first sample is a sync sample.
    pub sync: bool,
}

/// The beginning of a box (ISO 14496-12 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxHeader {
    /// Its type, as `*b"moof"`.
    pub kind: [u8; 4],
    /// Bytes of the header: 8 or 16.
    pub header: u64,
    /// Bytes of the whole box, header included; `None`: it runs to the end of the file.
    pub size: Option<u64>,
}

/// Walks the boxes of a buffer; made by [`boxes`].
#[derive(Debug, Clone)]
pub struct Boxes<'a> {
    data: &'a [u8],
    at: usize,
}

/// The whole boxes at the top of `data`: type and the byte range of all of it, header included.
/// Ends at the first box that is cut short or impossible; never panics.
pub fn boxes(data: &[u8]) -> Boxes<'_> {
    Boxes { data, at: 0 }
}

/// How many leading bytes of `data` are complete: an initialisation segment and whole
/// `moof` + `mdat` pairs. What a power cut left behind is cut there.
pub fn whole(data: &[u8]) -> usize {
    let mut end = 0;
    let mut in_fragment = false;
    for (kind, range) in boxes(data) {
        in_fragment = kind == *b"moof" || in_fragment && kind != *b"mdat";
        if !in_fragment {
            end = range.end;
        }
    }
    end
}

impl BoxHeader {
    /// Reads a header from the first 8 bytes of `data`, or 16 where the size is a long one.
    /// `None`: too few bytes, or a size smaller than its own header.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let kind = *data.get(4..8)?.first_chunk()?;
        let (header, size) = match u32_at(data, 0)? {
            0 => (8, None),
            1 => (16, Some(u64_at(data, 8)?)),
            size => (8, Some(u64::from(size))),
        };
        (size.is_none_or(|size| size >= header)).then_some(Self { kind, header, size })
    }
}

impl Iterator for Boxes<'_> {
    type Item = ([u8; 4], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.data.get(self.at..)?;
        let BoxHeader { kind, size, .. } = BoxHeader::parse(rest)?;
        let size = size.map_or(Some(rest.len()), |size| usize::try_from(size).ok())?;
        if size > rest.len() {
            return None;
        }
        let range = self.at..self.at + size;
        self.at = range.end;
        Some((kind, range))
    }
}

impl Fragment {
    /// Reads the first `moof` of `data`; what comes behind it need not be there.
    /// `None`: it is not whole, or has no run. Sample defaults of an initialisation segment are not
    /// looked up: the packager writes durations and flags into each run.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let moof = child(data, b"moof", 0)?;
        let mfhd = child(moof, b"mfhd", 8)?;
        let traf = child(moof, b"traf", 8)?;
        let (default_duration, default_flags) = header_defaults(child(traf, b"tfhd", 8)?)?;
        let tfdt = child(traf, b"tfdt", 8)?;
        let decode_time = if *tfdt.get(8)? == 1 { u64_at(tfdt, 12)? } else { u64::from(u32_at(tfdt, 12)?) };
        let trun = child(traf, b"trun", 8)?;
        let (flags, samples) = (u32_at(trun, 8)? & 0x00ff_ffff, u32_at(trun, 12)?);
        let mut at = 16 + 4 * (flags & 1) as usize;
        let mut first_flags = None;
        if flags & 0x4 != 0 {
            first_flags = Some(u32_at(trun, at)?);
            at += 4;
        }
        let (mut duration, mut earliest) = (0u64, i64::MAX);
        // Without any field a sample takes no room, and a count alone must not make work.
        let present = if flags & 0xf00 == 0 { samples.min(1) } else { samples };
        for index in 0..present {
            let mut field = |bit: u32| -> Option<Option<u32>> {
                if flags & bit == 0 {
                    return Some(None);
                }
                let value = u32_at(trun, at)?;
                at += 4;
                Some(Some(value))
            };
            let lasts = field(0x100)?.unwrap_or(default_duration);
            field(0x200)?;
            let sample_flags = field(0x400)?.unwrap_or(default_flags);
            let offset = field(0x800)?.unwrap_or(0).cast_signed();
            if index == 0 {
                first_flags.get_or_insert(sample_flags);
            }
            let decoded = i64::try_from(decode_time.saturating_add(duration)).unwrap_or(i64::MAX);
            earliest = earliest.min(decoded.saturating_add(i64::from(offset)));
            duration = duration.saturating_add(u64::from(lasts));
        }
        if present < samples {
            duration = u64::from(default_duration) * u64::from(samples);
        }
        (samples > 0).then_some(Self {
            sequence: u32_at(mfhd, 12)?,
            decode_time,
            duration,
            presentation_time: earliest,
            samples,
            sync: first_flags? & 0x0001_0000 == 0,
        })
    }
}

/// One sample on its way into a part.
#[derive(Debug)]
pub(super) struct Sample {
    /// Ticks.
    pub duration: u32,
    /// Presentation minus decoding time, in ticks.
    pub offset: i32,
    pub key: bool,
    pub data: Bytes,
}

/// `moof` and `mdat` of a CMAF chunk (ISO 23000-19 §7.3.3.2): one `trun` version 1, default-base-is-moof.
/// Payloads are copied here, once. `audio` leaves out what is the same for every sample.
pub(super) fn write(sequence: u32, decode_time: u64, samples: &[Sample], audio: bool) -> Bytes {
    let (flags, entry): (u32, usize) = if audio { (0x301, 8) } else { (0xf01, 16) };
    let trun = 20 + entry * samples.len();
    let tfhd = if audio { 20 } else { 16 };
    let traf = 8 + tfhd + 20 + trun;
    let moof = 8 + 16 + traf;
    let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mut data = Vec::with_capacity(moof + 8 + payload);
    let mut put = |words: &[u32]| words.iter().for_each(|word| data.extend_from_slice(&word.to_be_bytes()));
    // The packager closes a part long before its bytes outgrow 32 bits.
    put(&[moof as u32, kind(b"moof"), 16, kind(b"mfhd"), 0, sequence]);
    put(&[traf as u32, kind(b"traf")]);
    if audio {
        put(&[20, kind(b"tfhd"), 0x0002_0020, TRACK, SYNC]);
    } else {
        put(&[16, kind(b"tfhd"), 0x0002_0000, TRACK]);
    }
    put(&[20, kind(b"tfdt"), 0x0100_0000, (decode_time >> 32) as u32, decode_time as u32]);
    put(&[trun as u32, kind(b"trun"), 0x0100_0000 | flags, samples.len() as u32, moof as u32 + 8]);
    for sample in samples {
        put(&[sample.duration, sample.data.len() as u32]);
        if !audio {
            put(&[if sample.key { SYNC } else { NON_SYNC }, sample.offset.cast_unsigned()]);
        }
    }
    put(&[payload as u32 + 8, kind(b"mdat")]);
    for sample in samples {
        data.extend_from_slice(&sample.data);
    }
    data.into()
}

fn kind(name: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*name)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    data.get(at..)?.first_chunk().copied().map(u64::from_be_bytes)
}

/// The first box of a type, header included, among those that begin `skip` bytes into `data`.
fn child<'a>(data: &'a [u8], name: &[u8; 4], skip: usize) -> Option<&'a [u8]> {
    let data = data.get(skip..)?;
    let (_, range) = boxes(data).find(|(kind, _)| kind == name)?;
    data.get(range)
}

/// Default sample duration and flags of a `tfhd` (ISO 14496-12 §8.8.7).
fn header_defaults(tfhd: &[u8]) -> Option<(u32, u32)> {
    let flags = u32_at(tfhd, 8)?;
    let mut at = 16 + if flags & 0x1 != 0 { 8 } else { 0 } + if flags & 0x2 != 0 { 4 } else { 0 };
    let mut field = |bit: u32| -> Option<u32> {
        if flags & bit == 0 {
            return Some(0);
        }
        let value = u32_at(tfhd, at)?;
        at += 4;
        Some(value)
    };
    let duration = field(0x8)?;
    field(0x10)?;
    Some((duration, field(0x20)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Bytes {
        let sample = |key, offset| Sample { duration: 3_000, offset, key, data: Bytes::from_static(b"0123456789") };
        write(7, 1 << 40, &[sample(true, 6_000), sample(false, -1_500)], false)
    }

    #[test]
    fn a_fragment_reads_back_what_was_written() {
        let fragment = Fragment::parse(&pair()).unwrap();
        let presentation_time = (1 << 40) + 1_500;
        let expected =
            Fragment { sequence: 7, decode_time: 1 << 40, duration: 6_000, presentation_time, samples: 2, sync: true };
        assert_eq!(fragment, expected);
    }

    #[test]
    fn a_torn_recording_ends_after_its_last_whole_pair() {
        let pair = pair();
        let init = [0, 0, 0, 8, b'f', b't', b'y', b'p', 0, 0, 0, 8, b'm', b'o', b'o', b'v'];
        let file = [&init[..], &pair, &pair].concat();
        for length in 0..=file.len() {
            let complete = [0, 8, 16, 16 + pair.len(), 16 + 2 * pair.len()];
            let expected = complete.into_iter().filter(|end| *end <= length).max().unwrap();
            assert_eq!(whole(&file[..length]), expected, "torn at {length}");
        }
    }

    #[test]
    fn damage_never_panics_and_never_loops() {
        let pair = pair();
        let mut seed = 1u64;
        for round in 0..20_000 {
            let mut data = pair.to_vec();
            for _ in 0..1 + round % 4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % data.len();
                data[at] = (seed >> 24) as u8;
            }
            data.truncate((seed >> 40) as usize % (data.len() + 1));
            let _ = Fragment::parse(&data);
            assert!(whole(&data) <= data.len());
            assert!(boxes(&data).count() <= data.len() / 8 + 1);
        }
    }

    #[test]
    fn long_and_endless_boxes() {
        let long = [0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 0, 0, 0, 0, 17, 9];
        assert_eq!(boxes(&long).collect::<Vec<_>>(), [(*b"mdat", 0..17)]);
        let endless = [0, 0, 0, 0, b'm', b'd', b'a', b't', 9, 9];
        assert_eq!(boxes(&endless).collect::<Vec<_>>(), [(*b"mdat", 0..10)]);
        assert_eq!(BoxHeader::parse(&[0, 0, 0, 7, b'm', b'd', b'a', b't']), None);
    }
}
