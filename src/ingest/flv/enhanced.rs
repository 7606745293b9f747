//! The headers of Enhanced RTMP v2: ModEx, multitrack, FourCC.

use bytes::{Buf, Bytes};

use super::{Audio, Unit, Video, plain, signed_24};
use crate::model::{AudioCodec, VideoCodec};

/// Tracks in a tag: as many as there are ids.
const TRACKS: usize = 256;
/// ModEx records in a tag; each is about another property, of which one exists.
const RECORDS: usize = 8;

/// `VideoPacketType`, and `AudioPacketType` where it means the same.
mod kind {
    pub const SEQUENCE_START: u8 = 0;
    pub const CODED_FRAMES: u8 = 1;
    pub const CODED_FRAMES_X: u8 = 3;
    pub const METADATA: u8 = 4;
    pub const MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub const VIDEO_MULTITRACK: u8 = 6;
    pub const AUDIO_MULTITRACK: u8 = 5;
    pub const MOD_EX: u8 = 7;
}

/// `AvMultitrackType`.
mod multitrack {
    pub const ONE_TRACK: u8 = 0;
    pub const MANY_TRACKS_MANY_CODECS: u8 = 2;
}

/// What a tag says of one track, its codec's part unread.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    /// `VideoPacketType` or `AudioPacketType`.
    kind: u8,
    /// The publisher calls it a key frame; of audio, nothing.
    key: bool,
    fourcc: [u8; 4],
    data: Bytes,
}

/// The tracks of a tag, one after the other; ends where the bytes end or stop making sense.
#[derive(Debug, Clone)]
pub(super) struct Tracks {
    kind: u8,
    key: bool,
    nanos: u32,
    /// `AvMultitrackType`; none where the tag is about one track without an id.
    multitrack: Option<u8>,
    /// The codec of all tracks, unless each names its own.
    fourcc: Option<[u8; 4]>,
    rest: Bytes,
    left: usize,
}

impl Tracks {
    /// `ExVideoTagHeader`. None: it holds no media, or ends early.
    pub fn of_video(mut body: Bytes) -> Option<Self> {
        let first = body.try_get_u8().ok()?;
        let (frame, mut kind) = (first >> 4 & 7, first & 0x0f);
        let nanos = mod_ex(&mut body, &mut kind)?;
        // A command of a server that plays, such as a seek mark.
        if frame == 5 && kind != kind::METADATA {
            return None;
        }
        Self::new(body, kind, kind::VIDEO_MULTITRACK, nanos, frame == 1)
    }

    /// `ExAudioTagHeader`. None: it holds no media, or ends early.
    pub fn of_audio(mut body: Bytes) -> Option<Self> {
        let mut kind = body.try_get_u8().ok()? & 0x0f;
        let nanos = mod_ex(&mut body, &mut kind)?;
        Self::new(body, kind, kind::AUDIO_MULTITRACK, nanos, true)
    }

    fn new(mut rest: Bytes, mut kind: u8, multitrack_kind: u8, nanos: u32, key: bool) -> Option<Self> {
        let mut multitrack = None;
        if kind == multitrack_kind {
            let byte = rest.try_get_u8().ok()?;
            (multitrack, kind) = (Some(byte >> 4), byte & 0x0f);
            // Tracks do not hold tracks, and no other way to lay them out is known.
            if kind == multitrack_kind || byte >> 4 > multitrack::MANY_TRACKS_MANY_CODECS {
                return None;
            }
        }
        let shared = multitrack != Some(multitrack::MANY_TRACKS_MANY_CODECS);
        let fourcc = if shared { Some(take(&mut rest)?) } else { None };
        Some(Self { kind, key, nanos, multitrack, fourcc, rest, left: TRACKS })
    }

    fn unit(&self, track: u8, fourcc: [u8; 4], data: Bytes) -> Unit<Coded> {
        Unit { track, nanos: self.nanos, content: Coded { kind: self.kind, key: self.key, fourcc, data } }
    }
}

impl Iterator for Tracks {
    type Item = Unit<Coded>;

    fn next(&mut self) -> Option<Unit<Coded>> {
        self.left = self.left.checked_sub(1)?;
        let Some(multitrack) = self.multitrack else {
            self.left = 0;
            let data = std::mem::take(&mut self.rest);
            return Some(self.unit(0, self.fourcc?, data));
        };
        let fourcc = match self.fourcc {
            Some(fourcc) => fourcc,
            None => take(&mut self.rest)?,
        };
        let track = self.rest.try_get_u8().ok()?;
        if multitrack == multitrack::ONE_TRACK {
            self.left = 0;
            let data = std::mem::take(&mut self.rest);
            return Some(self.unit(track, fourcc, data));
        }
        let [a, b, c] = take(&mut self.rest)?;
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        if size > self.rest.len() {
            // A size that lies says nothing about what follows.
            self.rest.clear();
            return None;
        }
        let data = self.rest.split_to(size);
        Some(self.unit(track, fourcc, data))
    }
}

/// What a video tag says of a track.
pub(super) fn video(Coded { kind, key, fourcc, mut data }: Coded) -> Video {
    let codec = match &fourcc {
        b"avc1" => VideoCodec::H264,
        b"hvc1" => VideoCodec::Hevc,
        b"av01" => VideoCodec::Av1,
        b"vvc1" => return Video::Other("VVC (H.266)"),
        b"vp09" => return Video::Other("VP9"),
        b"vp08" => return Video::Other("VP8"),
        _ => return Video::Other("an unknown video codec"),
    };
    match kind {
        kind::SEQUENCE_START => Video::Header { codec, config: data },
        // Only codecs whose pictures are reordered carry composition times.
        kind::CODED_FRAMES if codec != VideoCodec::Av1 => match take(&mut data) {
            Some(time) => Video::Frame { codec, key, composition: signed_24(time), data },
            None => Video::Nothing,
        },
        kind::CODED_FRAMES | kind::CODED_FRAMES_X => Video::Frame { codec, key, composition: 0, data },
        kind::MPEG2_TS_SEQUENCE_START => Video::Other("AV1 in the form of MPEG-2 TS"),
        _ => Video::Nothing,
    }
}

/// What an audio tag says of a track.
pub(super) fn audio(Coded { kind, fourcc, data, .. }: Coded) -> Audio {
    match (&fourcc, kind) {
        (b"mp4a", kind::SEQUENCE_START) => Audio::Header(data),
        (b"mp4a", kind::CODED_FRAMES) if !data.is_empty() => Audio::Frame(data),
        (b"Opus", kind::SEQUENCE_START) => Audio::OpusHeader(data),
        (b"Opus", kind::CODED_FRAMES) => plain(AudioCodec::Opus, 48_000, 2, data),
        (b".mp3", kind::CODED_FRAMES) => plain(AudioCodec::Mp3, 44_100, 2, data),
        (b"mp4a" | b"Opus" | b".mp3", _) => Audio::Nothing,
        (b"ac-3", _) => Audio::Other("AC-3"),
        (b"ec-3", _) => Audio::Other("E-AC-3"),
        (b"fLaC", _) => Audio::Other("FLAC"),
        _ => Audio::Other("an unknown audio codec"),
    }
}

/// Reads over `ModEx` records, up to the real packet type. Returns the nanoseconds that one of them may state.
fn mod_ex(body: &mut Bytes, kind: &mut u8) -> Option<u32> {
    let mut nanos = 0;
    for _ in 0..RECORDS {
        if *kind != kind::MOD_EX {
            return Some(nanos);
        }
        let size = match body.try_get_u8().ok()? {
            // Longer ones tell in two bytes.
            255 => usize::from(body.try_get_u16().ok()?) + 1,
            size => usize::from(size) + 1,
        };
        if size > body.len() {
            return None;
        }
        let data = body.split_to(size);
        let next = body.try_get_u8().ok()?;
        // `TimestampOffsetNano`.
        if next >> 4 == 0 {
            nanos = data.first_chunk().map_or(0, |&[a, b, c]| u32::from_be_bytes([0, a, b, c]));
        }
        *kind = next & 0x0f;
    }
    None
}

fn take<const N: usize>(bytes: &mut Bytes) -> Option<[u8; N]> {
    let taken = *bytes.first_chunk()?;
    bytes.advance(N);
    Some(taken)
}
