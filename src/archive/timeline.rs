//! Segments of renditions → the one timeline they share as VOD. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::journal::{PartEntry, Track};
use crate::model::{MediaTime, RenditionId};

/// A segment of one rendition: a byte range of its media file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) msn: u64,
    pub(super) init: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) start: MediaTime,
    pub(super) duration: Duration,
    /// A discontinuity stands before it, in every rendition alike.
    pub(super) discontinuity: bool,
}

/// What plays: renditions whose segments match one to one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timeline {
    /// Each as long as the others; the first is the one time is told by.
    pub(super) renditions: Vec<(Track, Vec<Segment>)>,
    /// Where each segment begins in playing time, and the end.
    positions: Vec<Duration>,
    /// Segments between the first and the last that are left out.
    pub(super) missing: usize,
    /// Renditions that cover too little and are left out.
    pub(super) left_out: Vec<RenditionId>,
}

/// A segment as far as a journal tells it.
#[derive(Debug, Clone)]
struct Run {
    parts: std::ops::Range<usize>,
    complete: bool,
}

type Runs = BTreeMap<u64, Run>;

impl Timeline {
    /// The timeline of a recording; none if there is no segment that every rendition has.
    ///
    /// It begins where every rendition has media and a decoder can start. A segment that one
    /// rendition lacks is left out of all, behind a discontinuity. A rendition that would cost
    /// more than a tenth of the others (a rung whose encoder died), or sound and picture of
    /// which one covers less than half of the other, is left out instead. The last segment
    /// may be torn and ends where the first rendition ends.
    pub(super) fn new(tracks: Vec<Track>) -> Option<Self> {
        let mut all: Vec<(Track, Runs)> =
            tracks.into_iter().map(|track| (runs(&track.parts), track)).map(|(r, t)| (t, r)).collect();
        all.retain(|(_, runs)| !runs.is_empty());
        all.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        let mut left_out = Vec::new();
        let mut kept: Vec<(Track, Runs)> = Vec::new();
        let longest = all.iter().map(|(_, runs)| runs.len()).max()?;
        for (track, runs) in all {
            let essential = matches!(rank(&track).0, SOURCE | SOUND);
            // A rung's encoder may be late for the first segment.
            let spare = if essential { longest / 2 } else { (longest / 10).max(1) };
            let enough = runs.len() + spare >= longest;
            if enough { kept.push((track, runs)) } else { left_out.push(track.rendition) }
        }
        let last = kept.iter().filter_map(|(_, runs)| runs.keys().next_back()).max().copied()?;
        // Numbers that nobody has are no loss: the live had a break there.
        let heard: BTreeSet<u64> = kept.iter().flat_map(|(track, _)| track.parts.iter().map(|part| part.msn)).collect();
        let mut cuts = Vec::new();
        let mut expected = None;
        let mut missing = 0;
        for msn in kept.first()?.1.keys().copied() {
            let Some(ranges) = common(&kept, msn, msn == last) else { continue };
            let joins = expected == Some(msn);
            // After a hole, decoders need a frame to start at; without one the hole grows.
            let startable = kept.iter().zip(&ranges).all(|((track, _), parts)| is_startable(track, parts));
            if !joins && !startable {
                continue;
            }
            missing += expected.map_or(0, |expected| heard.range(expected..msn).count());
            expected = Some(msn + 1);
            cuts.push((msn, ranges, !joins && !cuts.is_empty()));
        }
        Self::build(kept, &cuts, missing, left_out)
    }

    fn build(
        kept: Vec<(Track, Runs)>,
        cuts: &[(u64, Vec<std::ops::Range<usize>>, bool)],
        missing: usize,
        left_out: Vec<RenditionId>,
    ) -> Option<Self> {
        let breaks: Vec<bool> = (0..cuts.len())
            .map(|n| {
                n > 0
                    && (cuts[n].2
                        || kept.iter().enumerate().any(|(r, (track, _))| {
                            let (now, before) =
                                (&track.parts[cuts[n].1[r].start], &track.parts[cuts[n - 1].1[r].start]);
                            now.discontinuity || now.init != before.init
                        }))
            })
            .collect();
        let segments = |r: usize, track: &Track| -> Vec<Segment> {
            let spans: Vec<_> = cuts.iter().map(|(_, ranges, _)| &track.parts[ranges[r].clone()]).collect();
            let segment = |n: usize| {
                let (first, last) = (&spans[n][0], &spans[n][spans[n].len() - 1]);
                // To the next one where that joins, so that rounding and jitter never add up; else by
                // the parts' lengths, since with reordered frames no part's end is exact.
                let duration = match spans.get(n + 1) {
                    Some(next) if !breaks[n + 1] => {
                        u64::try_from(next[0].start.saturating_sub(first.start)).unwrap_or(0)
                    }
                    _ => spans[n].iter().fold(0, |sum, part| part.duration.saturating_add(sum)),
                };
                Segment {
                    msn: cuts[n].0,
                    init: first.init,
                    offset: first.offset,
                    length: last.offset + last.length - first.offset,
                    start: MediaTime::from_nanos(first.start),
                    duration: Duration::from_nanos(duration.max(1)),
                    discontinuity: breaks[n],
                }
            };
            (0..spans.len()).map(segment).collect()
        };
        let renditions: Vec<_> = kept
            .into_iter()
            .enumerate()
            .map(|(r, (track, _))| (segments(r, &track), track))
            .map(|(s, t)| (t, s))
            .collect();
        let mut positions = vec![Duration::ZERO];
        for segment in &renditions.first()?.1 {
            positions.push(positions.last().copied().unwrap_or_default() + segment.duration);
        }
        (positions.len() > 1).then_some(Self { renditions, positions, missing, left_out })
    }

    /// Playing time of the whole.
    pub(super) fn duration(&self) -> Duration {
        self.positions.last().copied().unwrap_or_default()
    }

    /// Media time of the first frame.
    pub(super) fn start(&self) -> MediaTime {
        self.clock().first().map_or(MediaTime::ZERO, |segment| segment.start)
    }

    /// Where a stretch of media time lies in playing time; none if none of it was recorded.
    pub(super) fn locate(&self, start: MediaTime, end: MediaTime) -> Option<(Duration, Duration)> {
        let (start, end) = (self.position(start), self.position(end));
        (start < end).then_some((start, end))
    }

    /// Playing time of a media time; what was not recorded lies where it is missing.
    fn position(&self, time: MediaTime) -> Duration {
        let next = self.clock().partition_point(|segment| segment.start <= time);
        let Some(segment) = next.checked_sub(1).map(|n| &self.clock()[n]) else { return Duration::ZERO };
        self.positions[next - 1] + time.since(segment.start).min(segment.duration)
    }

    fn clock(&self) -> &[Segment] {
        self.renditions.first().map_or(&[], |(_, segments)| segments)
    }
}

/// Order of renditions: the source, sound, rungs from the top, further sounds.
fn rank(track: &Track) -> (u32, &str) {
    let height = track.inits.iter().filter_map(|init| Some(init.video.as_ref()?.height)).max();
    let rank = match height {
        Some(_) if track.rendition == RenditionId::source() => SOURCE,
        None if track.rendition == RenditionId::audio() => SOUND,
        Some(height) => u32::MAX - height.clamp(1, u32::MAX - 2),
        None => u32::MAX,
    };
    (rank, track.rendition.as_str())
}

const SOURCE: u32 = 0;
const SOUND: u32 = 1;

/// Segments with all their parts from the first on; the last one may lack its end.
fn runs(parts: &[PartEntry]) -> Runs {
    let mut runs = Runs::new();
    let mut from = 0;
    for run in parts.chunk_by(|a, b| a.msn == b.msn) {
        let whole = run.iter().zip(0..).all(|(part, index)| part.index == index && part.init == run[0].init);
        if whole {
            let complete = run.last().is_some_and(|part| part.ends);
            runs.insert(run[0].msn, Run { parts: from..from + run.len(), complete });
        }
        from += run.len();
    }
    runs
}

/// The parts of a segment in every rendition, if all have it.
fn common(kept: &[(Track, Runs)], msn: u64, last: bool) -> Option<Vec<std::ops::Range<usize>>> {
    let found: Option<Vec<_>> = kept.iter().map(|(_, runs)| runs.get(&msn)).collect();
    let found = found?;
    if found.iter().all(|run| run.complete) {
        return Some(found.into_iter().map(|run| run.parts.clone()).collect());
    }
    if !last {
        return None;
    }
    let ends = kept.iter().zip(&found).map(|((track, _), run)| track.parts[run.parts.end - 1].end());
    let end = ends.min()?;
    let clip = |((track, _), run): (&(Track, Runs), &&Run)| {
        let keep = track.parts[run.parts.clone()].iter().take_while(|part| part.start < end).count();
        (keep > 0).then(|| run.parts.start..run.parts.start + keep)
    };
    kept.iter().zip(&found).map(clip).collect()
}

fn is_startable(track: &Track, parts: &std::ops::Range<usize>) -> bool {
    track.inits.iter().all(|init| init.video.is_none())
        || track.parts.get(parts.start).is_some_and(|part| part.independent)
}
