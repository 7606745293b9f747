//! Access units into frames: parameter sets become the decoder's configuration, presentation times get decoding times.
//! Pure but for the [`Publication`] whose tracks it announces.

use std::time::Instant;

use bytes::Bytes;

use super::{Codec, Unit, decoding::Decoding, vp8};
use crate::{
    ingest::{
        mp3,
        parameter_sets::{Family, ParameterSets},
    },
    model::{AudioCodec, AudioFormat, TrackId, VideoCodec, VideoFormat},
    stream::Publication,
};

/// What a track holds, and how packets carry it.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Pictures.
    Video {
        /// H.264, H.265 or VP8.
        codec: Codec,
        /// NAL units, as far as they are told ahead.
        parameter_sets: Vec<Bytes>,
    },
    /// Sound.
    Audio {
        /// How packets carry it.
        codec: Codec,
        /// How to decode it. MP3 and Opus may say otherwise themselves.
        format: AudioFormat,
    },
}

/// What is to be written, on its track's own clock.
#[derive(Debug)]
pub struct Frame {
    /// Where it goes.
    pub track: TrackId,
    /// Nanoseconds.
    pub pts: i64,
    /// Nanoseconds; rises within the track.
    pub dts: i64,
    /// A decoder can start here.
    pub key: bool,
    /// As the container wants it.
    pub data: Bytes,
    /// When what ended it arrived.
    pub arrived: Instant,
}

/// One track's way from access units to frames.
#[derive(Debug)]
pub enum Media {
    /// Pictures.
    Video(Box<Video>),
    /// Sound.
    Audio(Audio),
}

/// State of a video track.
#[derive(Debug)]
pub struct Video {
    description: Described,
    track: Option<TrackId>,
    decoding: Decoding<Picture>,
    awaits_key: bool,
    last_key: Option<Instant>,
    dropped: u64,
}

/// What tells how to decode pictures.
#[derive(Debug)]
enum Described {
    Sets(ParameterSets),
    /// Its key frames; width and height of the last.
    Vp8(Option<(u32, u32)>),
}

#[derive(Debug)]
struct Picture {
    data: Bytes,
    key: bool,
    arrived: Instant,
}

/// State of an audio track.
#[derive(Debug)]
pub struct Audio {
    format: AudioFormat,
    track: Option<TrackId>,
}

impl Content {
    /// How packets carry it.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Video { codec, .. } | Self::Audio { codec, .. } => *codec,
        }
    }

    /// Pictures, not sound.
    pub fn is_video(&self) -> bool {
        matches!(self, Self::Video { .. })
    }
}

impl Media {
    /// For what a session description tells.
    pub fn new(content: Content) -> Self {
        let family = match content {
            Content::Audio { format, .. } => return Self::Audio(Audio { format, track: None }),
            Content::Video { codec: Codec::Vp8, .. } => None,
            Content::Video { codec: Codec::Hevc, .. } => Some(Family::Hevc),
            Content::Video { .. } => Some(Family::Avc),
        };
        let sets = |family| {
            let mut sets = ParameterSets::new(family);
            if let Content::Video { parameter_sets, .. } = &content {
                sets.take(parameter_sets);
            }
            Described::Sets(sets)
        };
        Self::Video(Box::new(Video {
            description: family.map_or(Described::Vp8(None), sets),
            track: None,
            decoding: Decoding::new(),
            awaits_key: true,
            last_key: None,
            dropped: 0,
        }))
    }

    /// Takes an access unit that is shown at `time`, nanoseconds of the track's own clock, and gives what can be
    /// decoded by now. Tracks are announced to `to`.
    pub fn take(&mut self, unit: Unit, time: i64, arrived: Instant, to: &mut Publication) -> Vec<Frame> {
        match self {
            Self::Video(video) => video.take(unit, time, arrived, to),
            Self::Audio(audio) => audio.take(unit, time, arrived, to).into_iter().collect(),
        }
    }

    /// Something was lost that pictures refer to: nothing but a key frame goes on.
    pub fn await_key(&mut self) {
        if let Self::Video(video) = self {
            video.awaits_key = true;
        }
    }

    /// Another stream begins. Gives what waits.
    pub fn restart(&mut self) -> Vec<Frame> {
        self.await_key();
        match self {
            Self::Video(video) => {
                let waiting = video.decoding.flush();
                video.frames(waiting)
            }
            Self::Audio(_) => Vec::new(),
        }
    }

    /// Of pictures: whether nothing but a key frame goes on, and when the last one came.
    pub fn key_frames(&self) -> Option<(bool, Option<Instant>)> {
        match self {
            Self::Video(video) => Some((video.awaits_key, video.last_key)),
            Self::Audio(_) => None,
        }
    }

    /// Pictures that nothing could be done with.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::Video(video) => video.dropped,
            Self::Audio(_) => 0,
        }
    }
}

impl Audio {
    fn take(&mut self, unit: Unit, time: i64, arrived: Instant, to: &mut Publication) -> Option<Frame> {
        let data = unit.pieces.into_iter().next()?;
        let told = match self.format.codec {
            AudioCodec::Mp3 => mp3::format(&data),
            // Its first byte says how many channels (RFC 6716 §3.1). One fits in two, so there is no way back.
            AudioCodec::Opus if data.first()? & 4 != 0 => Some((self.format.sample_rate, 2)),
            _ => None,
        };
        if let Some((sample_rate, channels)) = told
            && (self.format.sample_rate, self.format.channels) != (sample_rate, channels)
        {
            (self.format.sample_rate, self.format.channels, self.track) = (sample_rate, channels, None);
        }
        if self.format.sample_rate == 0 {
            return None;
        }
        let track = *self.track.get_or_insert_with(|| {
            let AudioFormat { sample_rate, channels, .. } = self.format;
            tracing::info!(codec = self.format.codecs(), rate = sample_rate, channels, "audio");
            to.audio(self.format.clone(), None)
        });
        Some(Frame { track, pts: time, dts: time, key: true, data, arrived })
    }
}

impl Video {
    fn take(&mut self, unit: Unit, time: i64, arrived: Instant, to: &mut Publication) -> Vec<Frame> {
        let Some((data, key)) = self.picture(unit, to) else { return Vec::new() };
        if self.track.is_none() || self.awaits_key && !key {
            self.dropped += 1;
            return Vec::new();
        }
        if key {
            (self.awaits_key, self.last_key) = (false, Some(arrived));
        }
        let ready = self.decoding.push(Picture { data, key, arrived }, time);
        self.frames(ready)
    }

    /// What is to be decoded, and whether a decoder can start at it: there the format may change.
    fn picture(&mut self, unit: Unit, to: &mut Publication) -> Option<(Bytes, bool)> {
        match &mut self.description {
            Described::Sets(sets) => {
                let unit = sets.take(&unit.pieces)?;
                // Before the first picture, what a session description says may be out of date.
                if unit.key {
                    match sets.changed() {
                        Ok(Some(format)) => {
                            self.decoding.may_wait(sets.reordered().unwrap_or(0) as usize);
                            self.announce(format, to);
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(%error, "video cannot be taken");
                            self.track = None;
                        }
                    }
                }
                Some((unit.data, unit.key))
            }
            Described::Vp8(size) => {
                let frame = unit.pieces.into_iter().next()?;
                let told = vp8::key_frame(&frame);
                if let Some((width, height)) = told.filter(|_| *size != told) {
                    *size = told;
                    let (codec, config) = (VideoCodec::Vp8, Bytes::new());
                    self.announce(VideoFormat { codec, config, width, height, frame_rate: None }, to);
                }
                Some((frame, told.is_some()))
            }
        }
    }

    fn announce(&mut self, format: VideoFormat, to: &mut Publication) {
        tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
        self.track = Some(to.video(format, None));
    }

    fn frames(&self, ready: Vec<(Picture, i64, i64)>) -> Vec<Frame> {
        let Some(track) = self.track else { return Vec::new() };
        let frame = |(Picture { data, key, arrived }, pts, dts)| Frame { track, pts, dts, key, data, arrived };
        ready.into_iter().map(frame).collect()
    }
}
