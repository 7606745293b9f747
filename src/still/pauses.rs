use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use super::Picture;
use crate::model::{MediaTime, Packet, Track, TrackId, VideoFormat};

/// Pictures of a pause that rungs may be behind by.
const BEHIND: usize = 512;
/// How fast a lead of the sound is forgotten, a picture.
const FORGET: Duration = Duration::from_millis(10);

/// Fills pauses in a live's pictures: a screen that is captured sends frames only when it changes, and a
/// hole in the picture stops players, whose sound it then costs as well.
///
/// While sound goes on and pictures do not, the last one is repeated at the live's pace ([`Picture::pause`]);
/// the publisher's next one follows untouched. Rungs are filled at the same instants, each when it has shown what
/// the source had. Packets of the live go by; what is to be packaged comes out, in decoding order a track.
///
/// Left alone is what cannot be filled so: a live without sound, which would tell the time; pictures that are shown
/// in another order than they are decoded in; what [`Picture::new`] refuses.
#[derive(Debug, Default)]
pub struct Pauses {
    tracks: BTreeMap<TrackId, Shown>,
    /// Decoding time of the newest sound.
    heard: MediaTime,
    /// How far sound comes ahead of pictures of the same time.
    lead: Duration,
    /// When the source was filled, as far as rungs may need it.
    filled: VecDeque<MediaTime>,
}

/// How a live's pictures follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one to the next.
    pub frame: Duration,
    /// A picture that stands longer than this is a pause.
    pub longest: Duration,
}

#[derive(Debug)]
struct Shown {
    format: VideoFormat,
    /// The last key frame, and the last picture of all; none behind a break.
    key: Option<Bytes>,
    last: Option<Packet>,
    /// Decoding time of the last picture, the filling ones included.
    at: MediaTime,
    /// Pictures are shown in another order than decoded.
    reordered: bool,
    /// What fills this pause, if it can be filled: made when it begins.
    filling: Option<Option<Bytes>>,
}

impl Pauses {
    /// A track appears or changes its format.
    pub fn track(&mut self, track: &Track) {
        let Some(format) = track.format.video() else { return };
        if self.tracks.get(&track.id).is_none_or(|shown| shown.format.config != format.config) {
            self.tracks.insert(track.id, Shown::new(format.clone()));
        }
    }

    /// A packet of the live goes by, whose pictures have this `pace`, if it is known.
    pub fn packet(&mut self, mut packet: Packet, pace: Option<Pace>, out: &mut Vec<Packet>) {
        let (id, pts) = (packet.track, packet.pts);
        match id {
            TrackId::AUDIO => self.heard = self.heard.max(packet.dts),
            TrackId::VIDEO => self.lead = self.heard.since(packet.dts).max(self.lead.saturating_sub(FORGET)),
            _ => {}
        }
        match (id, pace) {
            (TrackId::VIDEO, Some(pace)) => {
                let pause = self.tracks.get(&id).is_some_and(|shown| packet.dts.since(shown.at) > pace.longest);
                if pause {
                    self.fill_source(packet.dts - pace.frame / 2, pace, out);
                }
            }
            (id, Some(pace)) if id > TrackId::AUDIO => self.fill_rung(id, packet.dts - pace.frame / 2, out),
            _ => {}
        }
        if let Some(shown) = self.tracks.get_mut(&id) {
            // A picture that comes later than it was waited for.
            if packet.dts <= shown.at {
                packet.dts = shown.at + Duration::from_millis(1);
                packet.pts = pts.max(packet.dts);
            }
            shown.picture(&packet);
        }
        out.push(packet);
        if let (TrackId::AUDIO, Some(pace)) = (id, pace) {
            self.fill_source(self.heard - (pace.longest + self.lead), pace, out);
        }
        self.fill_rungs(out);
    }

    /// Nothing of what was shown may be repeated any longer: the live breaks here, or its publisher is away.
    pub fn clear(&mut self) {
        for shown in self.tracks.values_mut() {
            *shown = Shown::new(shown.format.clone());
        }
        (self.heard, self.lead) = (MediaTime::ZERO, Duration::ZERO);
        self.filled.clear();
    }

    /// Fills the source with pictures that begin before `until`.
    fn fill_source(&mut self, until: MediaTime, pace: Pace, out: &mut Vec<Packet>) {
        let Some(shown) = self.tracks.get_mut(&TrackId::VIDEO) else { return };
        while shown.at + pace.frame < until {
            let Some(packet) = shown.repeated(TrackId::VIDEO, shown.at + pace.frame) else { break };
            self.filled.push_back(packet.dts);
            if self.filled.len() > BEHIND {
                self.filled.pop_front();
            }
            out.push(packet);
        }
    }

    /// Fills rungs that have shown what the source had before its pause.
    fn fill_rungs(&mut self, out: &mut Vec<Packet>) {
        if self.filled.is_empty() {
            return;
        }
        let source = self.tracks.get(&TrackId::VIDEO).and_then(|shown| Some(shown.last.as_ref()?.pts));
        let rungs = self.tracks.iter().filter(|(id, shown)| {
            let last = shown.last.as_ref().map(|packet| packet.pts + Duration::from_millis(2));
            **id > TrackId::AUDIO && last >= source
        });
        let rungs: Vec<_> = rungs.map(|(id, shown)| (*id, shown.at)).collect();
        for (id, at) in rungs {
            if self.filled.back().is_some_and(|newest| *newest > at) {
                self.fill_rung(id, MediaTime::from_nanos(i64::MAX), out);
            }
        }
    }

    /// Fills a rung where the source was filled before `until`.
    fn fill_rung(&mut self, id: TrackId, until: MediaTime, out: &mut Vec<Packet>) {
        let Some(shown) = self.tracks.get_mut(&id) else { return };
        let behind = self.filled.partition_point(|time| *time <= shown.at);
        for time in self.filled.range(behind..).copied().take_while(|time| *time < until) {
            let Some(packet) = shown.repeated(id, time) else { break };
            out.push(packet);
        }
    }
}

impl Shown {
    fn new(format: VideoFormat) -> Self {
        let at = MediaTime::from_nanos(i64::MIN);
        Self { format, key: None, last: None, at, reordered: false, filling: None }
    }

    fn picture(&mut self, packet: &Packet) {
        if packet.key {
            (self.key, self.reordered) = (Some(packet.data.clone()), false);
        }
        self.reordered |= self.last.as_ref().is_some_and(|last| packet.pts <= last.pts);
        (self.at, self.last, self.filling) = (packet.dts, Some(packet.clone()), None);
    }

    /// The last picture once more, decoded at `time`.
    fn repeated(&mut self, track: TrackId, time: MediaTime) -> Option<Packet> {
        let last = self.last.as_ref()?;
        let make = || {
            let key = self.key.as_ref().filter(|_| !self.reordered)?;
            Picture::new(&self.format, key)?.pause(&last.data)
        };
        let data = self.filling.get_or_insert_with(make).clone()?;
        let pts = time + last.pts.since(last.dts);
        self.at = time;
        Some(Packet { track, pts, dts: time, key: false, data })
    }
}
