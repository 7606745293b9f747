use std::{sync::Arc, time::Duration};

use super::{
    cuts::Cut,
    fragment::{self, Sample},
    init::{self, Unusable},
    packager::Output,
};
use crate::model::{AudioFormat, Init, Label, MediaTime, Packet, Part, RenditionId, Track, TrackFormat};

/// Samples in a part, whatever their stamps say.
const SAMPLES: usize = 512;
/// Payload bytes in a part, whatever their stamps say.
pub(super) const BYTES: usize = 64 << 20;
/// Audio samples follow one another without a seam while the stamps stay this close to them:
/// stamps in milliseconds jitter, samples do not.
const SEAM: Duration = Duration::from_millis(20);
/// Decoding may begin this much before its stamp, so that a part of jittering frames is neither
/// too long nor a frame short.
const EARLY: Duration = Duration::from_millis(10);

/// What bounds the parts and segments of a rendition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The duration of a frame until the track shows its own.
    pub frame: Duration,
    /// No part is longer.
    pub part: Duration,
    /// No segment is longer.
    pub segment: Duration,
}

/// One rendition: turns the packets of its track into parts.
///
/// It holds one frame back, so that each sample's duration is the distance to the next one and a
/// part knows whether the next frame opens a segment.
#[derive(Debug)]
pub(super) struct Lane {
    pub rendition: RenditionId,
    format: Arc<TrackFormat>,
    scale: u32,
    /// A new format, taken up at the next break.
    next: Option<Track>,
    counters: Counters,
    /// The segment it stands in.
    pub msn: Option<u64>,
    /// That segment is complete; packets of its time come too late.
    pub ended: bool,
    /// The latest presentation time so far.
    pub latest: MediaTime,
    index: u32,
    /// The next part is the first after a break.
    discontinuity: bool,
    /// The segment stands in for a publisher that is away.
    stands_in: bool,
    awaits_key: bool,
    held: Option<Packet>,
    /// Where the next sample's decoding time begins, in ticks.
    decode: i64,
    /// A frame as the track shows it, in ticks.
    nominal: i64,
    /// Ticks in the open segment, the open part included.
    segment: i64,
    part: Open,
}

/// What counts up through the whole rendition.
#[derive(Debug, Default)]
struct Counters {
    number: u64,
    sequence: u32,
    /// The version the next [`Init`] gets.
    version: u32,
}

#[derive(Debug, Default)]
struct Open {
    samples: Vec<Sample>,
    bytes: usize,
    decode: i64,
    duration: i64,
    start: MediaTime,
}

impl Lane {
    pub fn new(track: &Track, out: &mut Vec<Output>) -> Result<Self, Unusable> {
        let mut lane = Self {
            rendition: track.rendition.clone(),
            format: Arc::new(track.format.clone()),
            scale: init::scale(&track.format),
            next: None,
            counters: Counters::default(),
            msn: None,
            ended: false,
            latest: MediaTime::ZERO,
            index: 0,
            discontinuity: false,
            stands_in: false,
            awaits_key: track.format.video().is_some(),
            held: None,
            decode: 0,
            nominal: 0,
            segment: 0,
            part: Open::default(),
        };
        lane.describe(track.bitrate, track.label.clone(), out)?;
        Ok(lane)
    }

    pub fn format(&self) -> &TrackFormat {
        self.next.as_ref().map_or(&self.format, |track| &track.format)
    }

    /// Its decoder takes this format as well: what it states about itself besides does not count.
    pub fn decodes(&self, format: &TrackFormat) -> bool {
        match (self.format(), format) {
            (TrackFormat::Video(a), TrackFormat::Video(b)) => {
                (a.codec, &a.config, a.width, a.height) == (b.codec, &b.config, b.width, b.height)
            }
            (a, b) => a == b,
        }
    }

    /// Takes up what the same format now states about itself.
    pub fn restate(&mut self, format: &TrackFormat) {
        if self.next.is_none() && *self.format != *format {
            self.format = Arc::new(format.clone());
        }
    }

    pub fn is_audio(&self) -> bool {
        matches!(*self.format, TrackFormat::Audio(_))
    }

    /// Only a key frame gets it going.
    pub fn awaits_key(&self) -> bool {
        self.awaits_key
    }

    /// Takes up another format: at once if nothing was packaged yet, else at the next break.
    pub fn change(&mut self, track: &Track, out: &mut Vec<Output>) -> Result<(), Unusable> {
        // Tried now, so that a configuration nobody can describe is refused before it replaces one.
        init::write(&track.rendition, &track.format, track.bitrate)?;
        self.next = Some(track.clone());
        if self.msn.is_none() {
            self.take_format(out);
        }
        Ok(())
    }

    /// Takes the next packet, which belongs to the segment `cut` opens.
    pub fn push(&mut self, packet: Packet, cut: Cut, limits: &Limits, out: &mut Vec<Output>) {
        let enters = self.msn != Some(cut.msn);
        if self.next.is_some() && !(enters && cut.discontinuity) {
            if enters {
                self.flush(limits, out);
            }
            return;
        }
        self.awaits_key |= enters && (cut.fresh || self.next.is_some()) && !self.is_audio();
        if self.awaits_key && !packet.key || !enters && self.ended {
            return;
        }
        self.awaits_key = false;
        if let Some(held) = self.held.take() {
            let next = (!(enters && cut.discontinuity)).then_some(packet.dts);
            self.append(held, next, enters, limits, out);
        }
        if enters {
            self.enter(cut, &packet, out);
        }
        if self.nominal == 0 {
            self.nominal = self.ticks(limits.frame).max(1);
        }
        self.latest = self.latest.max(packet.pts);
        self.held = Some(packet);
    }

    /// Writes everything out; what it wrote last ends its segment.
    pub fn flush(&mut self, limits: &Limits, out: &mut Vec<Output>) {
        if let Some(held) = self.held.take() {
            self.append(held, None, true, limits, out);
            self.ended = true;
        }
    }

    /// The track goes away, perhaps for a while.
    pub fn park(&mut self, limits: &Limits, out: &mut Vec<Output>) {
        self.flush(limits, out);
        self.awaits_key = !self.is_audio();
    }

    fn enter(&mut self, cut: Cut, packet: &Packet, out: &mut Vec<Output>) {
        let first = self.msn.is_none();
        self.msn = Some(cut.msn);
        self.ended = false;
        self.index = 0;
        self.segment = 0;
        self.discontinuity |= cut.discontinuity;
        self.stands_in = cut.stands_in;
        if self.next.is_some() {
            self.nominal = 0;
            self.take_format(out);
        }
        if first || self.discontinuity {
            self.decode = packet.dts.to_ticks(self.scale).max(0);
        }
    }

    fn take_format(&mut self, out: &mut Vec<Output>) {
        let Some(track) = self.next.take() else { return };
        self.scale = init::scale(&track.format);
        self.format = Arc::new(track.format);
        // It was described once already, when it was announced.
        let _ = self.describe(track.bitrate, track.label, out);
    }

    fn describe(&mut self, bitrate: Option<u32>, label: Option<Label>, out: &mut Vec<Output>) -> Result<(), Unusable> {
        let data = init::write(&self.rendition, &self.format, bitrate)?;
        let version = self.counters.version;
        self.counters.version += 1;
        let (rendition, format) = (self.rendition.clone(), self.format.clone());
        out.push(Output::Init(Init { rendition, version, format, bitrate, label, data }));
        Ok(())
    }

    /// Puts a sample into the open part, or the next one where it does not fit. `next` is the
    /// decoding time of its successor; `ends`: that one opens a segment.
    ///
    /// A frame that lasts longer than a part may is shown for a part's length; the decoding time of
    /// the next one shows the gap.
    fn append(&mut self, packet: Packet, next: Option<MediaTime>, ends: bool, limits: &Limits, out: &mut Vec<Output>) {
        let stamp = packet.dts.to_ticks(self.scale);
        let early = self.ticks(EARLY).min(self.nominal / 4);
        // Twice what this lane itself may be off by: anything more is a hole in the stamps.
        let tolerated = 2 * if self.is_audio() { self.ticks(SEAM) } else { early };
        if stamp.saturating_sub(self.decode) > tolerated {
            self.close(false, out);
            self.decode = stamp;
        }
        let wanted = self.duration(next);
        let mut room = self.room(limits);
        if wanted > room + early || room < 1 {
            self.close(false, out);
            room = self.room(limits);
        }
        let duration = wanted.min(room).max(1);
        self.put(packet, duration);
        if !self.is_audio() {
            self.nominal += (duration.min(2 * self.nominal) - self.nominal) / 8;
        }
        let full = self.nominal > self.room(limits) + early;
        if ends || full || self.part.samples.len() >= SAMPLES || self.part.bytes >= BYTES {
            self.close(ends, out);
        }
    }

    /// How long the held frame lasts, in ticks, its successor's decoding time given.
    fn duration(&self, next: Option<MediaTime>) -> i64 {
        let frame = if self.is_audio() { i64::from(AudioFormat::FRAME) } else { self.nominal };
        let Some(next) = next else { return frame };
        let exact = next.to_ticks(self.scale).saturating_sub(self.decode);
        if !self.is_audio() {
            return exact.max(1);
        }
        match exact.saturating_sub(frame) {
            seam if seam.abs() <= self.ticks(SEAM) => frame,
            // Stamps that fell behind the samples are caught up with, not followed at once.
            seam if seam < 0 => exact.max(frame / 2),
            _ => exact,
        }
    }

    /// Ticks the open part may still grow by.
    fn room(&self, limits: &Limits) -> i64 {
        (self.ticks(limits.part) - self.part.duration).min(self.ticks(limits.segment) - self.segment)
    }

    fn put(&mut self, packet: Packet, duration: i64) {
        let shown = if self.is_audio() { self.decode } else { packet.pts.to_ticks(self.scale).max(0) };
        let start = if self.is_audio() { MediaTime::from_ticks(shown, self.scale) } else { packet.pts };
        let offset = shown.saturating_sub(self.decode).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        let part = &mut self.part;
        if part.samples.is_empty() {
            part.decode = self.decode;
            part.start = start;
        }
        part.start = part.start.min(start);
        part.duration += duration;
        part.bytes += packet.data.len();
        part.samples.push(Sample { duration: duration as u32, offset, key: packet.key, data: packet.data });
        self.segment += duration;
        self.decode += duration;
    }

    fn close(&mut self, ends_segment: bool, out: &mut Vec<Output>) {
        let (Some(first), Some(msn)) = (self.part.samples.first(), self.msn) else { return };
        let independent = first.key || self.is_audio();
        self.counters.sequence = self.counters.sequence.wrapping_add(1);
        let decode = self.part.decode.max(0).cast_unsigned();
        let data = fragment::write(self.counters.sequence, decode, &self.part.samples, self.is_audio());
        let nanos = i128::from(self.part.duration) * 1_000_000_000 / i128::from(self.scale);
        let discontinuity = std::mem::take(&mut self.discontinuity);
        // A player may hold the part that was hinted for more of what it has, and decode it with the map it has: that
        // one never comes, and its successor is listed behind the discontinuity and its own map.
        self.counters.number += u64::from(discontinuity && self.counters.number > 0);
        let part = Part {
            rendition: self.rendition.clone(),
            msn,
            index: self.index,
            number: self.counters.number,
            start: self.part.start,
            duration: Duration::from_nanos((nanos as u64).max(1)),
            independent,
            ends_segment,
            discontinuity,
            init: self.counters.version.saturating_sub(1),
            data,
        };
        out.push(if self.stands_in { Output::StandIn(part) } else { Output::Part(part) });
        self.counters.number += 1;
        self.index += 1;
        // The list keeps its allocation for the next part.
        self.part.samples.clear();
        (self.part.bytes, self.part.duration) = (0, 0);
    }

    /// Ticks of a bound, rounded down so that it holds.
    fn ticks(&self, time: Duration) -> i64 {
        (time.as_nanos().min(1 << 62) * u128::from(self.scale) / 1_000_000_000).min(1 << 62) as i64
    }
}
