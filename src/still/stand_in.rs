use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{Picture, silence};
use crate::model::{AudioFormat, MediaTime, Packet, Track, TrackFormat, TrackId};

/// How far behind the clock it stays, so that a publisher that returns, its packets stamped on their
/// way in, never finds its time taken.
const MARGIN: Duration = Duration::from_millis(100);
/// Rungs get so long to show what the publisher sent last.
const PATIENCE: Duration = Duration::from_secs(1);
/// A track that ended this much before the others had stalled, and joins where they end.
const STALL: Duration = Duration::from_secs(1);
/// A publisher who sends sound alone or pictures alone for so long has nothing else to send. A little less than
/// packaging lets the one wait for the other.
const LACKING: Duration = Duration::from_millis(900);

/// Stands in for a publisher that is away, in all tracks of a live at once: rungs too, since nothing
/// comes that they could be made from.
///
/// It sees the live's packets go by and keeps the last key frame of each track. While the publisher is
/// away it repeats that, at the pace of the live's clock and of its frames, with a key frame at the
/// same instants in every track. Where the picture or the sound of the publisher cannot be continued
/// (see [`Picture::new`], [`silence`]) it gives nothing, and the live stands still.
///
/// It stands in for half a publisher, too, at the pace of the other half: for sound that a live had and that does not
/// come any more, and for pictures that are missing since the live broke. Players wait for every track they began
/// with, whoever is on the air now.
#[derive(Debug, Default)]
pub struct StandIn {
    tracks: BTreeMap<TrackId, Kept>,
    away: Option<Away>,
    halves: Halves,
}

/// What came of picture and sound since the last break.
#[derive(Debug, Default)]
struct Halves {
    /// Pictures, from a key frame on.
    seen: bool,
    /// Since when there is no sound while pictures come, and no picture while sound comes.
    unheard: Option<MediaTime>,
    unseen: Option<MediaTime>,
    /// The half that nothing can stand in for.
    hopeless: Option<TrackId>,
}

/// What is known of a track.
#[derive(Debug)]
struct Kept {
    format: TrackFormat,
    /// The last packet a decoder can start at; nothing before the first.
    key: Bytes,
    /// It is the very last packet.
    is_last: bool,
    /// Decoding time of the last packet.
    decoded: MediaTime,
    /// Latest presentation time.
    shown: MediaTime,
    /// Its time up to here is taken by what stood in.
    taken: MediaTime,
}

#[derive(Debug)]
struct Away {
    pace: Pace,
    going: BTreeMap<TrackId, Going>,
    /// The publisher is there, but for [`TrackId::VIDEO`] or [`TrackId::AUDIO`].
    lacking: Option<TrackId>,
}

/// What the pictures of all renditions have in common.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long one is shown.
    frame: Duration,
    /// So many from one key frame to the next.
    group: u32,
    /// So many before the first key frame.
    lead: u32,
}

/// A track that goes on.
#[derive(Debug)]
struct Going {
    media: Media,
    /// When its first packet is shown.
    begin: MediaTime,
    /// What decoding is ahead of showing, as it was before.
    ahead: Duration,
    /// Packets so far.
    count: u32,
    /// Those of them that make up for pictures of a rung that never came.
    before: u32,
    /// More of the publisher's may come.
    waits: bool,
}

#[derive(Debug)]
enum Media {
    Picture(Box<Picture>),
    Silence { frame: Bytes, rate: u32 },
}

impl StandIn {
    /// A track appears or changes its format.
    pub fn track(&mut self, track: &Track) {
        let taken = match self.tracks.get(&track.id) {
            Some(kept) if is_same(&kept.format, &track.format) => return,
            Some(kept) => kept.taken,
            None => MediaTime::ZERO,
        };
        // What went on in the old one would be decoded as the new one.
        if let Some(away) = self.away.as_mut().filter(|away| away.lacking.is_some()) {
            away.going.remove(&track.id);
        }
        let kept = Kept {
            format: track.format.clone(),
            key: Bytes::new(),
            is_last: false,
            decoded: MediaTime::ZERO,
            shown: MediaTime::ZERO,
            taken,
        };
        self.tracks.insert(track.id, kept);
    }

    /// A packet of the live goes by. False: what stood in has taken its time. So it may be with a rung's from before
    /// the absence that was still being encoded, and with sound that runs behind the pictures it was missing beside.
    pub fn packet(&mut self, packet: &Packet) -> bool {
        let Some(kept) = self.tracks.get_mut(&packet.track) else { return true };
        // Sound that is encoded here may come from before the absence: silence has begun already.
        if packet.track == TrackId::AUDIO && self.away.as_ref().is_some_and(|away| away.lacking.is_none()) {
            return false;
        }
        if packet.track == TrackId::AUDIO {
            self.halves.unheard = None;
            self.halves.hopeless.take_if(|half| *half == TrackId::AUDIO);
        }
        if let Some(away) = self.away.as_mut().filter(|away| away.lacking.is_some() && packet.track.is_published()) {
            away.going.remove(&packet.track);
            if away.lacking == Some(packet.track) {
                self.away = None;
            }
        }
        // The publisher's picture opens a segment behind a break.
        if packet.track != TrackId::VIDEO && packet.pts < kept.taken {
            return false;
        }
        if packet.track == TrackId::VIDEO {
            self.halves.seen |= packet.key;
            // Without one no decoder starts, and nothing of it is packaged.
            if !self.halves.seen {
                return true;
            }
        }
        if packet.key {
            kept.key = packet.data.clone();
        }
        kept.is_last = packet.key;
        (kept.decoded, kept.shown) = (packet.dts, kept.shown.max(packet.pts));
        true
    }

    /// The publisher has gone. From here on [`StandIn::until`] goes on with pictures of `frame` and a
    /// key frame about every `segment`. False: it cannot.
    pub fn leave(&mut self, frame: Duration, segment: Duration) -> bool {
        if !self.is_away() {
            self.away = self.go(frame, segment, None);
        }
        self.away.is_some()
    }

    /// The publisher has gone, and something stands in.
    pub fn is_away(&self) -> bool {
        self.away.as_ref().is_some_and(|away| away.lacking.is_none())
    }

    /// What the publisher lacks, [`TrackId::VIDEO`] or [`TrackId::AUDIO`], and has something standing in for.
    pub fn lacking(&self) -> Option<TrackId> {
        self.away.as_ref()?.lacking
    }

    /// A packet comes of the half that is lacking. False: the live cannot go on with it. With sound it can, after what is
    /// still missing of silence; with pictures from a key frame on. One whose time is taken comes too late, and the
    /// next one's is left free.
    pub fn joins(&mut self, packet: &Packet, out: &mut Vec<Packet>) -> bool {
        if packet.track == TrackId::AUDIO {
            self.fill(packet.pts, false, out);
            return true;
        }
        let is_late = self.tracks.get(&packet.track).is_some_and(|kept| packet.pts < kept.taken);
        if let Some(away) = self.away.as_mut().filter(|_| packet.key && is_late) {
            away.going.clear();
        }
        packet.key && !is_late
    }

    /// A packet of the publisher's picture or sound has come, and is to be followed by what stands in for the other
    /// half if that is missing, with pictures of `frame` and a key frame about every `segment`.
    pub fn beside(&mut self, packet: &Packet, frame: Duration, segment: Duration, out: &mut Vec<Packet>) {
        let (now, halves) = (packet.dts, &mut self.halves);
        let (other, since) = match packet.track {
            TrackId::VIDEO => (TrackId::AUDIO, *halves.unheard.get_or_insert(now)),
            TrackId::AUDIO => (TrackId::VIDEO, *halves.unseen.get_or_insert(now)),
            _ => return,
        };
        let missing = now.since(since) > LACKING && !(other == TrackId::VIDEO && halves.seen);
        if missing && self.away.is_none() && self.halves.hopeless != Some(other) {
            self.away = self.go(frame, segment, Some((other, since)));
            self.halves.hopeless = Some(other).filter(|_| self.away.is_none());
        }
        if self.lacking() == Some(other) {
            self.fill(now - MARGIN, false, out);
        }
    }

    /// The live breaks here: what comes behind it, and what does not, is another matter.
    pub fn break_here(&mut self) {
        self.halves = Halves::default();
    }

    /// Goes on in every track, up to a little before `now`; in decoding order.
    pub fn until(&mut self, now: MediaTime, out: &mut Vec<Packet>) {
        self.fill(now - MARGIN, false, out);
    }

    /// The publisher is back, or the live ends: rungs that waited catch up with the source.
    pub fn back(&mut self, out: &mut Vec<Packet>) {
        let source =
            self.away.as_ref().and_then(|away| away.going.get(&TrackId::VIDEO).map(|going| (away.pace, going)));
        if let Some(end) = source.map(|(pace, going)| going.end(going.count, pace)) {
            self.fill(end, true, out);
        }
        self.away = None;
    }

    /// Begins in all tracks, or in those of the half that is lacking, from when it could have come.
    fn go(&self, frame: Duration, segment: Duration, half: Option<(TrackId, MediaTime)>) -> Option<Away> {
        let frame = frame.max(Duration::from_millis(1));
        let lacking = half.map(|(track, _)| track);
        let concerns = |id: TrackId| lacking.is_none_or(|half| id.is_sound() == half.is_sound());
        // Silence can be made of sound that was announced and did not come.
        let usable =
            |id: TrackId, kept: &Kept| concerns(id) && (!kept.key.is_empty() || half.is_some() && id.is_sound());
        let known = |id| self.tracks.get(&id).filter(|kept| usable(id, kept));
        let (video, audio) = (known(TrackId::VIDEO), known(TrackId::AUDIO));
        let heard = audio.map(|kept| kept.decoded + frame_of(kept));
        let shown = video.map(|kept| kept.shown + frame);
        let begin = match (shown, heard) {
            (Some(shown), Some(heard)) if heard.since(shown) > STALL => heard,
            (Some(shown), _) => shown,
            (None, heard) => heard?,
        };
        let begin = half.map_or(begin, |(_, since)| begin.max(since));
        // A key frame that followed itself would be taken for one picture (ISO 14496-10 §7.4.1.2.4).
        let lead = u32::from(video.is_some_and(|kept| kept.is_last));
        let group = (segment + frame / 2).as_nanos() / frame.as_nanos();
        let pace = Pace { frame, group: u32::try_from(group).unwrap_or(u32::MAX).max(1), lead };
        let mut going = BTreeMap::new();
        for (&id, kept) in self.tracks.iter().filter(|(id, kept)| usable(**id, kept)) {
            match Going::new(id, kept, begin) {
                // The publisher is there: what it sent has been encoded.
                Some(track) => drop(going.insert(id, Going { waits: track.waits && half.is_none(), ..track })),
                None if matches!(id, TrackId::VIDEO | TrackId::AUDIO) => return None,
                None => {}
            }
        }
        Some(Away { pace, going, lacking })
    }

    fn fill(&mut self, until: MediaTime, at_once: bool, out: &mut Vec<Packet>) {
        let Some(Away { pace, going, .. }) = &mut self.away else { return };
        for (id, going) in going {
            let Some(kept) = self.tracks.get_mut(id) else { continue };
            if going.waits {
                let complete = kept.shown + pace.frame * 3 / 2 >= going.begin;
                going.waits = !complete && !at_once && until < going.begin + PATIENCE;
                if !going.waits {
                    going.make_up(kept.shown, *pace);
                }
            }
            while !going.waits && going.end(going.count + 1, *pace) <= until {
                going.next(*id, *pace, kept, out);
            }
        }
        out.sort_by_key(|packet| packet.dts);
    }
}

impl Going {
    fn new(id: TrackId, kept: &Kept, begin: MediaTime) -> Option<Self> {
        let (media, begin, ahead) = match &kept.format {
            TrackFormat::Video(format) => {
                let picture = Picture::new(format, &kept.key)?;
                (Media::Picture(Box::new(picture)), begin, kept.shown.since(kept.decoded))
            }
            TrackFormat::Audio(format) => {
                let end = kept.decoded + frame_of(kept);
                let begin = if begin.since(end) > STALL { begin } else { end };
                (Media::Silence { frame: silence(format)?, rate: format.sample_rate }, begin, Duration::ZERO)
            }
        };
        Some(Self { media, begin, ahead, count: 0, before: 0, waits: !id.is_published() })
    }

    /// Begins early where pictures after `shown` never came: a hole would leave the rung's segment, and
    /// the recording of it, shorter than the others'.
    fn make_up(&mut self, shown: MediaTime, pace: Pace) {
        let missing = self.begin.since(shown);
        let before = (missing + pace.frame / 2).as_nanos() / pace.frame.as_nanos();
        let before = u32::try_from(before).unwrap_or(u32::MAX).saturating_sub(1);
        // One alone would be a key frame ahead of its copy; its neighbour is shown longer instead.
        if missing <= STALL && before > 1 {
            self.before = before;
            self.begin = self.begin - pace.frame * before;
        }
    }

    /// When the first `count` packets end.
    fn end(&self, count: u32, pace: Pace) -> MediaTime {
        match self.media {
            Media::Picture(_) => self.begin + pace.frame * count,
            Media::Silence { rate, .. } => {
                let samples = i64::from(count) * i64::from(AudioFormat::FRAME);
                self.begin + MediaTime::from_ticks(samples, rate).since(MediaTime::ZERO)
            }
        }
    }

    fn next(&mut self, track: TrackId, pace: Pace, kept: &mut Kept, out: &mut Vec<Packet>) {
        let pts = self.end(self.count, pace);
        let nth = self.count.checked_sub(self.before);
        self.count += 1;
        let behind_key = match nth {
            None => self.count - 1,
            Some(nth) if nth >= pace.lead => (nth - pace.lead) % pace.group,
            Some(_) if kept.is_last => 1,
            // A rung whose last picture is another one has no key frame to repeat here.
            Some(_) => return,
        };
        let (key, data) = match &self.media {
            Media::Silence { frame, .. } => (true, frame.clone()),
            Media::Picture(picture) if behind_key == 0 => (true, picture.key()),
            Media::Picture(picture) => (false, picture.repetition(behind_key)),
        };
        let dts = pts - self.ahead;
        kept.is_last = key;
        (kept.decoded, kept.shown, kept.taken) = (dts, pts, self.end(self.count, pace));
        out.push(Packet { track, pts, dts, key, data });
    }
}

/// The same to a decoder, whatever else they state.
fn is_same(old: &TrackFormat, new: &TrackFormat) -> bool {
    match (old, new) {
        (TrackFormat::Video(old), TrackFormat::Video(new)) => old.codec == new.codec && old.config == new.config,
        (old, new) => old == new,
    }
}

fn frame_of(kept: &Kept) -> Duration {
    let rate = kept.format.audio().map_or(1, |format| format.sample_rate.max(1));
    Duration::from_secs(u64::from(AudioFormat::FRAME)) / rate
}
