//! FLV (Adobe FLV 10.1 §E.4): tag bodies, which RTMP carries as they are, and a file reader.
//! Enhanced RTMP v2's headers are understood far enough to take H.264, AAC and MP3 and to name the
//! rest. Pure; every payload handed out is a slice of what came in.

use bytes::Bytes;

use crate::model::AudioCodec;

/// What a video tag's body holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Video {
    /// An `AVCDecoderConfigurationRecord`.
    Header(Bytes),
    /// An access unit.
    Frame {
        /// The publisher calls it a key frame.
        key: bool,
        /// Presentation minus decoding time, in milliseconds.
        composition: i32,
        /// NAL units with lengths.
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
    /// Sound in a codec without a header of its own.
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

/// Reads a video tag's body (§E.4.3).
pub fn video(body: Bytes) -> Video {
    let Some(&first) = body.first() else { return Video::Nothing };
    if first & 0x80 != 0 {
        return enhanced_video(body, first);
    }
    match first & 0x0f {
        7 => {}
        2 => return Video::Other("Sorenson H.263"),
        3 => return Video::Other("Screen Video"),
        4 | 5 => return Video::Other("VP6"),
        12 => return Video::Other("HEVC (H.265)"),
        13 => return Video::Other("AV1"),
        _ => return Video::Other("an unknown video codec"),
    }
    let (frame_type, Some(&packet_type)) = (first >> 4, body.get(1)) else { return Video::Nothing };
    let Some(&[a, b, c]) = body.get(2..5).and_then(<[u8]>::first_chunk) else { return Video::Nothing };
    match (frame_type, packet_type) {
        // A seek mark of a server that plays.
        (5, _) => Video::Nothing,
        (_, 0) => Video::Header(body.slice(5..)),
        (_, 1) => Video::Frame { key: frame_type == 1, composition: signed_24([a, b, c]), data: body.slice(5..) },
        _ => Video::Nothing,
    }
}

/// Reads an audio tag's body (§E.4.2).
pub fn audio(body: Bytes) -> Audio {
    let Some(&first) = body.first() else { return Audio::Nothing };
    let stated = [5_512, 11_025, 22_050, 44_100][usize::from(first >> 2 & 3)];
    // G.711 has one rate (ITU-T G.711 §2), which the two bits cannot state; encoders that use another state that.
    let telephone = if stated == 5_512 { 8_000 } else { stated };
    let stereo = 1 + u16::from(first & 1);
    let (codec, rate, channels) = match first >> 4 {
        10 => return aac(&body),
        9 => return enhanced_audio(body, first),
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

/// One tag of a file, or of an RTMP aggregate message (RTMP 1.0 §7.1.6), which has the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// 8 audio, 9 video, 18 data: RTMP's message types.
    pub kind: u8,
    /// Milliseconds.
    pub timestamp: u32,
    /// The body.
    pub body: Bytes,
}

/// Reads tags one after the other; ends where the bytes end or stop making sense.
#[derive(Debug, Clone)]
pub struct Tags {
    rest: Bytes,
}

impl Tags {
    /// The tags of a file (§E.2), or `None` if it is not one.
    pub fn of_file(file: Bytes) -> Option<Self> {
        let header: &[u8; 9] = file.first_chunk()?;
        let [b'F', b'L', b'V', 1, _, offset @ ..] = header else { return None };
        // The size of the tag before the first one follows the header.
        let start = (u32::from_be_bytes(*offset) as usize).checked_add(4)?;
        (start <= file.len()).then(|| Self { rest: file.slice(start..) })
    }

    /// The tags of an aggregate message's payload.
    pub fn of_aggregate(payload: Bytes) -> Self {
        Self { rest: payload }
    }
}

impl Iterator for Tags {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        let &[kind, a, b, c, t2, t1, t0, t3, _, _, _] = self.rest.first_chunk()?;
        let end = 11 + u32::from_be_bytes([0, a, b, c]) as usize;
        if end > self.rest.len() {
            return None;
        }
        let tag =
            Tag { kind: kind & 0x1f, timestamp: u32::from_be_bytes([t3, t2, t1, t0]), body: self.rest.slice(11..end) };
        self.rest = self.rest.slice((end + 4).min(self.rest.len())..);
        Some(tag)
    }
}

/// Enhanced RTMP v2, ExVideoTagHeader.
fn enhanced_video(body: Bytes, first: u8) -> Video {
    let (frame_type, packet_type) = (first >> 4 & 7, first & 0x0f);
    let Some(codec) = body.get(1..5) else { return Video::Nothing };
    match codec {
        b"avc1" => {}
        b"hvc1" => return Video::Other("HEVC (H.265)"),
        b"vvc1" => return Video::Other("VVC (H.266)"),
        b"av01" => return Video::Other("AV1"),
        b"vp09" => return Video::Other("VP9"),
        b"vp08" => return Video::Other("VP8"),
        _ => return Video::Other("an unknown video codec"),
    }
    let key = frame_type == 1;
    match packet_type {
        0 => Video::Header(body.slice(5..)),
        1 => match body.get(5..8).and_then(<[u8]>::first_chunk) {
            Some(time) => Video::Frame { key, composition: signed_24(*time), data: body.slice(8..) },
            None => Video::Nothing,
        },
        3 => Video::Frame { key, composition: 0, data: body.slice(5..) },
        _ => Video::Nothing,
    }
}

/// Enhanced RTMP v2, ExAudioTagHeader.
fn enhanced_audio(body: Bytes, first: u8) -> Audio {
    let Some(codec) = body.get(1..5) else { return Audio::Nothing };
    match codec {
        b"mp4a" => {}
        b"Opus" => return Audio::Other("Opus"),
        b"ac-3" => return Audio::Other("AC-3"),
        b"ec-3" => return Audio::Other("E-AC-3"),
        b"fLaC" => return Audio::Other("FLAC"),
        b".mp3" if first & 0x0f == 1 => return plain(AudioCodec::Mp3, 44_100, 2, body.slice(5..)),
        b".mp3" => return Audio::Nothing,
        _ => return Audio::Other("an unknown audio codec"),
    }
    match first & 0x0f {
        0 => Audio::Header(body.slice(5..)),
        1 if body.len() > 5 => Audio::Frame(body.slice(5..)),
        _ => Audio::Nothing,
    }
}

fn signed_24([a, b, c]: [u8; 3]) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_times_are_signed() {
        let body = Bytes::from_static(&[0x27, 1, 0xff, 0xff, 0xd7, 9]);
        assert_eq!(video(body), Video::Frame { key: false, composition: -41, data: Bytes::from_static(&[9]) });
    }

    #[test]
    fn an_access_unit_is_a_slice_of_the_body() {
        let body = Bytes::from(vec![0x17, 1, 0, 0, 0, 1, 2, 3]);
        let Video::Frame { data, .. } = video(body.clone()) else { panic!("no frame") };
        assert_eq!(data.as_ptr(), body[5..].as_ptr());
    }

    #[test]
    fn other_codecs_are_named() {
        assert_eq!(video(Bytes::from_static(&[0x1c, 0, 0, 0, 0])), Video::Other("HEVC (H.265)"));
        assert_eq!(video(Bytes::from_static(b"\x90hvc1xx")), Video::Other("HEVC (H.265)"));
        assert_eq!(video(Bytes::from_static(b"\x90av01xx")), Video::Other("AV1"));
        assert_eq!(audio(Bytes::from_static(&[0x3d, 0])), Audio::Other("PCM of 8 bits"));
        assert_eq!(audio(Bytes::from_static(b"\x90Opusxx")), Audio::Other("Opus"));
    }

    #[test]
    fn sound_without_a_header_states_its_form() {
        for (first, expected) in [
            (0x2f, (AudioCodec::Mp3, 44_100, 2)),
            (0x3a, (AudioCodec::Pcm, 22_050, 1)),
            (0x72, (AudioCodec::ALaw, 8_000, 1)),
            (0x87, (AudioCodec::MuLaw, 11_025, 2)),
            (0xb2, (AudioCodec::Speex, 16_000, 1)),
            (0x52, (AudioCodec::Nellymoser, 8_000, 1)),
        ] {
            let Audio::Plain { codec, rate, channels, data } = audio(Bytes::from(vec![first, 9])) else {
                panic!("{first:x}")
            };
            assert_eq!((codec, rate, channels, &data[..]), (expected.0, expected.1, expected.2, &[9][..]));
        }
        let enhanced = audio(Bytes::from_static(b"\x91.mp3x"));
        assert!(matches!(enhanced, Audio::Plain { codec: AudioCodec::Mp3, .. }));
        assert_eq!(audio(Bytes::from_static(&[0x2f])), Audio::Nothing);
    }

    #[test]
    fn short_bodies_hold_nothing() {
        for length in 0..5 {
            assert_eq!(video(Bytes::from(vec![0x17, 1, 0, 0, 0][..length].to_vec())), Video::Nothing);
        }
        for length in 0..3 {
            assert_eq!(audio(Bytes::from(vec![0xaf, 1, 0][..length].to_vec())), Audio::Nothing);
        }
    }

    #[test]
    fn a_file_that_stops_short_ends() {
        let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        file.extend([9, 0, 0, 2, 0, 0, 5, 1, 0, 0, 0, 0x17, 2, 0, 0, 0, 13]);
        file.extend([9, 0xff, 0xff, 0xff, 0]);
        let tags: Vec<_> = Tags::of_file(file.into()).unwrap().collect();
        assert_eq!(tags, [Tag { kind: 9, timestamp: 0x0100_0005, body: Bytes::from_static(&[0x17, 2]) }]);
        assert!(Tags::of_file(Bytes::from_static(b"RIFF....WAVE")).is_none());
    }
}
