//! The access units of an audio stream, and their times. Pure.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{adts, latm, opus, pes::Pes};
use crate::{
    ingest::{aac::InvalidConfig, grid::Grid, mp3},
    model::{AudioCodec, AudioFormat, MediaTime, TrackId},
    stream::Frame,
};

/// More than any access unit with its header: where none is found in so much, bytes go.
const LONGEST: usize = 64 << 10;

/// How a programme map says that a stream's access units are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// AAC, each access unit behind an ADTS header.
    Adts,
    /// AAC in LOAS.
    Latm,
    /// MPEG-1 or 2, layer II or III.
    Mpeg,
    /// Opus with so many channels.
    Opus(u16),
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub enum Cut {
    /// An access unit.
    Unit {
        /// Bytes it takes, its packing included.
        taken: usize,
        /// The unit itself.
        data: Bytes,
        /// Its format.
        format: AudioFormat,
        /// Samples in it.
        samples: u32,
    },
    /// The beginning of one.
    More,
    /// None.
    Lost,
}

/// What comes of a PES packet.
#[derive(Debug)]
pub enum Heard {
    /// The units that follow have this format.
    Format(AudioFormat),
    /// An access unit, in the publisher's time.
    Frame(Frame),
}

/// One audio stream.
#[derive(Debug)]
pub struct Stream {
    packing: Packing,
    /// The configuration that LOAS sends apart.
    latm: latm::Stream,
    /// What of an access unit has come.
    carry: BytesMut,
    format: Option<AudioFormat>,
    /// Straightens the times of AAC, whose access units are packaged as they are.
    grid: Grid,
    /// When the next unit sounds, in nanoseconds of the publisher's clock.
    next: Option<i64>,
}

impl Stream {
    /// A stream that is packed in one way.
    pub fn new(packing: Packing) -> Self {
        let (latm, grid) = (latm::Stream::default(), Grid::new(1));
        Self { packing, latm, carry: BytesMut::new(), format: None, grid, next: None }
    }

    /// Takes a PES packet whose first unit sounds at `time` (nanoseconds). Units before any time are left out.
    ///
    /// # Errors
    /// [`InvalidConfig`] for AAC that cannot be packaged.
    pub fn push(&mut self, pes: &Pes, time: Option<i64>) -> Result<Vec<Heard>, InvalidConfig> {
        if pes.after_loss {
            self.carry.clear();
            (self.next, self.grid) = (None, Grid::new(self.format.as_ref().map_or(1, |format| format.sample_rate)));
        }
        // The time is that of the first unit that begins in the packet (§2.4.3.7), not of what ends in it.
        let mut before = self.carry.len();
        let mut time = time;
        self.carry.extend_from_slice(&pes.payload);
        let mut heard = Vec::new();
        while !self.carry.is_empty() {
            let cut = match self.packing {
                Packing::Adts => adts::cut(&self.carry),
                Packing::Latm => self.latm.cut(&self.carry),
                Packing::Mpeg => Ok(mpeg(&self.carry)),
                Packing::Opus(channels) => Ok(opus::cut(&self.carry, channels)),
            };
            let cut = match cut {
                // In a stream that was good before it is what a loss left behind.
                Err(_) if self.format.is_some() => Cut::Lost,
                cut => cut?,
            };
            match cut {
                Cut::Unit { taken, data, format, samples } => {
                    if before == 0 {
                        self.next = time.take().or(self.next);
                    }
                    self.unit(data, format, samples, &mut heard);
                    self.carry.advance(taken);
                    before = before.saturating_sub(taken);
                }
                Cut::More if self.carry.len() < LONGEST => break,
                Cut::More | Cut::Lost => {
                    self.carry.advance(1);
                    before = before.saturating_sub(1);
                }
            }
        }
        // A time that was for a unit of which only the beginning is here.
        if let Some(time) = time.filter(|_| before == 0) {
            self.next = Some(time);
        }
        Ok(heard)
    }

    fn unit(&mut self, data: Bytes, format: AudioFormat, samples: u32, heard: &mut Vec<Heard>) {
        let Some(time) = self.next else { return };
        let rate = format.sample_rate;
        if self.format.as_ref() != Some(&format) {
            self.grid = Grid::new(rate);
            self.format = Some(format.clone());
            heard.push(Heard::Format(format.clone()));
        }
        self.next = Some(time.saturating_add(MediaTime::from_ticks(samples.into(), rate).as_nanos()));
        let (track, dts) = match format.codec {
            AudioCodec::Aac => (TrackId::AUDIO, self.grid.snapped(time)),
            _ => (TrackId::FOREIGN_AUDIO, time),
        };
        heard.push(Heard::Frame(Frame { track, dts, pts: dts, key: true, data }));
    }
}

/// Cuts a frame of layer II or III, which is its own packing.
fn mpeg(bytes: &[u8]) -> Cut {
    if bytes.len() < 4 {
        return Cut::More;
    }
    let Some(mp3::Frame { codec, sample_rate, channels, samples, length: Some(length) }) = mp3::frame(bytes) else {
        return Cut::Lost;
    };
    match bytes.get(..length) {
        Some(data) => {
            let format = AudioFormat { codec, config: Bytes::new(), sample_rate, channels };
            Cut::Unit { taken: length, data: Bytes::copy_from_slice(data), format, samples }
        }
        None => Cut::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: i64 = 1_000_000;

    fn pes(payload: &[u8]) -> Pes {
        Pes { times: None, random_access: true, after_loss: false, payload: payload.into() }
    }

    /// A frame of layer II, 48 kHz, 192 kbit/s: 24 ms.
    fn frame(fill: u8) -> Vec<u8> {
        let mut frame = vec![fill; 576];
        frame[..4].copy_from_slice(&[0xff, 0xfd, 0xa4, 0x04]);
        frame
    }

    fn times(heard: Vec<Heard>) -> Vec<(u8, i64)> {
        let frames = heard.into_iter().filter_map(|heard| match heard {
            Heard::Frame(frame) => Some((frame.data[9], frame.dts / MILLI)),
            Heard::Format(_) => None,
        });
        frames.collect()
    }

    #[test]
    fn a_time_belongs_to_the_first_unit_that_begins_in_its_packet() {
        let mut stream = Stream::new(Packing::Mpeg);
        let bytes: Vec<u8> = (1..=5).flat_map(frame).collect();
        let heard = stream.push(&pes(&bytes[..700]), Some(1_000 * MILLI)).unwrap();
        assert!(matches!(&heard[0], Heard::Format(format) if format.codec == AudioCodec::Mp2));
        assert_eq!(times(heard), [(1, 1_000)]);
        // Frame 2 ends here, as it was timed before; frame 3 begins here, and its time says that the clock has moved.
        let heard = stream.push(&pes(&bytes[700..1_800]), Some(1_050 * MILLI)).unwrap();
        assert_eq!(times(heard), [(2, 1_024), (3, 1_050)]);
        assert_eq!(times(stream.push(&pes(&bytes[1_800..]), None).unwrap()), [(4, 1_074), (5, 1_098)]);
    }

    #[test]
    fn behind_a_loss_nothing_is_patched_together() {
        let mut stream = Stream::new(Packing::Mpeg);
        stream.push(&pes(&frame(1)[..300]), Some(0)).unwrap();
        let after = Pes { after_loss: true, ..pes(&[&[7; 100][..], &frame(2)].concat()) };
        assert_eq!(times(stream.push(&after, Some(500 * MILLI)).unwrap()), [(2, 500)]);
        let untimed = Pes { after_loss: true, ..pes(&frame(3)) };
        assert_eq!(times(stream.push(&untimed, None).unwrap()), [], "nobody knows when");
    }

    #[test]
    fn noise_is_not_kept() {
        for packing in [Packing::Adts, Packing::Latm, Packing::Mpeg, Packing::Opus(2)] {
            let mut stream = Stream::new(packing);
            for n in 0..2_000_u32 {
                let noise: Vec<u8> =
                    (0..1_000_u32).map(|m| (n * 1_000 + m).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
                if stream.push(&pes(&noise), Some(0)).is_err() {
                    stream = Stream::new(packing);
                }
                assert!(stream.carry.len() <= LONGEST + 1_000);
            }
        }
    }
}
