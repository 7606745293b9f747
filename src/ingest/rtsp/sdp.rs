//! Session descriptions (RFC 4566) as far as RTSP needs them. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::Error;
use crate::{
    ingest::{
        aac,
        bits::Bits,
        rtp::{Codec, Content},
    },
    model::{AudioCodec, AudioFormat},
};

/// Media of a description; a lecture has two.
const MEDIA: usize = 16;

/// One medium.
#[derive(Debug, Clone, PartialEq)]
pub struct Medium {
    /// What it holds; `Err` with the name of what cannot be taken.
    pub content: Result<Content, String>,
    /// Its payload type.
    pub payload_type: u8,
    /// Ticks of its clock a second.
    pub clock_rate: u32,
    /// Where it is set up: an absolute URL, or relative to the description's; empty for the whole.
    pub control: String,
}

/// A description.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// `a=control` of the whole.
    pub control: String,
    /// In their order.
    pub media: Vec<Medium>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is none, [`Error::Limit`] for one with too many media.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|_| Error::Malformed("session description is no text"))?;
        let mut lines = text.lines().map(str::trim_end).peekable();
        let mut control = String::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            if let Some(value) = line.strip_prefix("a=control:") {
                control = value.trim().into();
            }
        }
        let mut media = Vec::new();
        while let Some(line) = lines.next() {
            let Some(head) = line.strip_prefix("m=") else { continue };
            if media.len() >= MEDIA {
                return Err(Error::Limit("media in a session description"));
            }
            let mut attributes = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
                attributes.extend(line.strip_prefix("a="));
            }
            media.push(medium(head, &attributes)?);
        }
        if media.is_empty() {
            Err(Error::Malformed("session description without media"))
        } else {
            Ok(Self { control, media })
        }
    }

    /// Which of its media are taken: the first video and the first audio that can be.
    ///
    /// # Errors
    /// [`Error::Unusable`] names the codec where there is video, or nothing but audio, and none can be taken.
    pub fn choose(&self) -> Result<Vec<usize>, Error> {
        let find = |video: bool| {
            let fits = |medium: &Medium| medium.content.as_ref().is_ok_and(|content| content.is_video() == video);
            self.media.iter().position(fits)
        };
        let (video, audio) = (find(true), find(false));
        let mut refused = self.media.iter().filter_map(|medium| medium.content.as_ref().err());
        match (video, audio, refused.clone().find(|what| what.starts_with("video"))) {
            (None, _, Some(what)) => {
                Err(Error::Unusable(format!("{what}: set the encoder's video codec to H.264 or H.265")))
            }
            (None, None, None) => {
                let what = refused.next().cloned().unwrap_or_default();
                Err(Error::Unusable(format!("{what}: set the encoder's audio codec to AAC")))
            }
            _ => Ok(video.into_iter().chain(audio).collect()),
        }
    }
}

fn medium(head: &str, attributes: &[&str]) -> Result<Medium, Error> {
    let mut words = head.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    let payload_type = words.nth(2).and_then(|word| word.parse::<u8>().ok());
    let payload_type = payload_type.filter(|number| *number < 128).ok_or(Error::Malformed("m= line"))?;
    let of_payload = |name: &str| {
        let mut values = attributes.iter().filter_map(|attribute| attribute.strip_prefix(name)?.strip_prefix(':'));
        values.find_map(|value| {
            let (number, value) = value.trim().split_once(' ')?;
            (number.parse() == Ok(payload_type)).then(|| value.trim())
        })
    };
    // Those without a line of their own are known by number (RFC 3551 §6).
    let map = of_payload("rtpmap").or(match payload_type {
        0 => Some("PCMU/8000"),
        8 => Some("PCMA/8000"),
        10 => Some("L16/44100/2"),
        11 => Some("L16/44100/1"),
        14 => Some("MPA/90000"),
        _ => None,
    });
    let mut parts = map.unwrap_or_default().split('/');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let clock_rate = parts.next().and_then(|rate| rate.parse().ok()).filter(|rate| (1..=1_000_000).contains(rate));
    let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
    let parameters = Parameters(of_payload("fmtp").unwrap_or_default());
    let clock_rate = clock_rate.unwrap_or(90_000);
    let content = match (kind, name.as_str()) {
        ("video", "h264") => h264(&parameters),
        ("video", "h265") => h265(&parameters),
        ("audio", name) => audio(name, clock_rate, channels, &parameters),
        (_, name) => None.ok_or_else(|| named(kind, name)),
    };
    let control = attributes.iter().find_map(|attribute| attribute.strip_prefix("control:"));
    let control = control.unwrap_or_default().trim().into();
    Ok(Medium { content, payload_type, clock_rate, control })
}

fn h264(parameters: &Parameters<'_>) -> Result<Content, String> {
    if parameters.get("packetization-mode").is_some_and(|mode| mode.trim() == "2") {
        return Err("interleaved H.264 (packetization-mode 2)".into());
    }
    Ok(pictures(Codec::H264, parameters, &["sprop-parameter-sets"]))
}

/// RFC 7798 §7.1.
fn h265(parameters: &Parameters<'_>) -> Result<Content, String> {
    if parameters.get("sprop-max-don-diff").is_some_and(|most| most.trim() != "0") {
        return Err("interleaved H.265 (sprop-max-don-diff)".into());
    }
    Ok(pictures(Codec::Hevc, parameters, &["sprop-vps", "sprop-sps", "sprop-pps"]))
}

/// With the parameter sets that are told under these names.
fn pictures(codec: Codec, parameters: &Parameters<'_>, names: &[&str]) -> Content {
    let sets = names.iter().flat_map(|name| parameters.get(name).unwrap_or_default().split(','));
    let sets = sets.filter_map(|set| STANDARD.decode(set.trim()).ok()).map(Bytes::from);
    Content::Video { codec, parameter_sets: sets.filter(|set| !set.is_empty()).take(8).collect() }
}

fn audio(name: &str, rate: u32, channels: u16, parameters: &Parameters<'_>) -> Result<Content, String> {
    let plain = |codec, sample_rate, channels| AudioFormat { codec, config: Bytes::new(), sample_rate, channels };
    let channels = channels.clamp(1, 8);
    let (format, codec) = match name {
        "mpeg4-generic" => {
            let config = parameters.get("config").and_then(hex).ok_or("AAC without its configuration")?;
            let bits = |name| parameters.get(name).and_then(|value| value.trim().parse::<u32>().ok());
            let (size, index) = (bits("sizelength").unwrap_or(13), bits("indexlength").unwrap_or(3));
            if !(1..=16).contains(&size) || index > 16 {
                return Err("AAC with odd headers".into());
            }
            (aac::parse_config(config.into()).map_err(|error| error.to_string())?, Codec::Aac { size, index })
        }
        "mp4a-latm" => {
            let config = parameters.get("config").and_then(hex).and_then(|config| latm_config(&config));
            let config = config.ok_or("AAC in LATM without its configuration")?;
            (aac::parse_config(config).map_err(|error| error.to_string())?, Codec::Latm)
        }
        // Always two channels at 48 kHz in the description; the decoder makes of it what is there (RFC 7587 §4.1).
        "opus" => (plain(AudioCodec::Opus, 48_000, 2), Codec::Whole),
        "pcma" => (plain(AudioCodec::ALaw, rate, channels), Codec::Whole),
        "pcmu" => (plain(AudioCodec::MuLaw, rate, channels), Codec::Whole),
        "l16" => (plain(AudioCodec::Pcm, rate, channels), Codec::L16),
        // Its rate is in its frames.
        "mpa" => (plain(AudioCodec::Mp3, 0, 0), Codec::Mpa),
        _ => return Err(named("audio", name)),
    };
    Ok(Content::Audio { codec, format })
}

fn named(kind: &str, name: &str) -> String {
    let clean = |text: &str| text.chars().filter(char::is_ascii_graphic).take(32).collect::<String>();
    format!("{} in {}", clean(kind), if name.is_empty() { "an unknown codec".into() } else { clean(name) })
}

/// `a=fmtp`: `name=value; name=value`.
struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut all = self.0.split(';').filter_map(|one| one.split_once('='));
        all.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    if digits.is_empty() || digits.len() > 512 || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(pair).collect()
}

/// The `AudioSpecificConfig` of one program with one layer in a `StreamMuxConfig` (ISO 14496-3 §1.7.3.1).
fn latm_config(config: &[u8]) -> Option<Bytes> {
    let mut bits = Bits::new(config);
    let (version, _, subframes) = (bits.take(1)?, bits.take(1)?, bits.take(6)?);
    let (programs, layers) = (bits.take(4)?, bits.take(3)?);
    if version != 0 || subframes != 0 || programs != 0 || layers != 0 {
        return None;
    }
    let (object, rate) = (bits.take(5)?, bits.take(4)?);
    // Object types and rates that are written out are not sent this way.
    if object == 31 || rate == 15 {
        return None;
    }
    let rest = bits.take(7)?;
    Some((((object << 11 | rate << 7 | rest) as u16).to_be_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        a=tool:libavformat 59.27.100\r\nm=video 0 RTP/AVP 96\r\nb=AS:1500\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAFtkAoD2hAAADAAEAAAMAMg8WLkg=,aMuDyyA=; \
        profile-level-id=42C016\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:96\r\n\
        a=rtpmap:97 MPEG4-GENERIC/48000/1\r\n\
        a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=118856E500\r\n\
        a=control:streamid=1\r\n";

    #[test]
    fn what_ffmpeg_announces() {
        let description = Description::parse(FFMPEG.as_bytes()).unwrap();
        let [video, audio] = &description.media[..] else { panic!("{description:?}") };
        let Ok(Content::Video { codec: Codec::H264, parameter_sets }) = &video.content else { panic!("{video:?}") };
        assert_eq!(parameter_sets.iter().map(|set| set[0] & 31).collect::<Vec<_>>(), [7, 8]);
        assert_eq!((video.payload_type, video.clock_rate, video.control.as_str()), (96, 90_000, "streamid=0"));
        let Ok(Content::Audio { format, codec }) = &audio.content else { panic!("{audio:?}") };
        assert_eq!((format.sample_rate, format.channels, audio.clock_rate), (48_000, 1, 48_000));
        assert_eq!(*codec, Codec::Aac { size: 13, index: 3 });
    }

    #[test]
    fn latm_hides_its_configuration() {
        // What GStreamer's rtpmp4apay writes for LC, 44.1 kHz, stereo.
        let text = "m=audio 0 RTP/AVP 96\na=rtpmap:96 MP4A-LATM/44100\na=fmtp:96 cpresent=0;config=40002420\n";
        let description = Description::parse(text.as_bytes()).unwrap();
        let Ok(Content::Audio { format, .. }) = &description.media[0].content else { panic!("{description:?}") };
        assert_eq!((format.sample_rate, format.channels, &format.config[..]), (44_100, 2, &[0x12, 0x10][..]));
    }

    #[test]
    fn codecs_without_a_line_of_their_own() {
        let description = Description::parse(b"m=audio 5004 RTP/AVP 8\n").unwrap();
        let Ok(Content::Audio { format, .. }) = &description.media[0].content else { panic!("{description:?}") };
        assert_eq!((format.codec, format.sample_rate), (AudioCodec::ALaw, 8_000));
    }

    #[test]
    fn what_cannot_be_taken_is_named_or_refused() {
        let description = Description::parse(b"m=video 0 RTP/AVP 96\na=rtpmap:96 VP9/90000\n").unwrap();
        assert_eq!(description.media[0].content, Err("video in vp9".into()));
        for broken in ["", "v=0\r\n", "m=video", "m=video 0 RTP/AVP x", "m=audio 0 RTP/AVP 200"] {
            assert!(Description::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        let many = "m=audio 0 RTP/AVP 0\n".repeat(1000);
        assert!(matches!(Description::parse(many.as_bytes()), Err(Error::Limit(_))));
    }
}
