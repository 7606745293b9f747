use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{LanguageTag, MediaTime, RenditionId};

/// One track within one live. Small and copied with every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The publisher's video, or what is made of its [`Self::FOREIGN_VIDEO`].
    pub const VIDEO: Self = Self(0);
    /// The audio every rendition shares: the publisher's AAC, or what is made of its [`Self::FOREIGN_AUDIO`].
    pub const AUDIO: Self = Self(1);
    /// How many tracks of sound a publisher may send besides [`Self::AUDIO`].
    pub const FURTHER_SOUNDS: u8 = 7;
    /// The publisher's audio in a codec that is not packaged ([`AudioCodec::is_packaged`]).
    pub const FOREIGN_AUDIO: Self = Self(u8::MAX);
    /// The publisher's video in a codec that is not packaged ([`VideoCodec::is_packaged`]).
    pub const FOREIGN_VIDEO: Self = Self(u8::MAX - 1);

    /// The `index`-th ladder rung, from the top.
    pub const fn rung(index: u8) -> Self {
        Self(2 + index)
    }

    /// The `nth` track of the publisher's sound: [`Self::AUDIO`] for 0, and up to [`Self::FURTHER_SOUNDS`] more,
    /// each a rendition of its own.
    pub const fn sound(nth: u8) -> Option<Self> {
        match nth {
            0 => Some(Self::AUDIO),
            1..=Self::FURTHER_SOUNDS => Some(Self(FIRST_SOUND + nth)),
            _ => None,
        }
    }

    /// The track that this one is made of where the publisher sends it in a codec that is not packaged; `None`: it is
    /// not the publisher's.
    pub const fn foreign(self) -> Option<Self> {
        match self {
            Self::VIDEO => Some(Self::FOREIGN_VIDEO),
            Self::AUDIO => Some(Self::FOREIGN_AUDIO),
            Self(id) if self.is_sound() => Some(Self(FOREIGN_SOUND + (id - FIRST_SOUND))),
            _ => None,
        }
    }

    /// What the publisher sends in a codec that is not packaged.
    pub const fn is_foreign(self) -> bool {
        let further = self.0 > FOREIGN_SOUND && self.0 <= FOREIGN_SOUND + Self::FURTHER_SOUNDS;
        matches!(self, Self::FOREIGN_VIDEO | Self::FOREIGN_AUDIO) || further
    }

    /// A track of sound that renditions share, the first one or a further one.
    pub const fn is_sound(self) -> bool {
        matches!(self, Self::AUDIO) || self.0 > FIRST_SOUND && self.0 <= FIRST_SOUND + Self::FURTHER_SOUNDS
    }

    /// What the publisher sends: its video and all of its sound, not what is made of them.
    pub const fn is_published(self) -> bool {
        matches!(self, Self::VIDEO) || self.is_sound()
    }
}

/// Beyond the rungs.
const FIRST_SOUND: u8 = 32;
/// Beyond the sounds.
const FOREIGN_SOUND: u8 = 64;

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
    /// What viewers choose it by, where the publisher says it.
    pub label: Option<Label>,
}

/// What viewers choose a track by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The language heard in it.
    pub language: Option<LanguageTag>,
    /// Its name: 1 to 64 characters without quotes and control characters.
    pub name: Option<String>,
}

impl Label {
    /// Takes what a publisher says: a language that is a tag (`und` is none), and of a name what may stand in a
    /// playlist. None: it says nothing.
    pub fn new(language: Option<&str>, name: Option<&str>) -> Option<Self> {
        let language = language.filter(|tag| *tag != "und").and_then(|tag| LanguageTag::parse(tag).ok());
        let shown = |name: &str| -> String {
            // A quoted string holds neither of these (rfc8216bis §4.2).
            name.trim().chars().filter(|c| *c != '"' && !c.is_control()).take(64).collect()
        };
        let name = name.map(shown).filter(|name| !name.is_empty());
        (language.is_some() || name.is_some()).then_some(Self { language, name })
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What people call it: `H.265`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "H.265",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
        }
    }

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
    /// The CODECS value (RFC 6381 §3.3; ISO 14496-15 annex E; AV1-ISOBMFF §5): `avc1.64001f`, `hvc1.1.6.L93.90`,
    /// `av01.0.04M.08`.
    pub fn codecs(&self) -> String {
        match self.codec {
            VideoCodec::H264 => match self.config.get(1..4) {
                Some([profile, compatibility, level]) => format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"),
                _ => "avc1".into(),
            },
            VideoCodec::Hevc => hevc(&self.config).unwrap_or_else(|| "hvc1".into()),
            VideoCodec::Av1 => av1(&self.config).unwrap_or_else(|| "av01".into()),
            VideoCodec::Vp8 => "vp8".into(),
        }
    }
}

/// ISO 14496-15 §E.3, of an `HEVCDecoderConfigurationRecord`.
fn hevc(config: &[u8]) -> Option<String> {
    let &[_, profile, c0, c1, c2, c3, ref constraints @ .., level] = config.first_chunk::<13>()?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1f);
    let last = constraints.iter().rposition(|byte| *byte != 0);
    for byte in constraints.iter().take(last.map_or(0, |last| last + 1)) {
        let _ = write!(text, ".{byte:X}");
    }
    Some(text)
}

/// AV1-ISOBMFF §5, of an `AV1CodecConfigurationRecord`. What follows the depth is left out where it is what players
/// then take: chroma of 4:2:0, colours of BT.709.
fn av1(config: &[u8]) -> Option<String> {
    let &[_, profile_level, form, _] = config.first_chunk::<4>()?;
    let tier = if form & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match form & 0x60 {
        0 => 8,
        0x40 => 10,
        _ => 12,
    };
    let mut text = format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 0x1f);
    let (monochrome, x, y, position) = (form >> 4 & 1, form >> 3 & 1, form >> 2 & 1, form & 3);
    if (monochrome, x, y) != (0, 1, 1) {
        let _ = write!(text, ".{monochrome}.{x}{y}{position}.01.01.01.0");
    }
    Some(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn video(codec: VideoCodec, config: &[u8]) -> String {
        let config = Bytes::copy_from_slice(config);
        VideoFormat { codec, config, width: 16, height: 16, frame_rate: None }.codecs()
    }

    #[test]
    fn codecs_of_h265_drop_trailing_constraints() {
        let x265 = [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3f];
        assert_eq!(video(VideoCodec::Hevc, &x265), "hvc1.1.6.L63.90");
        // The examples of ISO 14496-15 §E.3: main, and main 10 in the high tier.
        let main = [1, 1, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(video(VideoCodec::Hevc, &main), "hvc1.1.6.L93.B0");
        let high = [1, 0x22, 0x20, 0, 0, 0, 0x9d, 8, 0, 0, 0, 0, 120];
        assert_eq!(video(VideoCodec::Hevc, &high), "hvc1.2.4.H120.9D.8");
        assert_eq!(video(VideoCodec::Hevc, &[1, 0x41, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]), "hvc1.A1.1.L30");
        assert_eq!(video(VideoCodec::Hevc, &[1; 12]), "hvc1");
    }

    #[test]
    fn codecs_of_av1_state_chroma_where_it_is_not_the_usual() {
        assert_eq!(video(VideoCodec::Av1, &[0x81, 0x04, 0x0c, 0]), "av01.0.04M.08");
        // The example of AV1-ISOBMFF §5: level 3.0 in ten bits; and 4:4:4 of high tier in twelve.
        assert_eq!(video(VideoCodec::Av1, &[0x81, 0x04, 0x4e, 0]), "av01.0.04M.10");
        assert_eq!(video(VideoCodec::Av1, &[0x81, 0x4d, 0xe0, 0]), "av01.2.13H.12.0.000.01.01.01.0");
        assert_eq!(video(VideoCodec::Av1, &[0x81]), "av01");
    }

    #[test]
    fn sounds_have_tracks_between_rungs_and_what_is_foreign() {
        let all: Vec<_> = (0..=u8::MAX).filter_map(TrackId::sound).collect();
        assert_eq!(all.len(), 8);
        assert!(all.iter().all(|id| id.is_sound() && id.is_published()));
        for other in
            [TrackId::VIDEO, TrackId::rung(0), TrackId::rung(7), TrackId::FOREIGN_AUDIO, TrackId::FOREIGN_VIDEO]
        {
            assert!(!all.contains(&other) && !other.is_sound(), "{other:?}");
        }
        let foreign: Vec<_> = all.iter().filter_map(|id| id.foreign()).collect();
        assert_eq!((foreign.len(), foreign[0]), (8, TrackId::FOREIGN_AUDIO));
        let apart = |id: &TrackId| id.is_foreign() && !id.is_sound() && *id != TrackId::FOREIGN_VIDEO;
        assert!(foreign.iter().all(apart) && all.iter().all(|id| !id.is_foreign()));
    }
}
