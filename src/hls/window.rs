use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Answer, Back, Directives, Kind, Playlist, Reach, Rewind, SKIP_UNTIL, TARGET_DURATION, Volume,
    multivariant::{bandwidth, multivariant},
    playlist::seconds,
    rendition::{Frame, Rendition},
};
use crate::model::{Anchor, Init, LanguageTag, MediaTime, Part, RenditionId, StreamName};

/// Discontinuities remembered for renditions that begin late.
const MAX_DISCONTINUITIES: usize = 256;

/// How a live is presented; fixed from its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The channel; every URI lies under `/live/NAME`.
    pub name: StreamName,
    /// No part is longer (rfc8216bis §4.4.3.7).
    pub part_target: Duration,
    /// Wall clock of media time zero.
    pub anchor: Anchor,
    /// How far from the end players should stay; raised to 3 × `part_target` where it is less
    /// (rfc8216bis §4.4.3.8).
    pub part_hold_back: Duration,
    /// How much the playlists list at least; raised to 36 s where it is less.
    pub window: Duration,
    /// From then on the multivariant playlist appears with the renditions that have a part.
    pub deadline: Instant,
    /// How far players may go back beyond that; `None`: not at all.
    pub rewind: Option<Rewind>,
}

/// A caption track as the multivariant playlist lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    /// Its language.
    pub language: LanguageTag,
    /// The language in its own words: `Português`. Quotes and line breaks are left out.
    pub name: String,
    /// It is what the speaker says, not a translation.
    pub spoken: bool,
}

/// One live: the last minute of every rendition and every playlist over it. Pure.
///
/// Memory is bounded by twice the listed window and a few segments of media, and where players may go back by a few
/// dozen bytes a segment of twice as long.
#[derive(Debug)]
pub struct Window {
    pub(super) settings: Settings,
    pub(super) frame: Frame,
    pub(super) captions: Vec<Captions>,
    /// In the order of their announcement.
    pub(super) renditions: Vec<Rendition>,
    expected: BTreeSet<RenditionId>,
    /// Segments that begin with a discontinuity, in any rendition.
    breaks: BTreeSet<u64>,
    forgotten_breaks: u64,
    version: u64,
    ended: bool,
    /// For each [`Reach`], with the bits a second that it states of every rendition with media.
    multivariant: [Option<(Vec<u64>, Arc<Playlist>)>; 2],
}

impl Settings {
    /// The usual ones: hold back three parts, list a minute, wait three seconds from `now`.
    pub fn new(name: StreamName, part_target: Duration, anchor: Anchor, now: Instant) -> Self {
        Self {
            name,
            part_target,
            anchor,
            part_hold_back: part_target * 3,
            window: Duration::from_secs(60),
            deadline: now + Duration::from_secs(3),
            rewind: None,
        }
    }
}

impl Window {
    /// An empty window.
    pub fn new(settings: Settings) -> Self {
        let base = format!("/live/{}", settings.name);
        let tenths = settings.anchor.wall(MediaTime::ZERO).duration_since(std::time::UNIX_EPOCH);
        let tenths = tenths.unwrap_or_default().as_millis() / 100;
        let frame = Frame {
            base,
            // Numbers begin again with the channel's next live, and what they named is cached as immutable.
            query: format!("?l={:x}", tenths & 0xffff_ffff),
            anchor: settings.anchor,
            head: head(&settings),
            window: settings.window.max(TARGET_DURATION * 9),
            advance: advance(settings.part_target),
            rewind: settings.rewind.clone(),
        };
        Self {
            settings,
            frame,
            captions: Vec::new(),
            renditions: Vec::new(),
            expected: BTreeSet::new(),
            breaks: BTreeSet::new(),
            forgotten_breaks: 0,
            version: 0,
            ended: false,
            multivariant: [None, None],
        }
    }

    /// Renditions that must have media before the multivariant playlist appears.
    pub fn expect(&mut self, renditions: impl IntoIterator<Item = RenditionId>) {
        for id in renditions {
            self.rendition_mut(&id);
            self.expected.insert(id);
        }
    }

    /// Caption tracks, listed in this order whether they have parts yet or not. Those that come while the
    /// live is on are for players that load the multivariant playlist from then on.
    pub fn captions(&mut self, tracks: impl IntoIterator<Item = Captions>) {
        self.captions = tracks.into_iter().collect();
        self.multivariant = [None, None];
        for track in self.captions.clone() {
            self.rendition_mut(&RenditionId::captions(&track.language)).captions = true;
        }
    }

    /// Takes an initialisation segment; it precedes the parts that need it.
    pub fn init(&mut self, init: Init) {
        self.version += 1;
        let rendition = self.rendition_mut(&init.rendition);
        let changed = rendition.inits.back().is_some_and(|old| old.format != init.format);
        rendition.init(init);
        if changed {
            self.multivariant = [None, None];
        }
    }

    /// Takes a part. False: it was dropped, because it goes back in its rendition, or lasts no time or
    /// more than a minute.
    pub fn part(&mut self, part: Part) -> bool {
        let (index, msn) = (self.index(&part.rendition), part.msn);
        if self.ended || !self.renditions.get(index).is_some_and(|rendition| rendition.takes(&part)) {
            tracing::debug!(rendition = %part.rendition, msn, part.number, "part dropped");
            return false;
        }
        if part.discontinuity && part.index == 0 {
            self.breaks.insert(msn);
            if self.breaks.len() > MAX_DISCONTINUITIES {
                self.breaks.pop_first();
                self.forgotten_breaks += 1;
            }
        }
        // A break belongs to the live: a rendition whose part does not say so has it all the same.
        let discontinuity = self.breaks.contains(&msn);
        let before = self.forgotten_breaks + self.breaks.range(..=msn).count() as u64;
        self.fill(index, &part);
        self.version += 1;
        if let Some(rendition) = self.renditions.get_mut(index) {
            rendition.part(part, before, discontinuity, &self.frame);
        }
        true
    }

    /// The live is over: playlists end here and everything stays as it is.
    pub fn end(&mut self) {
        self.version += 1;
        self.ended = true;
        for rendition in &mut self.renditions {
            rendition.complete(&self.frame);
        }
    }

    /// [`Window::end`] was called.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What a rendition holds; `None` if there is no such rendition, or it has not begun.
    pub fn kind(&self, id: &RenditionId) -> Option<Kind> {
        self.rendition(id)?.kind()
    }

    /// How much its playlists list at least.
    pub fn listed(&self) -> Duration {
        self.frame.window
    }

    /// Media bytes held.
    pub fn bytes(&self) -> usize {
        self.renditions.iter().map(Rendition::bytes).sum()
    }

    /// When the multivariant playlist appears even if some expected rendition is still missing.
    pub fn deadline(&self) -> Instant {
        self.settings.deadline
    }

    /// The query `l=…` that the URIs of this live carry and those of the channel's other lives do not.
    pub fn query(&self) -> &str {
        &self.frame.query[1..]
    }

    /// How far players may go back now; `None` where they may not.
    pub fn reach(&self) -> Option<Duration> {
        self.frame.rewind.as_ref()?;
        self.renditions.iter().filter(|rendition| !rendition.captions).map(Rendition::reach).max()
    }

    /// The multivariant playlist (rfc8216bis §4.4.6) over playlists that go back so far. Once it has appeared it stays
    /// the same, unless a format or the caption tracks change, or a rendition begins or takes more bits than stated.
    ///
    /// `None`: some expected rendition has no media yet and the deadline has not passed, or none has any.
    pub fn multivariant(&mut self, reach: Reach, now: Instant) -> Option<Arc<Playlist>> {
        let begun = || self.renditions.iter().filter(|rendition| !rendition.captions && !rendition.is_empty());
        let [edge, back] = &self.multivariant;
        let rendered = if reach == Reach::Edge { edge } else { back };
        let holds = |stated: &[u64]| {
            stated.len() == begun().count() && begun().zip(stated).all(|(rendition, stated)| rendition.peak <= *stated)
        };
        if let Some((_, playlist)) = rendered.as_ref().filter(|(stated, _)| holds(stated)) {
            return Some(playlist.clone());
        }
        let stated = begun().map(bandwidth).collect();
        // The bit rate of a rendition is told by its first segment.
        let known = |id| {
            self.rendition(id).is_some_and(|rendition| {
                if rendition.captions { !rendition.is_empty() } else { rendition.has_segment() }
            })
        };
        let is_early = edge.is_none() && back.is_none() && now < self.settings.deadline && !self.ended;
        if is_early && !self.expected.iter().all(known) {
            return None;
        }
        let playlist = Arc::new(Playlist::new(multivariant(self, reach)?));
        let [edge, back] = &mut self.multivariant;
        let rendered = if reach == Reach::Edge { edge } else { back };
        *rendered = Some((stated, playlist.clone()));
        Some(playlist)
    }

    /// A media playlist that goes back so far. Directives are ignored once the live has ended (rfc8216bis §6.2.5.2).
    pub fn playlist(&mut self, id: &RenditionId, reach: Reach, directives: Directives) -> Answer<Arc<Playlist>> {
        if reach == Reach::Back && self.frame.rewind.is_none() {
            return Answer::NotFound;
        }
        let Some(index) = self.renditions.iter().position(|rendition| rendition.id == *id) else {
            return Answer::NotFound;
        };
        if !self.ended {
            match self.renditions.get(index).map(|rendition| rendition.ready(directives, &self.frame)) {
                Some(Answer::Ready(())) => {}
                Some(Answer::BadRequest(why)) => return Answer::BadRequest(why),
                Some(Answer::Wait) => return Answer::Wait,
                Some(Answer::NotFound) | None => return Answer::NotFound,
            }
        }
        let (before, from) = self.renditions.split_at_mut(index);
        let Some((rendition, after)) = from.split_first_mut() else { return Answer::NotFound };
        let frame = &self.frame;
        let reports = || {
            let mut text = String::new();
            for sibling in before.iter().chain(after.iter()) {
                report(&mut text, sibling, reach, frame);
            }
            text
        };
        Answer::Ready(rendition.playlist((reach, directives.skip), self.version, self.ended, frame, reports))
    }

    /// A part. The hinted one is waited for.
    pub fn part_bytes(&self, id: &RenditionId, number: u64) -> Answer<Bytes> {
        self.rendition(id).map_or(Answer::NotFound, |rendition| rendition.part_bytes(number, self.ended))
    }

    /// A complete segment, as its parts in order.
    pub fn segment(&self, id: &RenditionId, msn: u64) -> Answer<Vec<Bytes>> {
        self.rendition(id).map_or(Answer::NotFound, |rendition| rendition.segment(msn))
    }

    /// An initialisation segment.
    pub fn init_bytes(&self, id: &RenditionId, version: u32) -> Option<Bytes> {
        self.rendition(id)?.init_bytes(version)
    }

    /// A segment that is no longer in memory, where players may go back to it.
    pub fn back(&self, id: &RenditionId, msn: u64) -> Option<Back> {
        self.rendition(id)?.back(msn, self.frame.rewind.as_ref()?)
    }

    /// An initialisation segment that is no longer in memory.
    pub fn init_back(&self, id: &RenditionId, version: u32) -> Option<Back> {
        let Rewind { shelf, .. } = self.frame.rewind.as_ref()?;
        let id = &self.rendition(id)?.id;
        Some(Back::File(shelf.file(id, Volume::Recording(version)), shelf.init(id, version)?))
    }

    pub(super) fn rendition(&self, id: &RenditionId) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.id == *id)
    }

    /// Lists segments that the part's rendition has skipped as gaps, with their siblings' times.
    fn fill(&mut self, index: usize, part: &Part) {
        let Some(rendition) = self.renditions.get(index) else { return };
        let (Some(missing), Some(end)) = (rendition.missing(part.msn), rendition.end_time()) else { return };
        let count = u32::try_from(missing.end - missing.start).unwrap_or(u32::MAX).max(1);
        let step = (part.start.since(end) / count).clamp(Duration::from_millis(1), TARGET_DURATION);
        for (nth, msn) in (0..).zip(missing) {
            let sibling = self.renditions.iter().find_map(|rendition| rendition.span(msn));
            let (start, duration) = sibling.unwrap_or((end + step * nth, step));
            if let Some(rendition) = self.renditions.get_mut(index) {
                rendition.gap(msn, start, duration, &self.frame);
            }
        }
    }

    fn index(&mut self, id: &RenditionId) -> usize {
        self.renditions.iter().position(|rendition| rendition.id == *id).unwrap_or_else(|| {
            let captions = id.as_str().starts_with("captions-");
            self.renditions.push(Rendition::new(id.clone(), captions));
            self.renditions.len() - 1
        })
    }

    fn rendition_mut(&mut self, id: &RenditionId) -> &mut Rendition {
        let index = self.index(id);
        &mut self.renditions[index]
    }
}

/// The tags that are the same in every media playlist of a live.
fn head(settings: &Settings) -> String {
    let target = target(settings.part_target);
    let hold_back = settings.part_hold_back.max(target * 3);
    format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
         CAN-SKIP-UNTIL={}.0,HOLD-BACK={}.0,PART-HOLD-BACK={}\n#EXT-X-PART-INF:PART-TARGET={}\n",
        TARGET_DURATION.as_secs(),
        SKIP_UNTIL.as_secs(),
        3 * TARGET_DURATION.as_secs(),
        seconds(hold_back),
        seconds(target),
    )
}

/// The part target as playlists show it: whole microseconds, never less than asked.
fn target(asked: Duration) -> Duration {
    Duration::from_micros(u64::try_from(asked.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX).max(1))
}

/// The advance part limit (rfc8216bis §6.2.5.2).
fn advance(part_target: Duration) -> u64 {
    let parts = 3_000_000_000_u128.div_ceil(part_target.as_nanos().max(1));
    u64::try_from(parts).unwrap_or(u64::MAX).max(3)
}

/// One EXT-X-RENDITION-REPORT (rfc8216bis §4.4.5.4); none for a rendition that has not begun.
fn report(text: &mut String, sibling: &Rendition, reach: Reach, frame: &Frame) {
    if let Some((msn, part)) = sibling.last() {
        let (base, id, file) = (&frame.base, &sibling.id, reach.file());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#EXT-X-RENDITION-REPORT:URI=\"{base}/{id}/{file}\",LAST-MSN={msn},LAST-PART={part}");
    }
}
