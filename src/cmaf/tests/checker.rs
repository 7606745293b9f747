//! The rules every live keeps, whatever came in (rfc8216bis §4.4.4.9, §6.2.1; ISO 23000-19 §7.3).

use std::{collections::BTreeMap, time::Duration};

use mp4_atom::{Any, DecodeMaybe, Moof};

use crate::{
    cmaf::{Fragment, Output, Packager, boxes, whole},
    model::{Init, Part, RenditionId, TrackFormat},
};

/// How strict to be about input that is not perfect.
#[derive(Clone, Copy)]
pub struct Expect {
    /// Parts fill 85 % of the target unless independent or last of a segment.
    pub full: bool,
    /// Decoding times have no holes within a rendition except at a discontinuity.
    pub seamless: bool,
}

pub const STRICT: Expect = Expect { full: true, seamless: true };
pub const LENIENT: Expect = Expect { full: false, seamless: false };

pub struct Rendition {
    pub inits: Vec<Init>,
    pub parts: Vec<Part>,
}

impl Rendition {
    /// Segment number and its start.
    pub fn segments(&self) -> Vec<(u64, f64)> {
        let opening = self.parts.iter().filter(|part| part.index == 0);
        opening.map(|part| (part.msn, part.start.as_secs_f64())).collect()
    }

    /// Samples in all parts.
    pub fn samples(&self) -> u32 {
        self.parts.iter().map(|part| Fragment::parse(&part.data).unwrap().samples).sum()
    }

    /// Initialisation segment and every part of a version, as a file.
    pub fn file(&self, version: u32) -> Vec<u8> {
        let mut data = self.inits[version as usize].data.to_vec();
        let parts = self.parts.iter().filter(|part| part.init == version);
        parts.for_each(|part| data.extend_from_slice(&part.data));
        data
    }
}

/// Checks the rules and hands back the renditions.
pub fn check(packager: &Packager, out: &[Output], expect: Expect) -> BTreeMap<RenditionId, Rendition> {
    let mut renditions: BTreeMap<RenditionId, Rendition> = BTreeMap::new();
    for output in out {
        match output {
            Output::Init(init) => {
                let empty = || Rendition { inits: Vec::new(), parts: Vec::new() };
                let rendition = renditions.entry(init.rendition.clone()).or_insert_with(empty);
                assert_eq!(init.version as usize, rendition.inits.len(), "init versions count up");
                rendition.inits.push(init.clone());
            }
            Output::Part(part) | Output::StandIn(part) => {
                let rendition = renditions.get_mut(&part.rendition).expect("an init comes first");
                assert!((part.init as usize) < rendition.inits.len(), "a part's init precedes it");
                rendition.parts.push(part.clone());
            }
        }
    }
    let target = packager.timing().map_or(Duration::ZERO, |timing| timing.part_target);
    for (name, rendition) in &renditions {
        for part in &rendition.parts {
            check_part(part, scale(rendition, part.init), target);
        }
        for pair in rendition.parts.windows(2) {
            check_pair(pair, scale(rendition, pair[0].init), target, expect);
        }
        if let Some(last) = rendition.parts.last() {
            assert!(last.ends_segment, "{name}: the last part ends its segment");
            assert_eq!(rendition.parts[0].number, 0);
        }
        check_segments(name, rendition);
    }
    renditions
}

fn scale(rendition: &Rendition, version: u32) -> u32 {
    match &*rendition.inits[version as usize].format {
        TrackFormat::Video(_) => 90_000,
        TrackFormat::Audio(audio) => audio.sample_rate,
    }
}

fn check_part(part: &Part, scale: u32, target: Duration) {
    let at = format!("{} #{} msn {}.{}", part.rendition, part.number, part.msn, part.index);
    assert!(part.duration <= target, "{at}: {:?} > {target:?}", part.duration);
    assert!(part.duration > Duration::ZERO, "{at}");
    let kinds: Vec<_> = boxes(&part.data).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [*b"moof", *b"mdat"], "{at}");
    assert_eq!(whole(&part.data), part.data.len(), "{at}");
    let fragment = Fragment::parse(&part.data).unwrap();
    assert_eq!(fragment.sync, part.independent, "{at}");
    let lasts = fragment.duration as f64 / f64::from(scale);
    assert!((lasts - part.duration.as_secs_f64()).abs() < 1e-6, "{at}: {lasts} {:?}", part.duration);
    let shown = fragment.presentation_time as f64 / f64::from(scale);
    assert!((shown - part.start.as_secs_f64()).abs() < 2e-5, "{at}: {shown} {:?}", part.start);
    // The crate reads the same out of it.
    let Some(Any::Moof(Moof { mfhd, traf })) = Any::decode_maybe(&mut &part.data[..]).unwrap() else { panic!("{at}") };
    assert_eq!(mfhd.sequence_number, fragment.sequence, "{at}");
    assert_eq!(traf[0].tfdt.as_ref().unwrap().base_media_decode_time, fragment.decode_time, "{at}");
    let samples: Vec<_> = traf[0].trun[0].samples.iter().collect();
    assert_eq!(samples.len(), fragment.samples as usize, "{at}");
    let sizes: u64 = samples.iter().map(|sample| u64::from(sample.size.unwrap())).sum();
    let offset = traf[0].trun[0].data_offset.unwrap() as u64;
    assert_eq!(offset + sizes, part.data.len() as u64, "{at}: samples fill mdat exactly");
    assert_eq!(samples.iter().map(|sample| u64::from(sample.duration.unwrap())).sum::<u64>(), fragment.duration);
}

fn check_pair(pair: &[Part], scale: u32, target: Duration, expect: Expect) {
    let [before, after] = pair else { unreachable!() };
    let at = format!("{} #{} msn {}.{}", after.rendition, after.number, after.msn, after.index);
    // What was hinted before a break never comes.
    assert_eq!(after.number, before.number + 1 + u64::from(after.discontinuity), "{at}");
    if before.ends_segment {
        assert!(after.msn > before.msn && after.index == 0, "{at}");
    } else {
        assert_eq!((after.msn, after.index), (before.msn, before.index + 1), "{at}");
        assert!(!after.discontinuity && after.init == before.init, "{at}");
        let filled = before.duration.as_secs_f64() / target.as_secs_f64();
        assert!(!expect.full || before.independent || filled >= 0.85, "{at}: the one before fills {filled}");
    }
    let (first, second) = (Fragment::parse(&before.data).unwrap(), Fragment::parse(&after.data).unwrap());
    assert!(second.sequence > first.sequence, "{at}");
    if !after.discontinuity {
        let end = first.decode_time + first.duration;
        assert!(second.decode_time >= end, "{at}: decoding time goes back");
        let hole = (second.decode_time - end) as f64 / f64::from(scale);
        assert!(!expect.seamless || hole == 0.0, "{at}: a hole of {hole} s");
    }
}

fn check_segments(name: &RenditionId, rendition: &Rendition) {
    let mut lengths: BTreeMap<u64, Duration> = BTreeMap::new();
    for part in &rendition.parts {
        *lengths.entry(part.msn).or_default() += part.duration;
    }
    for (msn, length) in lengths {
        assert!(length < Duration::from_millis(4500), "{name} {msn}: {length:?} rounds to more than 4");
    }
}

/// Segments of the same number begin at the same time, within `apart` seconds.
pub fn check_lock_step(renditions: &BTreeMap<RenditionId, Rendition>, apart: f64) {
    let mut starts: BTreeMap<u64, (f64, &RenditionId)> = BTreeMap::new();
    for (name, rendition) in renditions {
        for (msn, start) in rendition.segments() {
            let (other, of) = *starts.entry(msn).or_insert((start, name));
            assert!((other - start).abs() <= apart, "segment {msn}: {of} at {other}, {name} at {start}");
        }
    }
}
