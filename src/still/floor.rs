use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::model::{MediaTime, Packet, Track, TrackId};

/// A further sound that is so far behind the first one is missing.
const MISSING: Duration = Duration::from_secs(1);
/// A further sound may begin so much before the first one.
const EARLY: Duration = Duration::from_millis(300);
/// Packets of the first sound that a missing one may begin with: more than [`MISSING`] at 96 kHz.
const RECENT: usize = 128;

/// Gives a further sound of a live (an interpreter's) the first one, what interpreters call the floor, while its own
/// is missing: it stopped, or a publisher without it went on the air. Who listens to it hears the hall then, instead
/// of a rendition without parts that their player waits for.
///
/// A live's tracks of sound and their packets go by; they come out with what stands in, in decoding order a track.
/// What only comes when its time is taken is left out.
#[derive(Debug, Default)]
pub struct Floor {
    first: Option<Track>,
    /// The newest packets of the first sound.
    recent: VecDeque<Packet>,
    further: BTreeMap<TrackId, Further>,
}

/// What comes out of [`Floor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Sound {
    /// A track appears or changes its format.
    Track(Track),
    /// The next packet of a track.
    Packet(Packet),
}

#[derive(Debug)]
struct Further {
    track: Track,
    /// Decoding time of its last packet, whosever it was; before there is any, where it could have begun.
    at: Option<MediaTime>,
    /// How far the first sound was when it last came itself, or could have begun to.
    came: Option<MediaTime>,
    /// The floor is heard.
    floor: bool,
}

impl Floor {
    /// A track appears or changes its format.
    pub fn track(&mut self, track: &Track, out: &mut Vec<Sound>) {
        if track.id == TrackId::AUDIO {
            self.first = Some(track.clone());
            let heard = self.further.values().filter(|further| further.floor);
            out.extend(heard.map(|further| Sound::Track(further.in_format_of(track))));
        } else if track.id.is_sound() {
            let new = Further { track: track.clone(), at: None, came: None, floor: false };
            let further = self.further.entry(track.id).or_insert(new);
            further.track = track.clone();
            if further.floor {
                // It takes over with its first packet.
                return;
            }
        }
        out.push(Sound::Track(track.clone()));
    }

    /// A packet goes by.
    pub fn packet(&mut self, packet: Packet, out: &mut Vec<Sound>) {
        match packet.track {
            TrackId::AUDIO => self.first_sound(packet, out),
            id => match self.further.get_mut(&id) {
                Some(further) => further.packet(packet, self.recent.front().map(|newest| newest.dts), out),
                None => out.push(Sound::Packet(packet)),
            },
        }
    }

    /// The live breaks here, or its publisher is away: nothing that was said before is said behind it.
    pub fn clear(&mut self) {
        self.recent.clear();
        self.further.values_mut().for_each(|further| (further.at, further.came) = (None, None));
    }

    fn first_sound(&mut self, packet: Packet, out: &mut Vec<Sound>) {
        let (now, first) = (packet.dts, self.first.as_ref());
        if !self.further.is_empty() {
            self.recent.truncate(RECENT - 1);
            self.recent.push_front(packet.clone());
        }
        out.push(Sound::Packet(packet));
        for further in self.further.values_mut() {
            let at = *further.at.get_or_insert(now - EARLY);
            if !further.floor && now.since(*further.came.get_or_insert(now)) > MISSING {
                further.floor = true;
                out.extend(first.map(|first| Sound::Track(further.in_format_of(first))));
            }
            if further.floor {
                let behind = self.recent.iter().rev().filter(|recent| recent.dts > at);
                out.extend(behind.map(|recent| Sound::Packet(Packet { track: further.track.id, ..recent.clone() })));
                further.at = Some(now);
            }
        }
    }
}

impl Further {
    /// One of its own, while the first sound is at `first`.
    fn packet(&mut self, packet: Packet, first: Option<MediaTime>, out: &mut Vec<Sound>) {
        self.came = first;
        if std::mem::take(&mut self.floor) {
            out.push(Sound::Track(self.track.clone()));
        }
        if self.at.is_none_or(|at| at < packet.dts) {
            self.at = Some(packet.dts);
            out.push(Sound::Packet(packet));
        }
    }

    fn in_format_of(&self, first: &Track) -> Track {
        Track { format: first.format.clone(), bitrate: first.bitrate, ..self.track.clone() }
    }
}
