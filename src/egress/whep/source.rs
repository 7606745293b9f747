use std::sync::Arc;

use crate::{
    model::{AudioCodec, MediaTime, Packet, Track, TrackFormat, TrackId, VideoCodec},
    stream::Event,
};

use super::{
    h264::{Packetiser, shows},
    recent::{Kind, Unit},
};

/// Decides which tracks viewers get, and has them cut into payloads. Pure.
///
/// Players show pictures as they come, so H.264 passes as it is only while no picture lies before one that came
/// earlier; Opus always does. What does not is made elsewhere ([`Source::wants`]) and comes in by
/// [`Source::made`] under the same track ids.
#[derive(Debug, Default)]
pub struct Source {
    video: Video,
    audio: Audio,
}

/// What a live lacks for WebRTC players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// H.264 without B-frames.
    pub pictures: bool,
    /// Opus.
    pub sound: bool,
}

/// What comes of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// One for all viewers.
    Unit(Arc<Unit>),
    /// Pictures break here: what was kept is of no use.
    Break,
}

#[derive(Debug, Default)]
struct Video {
    /// The publisher's is there.
    known: bool,
    /// It is H.264.
    h264: bool,
    /// It puts pictures in order.
    reorders: bool,
    latest: Option<MediaTime>,
    published: Lane,
    made: Lane,
}

#[derive(Debug, Default)]
struct Audio {
    /// The publisher's is Opus.
    opus: bool,
    /// What it announced beside AAC, and whether its packets come, is to be seen anew: another may publish.
    broken: bool,
    /// There is AAC to make it of.
    aac: bool,
}

/// One track of pictures on its way to payloads.
#[derive(Debug, Default)]
struct Lane {
    packetiser: Arc<Packetiser>,
    /// Whatever went before can be decoded.
    open: bool,
}

impl Source {
    /// What has to be made.
    pub fn wants(&self) -> Wants {
        let Self { video, audio } = self;
        Wants { pictures: video.known && !video.passes(), sound: audio.aac && !audio.opus }
    }

    /// Takes what is on the live's bus.
    pub fn published(&mut self, event: Event) -> Option<Output> {
        match event {
            Event::Track(track) => self.announced(&track),
            Event::Packet(packet) => match packet.track {
                TrackId::VIDEO => self.video.published(packet),
                TrackId::FOREIGN_AUDIO if self.audio.opus => Some(sound(packet)),
                _ => None,
            },
            Event::Discontinuity | Event::Lost(_) => {
                self.audio.broken = matches!(event, Event::Discontinuity);
                self.video.latest = None;
                self.video.published.open = false;
                Some(Output::Break)
            }
            Event::Away => None,
        }
    }

    /// Takes what was made of it.
    pub fn made(&mut self, event: Event) -> Option<Output> {
        match event {
            Event::Track(track) => {
                if let Some(format) = track.format.video() {
                    self.video.made = Lane { packetiser: Packetiser::new(&format.config).into(), open: false };
                }
                None
            }
            Event::Packet(packet) => match packet.track {
                TrackId::VIDEO if !self.video.passes() => self.video.made.take(packet),
                TrackId::AUDIO if !self.audio.opus => Some(sound(packet)),
                _ => None,
            },
            Event::Lost(_) => {
                self.video.made.open = false;
                None
            }
            Event::Discontinuity | Event::Away => None,
        }
    }

    fn announced(&mut self, track: &Track) -> Option<Output> {
        match &track.format {
            TrackFormat::Video(format) if track.id == TrackId::VIDEO => {
                self.video.known = true;
                self.video.h264 = format.codec == VideoCodec::H264;
                self.video.reorders = false;
                self.video.latest = None;
                self.video.published = Lane { packetiser: Packetiser::new(&format.config).into(), open: false };
                Some(Output::Break)
            }
            TrackFormat::Audio(format) => {
                match track.id {
                    TrackId::FOREIGN_AUDIO => {
                        self.audio.opus = format.codec == AudioCodec::Opus;
                        self.audio.broken = false;
                    }
                    // AAC comes from the publisher as well as from what is made of its Opus; behind a break that
                    // announces no Opus, from the publisher.
                    TrackId::AUDIO => {
                        self.audio.aac = true;
                        self.audio.opus &= !std::mem::take(&mut self.audio.broken);
                    }
                    _ => {}
                }
                None
            }
            TrackFormat::Video(_) => None,
        }
    }
}

impl Video {
    fn passes(&self) -> bool {
        self.h264 && !self.reorders
    }

    fn published(&mut self, packet: Packet) -> Option<Output> {
        if self.latest.is_some_and(|latest| packet.pts < latest) && self.passes() {
            self.reorders = true;
            return Some(Output::Break);
        }
        self.latest = self.latest.max(Some(packet.pts));
        if self.passes() { self.published.take(packet) } else { None }
    }
}

impl Lane {
    fn take(&mut self, packet: Packet) -> Option<Output> {
        self.open |= packet.key;
        if !self.open || !shows(&packet.data) {
            return None;
        }
        let unit = Unit::picture(packet.pts, packet.key, packet.data, self.packetiser.clone());
        Some(Output::Unit(Arc::new(unit)))
    }
}

/// An Opus packet is its payload (RFC 7587 §4.2).
fn sound(packet: Packet) -> Output {
    Output::Unit(Arc::new(Unit::cut(Kind::Audio, packet.pts, true, vec![packet.data])))
}
