mod past;
mod render;

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use bytes::Bytes;

use super::{
    Answer, Directives, TARGET_DURATION,
    playlist::{date_time, seconds, to_micros},
};
use crate::model::{Anchor, Init, MediaTime, Part, RenditionId, TrackFormat};

pub use past::{Back, Extent, Rewind, Shelf, Volume};
use past::{Kept, Past};
use render::Rendered;

/// A rendition that loses more segments than this in one go starts its playlist anew instead of
/// listing every one of them as a gap.
const MAX_GAP: u64 = 16;
/// Nothing packages parts this long; sums of shorter ones cannot overflow.
const LONGEST_PART: Duration = Duration::from_secs(60);
/// Initialisation segments kept beyond those in use: a publisher may change its format without end.
const MAX_INITS: usize = 32;

/// What a rendition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CMAF video.
    Video,
    /// CMAF audio.
    Audio,
    /// WebVTT.
    Captions,
}

/// One rendition's segments and what is known about it. Pure.
#[derive(Debug)]
pub(super) struct Rendition {
    pub id: RenditionId,
    pub captions: bool,
    pub inits: VecDeque<Init>,
    /// Everything that can be fetched, oldest first.
    segments: VecDeque<Segment>,
    /// Index of the first segment the playlist lists.
    listed: usize,
    /// Discontinuities before the first listed segment.
    discontinuities: u64,
    /// Sum of all durations so far: where the playlist ends.
    edge: Duration,
    next_number: u64,
    pub peak: u64,
    past: Past,
    rendered: Rendered,
}

#[derive(Debug)]
struct Segment {
    msn: u64,
    /// Where it starts, as the sum of all durations before it.
    at: Duration,
    start: MediaTime,
    duration: Duration,
    init: u32,
    discontinuity: bool,
    complete: bool,
    gap: bool,
    first_number: u64,
    /// Once it is no longer listed: fetchable while the playlist ends before this.
    keep_until: Option<Duration>,
    /// Where it is when memory lets it go, once that is settled.
    kept: Option<Kept>,
    parts: Vec<(u64, Bytes)>,
    /// What the playlist says of it, written once: its date, its EXT-X-PART lines, and when it is complete its
    /// duration and address. Emptied when it leaves the playlist.
    date_line: String,
    part_lines: String,
    end_lines: String,
}

/// What all playlists of a live have in common.
#[derive(Debug)]
pub(super) struct Frame {
    /// `/live/NAME`.
    pub base: String,
    /// The query that tells this live's URIs from those of the channel's other lives.
    pub query: String,
    pub anchor: Anchor,
    /// From EXTM3U to EXT-X-PART-INF.
    pub head: String,
    pub window: Duration,
    /// How many parts a request may lie ahead (rfc8216bis §6.2.5.2).
    pub advance: u64,
    /// What players may go back to, unless they may not.
    pub rewind: Option<Rewind>,
}

impl Segment {
    /// An empty one that begins where the playlist ends, at `at`.
    fn open(at: Duration, msn: u64, start: MediaTime, init: u32, first_number: u64, frame: &Frame) -> Self {
        Self {
            msn,
            at,
            start,
            duration: Duration::ZERO,
            init,
            discontinuity: false,
            complete: false,
            gap: false,
            first_number,
            keep_until: None,
            kept: None,
            parts: Vec::new(),
            date_line: date_time(frame.anchor, start),
            part_lines: String::new(),
            end_lines: String::new(),
        }
    }

    fn end(&self) -> Duration {
        self.at + self.duration
    }

    fn bytes(&self) -> usize {
        self.parts.iter().map(|(_, data)| data.len()).sum()
    }
}

impl Rendition {
    pub fn new(id: RenditionId, captions: bool) -> Self {
        Self {
            id,
            captions,
            inits: VecDeque::new(),
            segments: VecDeque::new(),
            listed: 0,
            discontinuities: 0,
            edge: Duration::ZERO,
            next_number: 0,
            peak: 0,
            past: Past::default(),
            rendered: Rendered::default(),
        }
    }

    /// What it holds; `None` before its initialisation segment is known.
    pub fn kind(&self) -> Option<Kind> {
        if self.captions {
            return Some(Kind::Captions);
        }
        self.inits.back().map(|init| match *init.format {
            TrackFormat::Video(_) => Kind::Video,
            TrackFormat::Audio(_) => Kind::Audio,
        })
    }

    pub fn init(&mut self, init: Init) {
        self.inits.retain(|old| old.version != init.version);
        self.inits.push_back(init);
        self.forget_inits();
    }

    pub fn init_bytes(&self, version: u32) -> Option<Bytes> {
        self.inits.iter().find(|init| init.version == version).map(|init| init.data.clone())
    }

    /// The segment and part a client that has seen everything has seen last.
    pub fn last(&self) -> Option<(u64, usize)> {
        self.segments.back().map(|segment| (segment.msn, segment.parts.len().saturating_sub(1)))
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// A segment is complete, so that a player accepts the playlist.
    pub fn has_segment(&self) -> bool {
        let held = usize::from(self.holds_end(false));
        self.segments.range(self.listed..self.segments.len() - held).any(|segment| segment.complete)
    }

    /// The newest segment is complete and its end is not told yet. Captions tell it together with the first part
    /// behind it: without any part of the segment to come, video.js asks for all of it in one go, or takes its hint
    /// for a segment; either way the captions there come behind their picture.
    fn holds_end(&self, ended: bool) -> bool {
        self.captions && !ended && self.segments.back().is_some_and(|last| last.complete && !last.gap)
    }

    /// When the newest segment ends.
    pub fn end_time(&self) -> Option<MediaTime> {
        self.segments.back().map(|segment| segment.start + segment.duration)
    }

    /// Start and duration of a complete segment.
    pub fn span(&self, msn: u64) -> Option<(MediaTime, Duration)> {
        self.find(msn).filter(|segment| segment.complete && !segment.gap).map(|s| (s.start, s.duration))
    }

    /// Bits a second so far, in the first segment while no other is known.
    pub fn measured(&self) -> u64 {
        let segment = self.segments.iter().find(|segment| !segment.gap);
        segment.map_or(0, |segment| rate(segment.bytes(), segment.duration))
    }

    /// The segments between the last one and `msn`, not there: how many, if the playlist can say so.
    pub fn missing(&self, msn: u64) -> Option<std::ops::Range<u64>> {
        let next = self.segments.back()?.msn.checked_add(1)?;
        (next < msn && msn - next <= MAX_GAP).then_some(next..msn)
    }

    /// Lists a segment that never came (rfc8216bis §4.4.4.7).
    pub fn gap(&mut self, msn: u64, start: MediaTime, duration: Duration, frame: &Frame) {
        self.complete(frame);
        // A gap is no reason to break the target duration.
        let duration = duration.min(TARGET_DURATION);
        let init = self.segments.back().map_or(0, |segment| segment.init);
        let opened = Segment::open(self.edge, msn, start, init, self.next_number, frame);
        self.segments.push_back(Segment { duration, gap: true, ..opened });
        self.complete(frame);
        self.edge += duration;
        self.slide(frame);
    }

    /// A part goes forward and its duration can be.
    pub fn takes(&self, part: &Part) -> bool {
        let last = self.segments.back();
        let goes_back = last.is_some_and(|last| part.msn < last.msn || (part.msn == last.msn && last.complete));
        let possible = !part.duration.is_zero() && part.duration <= LONGEST_PART;
        possible && !goes_back && part.number >= self.next_number && part.number.max(part.msn) < u64::MAX
    }

    /// Takes a part that [`Rendition::takes`] has let pass. `before` is how many discontinuities the live has had
    /// up to the part's segment, `discontinuity` whether its segment begins with one.
    pub fn part(&mut self, part: Part, before: u64, discontinuity: bool, frame: &Frame) {
        let last = self.segments.back();
        if last.is_none_or(|last| last.msn != part.msn) {
            self.complete(frame);
            let jump = last_msn(&self.segments).is_some_and(|last| part.msn > last + 1);
            if jump {
                while self.listed < self.segments.len() {
                    self.unlist();
                }
                // A playlist cannot number around a hole.
                self.past.clear();
            }
            if self.segments.is_empty() || jump {
                self.discontinuities = before.saturating_sub(u64::from(discontinuity)).max(self.discontinuities);
            }
            let opened = Segment::open(self.edge, part.msn, part.start, part.init, part.number, frame);
            self.segments.push_back(Segment { discontinuity, ..opened });
        }
        self.next_number = part.number + 1;
        self.edge += part.duration;
        let (uri, ends) = (self.uri("part", part.number, frame), part.ends_segment);
        if let Some(segment) = self.segments.back_mut() {
            // What is written has to add up to the segment's own EXTINF: hls.js loads no more captions behind
            // a segment whose parts end 1 µs before it.
            let before = to_micros(segment.duration);
            segment.duration += part.duration;
            let duration = seconds(to_micros(segment.duration) - before);
            let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
            let _ = writeln!(segment.part_lines, "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}");
            segment.parts.push((part.number, part.data));
        }
        if ends {
            self.complete(frame);
        }
        self.slide(frame);
    }

    /// The open segment, if any, is as long as it gets.
    pub fn complete(&mut self, frame: &Frame) {
        let Some(mut segment) = self.segments.pop_back_if(|segment| !segment.complete) else { return };
        let (uri, duration) = (self.uri("seg", segment.msn, frame), seconds(segment.duration));
        let gap = if segment.gap { "#EXT-X-GAP\n" } else { "" };
        segment.end_lines = format!("{gap}#EXTINF:{duration},\n{uri}\n");
        segment.complete = true;
        // A peak is held for half a target duration at least (rfc8216bis §4.1); a break leaves segments of one key frame.
        self.peak = self.peak.max(rate(segment.bytes(), segment.duration.max(TARGET_DURATION / 2)));
        self.segments.push_back(segment);
    }

    /// Whether the playlist may be sent to a request with these directives (rfc8216bis §6.2.5.2).
    pub fn ready(&self, directives: Directives, frame: &Frame) -> Answer<()> {
        let Some(msn) = directives.msn else {
            return match directives.part {
                Some(_) => Answer::BadRequest("_HLS_part needs _HLS_msn"),
                // Players take a playlist without a complete segment for an empty one.
                None if self.has_segment() => Answer::Ready(()),
                None => Answer::Wait,
            };
        };
        let Some(last) = self.segments.back() else { return Answer::Wait };
        let (next, parts) = if last.complete { (last.msn + 1, 0) } else { (last.msn, last.parts.len() as u64) };
        if self.holds_end(false) && directives.part.is_none() && msn == last.msn {
            return Answer::Wait;
        }
        let (msn, part) = match directives.part {
            // Past the end of a segment lies the first part of the next one.
            Some(part) if msn < next && self.find(msn).is_some_and(|s| part >= s.parts.len() as u64) => {
                (msn + 1, Some(0))
            }
            part => (msn, part),
        };
        if msn < next {
            return Answer::Ready(());
        }
        if msn - next > 1 {
            return Answer::BadRequest("_HLS_msn lies more than two segments ahead");
        }
        let Some(part) = part else { return Answer::Wait };
        let have = if msn == next { parts } else { 0 };
        if part < have {
            Answer::Ready(())
        } else if part - have >= frame.advance {
            Answer::BadRequest("_HLS_part lies too far ahead")
        } else {
            Answer::Wait
        }
    }

    /// A part, or a wait for the one that is hinted.
    pub fn part_bytes(&self, number: u64, ended: bool) -> Answer<Bytes> {
        if number >= self.next_number {
            return if number == self.next_number && !ended { Answer::Wait } else { Answer::NotFound };
        }
        let after = self.segments.partition_point(|segment| segment.first_number <= number);
        // A gap shares the number of the segment behind it, so the owner is the last one that has parts.
        let owner = self.segments.range(..after).rev().find(|segment| !segment.gap);
        let found = owner.and_then(|segment| {
            let index = segment.parts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            segment.parts.get(index)
        });
        found.map_or(Answer::NotFound, |(_, data)| Answer::Ready(data.clone()))
    }

    /// A complete segment, as its parts.
    pub fn segment(&self, msn: u64) -> Answer<Vec<Bytes>> {
        match self.find(msn) {
            Some(segment) if segment.complete && !segment.gap => {
                Answer::Ready(segment.parts.iter().map(|(_, data)| data.clone()).collect())
            }
            _ => Answer::NotFound,
        }
    }

    /// Media bytes held.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
    }

    fn find(&self, msn: u64) -> Option<&Segment> {
        let index = self.segments.binary_search_by_key(&msn, |segment| segment.msn).ok()?;
        self.segments.get(index)
    }

    /// Takes segments off the front of the playlist, and drops those nobody may ask for any more.
    fn slide(&mut self, frame: &Frame) {
        if let Some(rewind) = &frame.rewind {
            self.settle(rewind);
        }
        while let Some(second) = self.segments.get(self.listed + 1) {
            if self.edge.saturating_sub(second.at) < frame.window {
                break;
            }
            let until = self.edge + self.listed_for() + TARGET_DURATION;
            if let Some(segment) = self.segments.get_mut(self.listed) {
                segment.keep_until = Some(until);
                if frame.rewind.is_some() {
                    self.past.push(segment);
                }
            }
            self.unlist();
        }
        if let Some(rewind) = &frame.rewind {
            self.past.slide(rewind.window, self.listed_for());
        }
        while self.segments.front().is_some_and(|segment| segment.keep_until.is_some_and(|until| until <= self.edge)) {
            self.segments.pop_front();
            self.listed -= 1;
        }
        self.forget_inits();
    }

    fn unlist(&mut self) {
        if let Some(segment) = self.segments.get_mut(self.listed) {
            self.discontinuities += u64::from(segment.discontinuity);
            for lines in [&mut segment.date_line, &mut segment.part_lines, &mut segment.end_lines] {
                *lines = String::new();
            }
            segment.keep_until.get_or_insert(self.edge + TARGET_DURATION * 3);
            self.listed += 1;
        }
    }

    fn forget_inits(&mut self) {
        let oldest = self.segments.front().map_or(0, |segment| segment.init);
        let stale = |inits: &VecDeque<Init>| inits.len() > 1 && inits.front().is_some_and(|init| init.version < oldest);
        while self.inits.len() > MAX_INITS || stale(&self.inits) {
            self.inits.pop_front();
        }
    }
}

fn last_msn(segments: &VecDeque<Segment>) -> Option<u64> {
    segments.back().map(|segment| segment.msn)
}

/// Bits a second, rounded up as a ceiling must be: playlists show durations to the microsecond.
fn rate(bytes: usize, duration: Duration) -> u64 {
    let bits = bytes as u128 * 8 * 1_000_000;
    if duration.is_zero() { 0 } else { u64::try_from(bits.div_ceil(duration.as_micros().max(1))).unwrap_or(u64::MAX) }
}
