use std::sync::Arc;

use crate::{
    model::{Packet, Track, TrackId},
    stream::Event,
};

/// Decides which packets of one track may enter a decoder. Pure.
///
/// A decoder is fed from a key frame on, in one format, without holes. Where there is one, everything up to
/// the next key frame stays out and is counted.
#[derive(Debug)]
pub(super) struct Gate {
    wanted: TrackId,
    track: Option<Arc<Track>>,
    epoch: u64,
    open: bool,
    dropped: u64,
}

/// A packet that may be decoded.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub packet: Packet,
    /// The format it is in.
    pub track: Arc<Track>,
    /// Counts the discontinuities before it.
    pub epoch: u64,
}

impl Gate {
    pub fn new(wanted: TrackId) -> Self {
        Self { wanted, track: None, epoch: 0, open: false, dropped: 0 }
    }

    /// What enters the decoder because of an event.
    pub fn take(&mut self, event: Event) -> Option<Unit> {
        match event {
            Event::Track(track) if track.id == self.wanted => {
                if self.track.as_ref().is_none_or(|known| known.format != track.format) {
                    self.open = false;
                    self.track = Some(track);
                }
                None
            }
            Event::Packet(packet) if packet.track == self.wanted => self.admit(packet),
            Event::Discontinuity => {
                self.epoch += 1;
                self.open = false;
                None
            }
            Event::Lost(_) => {
                self.open = false;
                None
            }
            Event::Track(_) | Event::Packet(_) | Event::Away => None,
        }
    }

    /// Discontinuities so far.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Packets that stayed out so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn admit(&mut self, packet: Packet) -> Option<Unit> {
        self.open |= packet.key;
        match &self.track {
            Some(track) if self.open => Some(Unit { packet, track: track.clone(), epoch: self.epoch }),
            _ => {
                self.dropped += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{MediaTime, RenditionId, TrackFormat, VideoCodec, VideoFormat};

    fn track(height: u32) -> Event {
        Event::Track(Arc::new(Track {
            id: TrackId::VIDEO,
            rendition: RenditionId::source(),
            format: TrackFormat::Video(VideoFormat {
                codec: VideoCodec::H264,
                config: Bytes::from_static(&[1; 7]),
                width: 2 * height,
                height,
                frame_rate: None,
            }),
            bitrate: None,
            label: None,
        }))
    }

    fn packet(key: bool) -> Event {
        let time = MediaTime::ZERO;
        Event::Packet(Packet { track: TrackId::VIDEO, pts: time, dts: time, key, data: Bytes::new() })
    }

    /// `T`/`t` a track of one or another format, `K`/`-` packets, `L` lost, `D` discontinuity.
    fn admitted(events: &str) -> String {
        let mut gate = Gate::new(TrackId::VIDEO);
        let mut seen = String::new();
        for event in events.chars() {
            let event = match event {
                'T' => track(720),
                't' => track(480),
                'K' => packet(true),
                '-' => packet(false),
                'L' => Event::Lost(1),
                'D' => Event::Discontinuity,
                _ => unreachable!(),
            };
            if matches!(event, Event::Packet(_)) {
                seen.push(match gate.take(event) {
                    Some(unit) if unit.packet.key => 'K',
                    Some(_) => '-',
                    None => '.',
                });
            } else {
                assert!(gate.take(event).is_none());
            }
        }
        assert_eq!(gate.dropped() as usize, seen.matches('.').count());
        seen
    }

    #[test]
    fn decoding_starts_at_a_key_frame_and_again_behind_every_hole() {
        for (events, expected) in [
            ("T--K--K-", "..K--K-"),
            ("K-TK-", "..K-"),
            ("TK-L--K-", "K-..K-"),
            ("TK-D-K-", "K-.K-"),
            ("TK-t-K-", "K-.K-"),
            ("TK-T-K-", "K--K-"),
        ] {
            assert_eq!(admitted(events), expected, "{events}");
        }
    }

    #[test]
    fn units_tell_which_side_of_a_discontinuity_they_are_on() {
        let mut gate = Gate::new(TrackId::VIDEO);
        gate.take(track(720));
        assert_eq!(gate.take(packet(true)).unwrap().epoch, 0);
        gate.take(Event::Discontinuity);
        assert_eq!(gate.take(packet(true)).unwrap().epoch, 1);
    }
}
