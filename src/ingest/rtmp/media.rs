//! Payloads into frames: codec headers, times, and what encoders get wrong in both. Pure but for
//! the [`Publication`] it writes to.

use std::time::Instant;

use bytes::Bytes;

use super::{amf::Value, message::kind};
use crate::{
    ingest::{
        aac, avc,
        flv::{self, Audio, Video},
        grid::Grid,
        mp3,
    },
    model::{AudioCodec, AudioFormat, TrackId},
    stream::{Frame, Publication, Replaced},
};

const MILLI: i64 = 1_000_000;

/// Why a publisher's media cannot go on; the text is for its screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A codec that Amphi does not take.
    #[error("video is {0}: set the encoder's video codec to H.264")]
    Video(&'static str),
    /// A codec that Amphi does not take.
    #[error("audio is {0}: set the encoder's audio codec to AAC")]
    Audio(&'static str),
    /// H.264 that is none, or too large.
    #[error("{0}: set the encoder to H.264 and at most 8192 pixels a side")]
    VideoConfig(#[from] avc::InvalidVideo),
    /// AAC that is none, or of a rare kind.
    #[error("{0}: set the encoder's audio to AAC-LC, 44.1 or 48 kHz")]
    AudioConfig(#[from] aac::InvalidConfig),
    /// Another connection of the same publisher took over.
    #[error("another connection with this stream key took over")]
    Replaced,
}

impl From<Replaced> for Unusable {
    fn from(Replaced: Replaced) -> Self {
        Self::Replaced
    }
}

/// One publication's decoder state.
#[derive(Debug, Default)]
pub struct Media {
    clock: Clock,
    video: Option<VideoState>,
    audio: Option<AudioState>,
    hints: Hints,
    dropped: u64,
}

#[derive(Debug)]
struct VideoState {
    header: Bytes,
    length_size: usize,
}

#[derive(Debug)]
struct AudioState {
    format: AudioFormat,
    track: TrackId,
    grid: Grid,
}

/// What `onMetaData` says and the bit stream does not.
#[derive(Debug, Default)]
struct Hints {
    frame_rate: Option<f64>,
    video_bitrate: Option<u32>,
    audio_bitrate: Option<u32>,
    audio_rate: Option<u32>,
}

impl Media {
    /// Packets dropped so far: before their header, broken, or empty.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes an audio or video message (or tag of an aggregate) that arrived at `now`.
    ///
    /// # Errors
    /// [`Unusable`]: tell the publisher and close.
    pub fn take(
        &mut self,
        kind: u8,
        timestamp: u32,
        body: Bytes,
        to: &mut Publication,
        now: Instant,
    ) -> Result<(), Unusable> {
        let time = self.clock.unwrapped(timestamp);
        match kind {
            kind::VIDEO => self.video(flv::video(body), time, to, now),
            kind::AUDIO => self.audio(flv::audio(body), time, to, now),
            _ => Ok(()),
        }
    }

    /// Takes the values of a data message: `@setDataFrame`, `onMetaData` and its members.
    pub fn metadata(&mut self, values: &[Value]) {
        let Some(at) = values.iter().position(|value| value.as_str() == Some("onMetaData")) else { return };
        let Some(data) = values.get(at + 1) else { return };
        let number = |name| data.get(name).and_then(Value::as_number).filter(|number| *number > 0.0);
        let bits = |kilobits: f64| (kilobits <= 4_000_000.0).then_some((kilobits * 1000.0) as u32);
        self.hints = Hints {
            frame_rate: number("framerate").filter(|rate| *rate <= 240.0),
            video_bitrate: number("videodatarate").and_then(bits),
            audio_bitrate: number("audiodatarate").and_then(bits),
            audio_rate: number("audiosamplerate")
                .filter(|rate| (8_000.0..=96_000.0).contains(rate))
                .map(|rate| rate as u32),
        };
    }

    fn video(&mut self, video: Video, time: i64, to: &mut Publication, now: Instant) -> Result<(), Unusable> {
        match video {
            Video::Header(header) => {
                if self.video.as_ref().is_some_and(|video| video.header == header) {
                    return Ok(());
                }
                let avc::Config { mut format, length_size } = avc::parse_config(header.clone())?;
                format.frame_rate = self.hints.frame_rate.or(format.frame_rate);
                tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
                to.video(format, self.hints.video_bitrate);
                self.video = Some(VideoState { header, length_size });
            }
            Video::Frame { key, composition, data } => {
                let Some(VideoState { length_size, .. }) = self.video else {
                    return self.drop("video before its header");
                };
                let Ok(Some((data, idr))) = avc::normalise(data, length_size) else {
                    return self.drop("broken access unit");
                };
                let pts = time.saturating_add(i64::from(composition) * MILLI);
                to.write(Frame { track: TrackId::VIDEO, dts: time, pts, key: key || idr, data }, now)?;
            }
            Video::Nothing => {}
            Video::Other(codec) => return Err(Unusable::Video(codec)),
        }
        Ok(())
    }

    fn audio(&mut self, audio: Audio, time: i64, to: &mut Publication, now: Instant) -> Result<(), Unusable> {
        match audio {
            Audio::Header(header) => {
                let known = self.audio.as_ref().map(|audio| &audio.format);
                if known.is_none_or(|known| known.codec != AudioCodec::Aac || known.config != header) {
                    self.sounds(aac::parse_config(header)?, to);
                }
            }
            Audio::Frame(data) => match &mut self.audio {
                Some(audio) if audio.track == TrackId::AUDIO => {
                    let dts = audio.grid.snapped(time);
                    to.write(Frame { track: audio.track, dts, pts: dts, key: true, data }, now)?;
                }
                _ => return self.drop("audio before its header"),
            },
            Audio::Plain { codec, rate, channels, data } => {
                let Some((format, data)) = self.plain(codec, rate, channels, data) else {
                    return self.drop("broken sound");
                };
                if self.audio.as_ref().is_none_or(|audio| audio.format != format) {
                    self.sounds(format, to);
                }
                let frame = Frame { track: TrackId::FOREIGN_AUDIO, dts: time, pts: time, key: true, data };
                to.write(frame, now)?;
            }
            Audio::Nothing => {}
            Audio::Other(codec) => return Err(Unusable::Audio(codec)),
        }
        Ok(())
    }

    /// Announces audio in a format that is new.
    fn sounds(&mut self, format: AudioFormat, to: &mut Publication) {
        tracing::info!(codec = format.codecs(), rate = format.sample_rate, channels = format.channels, "audio");
        let grid = Grid::new(format.sample_rate);
        let track = to.audio(format.clone(), self.hints.audio_bitrate);
        self.audio = Some(AudioState { format, track, grid });
    }

    /// The format of sound without a header, and of its data what is whole.
    fn plain(&self, codec: AudioCodec, rate: u32, channels: u16, data: Bytes) -> Option<(AudioFormat, Bytes)> {
        let (sample_rate, channels) = match codec {
            AudioCodec::Mp3 => mp3::format(&data)?,
            // A tag knows four rates only.
            AudioCodec::ALaw | AudioCodec::MuLaw | AudioCodec::Pcm => (self.hints.audio_rate.unwrap_or(rate), channels),
            _ => (rate, channels),
        };
        let sample = match codec {
            AudioCodec::Pcm => 2 * usize::from(channels),
            AudioCodec::ALaw | AudioCodec::MuLaw => usize::from(channels),
            _ => 1,
        };
        let whole = data.len() / sample * sample;
        let format = AudioFormat { codec, config: Bytes::new(), sample_rate, channels };
        (whole > 0).then(|| (format, data.slice(..whole)))
    }

    fn drop(&mut self, why: &'static str) -> Result<(), Unusable> {
        self.dropped += 1;
        metrics::counter!("amphi_rtmp_packets_dropped_total").increment(1);
        tracing::debug!(why, "packet dropped");
        Ok(())
    }
}

/// Undoes the wrap of 32-bit milliseconds after 49.7 days. All tracks share it, so that one that
/// begins late begins in the same turn.
#[derive(Debug, Default)]
struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// Nanoseconds of the publisher's clock, its wraps undone.
    fn unwrapped(&mut self, timestamp: u32) -> i64 {
        let millis = match self.last {
            None => i64::from(timestamp),
            // The nearer way round: a step back of seconds is jitter between tracks, not a wrap.
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(millis);
        millis.saturating_mul(MILLI)
    }
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
