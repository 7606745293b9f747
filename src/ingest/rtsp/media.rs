//! Access units into frames: parameter sets become the decoder's configuration, presentation times get the decoding
//! times that RTP does not carry. Pure but for the [`Publication`] it writes to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};

use super::sdp::Content;
use crate::{
    ingest::{avc, bits::Bits, mp3, rtsp::rtp::Codec},
    model::{AudioCodec, AudioFormat, TrackId},
    stream::{Frame, Publication, Replaced},
};

/// Types of NAL units (ISO 14496-10 table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
/// Picture parameter sets kept.
const SETS: usize = 16;
/// The deepest reordering of any level (ISO 14496-10 §A.3.1).
const DEEPEST: usize = 16;

/// One track's way from access units to the live.
#[derive(Debug)]
pub enum Media {
    /// H.264.
    Video(Box<Video>),
    /// Sound.
    Audio(Audio),
}

/// State of a video track.
#[derive(Debug, Default)]
pub struct Video {
    sps: Bytes,
    pps: BTreeMap<u32, Bytes>,
    /// What was announced.
    config: Option<Bytes>,
    decoding: Decoding,
}

/// State of an audio track.
#[derive(Debug)]
pub struct Audio {
    format: AudioFormat,
    track: Option<TrackId>,
}

impl Media {
    /// For what a session description tells.
    pub fn new(content: Content) -> Self {
        match content {
            Content::H264 { parameter_sets } => {
                let mut video = Video::default();
                parameter_sets.into_iter().for_each(|set| video.parameter_set(set));
                Self::Video(Box::new(video))
            }
            Content::Audio { format, codec } => {
                // MP3 says what it is in its frames.
                debug_assert!(format.sample_rate > 0 || codec == Codec::Mpa);
                Self::Audio(Audio { format, track: None })
            }
        }
    }

    /// Writes an access unit that is shown at `pts`, nanoseconds of the publisher's clock, and came at `now`.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn write(&mut self, data: Bytes, pts: i64, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        match self {
            Self::Video(video) => video.write(&data, pts, to, now),
            Self::Audio(audio) => audio.write(data, pts, to, now),
        }
    }
}

impl Audio {
    fn write(&mut self, data: Bytes, pts: i64, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        if self.format.codec == AudioCodec::Mp3
            && let Some((sample_rate, channels)) = mp3::format(&data)
            && (self.format.sample_rate, self.format.channels) != (sample_rate, channels)
        {
            (self.format.sample_rate, self.format.channels, self.track) = (sample_rate, channels, None);
        }
        if self.format.sample_rate == 0 {
            return Ok(());
        }
        let track = *self.track.get_or_insert_with(|| {
            let AudioFormat { sample_rate, channels, .. } = self.format;
            tracing::info!(codec = self.format.codecs(), rate = sample_rate, channels, "audio");
            to.audio(self.format.clone(), None)
        });
        to.write(Frame { track, dts: pts, pts, key: true, data }, now)
    }
}

impl Video {
    fn write(&mut self, unit: &[u8], pts: i64, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        let (mut data, mut key) = (BytesMut::with_capacity(unit.len()), false);
        for nal in avc::nals(unit, 4).flatten() {
            match nal.first().map(|header| header & 0x1f) {
                Some(SPS | PPS) => self.parameter_set(Bytes::copy_from_slice(nal)),
                // They say nothing that the container does not.
                Some(DELIMITER | FILLER) | None => {}
                Some(kind) => {
                    key |= kind == IDR;
                    data.put_u32(nal.len() as u32);
                    data.extend_from_slice(nal);
                }
            }
        }
        // Parameter sets change with a key frame; before the first, those of the description may be out of date.
        if key {
            self.announce(to);
        }
        if self.config.is_none() || data.is_empty() {
            return Ok(());
        }
        for (picture, dts) in self.decoding.push(Picture { data: data.freeze(), pts, key }) {
            let Picture { data, pts, key } = picture;
            to.write(Frame { track: TrackId::VIDEO, dts, pts, key, data }, now)?;
        }
        Ok(())
    }

    fn parameter_set(&mut self, set: Bytes) {
        match set.first().map(|header| header & 0x1f) {
            // Another sequence's pictures need sets of their own.
            Some(SPS) if set != self.sps => {
                self.pps.clear();
                self.sps = set;
            }
            Some(PPS) => {
                let id = Bits::new(&avc::without_emulation_prevention(set.get(1..8).unwrap_or(&set[1..]))).golomb();
                if let Some(id) = id.filter(|id| self.pps.contains_key(id) || self.pps.len() < SETS) {
                    self.pps.insert(id, set);
                }
            }
            _ => {}
        }
    }

    fn announce(&mut self, to: &mut Publication) {
        if self.pps.is_empty() {
            return;
        }
        let Some(config) = configuration(&self.sps, self.pps.values()) else { return };
        if self.config.as_ref() == Some(&config) {
            return;
        }
        match avc::parse_config(config.clone()) {
            Ok(avc::Config { format, .. }) => {
                tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
                to.video(format, None);
                let depth = avc::parse_sps(&self.sps).ok().and_then(|sps| sps.reordered);
                self.decoding.depth = self.decoding.depth.max(depth.map_or(0, |depth| depth as usize).min(DEEPEST));
                self.config = Some(config);
            }
            Err(error) => tracing::debug!(%error, "parameter sets that cannot be used"),
        }
    }
}

/// An `AVCDecoderConfigurationRecord` (ISO 14496-15 §5.3.3.1) with lengths of four bytes.
fn configuration<'a>(sps: &[u8], pps: impl ExactSizeIterator<Item = &'a Bytes>) -> Option<Bytes> {
    let &[profile, compatibility, level] = sps.get(1..)?.first_chunk()?;
    let mut record = BytesMut::new();
    record.put_slice(&[1, profile, compatibility, level, 0xff, 0xe1]);
    record.put_u16(u16::try_from(sps.len()).ok()?);
    record.put_slice(sps);
    record.put_u8(u8::try_from(pps.len()).ok()?);
    for set in pps {
        record.put_u16(u16::try_from(set.len()).ok()?);
        record.put_slice(set);
    }
    if profile == 100 {
        // 4:2:0 or grey, eight bits: High has nothing else.
        let chroma = avc::parse_sps(sps).ok()?.coding.chroma.min(1) as u8;
        record.put_slice(&[0xfc | chroma, 0xf8, 0xf8, 0]);
    }
    Some(record.freeze())
}

#[derive(Debug)]
struct Picture {
    data: Bytes,
    pts: i64,
    key: bool,
}

/// Gives pictures decoding times: those of presentation in rising order. Pictures that are reordered wait for as many
/// as may come before them; others do not wait.
#[derive(Debug, Default)]
struct Decoding {
    /// Pictures that may precede another in decoding and follow it on the screen.
    depth: usize,
    waiting: VecDeque<Picture>,
    times: BTreeSet<i64>,
    last: Option<i64>,
}

impl Decoding {
    /// A step back that is a new beginning rather than an order.
    const BREAK: i64 = 1_000_000_000;
    /// Decoding times are at least so far apart.
    const STEP: i64 = 1_000_000;

    fn push(&mut self, picture: Picture) -> Vec<(Picture, i64)> {
        let newest = self.times.last().copied().or(self.last);
        let broken = newest.is_some_and(|newest| picture.pts < newest - Self::BREAK);
        let mut out = Vec::new();
        if broken {
            while let Some(ready) = self.pop() {
                out.push(ready);
            }
            self.last = None;
        } else if self.last.is_some_and(|last| picture.pts <= last) {
            // What was shown later has left already: the stream reorders more than it says.
            self.depth = (self.depth + 1).min(DEEPEST);
        }
        self.times.insert(picture.pts);
        self.waiting.push_back(picture);
        while self.waiting.len() > self.depth {
            out.extend(self.pop());
        }
        out
    }

    fn pop(&mut self) -> Option<(Picture, i64)> {
        let picture = self.waiting.pop_front()?;
        let time = self.times.pop_first().unwrap_or(picture.pts);
        let dts = self.last.map_or(time, |last| time.max(last + Self::STEP));
        self.last = Some(dts);
        Some((picture, dts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(depth: usize, pts: &[i64]) -> Vec<(i64, i64)> {
        let mut decoding = Decoding { depth, ..Decoding::default() };
        let millis = 1_000_000;
        let pictures = pts.iter().map(|pts| Picture { data: Bytes::new(), pts: pts * millis, key: false });
        let out = pictures.flat_map(|picture| decoding.push(picture)).collect::<Vec<_>>();
        out.into_iter().map(|(picture, dts)| (picture.pts / millis, dts / millis)).collect()
    }

    #[test]
    fn pictures_in_order_are_decoded_when_shown_and_do_not_wait() {
        assert_eq!(times(0, &[0, 40, 80, 120]), [(0, 0), (40, 40), (80, 80), (120, 120)]);
    }

    #[test]
    fn reordered_pictures_are_decoded_at_the_times_others_are_shown() {
        let shown = times(2, &[0, 160, 80, 40, 120, 320, 240]);
        assert_eq!(shown, [(0, 0), (160, 40), (80, 80), (40, 120), (120, 160)]);
    }

    #[test]
    fn a_stream_that_hides_its_depth_is_found_out() {
        let shown = times(0, &[0, 80, 40, 160, 120, 240, 200, 320, 280]);
        assert!(shown.windows(2).all(|two| two[0].1 < two[1].1), "{shown:?}");
        assert_eq!(shown.last(), Some(&(320, 280)), "settled: {shown:?}");
    }

    #[test]
    fn a_clock_that_goes_back_begins_anew() {
        assert_eq!(times(1, &[5_000, 5_040, 0, 40, 80]), [(5_000, 5_000), (5_040, 5_040), (0, 0), (40, 40)]);
    }
}
