use bytes::Bytes;

use super::{MediaTime, RenditionId};

/// One track within one live. Small and copied with every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The publisher's video, or what is made of its [`Self::FOREIGN_VIDEO`].
    pub const VIDEO: Self = Self(0);
    /// The audio every rendition shares: the publisher's AAC, or what is made of its [`Self::FOREIGN_AUDIO`].
    pub const AUDIO: Self = Self(1);
    /// The publisher's audio in a codec that is not packaged ([`AudioCodec::is_packaged`]).
    pub const FOREIGN_AUDIO: Self = Self(u8::MAX);
    /// The publisher's video in a codec that is not packaged ([`VideoCodec::is_packaged`]).
    pub const FOREIGN_VIDEO: Self = Self(u8::MAX - 1);

    /// The `index`-th ladder rung, from the top.
    pub const fn rung(index: u8) -> Self {
        Self(2 + index)
    }
}

/// A track and how to decode it; announced before its packets and again when it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Which track.
    pub id: TrackId,
    /// The rendition it is delivered as.
    pub rendition: RenditionId,
    /// How to decode it.
    pub format: TrackFormat,
    /// Bits a second as the encoder states them.
    pub bitrate: Option<u32>,
}

/// What a track's packets hold.
#[derive(Debug, Clone, PartialEq)]
pub enum TrackFormat {
    /// Pictures.
    Video(VideoFormat),
    /// Sound.
    Audio(AudioFormat),
}

/// A video codec that publishers send. What is not packaged is made into H.264 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264, access units with four-byte lengths (ISO 14496-15 §5.3.2).
    H264,
    /// H.265, access units with four-byte lengths (ISO 14496-15 §8.3.2).
    Hevc,
    /// AV1, temporal units of the low-overhead format without temporal delimiters (AV1-ISOBMFF §2.4).
    Av1,
    /// VP8, one frame of RFC 6386.
    Vp8,
}

impl VideoCodec {
    /// CMAF carries it as it is.
    pub const fn is_packaged(self) -> bool {
        !matches!(self, Self::Vp8)
    }
}

/// An audio codec that publishers send. One of them is packaged; the others are made into it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC, raw access units without ADTS.
    Aac,
    /// MPEG-1, 2 or 2.5 layer III.
    Mp3,
    /// MPEG-1 or 2 layer II.
    Mp2,
    /// G.711 A-law.
    ALaw,
    /// G.711 µ-law.
    MuLaw,
    /// Interleaved samples of 16 bits, signed, little-endian.
    Pcm,
    /// Speex, wideband.
    Speex,
    /// Nellymoser Asao.
    Nellymoser,
    /// ADPCM of Shockwave Flash.
    Adpcm,
    /// Opus, one packet of RFC 6716 an access unit, always decoded at 48 kHz.
    Opus,
}

impl AudioCodec {
    /// Every codec.
    pub const ALL: [Self; 10] = [
        Self::Aac,
        Self::Mp3,
        Self::Mp2,
        Self::ALaw,
        Self::MuLaw,
        Self::Pcm,
        Self::Speex,
        Self::Nellymoser,
        Self::Adpcm,
        Self::Opus,
    ];

    /// CMAF carries it as it is.
    pub const fn is_packaged(self) -> bool {
        matches!(self, Self::Aac)
    }
}

/// How to decode a video track.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// The codec's configuration record: `avcC` (ISO 14496-15 §5.3.3.1), at least 7 bytes; `hvcC` (§8.3.3.1);
    /// `av1C` (AV1-ISOBMFF §2.3.3); empty for VP8.
    pub config: Bytes,
    /// Picture width in pixels, after cropping.
    pub width: u32,
    /// Picture height in pixels, after cropping.
    pub height: u32,
    /// Frames a second where the publisher or the bit stream states them; 0 < rate ≤ 240.
    pub frame_rate: Option<f64>,
}

/// How to decode an audio track.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFormat {
    /// The codec.
    pub codec: AudioCodec,
    /// Of AAC the `AudioSpecificConfig` (ISO 14496-3 §1.6.2.1), at least 2 bytes; empty for codecs that have none.
    pub config: Bytes,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
}

impl VideoFormat {
    /// The CODECS value (RFC 6381 §3.3): `avc1.64001f`.
    pub fn codecs(&self) -> String {
        match (self.codec, self.config.get(1..4)) {
            (VideoCodec::H264, Some([profile, compatibility, level])) => {
                format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")
            }
            (VideoCodec::H264, _) => "avc1".into(),
            (VideoCodec::Hevc, _) => "hvc1".into(),
            (VideoCodec::Av1, _) => "av01".into(),
            (VideoCodec::Vp8, _) => "vp8".into(),
        }
    }
}

impl AudioFormat {
    /// Samples in one access unit of AAC (ISO 14496-3 §4.5.1.1).
    pub const FRAME: u32 = 1024;

    /// The CODECS value (RFC 6381 §3.3): `mp4a.40.2`. Codecs that are not packaged have a name instead: `mp3`.
    pub fn codecs(&self) -> String {
        match self.codec {
            AudioCodec::Aac => format!("mp4a.40.{}", self.config.first().map_or(2, |byte| byte >> 3)),
            AudioCodec::Mp3 => "mp3".into(),
            AudioCodec::Mp2 => "mp2".into(),
            AudioCodec::ALaw => "pcma".into(),
            AudioCodec::MuLaw => "pcmu".into(),
            AudioCodec::Pcm => "pcm".into(),
            AudioCodec::Speex => "speex".into(),
            AudioCodec::Nellymoser => "nellymoser".into(),
            AudioCodec::Adpcm => "adpcm".into(),
            AudioCodec::Opus => "opus".into(),
        }
    }
}

impl TrackFormat {
    /// The CODECS value of either kind.
    pub fn codecs(&self) -> String {
        match self {
            Self::Video(video) => video.codecs(),
            Self::Audio(audio) => audio.codecs(),
        }
    }

    /// CMAF carries it as it is.
    pub fn is_packaged(&self) -> bool {
        match self {
            Self::Video(video) => video.codec.is_packaged(),
            Self::Audio(audio) => audio.codec.is_packaged(),
        }
    }

    /// The video format, if it is one.
    pub fn video(&self) -> Option<&VideoFormat> {
        match self {
            Self::Video(video) => Some(video),
            Self::Audio(_) => None,
        }
    }

    /// The audio format, if it is one.
    pub fn audio(&self) -> Option<&AudioFormat> {
        match self {
            Self::Audio(audio) => Some(audio),
            Self::Video(_) => None,
        }
    }
}

/// One access unit of one track: the only media currency upstream of packaging.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// Whose.
    pub track: TrackId,
    /// When it is shown.
    pub pts: MediaTime,
    /// When it is decoded; `dts` rises strictly within a track, `pts` may lie before or after it.
    pub dts: MediaTime,
    /// A decoder can start here. Always true for audio.
    pub key: bool,
    /// The access unit, in the form CMAF wants.
    pub data: Bytes,
}
