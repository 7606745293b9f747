//! MPEG-TS (ISO 13818-1), as SRT carries it: bytes in, frames of one programme's picture and sound out. Pure.
//!
//! [`packet`] cuts bytes into packets, [`section`] reads what they belong to, [`pes`] puts them together again;
//! [`audio`] and [`annexb`](super::annexb) find access units.

mod adts;
mod audio;
mod latm;
mod opus;
mod packet;
mod pes;
mod section;
mod tracks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use packet::Packet;
use tracks::Tracks;

use super::{aac, avc};
use crate::{
    model::{AudioFormat, VideoFormat},
    stream::Frame,
};

/// Bytes in a row that are no packets: something else is being sent.
const NOISE: usize = 64 << 10;
/// So many packets in a row may look like none: `continuity_counter` has four bits, and a packet may be repeated.
const COUNTED: usize = 15;

/// What comes out of a transport stream.
#[derive(Debug, Clone)]
pub enum Output {
    /// The pictures that follow are in this format.
    Video(VideoFormat),
    /// The sound that follows is in this format.
    Audio(AudioFormat),
    /// An access unit, on the publisher's clock.
    Frame(Frame),
}

/// Why a transport stream cannot go on; the text is for who sends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No packets in what was sent.
    #[error("no MPEG-TS inside: set the encoder's container to MPEG-TS")]
    NotTs,
    /// A codec that Amphi does not take.
    #[error("video is {0}: set the encoder's video codec to H.264")]
    Video(&'static str),
    /// A codec that Amphi does not take.
    #[error("audio is {0}: set the encoder's audio codec to AAC")]
    Audio(&'static str),
    /// H.264 or H.265 that is none, or too large.
    #[error("{0}: set the encoder to H.264 and at most 8192 pixels a side")]
    VideoConfig(#[from] avc::InvalidVideo),
    /// AAC that is none, or of a rare kind.
    #[error("{0}: set the encoder's audio to AAC-LC, 44.1 or 48 kHz")]
    AudioConfig(#[from] aac::InvalidConfig),
}

/// Reads a transport stream. Of several programmes it takes the first with video, of several tracks of a kind the
/// first it knows. Holds at most one access unit of each and what one call to [`Demuxer::push`] brought.
#[derive(Debug, Default)]
pub struct Demuxer {
    splitter: packet::Splitter,
    association: section::Reader,
    /// By the PID of their map.
    programs: BTreeMap<u16, Program>,
    /// PID of the map of the programme that is taken.
    taken: Option<u16>,
    tracks: Tracks,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Default)]
struct Program {
    number: u16,
    map: section::Reader,
    /// Once its map has come.
    entries: Option<Vec<section::Entry>>,
}

impl Demuxer {
    /// Takes bytes, split in any way. Call [`Demuxer::take`] until it has nothing more.
    ///
    /// # Errors
    /// [`Unusable`]: tell the sender and close.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Unusable> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut result = Ok(());
        splitter.push(bytes, |packet| {
            if result.is_ok() {
                result = Packet::parse(packet).map_or(Ok(()), |packet| self.packet(&packet));
            }
        });
        self.splitter = splitter;
        if self.splitter.skipped() > NOISE {
            return Err(Unusable::NotTs);
        }
        result
    }

    /// So many transport packets never came, between what was pushed and what follows. Their counters tell which
    /// streams they were of only if they are few.
    pub fn lost(&mut self, packets: usize) {
        if packets == 0 {
            return;
        }
        self.splitter = packet::Splitter::default();
        self.association.lost();
        self.programs.values_mut().for_each(|program| program.map.lost());
        if packets >= COUNTED {
            self.tracks.lost();
        }
    }

    /// The stream has ended: what has begun is all there is of it.
    ///
    /// # Errors
    /// As [`Demuxer::push`].
    pub fn finish(&mut self) -> Result<(), Unusable> {
        self.tracks.finish(&mut self.outputs)
    }

    /// The next output.
    pub fn take(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Pieces that were dropped because something in them was missing.
    pub fn damaged(&self) -> u64 {
        self.tracks.damaged()
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), Unusable> {
        let payload = packet.payload.unwrap_or_default();
        if packet.pid == 0 {
            if let Some(programs) = self.association.push(packet.start, payload).and_then(section::programs) {
                self.associate(&programs);
            }
            return Ok(());
        }
        if let Some(program) = self.programs.get_mut(&packet.pid) {
            let map = program.map.push(packet.start, payload).and_then(section::streams);
            // Several programmes may share a PID.
            let Some((_, entries)) = map.filter(|(number, _)| *number == program.number) else { return Ok(()) };
            program.entries = Some(entries);
            return self.choose(packet.pid);
        }
        self.tracks.push(packet, &mut self.outputs)
    }

    /// Looks for the maps of these programmes from now on.
    fn associate(&mut self, programs: &[(u16, u16)]) {
        self.programs.retain(|pid, program| programs.contains(&(program.number, *pid)));
        for &(number, pid) in programs {
            self.programs.entry(pid).or_insert_with(|| Program { number, ..Program::default() });
        }
        self.taken = self.taken.filter(|pid| self.programs.contains_key(pid));
    }

    /// A map has come: whether its programme is the one, or what has changed in it.
    fn choose(&mut self, pid: u16) -> Result<(), Unusable> {
        let shows = |program: &Program| program.entries.as_deref().is_some_and(tracks::have_video);
        if self.taken.is_none() {
            let complete = self.programs.values().all(|program| program.entries.is_some());
            let first = |wanted: &dyn Fn(&Program) -> bool| {
                self.programs.iter().find(|(_, program)| wanted(program)).map(|(pid, _)| *pid)
            };
            let plays = |program: &Program| program.entries.as_deref().is_some_and(tracks::have_media);
            self.taken = first(&shows).or_else(|| if complete { first(&plays) } else { None });
        } else if self.taken != Some(pid) {
            return Ok(());
        }
        let entries = self.taken.and_then(|pid| self.programs.get(&pid)?.entries.as_deref());
        entries.map_or(Ok(()), |entries| self.tracks.select(entries, &mut self.outputs))
    }
}
