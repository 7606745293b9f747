//! Payloads into frames: codec headers, times, and what encoders get wrong in both. Pure but for
//! the [`Publication`] it writes to.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use super::{amf::Value, clock::Clock, message::kind};
use crate::{
    ingest::{
        aac, av1, avc,
        flv::{self, Audio, Video},
        grid::Grid,
        hevc, mp3, opus,
    },
    model::{AudioCodec, AudioFormat, Label, TrackId, VideoCodec},
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
    /// A codec's configuration that is none, or too large a picture.
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
    video: Option<Picture>,
    /// By the publisher's track id, which is 0 where it sends one.
    sounds: BTreeMap<u8, Sound>,
    hints: Hints,
    dropped: u64,
}

#[derive(Debug)]
struct Picture {
    codec: VideoCodec,
    header: Bytes,
    /// Of NAL units.
    length_size: usize,
    track: TrackId,
}

#[derive(Debug)]
struct Sound {
    format: AudioFormat,
    /// None: nobody takes it.
    track: Option<TrackId>,
    grid: Grid,
}

/// What `onMetaData` says and the bit stream does not.
#[derive(Debug, Default)]
struct Hints {
    frame_rate: Option<f64>,
    video_bitrate: Option<u32>,
    audio_bitrate: Option<u32>,
    audio_rate: Option<u32>,
    /// Of tracks other than the first.
    sounds: BTreeMap<u8, SoundHints>,
}

#[derive(Debug, Clone, Default)]
struct SoundHints {
    bitrate: Option<u32>,
    label: Option<Label>,
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
            kind::VIDEO => flv::video(body)
                .try_for_each(|unit| self.video(unit.track, unit.content, time + i64::from(unit.nanos), to, now)),
            kind::AUDIO => flv::audio(body)
                .try_for_each(|unit| self.audio(unit.track, unit.content, time + i64::from(unit.nanos), to, now)),
            _ => Ok(()),
        }
    }

    /// Takes the values of a data message: `@setDataFrame`, `onMetaData` and its members; of Enhanced RTMP's
    /// `audioTrackIdInfoMap` also what encoders add to it, the language and title of each track.
    pub fn metadata(&mut self, values: &[Value]) {
        let Some(at) = values.iter().position(|value| value.as_str() == Some("onMetaData")) else { return };
        let Some(data) = values.get(at + 1) else { return };
        self.hints = Hints {
            frame_rate: number(data, "framerate").filter(|rate| *rate <= 240.0),
            video_bitrate: bitrate(data, "videodatarate"),
            audio_bitrate: bitrate(data, "audiodatarate"),
            audio_rate: number(data, "audiosamplerate")
                .filter(|rate| (8_000.0..=96_000.0).contains(rate))
                .map(|rate| rate as u32),
            sounds: sounds(data),
        };
    }

    fn video(
        &mut self,
        track: u8,
        video: Video,
        time: i64,
        to: &mut Publication,
        now: Instant,
    ) -> Result<(), Unusable> {
        match video {
            Video::Nothing => {}
            // Further pictures are smaller copies of the first, which the ladder makes as well.
            _ if track != 0 => return self.drop("a further video track"),
            Video::Header { codec, config: header } => {
                if self.video.as_ref().is_some_and(|video| (video.codec, &video.header) == (codec, &header)) {
                    return Ok(());
                }
                let (mut format, length_size) = match codec {
                    VideoCodec::Hevc => hevc::parse_config(header.clone()).map(|c| (c.format, c.length_size))?,
                    VideoCodec::Av1 => (av1::parse_config(header.clone())?, 0),
                    _ => avc::parse_config(header.clone()).map(|c| (c.format, c.length_size))?,
                };
                format.frame_rate = self.hints.frame_rate.or(format.frame_rate);
                tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
                let track = to.video(format, self.hints.video_bitrate);
                self.video = Some(Picture { codec, header, length_size, track });
            }
            Video::Frame { codec, key, composition, data } => {
                let Some(picture) = self.video.as_ref().filter(|picture| picture.codec == codec) else {
                    return self.drop("video before its header");
                };
                let normalised = match codec {
                    VideoCodec::Hevc => hevc::normalise(data, picture.length_size),
                    VideoCodec::Av1 => av1::normalise(data, &picture.header),
                    // A recovery point that the publisher calls a key frame is one.
                    _ => {
                        avc::normalise(data, picture.length_size).map(|unit| unit.map(|(data, idr)| (data, key || idr)))
                    }
                };
                let Ok(Some((data, key))) = normalised else { return self.drop("broken access unit") };
                let pts = time.saturating_add(i64::from(composition) * MILLI);
                to.write(Frame { track: picture.track, dts: time, pts, key, data }, now)?;
            }
            Video::Other(codec) => return Err(Unusable::Video(codec)),
        }
        Ok(())
    }

    fn audio(&mut self, nth: u8, audio: Audio, time: i64, to: &mut Publication, now: Instant) -> Result<(), Unusable> {
        match audio {
            Audio::Header(header) => {
                let known = self.sounds.get(&nth).map(|sound| &sound.format);
                if known.is_none_or(|known| known.codec != AudioCodec::Aac || known.config != header) {
                    match aac::parse_config(header) {
                        Ok(format) => self.sounds(nth, format, to),
                        Err(broken) if nth == 0 => return Err(broken.into()),
                        Err(_) => return self.drop("a further audio track with a broken header"),
                    }
                }
            }
            Audio::OpusHeader(header) => match opus::channels(&header) {
                Some(channels) => {
                    let (config, sample_rate) = (Bytes::new(), 48_000);
                    let format = AudioFormat { codec: AudioCodec::Opus, config, sample_rate, channels };
                    self.plain_sounds(nth, format, to);
                }
                // Its frames would be taken for stereo.
                None if nth == 0 && header.starts_with(b"OpusHead") => {
                    return Err(Unusable::Audio("Opus of more than two channels"));
                }
                None => return self.drop("Opus with a broken header"),
            },
            Audio::Frame(data) => match self.sounds.get_mut(&nth) {
                Some(Sound { track: Some(track), grid, format }) if format.codec == AudioCodec::Aac => {
                    let dts = grid.snapped(time);
                    to.write(Frame { track: *track, dts, pts: dts, key: true, data }, now)?;
                }
                _ => return self.drop("audio before its header, or of a track that is not taken"),
            },
            Audio::Plain { codec, rate, channels, data } => {
                let Some((format, data)) = self.plain(nth, codec, rate, channels, data) else {
                    return self.drop("broken sound");
                };
                self.plain_sounds(nth, format, to);
                match self.sounds.get(&nth).and_then(|sound| sound.track) {
                    Some(track) => to.write(Frame { track, dts: time, pts: time, key: true, data }, now)?,
                    None => return self.drop("an audio track too many"),
                }
            }
            Audio::Nothing => {}
            Audio::Other(codec) if nth == 0 => return Err(Unusable::Audio(codec)),
            Audio::Other(_) => return self.drop("a further audio track in a codec that is not taken"),
        }
        Ok(())
    }

    fn plain_sounds(&mut self, nth: u8, format: AudioFormat, to: &mut Publication) {
        if self.sounds.get(&nth).is_none_or(|sound| sound.format != format) {
            self.sounds(nth, format, to);
        }
    }

    /// Announces audio in a format that is new.
    fn sounds(&mut self, nth: u8, format: AudioFormat, to: &mut Publication) {
        let (rate, channels) = (format.sample_rate, format.channels);
        tracing::info!(track = nth, codec = format.codecs(), rate, channels, "audio");
        let grid = Grid::new(format.sample_rate);
        let SoundHints { bitrate, label } = self.hints.sounds.get(&nth).cloned().unwrap_or_default();
        let first = self.hints.audio_bitrate.filter(|_| nth == 0);
        let track = to.sound(nth, format.clone(), bitrate.or(first), label);
        if track.is_none() {
            tracing::warn!(
                track = nth,
                codec = format.codecs(),
                "left out: there are seven further audio tracks at most"
            );
        }
        self.sounds.insert(nth, Sound { format, track, grid });
    }

    /// The format of sound without a header, and of its data what is whole.
    fn plain(&self, nth: u8, codec: AudioCodec, rate: u32, channels: u16, data: Bytes) -> Option<(AudioFormat, Bytes)> {
        let known = self.sounds.get(&nth).map(|sound| &sound.format);
        let (sample_rate, channels) = match codec {
            AudioCodec::Opus => {
                (rate, known.filter(|known| known.codec == codec).map_or(channels, |known| known.channels))
            }
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

/// What `audioTrackIdInfoMap` says of each track.
fn sounds(data: &Value) -> BTreeMap<u8, SoundHints> {
    let Some(Value::Object(tracks)) = data.get("audioTrackIdInfoMap") else { return BTreeMap::new() };
    let hints = |(id, track): &(String, Value)| {
        let text = |names: [&str; 2]| names.into_iter().find_map(|name| track.get(name)?.as_str());
        let label = Label::new(text(["language", "lang"]), text(["title", "name"]));
        Some((id.parse().ok()?, SoundHints { bitrate: bitrate(track, "audiodatarate"), label }))
    };
    tracks.iter().filter_map(hints).collect()
}

fn number(data: &Value, name: &str) -> Option<f64> {
    data.get(name).and_then(Value::as_number).filter(|number| *number > 0.0)
}

/// Bits a second, of a member in kilobits.
fn bitrate(data: &Value, name: &str) -> Option<u32> {
    number(data, name).filter(|kilobits| *kilobits <= 4_000_000.0).map(|kilobits| (kilobits * 1000.0) as u32)
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
