//! The one video and the one audio stream that are taken of a programme. Pure.

use std::collections::VecDeque;

use super::{
    Output, Unusable,
    audio::{self, Heard, Packing},
    opus,
    packet::Packet,
    pes::{self, Clock, Pes},
    section::Entry,
};
use crate::{
    ingest::{annexb, parameter_sets::Family},
    model::{MediaTime, TrackId},
    stream::Frame,
};

/// Ticks a second of the clock of PES packets.
const SCALE: u32 = 90_000;
/// How long the distance between two pictures is taken to be while nothing says it.
const PICTURE: i64 = 40_000_000;
/// Sound waits for the first picture, but not for more units than this: some three seconds.
const HELD: usize = 128;

/// What an elementary stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Video(Family),
    Audio(Packing),
    OtherVideo(&'static str),
    OtherAudio(&'static str),
    /// Subtitles, data, private things.
    Nothing,
}

/// Whether a programme has a picture that can be taken.
pub fn have_video(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(content(entry), Content::Video(_)))
}

/// Whether a programme has pictures or sound of any kind.
pub fn have_media(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| content(entry) != Content::Nothing)
}

/// The streams, and the clock they share.
#[derive(Debug, Default)]
pub struct Tracks {
    video: Option<Video>,
    audio: Option<Audio>,
    clock: Clock,
    /// Sound that waits for the first picture: a picture ends when the next one begins, so sound overtakes it.
    held: Option<VecDeque<Output>>,
    damaged: u64,
}

#[derive(Debug)]
struct Video {
    pid: u16,
    family: Family,
    pes: pes::Reader,
    stream: annexb::Stream,
    /// Too long to be known as whole.
    piece: Option<Pes>,
    /// Decoding time of the last picture, and the way to the next; nanoseconds.
    last: Option<i64>,
    step: i64,
}

#[derive(Debug)]
struct Audio {
    pid: u16,
    packing: Packing,
    pes: pes::Reader,
    stream: audio::Stream,
}

impl Tracks {
    /// Takes the streams of a programme's map; those that were there already go on.
    ///
    /// # Errors
    /// [`Unusable`] where all of a kind are in codecs that are not taken.
    pub fn select(&mut self, entries: &[Entry], outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        let (mut video, mut audio, mut other) = (None, None, None);
        for entry in entries {
            match content(entry) {
                Content::Video(family) => video = video.or(Some((entry.pid, family))),
                Content::Audio(packing) => audio = audio.or(Some((entry.pid, packing))),
                Content::OtherVideo(name) => other = other.or(Some(Unusable::Video(name))),
                Content::OtherAudio(name) => other = other.or(Some(Unusable::Audio(name))),
                Content::Nothing => {}
            }
        }
        match other {
            Some(unusable @ Unusable::Video(_)) if video.is_none() => return Err(unusable),
            Some(unusable @ Unusable::Audio(_)) if audio.is_none() => return Err(unusable),
            _ => {}
        }
        let known = (
            self.video.as_ref().map(|known| (known.pid, known.family)),
            self.audio.as_ref().map(|known| (known.pid, known.packing)),
        );
        if known != (video, audio) {
            self.finish(outputs)?;
        }
        if known.0 != video {
            self.video = video.map(|(pid, family)| Video::new(pid, family));
            self.held = video.map(|_| VecDeque::new());
        }
        if known.1 != audio {
            self.audio = audio.map(|(pid, packing)| Audio {
                pid,
                packing,
                pes: pes::Reader::default(),
                stream: audio::Stream::new(packing),
            });
        }
        Ok(())
    }

    /// Takes a packet, which may be of neither stream.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn push(&mut self, packet: &Packet<'_>, outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        if let Some(video) = self.video.as_mut().filter(|video| video.pid == packet.pid) {
            return match video.pes.push(packet) {
                Some(pes) => self.pictures(pes, outputs),
                None => Ok(()),
            };
        }
        match self.audio.as_mut().filter(|audio| audio.pid == packet.pid).and_then(|audio| audio.pes.push(packet)) {
            Some(pes) => self.sound(&pes, outputs),
            None => Ok(()),
        }
    }

    /// So much is missing that counters do not tell.
    pub fn lost(&mut self) {
        self.video.iter_mut().for_each(|video| video.pes.lost());
        self.audio.iter_mut().for_each(|audio| audio.pes.lost());
    }

    /// Gives out what has begun.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn finish(&mut self, outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        if let Some(pes) = self.audio.as_mut().and_then(|audio| audio.pes.finish()) {
            self.sound(&pes, outputs)?;
        }
        if let Some(pes) = self.video.as_mut().and_then(|video| video.pes.finish()) {
            self.pictures(pes, outputs)?;
        }
        if let Some(piece) = self.video.as_mut().and_then(|video| video.piece.take()) {
            self.picture(&piece, outputs)?;
        }
        outputs.extend(self.held.take().into_iter().flatten());
        Ok(())
    }

    /// PES packets that followed a loss.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Takes a PES packet of video, which begins an access unit or goes on with one.
    fn pictures(&mut self, pes: Pes, outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        let Some(video) = &mut self.video else { return Ok(()) };
        match video.piece.take() {
            Some(mut piece) if pes.times.is_none() && !pes.after_loss => {
                piece.payload.unsplit(pes.payload);
                if piece.payload.len() < pes::LONGEST {
                    video.piece = Some(piece);
                }
                return Ok(());
            }
            // Its end is lost.
            Some(_) if pes.after_loss => {}
            Some(piece) => self.picture(&piece, outputs)?,
            None => {}
        }
        if !pes.may_go_on() {
            return self.picture(&pes, outputs);
        }
        if let Some(video) = &mut self.video {
            video.piece = Some(pes);
        }
        Ok(())
    }

    fn picture(&mut self, pes: &Pes, outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        let Some(video) = &mut self.video else { return Ok(()) };
        self.damaged += u64::from(pes.after_loss);
        let times = pes.times.map(|times| self.clock.unwrapped(times)).map(|(pts, dts)| (nanos(pts), nanos(dts)));
        let (mut pts, mut dts) = match (times, video.last) {
            (Some(times), _) => times,
            (None, Some(last)) => (last + video.step, last + video.step),
            (None, None) => return Ok(()),
        };
        for (index, unit) in video.stream.units(&pes.payload)?.into_iter().enumerate() {
            if let Some(format) = unit.format {
                video.step = format.frame_rate.map_or(PICTURE, |rate| (1e9 / rate) as i64);
                outputs.push_back(Output::Video(format));
            }
            // Encoders without IDR pictures mark where a decoder can start, and repeat the parameter sets there.
            let key = unit.idr || index == 0 && pes.random_access && unit.configured;
            outputs.push_back(Output::Frame(Frame { track: TrackId::VIDEO, dts, pts, key, data: unit.data }));
            video.last = Some(dts);
            (pts, dts) = (pts + video.step, dts + video.step);
            self.held.take().into_iter().flatten().for_each(|held| outputs.push_back(held));
        }
        Ok(())
    }

    fn sound(&mut self, pes: &Pes, outputs: &mut VecDeque<Output>) -> Result<(), Unusable> {
        let Some(audio) = &mut self.audio else { return Ok(()) };
        self.damaged += u64::from(pes.after_loss);
        let time = pes.times.map(|times| nanos(self.clock.unwrapped(times).0));
        let heard = audio.stream.push(pes, time)?.into_iter().map(|heard| match heard {
            Heard::Format(format) => Output::Audio(format),
            Heard::Frame(frame) => Output::Frame(frame),
        });
        match &mut self.held {
            Some(held) => held.extend(heard),
            None => outputs.extend(heard),
        }
        if self.held.as_ref().is_some_and(|held| held.len() > HELD) {
            outputs.extend(self.held.take().into_iter().flatten());
        }
        Ok(())
    }
}

impl Video {
    fn new(pid: u16, family: Family) -> Self {
        let (pes, stream) = (pes::Reader::default(), annexb::Stream::new(family));
        Self { pid, family, pes, stream, piece: None, last: None, step: PICTURE }
    }
}

fn nanos(ticks: i64) -> i64 {
    MediaTime::from_ticks(ticks, SCALE).as_nanos()
}

/// What a map says of a stream: `stream_type` (ISO 13818-1 table 2-34, and ATSC's), and descriptors where that is
/// private (ETSI EN 300 468 §6.1, SMPTE's register).
fn content(entry: &Entry) -> Content {
    let has = |tag| entry.descriptors(tag).next().is_some();
    match entry.kind {
        0x1b => Content::Video(Family::Avc),
        0x24 => Content::Video(Family::Hevc),
        0x01 | 0x02 => Content::OtherVideo("MPEG-2"),
        0x10 => Content::OtherVideo("MPEG-4 part 2"),
        0x21 => Content::OtherVideo("JPEG 2000"),
        0x33 => Content::OtherVideo("VVC (H.266)"),
        0xea => Content::OtherVideo("VC-1"),
        0x03 | 0x04 => Content::Audio(Packing::Mpeg),
        0x0f => Content::Audio(Packing::Adts),
        0x11 => Content::Audio(Packing::Latm),
        0x80 if entry.is_registered(b"HDMV") => Content::OtherAudio("LPCM"),
        0x81 => Content::OtherAudio("AC-3"),
        0x82 | 0x8a => Content::OtherAudio("DTS"),
        0x87 => Content::OtherAudio("E-AC-3"),
        0x06 if entry.is_registered(b"Opus") => opus::channels(entry)
            .map_or(Content::OtherAudio("Opus of more than two channels"), |channels| {
                Content::Audio(Packing::Opus(channels))
            }),
        0x06 if entry.is_registered(b"AV01") => Content::OtherVideo("AV1"),
        0x06 if entry.is_registered(b"BSSD") => Content::OtherAudio("SMPTE 302M"),
        0x06 if has(0x6a) || entry.is_registered(b"AC-3") => Content::OtherAudio("AC-3"),
        0x06 if has(0x7a) || entry.is_registered(b"EAC3") => Content::OtherAudio("E-AC-3"),
        _ => Content::Nothing,
    }
}
