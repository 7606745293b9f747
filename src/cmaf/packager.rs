use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    Timing, Unusable,
    cuts::Cuts,
    lane::{BYTES, Lane, Limits},
    timing,
};
use crate::model::{AudioFormat, Init, MediaTime, Packet, Part, RenditionId, Track, TrackFormat, TrackId};

/// How long parts and segments are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// At most so much makes a part, unless a single frame lasts longer.
    pub part: Duration,
    /// A segment ends at the first key frame at or after this.
    pub segment: Duration,
    /// A segment ends here even without a key frame; half a second below what would round to more
    /// than EXT-X-TARGETDURATION (rfc8216bis §4.4.3.1).
    pub segment_max: Duration,
    /// So long audio waits for the video it must be cut with; a video that is later than this has stalled.
    pub patience: Duration,
}

/// What packaging yields, in the order in which it must be served and stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Describes a rendition, before its first part and where its format changes.
    Init(Init),
    /// A part of a segment.
    Part(Part),
    /// The same, made of what stands in for a publisher that is away: to be served, not to be stored.
    StandIn(Part),
}

/// Packages every track of one live, and cuts all of them at the same media times.
///
/// The publisher's video leads: its key frames open segments. Where there is none, or it has
/// stalled for longer than [`Settings::patience`], audio leads. Further tracks of sound wait for the
/// leading track as the first one does. Ladder rungs follow by media time, however late they come.
///
/// Every segment's last part says `ends_segment`, if its rendition has any part of that segment; a
/// rendition whose packets stall leaves out the segments that pass meanwhile. A frame that stands
/// longer than PART-TARGET is given that duration, and the rest until the next one is a hole.
#[derive(Debug)]
pub struct Packager {
    settings: Settings,
    lanes: BTreeMap<TrackId, Lane>,
    /// Renditions that left, should they come back.
    left: BTreeMap<RenditionId, Lane>,
    cuts: Cuts,
    start: Start,
    timing: Option<Timing>,
    leader: TrackId,
    /// Sound that the leading track has not reached yet.
    waiting: VecDeque<Packet>,
    /// The decoding time the leading track has reached since the last break.
    seen: Option<MediaTime>,
    /// Audio has gone on without the video that should lead.
    alone: bool,
}

/// Packets that wait until the live's timing is known.
#[derive(Debug, Default)]
struct Start {
    packets: Vec<Packet>,
    /// Decoding times of the video, those before its first key frame included: they tell the rate too.
    video: Vec<MediaTime>,
    /// A picture can be decoded.
    key: bool,
    audio: Option<MediaTime>,
    /// Newest decoding time of any track.
    newest: MediaTime,
}

/// Packets that wait, whatever their stamps say.
const WAITING: usize = 4096;
/// So much video tells its frame duration.
const ENOUGH: Duration = Duration::from_millis(500);
/// So much time tells it if frames are rare, or that there is no video.
const PLENTY: Duration = Duration::from_secs(1);
/// A video that began and sends nothing more is waited for no longer.
const GIVE_UP: Duration = Duration::from_secs(3);
/// A forced cut waits so long for a frame behind which no earlier one follows.
const ANCHOR: Duration = Duration::from_millis(250);
/// Frames a decoder may hold back to put them in order (H.264 §A.3.1 h).
const REORDER: u32 = 16;

impl Default for Settings {
    fn default() -> Self {
        Self {
            part: Duration::from_millis(250),
            segment: Duration::from_secs(2),
            segment_max: Duration::from_secs(4),
            patience: Duration::from_secs(1),
        }
    }
}

impl Packager {
    /// A packager for one live.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            lanes: BTreeMap::new(),
            left: BTreeMap::new(),
            cuts: Cuts::new(),
            start: Start::default(),
            timing: None,
            leader: TrackId::VIDEO,
            waiting: VecDeque::new(),
            seen: None,
            alone: false,
        }
    }

    /// A track appears or changes its format; announcing the same format again does nothing.
    ///
    /// A new format of the publisher's video or audio breaks the live as [`Packager::discontinuity`]
    /// does. A rung that changes alone goes on with the next segment that begins with a key frame,
    /// where every rendition breaks, and so does audio that is made from the publisher's and follows its break.
    ///
    /// A track in a codec that is not packaged is left alone: another one brings it in one that is.
    ///
    /// # Errors
    /// [`Unusable`]: its packets are dropped until a usable format is announced.
    pub fn track(&mut self, track: &Track, out: &mut Vec<Output>) -> Result<(), Unusable> {
        if !track.format.is_packaged() {
            return Ok(());
        }
        if self.lanes.get(&track.id).is_some_and(|lane| lane.rendition != track.rendition) {
            self.remove(track.id, out);
        }
        let Some(lane) = self.lanes.get_mut(&track.id) else { return self.add(track, out) };
        if lane.decodes(&track.format) {
            lane.restate(&track.format);
            return Ok(());
        }
        // Audio that is encoded here comes behind the pictures of a break, which must not break again.
        let broken = self.waiting.is_empty() && self.cuts.breaks_after(lane.msn);
        if matches!(track.id, TrackId::VIDEO | TrackId::AUDIO) && !broken {
            self.discontinuity(out);
        }
        self.start.forget(track.id);
        self.change(track, out)
    }

    /// A track ends before the live does: its rendition completes its open segment. Announced again,
    /// it goes on with its part numbers.
    pub fn remove(&mut self, track: TrackId, out: &mut Vec<Output>) {
        let limits = self.limits();
        if let Some(mut lane) = self.lanes.remove(&track) {
            lane.park(&limits, out);
            self.left.insert(lane.rendition.clone(), lane);
        }
    }

    /// Takes the next packet of a track; those of unannounced tracks and empty ones are dropped.
    pub fn push(&mut self, packet: Packet, out: &mut Vec<Output>) {
        let Some(lane) = self.lanes.get(&packet.track) else { return };
        if packet.data.is_empty() || packet.data.len() > BYTES {
            return;
        }
        if self.timing.is_some() {
            // A picture nobody can decode must not open a segment.
            if packet.key || !lane.awaits_key() {
                self.route(packet, out);
            }
            return;
        }
        self.start.push(packet);
        if self.start.is_decided() {
            self.begin(out);
        }
    }

    /// Time or format of all tracks break here. The publisher's renditions complete their open
    /// segment at once; rungs do when they have caught up. The first part behind the break says so
    /// and begins with a key frame.
    pub fn discontinuity(&mut self, out: &mut Vec<Output>) {
        if self.timing.is_none() {
            // Half a second nobody has seen yet.
            return self.start.clear();
        }
        self.release_all(out);
        let limits = self.limits();
        for (_, lane) in self.lanes.iter_mut().filter(|(id, _)| id.is_published()) {
            lane.flush(&limits, out);
        }
        self.cuts.break_here();
        self.seen = None;
    }

    /// What is pushed from here on stands in for a publisher that is away, up to a discontinuity. The
    /// next key frame of the leading track opens a segment; it and those behind it come as
    /// [`Output::StandIn`]. What lies before it fills up the segment that is open.
    pub fn stand_in(&mut self) {
        self.cuts.stand_in();
    }

    /// The live ends: writes everything out. Each rendition's last part ends its segment.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        if self.timing.is_none() {
            self.begin(out);
        }
        self.release_all(out);
        let limits = self.limits();
        for lane in self.lanes.values_mut() {
            lane.flush(&limits, out);
        }
    }

    /// Frame and part durations of the live, once its first frames have told them.
    pub fn timing(&self) -> Option<Timing> {
        self.timing
    }

    /// The rendition that leads: the one whose parts captions follow in lock step. Audio while the
    /// video stalls; none before [`Packager::timing`] is known.
    pub fn reference(&self) -> Option<&RenditionId> {
        self.timing?;
        let leader = if self.alone { TrackId::AUDIO } else { self.leader };
        self.lanes.get(&leader).map(|lane| &lane.rendition)
    }

    /// Packets that wait for the timing or for the video they are cut with; at most 4096.
    pub fn waiting(&self) -> usize {
        self.start.packets.len() + self.waiting.len()
    }

    fn add(&mut self, track: &Track, out: &mut Vec<Output>) -> Result<(), Unusable> {
        let Some(lane) = self.left.remove(&track.rendition) else {
            self.lanes.insert(track.id, Lane::new(track, out)?);
            return Ok(());
        };
        let goes_on = lane.decodes(&track.format);
        self.lanes.insert(track.id, lane);
        if goes_on { Ok(()) } else { self.change(track, out) }
    }

    fn change(&mut self, track: &Track, out: &mut Vec<Output>) -> Result<(), Unusable> {
        let Some(lane) = self.lanes.get_mut(&track.id) else { return Ok(()) };
        if let Err(unusable) = lane.change(track, out) {
            self.remove(track.id, out);
            return Err(unusable);
        }
        if lane.msn.is_some() && !self.cuts.breaks_after(lane.msn) {
            self.cuts.break_at_key();
        }
        Ok(())
    }

    /// Decides the timing and packages what has waited for it.
    fn begin(&mut self, out: &mut Vec<Output>) {
        let start = std::mem::take(&mut self.start);
        self.leader = if start.key { TrackId::VIDEO } else { TrackId::AUDIO };
        // A video that only lacks its key frame so far sets the pace already.
        let pace = if start.video.len() > 1 { TrackId::VIDEO } else { self.leader };
        let Some(lane) = self.lanes.get(&pace) else { return };
        let frame = match lane.format() {
            TrackFormat::Video(video) => {
                let mut deltas: Vec<_> = start.video.windows(2).map(|pair| pair[1].since(pair[0])).collect();
                timing::estimate(&mut deltas, video.frame_rate)
            }
            TrackFormat::Audio(audio) => frame_of(audio),
        };
        self.timing = Some(Timing::new(frame, self.settings.part));
        // Sound from before the first picture is left out, however early it arrived.
        if let Some(first) = start.packets.iter().find(|packet| packet.track == self.leader) {
            self.cuts.open(first.pts, first.key);
        }
        for packet in start.packets {
            self.route(packet, out);
        }
    }

    fn route(&mut self, packet: Packet, out: &mut Vec<Output>) {
        match packet.track {
            id if id.is_sound() && id != self.leader => self.waiting.push_back(packet),
            TrackId::VIDEO if self.leader == TrackId::AUDIO => {
                // Video came late: from its first key frame on it leads.
                self.leader = TrackId::VIDEO;
                self.cuts.open_next();
                self.lead(packet, out);
            }
            TrackId::VIDEO | TrackId::AUDIO => self.lead(packet, out),
            _ => self.deliver(packet, out),
        }
        self.release(out);
    }

    /// Packages a packet of the leading track, which may open a segment.
    fn lead(&mut self, packet: Packet, out: &mut Vec<Output>) {
        let Some(lane) = self.lanes.get(&packet.track) else { return };
        let fresh = self.cuts.is_pending();
        if fresh && lane.format().video().is_some() && !packet.key {
            return;
        }
        if let Some(time) = self.cut_at(&packet, lane) {
            self.cuts.open(time, packet.key && packet.track == self.leader);
        }
        if packet.track == self.leader {
            self.seen = Some(packet.dts);
            self.alone = false;
        }
        self.deliver(packet, out);
    }

    /// The time of the segment that a packet of the leading track opens, if it does.
    fn cut_at(&self, packet: &Packet, lane: &Lane) -> Option<MediaTime> {
        let Some(last) = self.cuts.last() else { return Some(packet.pts) };
        if self.cuts.is_pending() {
            return Some(packet.pts.max(last.time));
        }
        let frame = lane.format().audio().map_or(self.limits().frame, frame_of);
        // The frame nearest to a bound counts as at it: stamps are rounded.
        let length = packet.pts.since(last.time) + frame / 2;
        let enough = length >= self.settings.segment || self.cuts.opens_at_key();
        if packet.key && packet.track == self.leader && enough {
            return Some(packet.pts);
        }
        if length < self.settings.segment_max {
            return None;
        }
        if packet.pts <= lane.latest {
            // A frame shown before one that is already packaged cannot begin a segment; one that
            // can is a few frames away.
            return (length >= self.settings.segment_max + ANCHOR).then_some(packet.pts);
        }
        // Frames decoded after this one may be shown before it, back to where the last segment ends.
        let reordered = packet.pts.since(lane.latest) <= frame * REORDER;
        Some(if reordered { packet.pts.min(lane.latest + frame).max(last.time + ANCHOR) } else { packet.pts })
    }

    /// Lets sound go that the leading track has reached, or that has waited long enough.
    fn release(&mut self, out: &mut Vec<Output>) {
        while let Some(front) = self.waiting.front() {
            let reached = self.seen.is_some_and(|seen| seen >= front.pts);
            let heard = self.waiting.back().map_or(front.pts, |newest| newest.pts);
            let overdue = heard.since(front.pts) > self.patience() || self.waiting.len() > WAITING;
            if !reached && !overdue {
                break;
            }
            let Some(packet) = self.waiting.pop_front() else { break };
            if reached || packet.track != TrackId::AUDIO {
                self.deliver(packet, out);
            } else {
                self.alone = true;
                self.lead(packet, out);
            }
        }
    }

    /// Lets all sound go: nothing more comes that it must be cut with.
    fn release_all(&mut self, out: &mut Vec<Output>) {
        while let Some(packet) = self.waiting.pop_front() {
            let leads = packet.track == TrackId::AUDIO && self.cuts.is_pending();
            if leads { self.lead(packet, out) } else { self.deliver(packet, out) }
        }
    }

    fn deliver(&mut self, packet: Packet, out: &mut Vec<Output>) {
        let limits = self.limits();
        let Some(lane) = self.lanes.get_mut(&packet.track) else { return };
        // A rung's key frame was made for the boundary, even if scaling moved its stamp a little.
        let early = if packet.key && !lane.is_audio() { limits.frame / 2 } else { Duration::ZERO };
        let Some(cut) = self.cuts.place(lane.msn, packet.pts + early) else { return };
        // A live and what follows a break begin with picture and sound at the same time.
        if lane.is_audio() && cut.fresh && packet.pts + frame_of_format(lane.format()) / 2 < cut.time {
            return;
        }
        lane.push(packet, cut, &limits, out);
    }

    /// Rare frames must not look like a stall.
    fn patience(&self) -> Duration {
        self.settings.patience + self.limits().frame
    }

    fn limits(&self) -> Limits {
        let timing = self.timing.unwrap_or_else(|| Timing::new(timing::estimate(&mut [], None), self.settings.part));
        Limits {
            frame: timing.frame,
            part: timing.part_target,
            // What is left to 0.5 s takes stamps that stand still, a tick a packet.
            segment: self.settings.segment_max + Duration::from_millis(400),
        }
    }
}

impl Start {
    fn push(&mut self, packet: Packet) {
        self.newest = self.newest.max(packet.dts);
        match packet.track {
            TrackId::VIDEO => {
                self.key |= packet.key;
                if self.video.len() < WAITING {
                    self.video.push(packet.dts);
                }
                if !self.key {
                    return;
                }
            }
            TrackId::AUDIO => {
                self.audio.get_or_insert(packet.dts);
            }
            _ => {}
        }
        self.packets.push(packet);
    }

    fn is_decided(&self) -> bool {
        let since = |first: &MediaTime| self.newest.since(*first);
        if self.packets.len() >= WAITING {
            return true;
        }
        let (true, Some(first), Some(last)) = (self.key, self.video.first(), self.video.last()) else {
            return self.audio.is_some_and(|first| since(&first) >= PLENTY);
        };
        let span = last.since(*first);
        span >= ENOUGH && self.video.len() > 3 || span >= PLENTY || since(first) >= GIVE_UP
    }

    fn forget(&mut self, track: TrackId) {
        self.packets.retain(|packet| packet.track != track);
        match track {
            TrackId::VIDEO => (self.video, self.key) = (Vec::new(), false),
            TrackId::AUDIO => self.audio = None,
            _ => {}
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn frame_of(audio: &AudioFormat) -> Duration {
    Duration::from_secs(u64::from(AudioFormat::FRAME)) / super::init::scale_of(audio)
}

fn frame_of_format(format: &TrackFormat) -> Duration {
    format.audio().map_or(Duration::ZERO, frame_of)
}
