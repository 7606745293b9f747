//! FLV (Adobe FLV 10.1 §E.4): tag bodies, which RTMP carries as they are, and a file reader; with the headers of
//! Enhanced RTMP v2 (Veovera, 2024-06). Pure; every payload handed out is a slice of what came in.

mod enhanced;
mod tags;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use tags::{Tag, Tags};

use crate::model::{AudioCodec, VideoCodec};

/// What a tag's body holds for one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit<T> {
    /// The track's id; 0 for the one that a tag without tracks is about.
    pub track: u8,
    /// Nanoseconds to add to the tag's time stamp, below 2²⁴ (`TimestampOffsetNano`).
    pub nanos: u32,
    /// Its content.
    pub content: T,
}

/// What a video tag's body holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Video {
    /// A codec's configuration record: `avcC`, `hvcC`, `av1C`.
    Header {
        /// The codec; H.264, HEVC or AV1.
        codec: VideoCodec,
        /// The record.
        config: Bytes,
    },
    /// An access unit.
    Frame {
        /// The codec; H.264, HEVC or AV1.
        codec: VideoCodec,
        /// The publisher calls it a key frame.
        key: bool,
        /// Presentation minus decoding time, in milliseconds.
        composition: i32,
        /// NAL units with lengths, or OBUs.
        data: Bytes,
    },
    /// Nothing of interest: end of sequence, seek marks, metadata, an empty body.
    Nothing,
    /// Another codec, by name.
    Other(&'static str),
}

/// What an audio tag's body holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Audio {
    /// An `AudioSpecificConfig`.
    Header(Bytes),
    /// A raw access unit of AAC.
    Frame(Bytes),
    /// The identification header of Opus (RFC 7845 §5.1).
    OpusHeader(Bytes),
    /// Sound in a codec without a header of its own; Opus too, whose packets tell their length.
    Plain {
        /// The codec; not AAC.
        codec: AudioCodec,
        /// Samples a second as the tag states them, coarsely.
        rate: u32,
        /// 1 or 2.
        channels: u16,
        /// One or more access units.
        data: Bytes,
    },
    /// Nothing of interest.
    Nothing,
    /// Another codec, by name.
    Other(&'static str),
}

/// Reads a video tag's body (§E.4.3; Enhanced RTMP v2, "Enhanced Video"). At most 256 units.
pub fn video(body: Bytes) -> impl Iterator<Item = Unit<Video>> {
    let is_enhanced = body.first().is_some_and(|first| first & 0x80 != 0);
    let (plain, tracks) =
        if is_enhanced { (None, enhanced::Tracks::of_video(body)) } else { (Some(plain_video(&body)), None) };
    let plain = plain.into_iter().map(|content| Unit { track: 0, nanos: 0, content });
    plain.chain(tracks.into_iter().flatten().map(|unit| unit.map(enhanced::video)))
}

/// Reads an audio tag's body (§E.4.2; Enhanced RTMP v2, "Enhanced Audio"). At most 256 units.
pub fn audio(body: Bytes) -> impl Iterator<Item = Unit<Audio>> {
    let is_enhanced = body.first().is_some_and(|first| first >> 4 == 9);
    let (plain, tracks) =
        if is_enhanced { (None, enhanced::Tracks::of_audio(body)) } else { (Some(plain_audio(&body)), None) };
    let plain = plain.into_iter().map(|content| Unit { track: 0, nanos: 0, content });
    plain.chain(tracks.into_iter().flatten().map(|unit| unit.map(enhanced::audio)))
}

impl<T> Unit<T> {
    fn map<U>(self, read: impl FnOnce(T) -> U) -> Unit<U> {
        Unit { track: self.track, nanos: self.nanos, content: read(self.content) }
    }
}

fn plain_video(body: &Bytes) -> Video {
    let Some(&first) = body.first() else { return Video::Nothing };
    let codec = match first & 0x0f {
        7 => VideoCodec::H264,
        // What capture boxes wrote before there was a FourCC for it, in the form of H.264's tags.
        12 => VideoCodec::Hevc,
        2 => return Video::Other("Sorenson H.263"),
        3 => return Video::Other("Screen Video"),
        4 | 5 => return Video::Other("VP6"),
        13 => return Video::Other("AV1 without a FourCC"),
        _ => return Video::Other("an unknown video codec"),
    };
    let (frame_type, Some(&packet_type)) = (first >> 4, body.get(1)) else { return Video::Nothing };
    let Some(&time) = body.get(2..5).and_then(<[u8]>::first_chunk) else { return Video::Nothing };
    let data = body.slice(5..);
    match (frame_type, packet_type) {
        // A seek mark of a server that plays.
        (5, _) => Video::Nothing,
        (_, 0) => Video::Header { codec, config: data },
        (_, 1) => Video::Frame { codec, key: frame_type == 1, composition: signed_24(time), data },
        _ => Video::Nothing,
    }
}

fn plain_audio(body: &Bytes) -> Audio {
    let Some(&first) = body.first() else { return Audio::Nothing };
    let stated = [5_512, 11_025, 22_050, 44_100][usize::from(first >> 2 & 3)];
    // G.711 has one rate (ITU-T G.711 §2), which the two bits cannot state; encoders that use another state that.
    let telephone = if stated == 5_512 { 8_000 } else { stated };
    let stereo = 1 + u16::from(first & 1);
    let (codec, rate, channels) = match first >> 4 {
        10 => return aac(body),
        0 | 3 if first & 2 == 0 => return Audio::Other("PCM of 8 bits"),
        0 | 3 => (AudioCodec::Pcm, stated, stereo),
        1 => (AudioCodec::Adpcm, stated, stereo),
        2 | 14 => (AudioCodec::Mp3, stated, stereo),
        4 => (AudioCodec::Nellymoser, 16_000, 1),
        5 => (AudioCodec::Nellymoser, 8_000, 1),
        6 => (AudioCodec::Nellymoser, stated, 1),
        7 => (AudioCodec::ALaw, telephone, stereo),
        8 => (AudioCodec::MuLaw, telephone, stereo),
        11 => (AudioCodec::Speex, 16_000, 1),
        _ => return Audio::Other("an unknown audio codec"),
    };
    plain(codec, rate, channels, body.slice(1..))
}

fn aac(body: &Bytes) -> Audio {
    match body.get(1) {
        Some(0) => Audio::Header(body.slice(2..)),
        Some(1) if body.len() > 2 => Audio::Frame(body.slice(2..)),
        _ => Audio::Nothing,
    }
}

fn plain(codec: AudioCodec, rate: u32, channels: u16, data: Bytes) -> Audio {
    if data.is_empty() { Audio::Nothing } else { Audio::Plain { codec, rate, channels, data } }
}

fn signed_24([a, b, c]: [u8; 3]) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}
