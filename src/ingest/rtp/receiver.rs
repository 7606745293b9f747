//! All tracks of one publisher.

use std::time::{Duration, Instant};

use super::{
    Content, Packet,
    clock::Clock,
    depacketizer::Depacketizer,
    media::{Frame, Media},
    order::{Figures, Next, Order, PATIENCE},
    rtcp::SenderReport,
};
use crate::{
    model::StreamName,
    stream::{self, Link, Publication, Replaced},
};

/// What becomes of pictures that refer to a lost one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// They are left out up to the next key frame, for which the sender can be asked.
    AwaitsKey,
    /// They are shown as well as decoders can: a key frame may be long in coming.
    Conceals,
}

/// How one track's packets come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// The track, as [`Receiver::add`] numbered it.
    pub track: usize,
    /// Since the last look, and ever.
    pub figures: Figures,
    /// The sender's last report, and how long ago it came.
    pub last: Option<(SenderReport, Duration)>,
}

/// Writes what one publisher's packets hold to its publication.
#[derive(Debug)]
pub struct Receiver {
    publication: Publication,
    loss: Loss,
    tracks: Vec<Track>,
    clock: Clock,
    epoch: Instant,
}

#[derive(Debug)]
struct Track {
    order: Order,
    depacketizer: Depacketizer,
    media: Media,
    report: Option<(SenderReport, Instant)>,
}

impl Receiver {
    /// For a publisher that was let in at `now`.
    pub fn new(publication: Publication, loss: Loss, now: Instant) -> Self {
        Self { publication, loss, tracks: Vec::new(), clock: Clock::default(), epoch: now }
    }

    /// One more track, whose time stamps have `rate` ticks a second, and whose packets `may_stray`: come in another
    /// order, or not at all. Its index.
    pub fn add(&mut self, content: Content, rate: u32, may_stray: bool) -> usize {
        let patience = if may_stray { PATIENCE } else { Duration::ZERO };
        self.tracks.push(Track {
            order: Order::new(rate, patience),
            depacketizer: Depacketizer::new(content.codec()),
            report: None,
            media: Media::new(content.clone()),
        });
        // A hole in sound is heard.
        self.clock.add(rate, !content.is_video())
    }

    /// The live's name.
    pub fn name(&self) -> &StreamName {
        self.publication.name()
    }

    /// The track that a sender feeds.
    pub fn of_sender(&self, ssrc: u32) -> Option<usize> {
        self.tracks.iter().position(|track| track.order.ssrc() == Some(ssrc))
    }

    /// Takes a packet of a track that arrived at `now`.
    pub fn packet(&mut self, track: usize, packet: Packet, now: Instant) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.order.push(packet, now);
        }
    }

    /// Takes a report of a track's sender that arrived at `now`; those of others are passed over.
    pub fn report(&mut self, track: usize, report: &SenderReport, now: Instant) {
        let Some(state) = self.tracks.get_mut(track) else { return };
        if state.order.ssrc().is_none_or(|ssrc| ssrc == report.ssrc) {
            state.report = Some((*report, now));
            self.clock.report(track, report);
        }
    }

    /// Writes what is complete at `now`, and gives up waiting for what is overdue.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn drain(&mut self, now: Instant) -> Result<(), Replaced> {
        (0..self.tracks.len()).try_for_each(|track| self.drain_track(track, now))
    }

    /// When [`Receiver::drain`] has something to do though nothing arrives.
    pub fn deadline(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(|track| track.order.deadline()).min()
    }

    /// Of the pictures, once packets of them come: whether nothing but a key frame goes on, and when the last came.
    pub fn key_frames(&self) -> Option<(bool, Option<Instant>)> {
        let begun = self.tracks.iter().filter(|track| track.order.ssrc().is_some());
        begun.filter_map(|track| track.media.key_frames()).next()
    }

    /// Tells the live how packets travel, and says it of each track whose packets come. `round_trip` is known where
    /// the sender was asked something. Call it every second or two.
    pub fn figures(&mut self, round_trip: Option<Duration>, now: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let Some(figures) = track.order.figures() else { continue };
            let last = track.report.map(|(report, came)| (report, now.saturating_duration_since(came)));
            reports.push(Report { track: index, figures, last });
        }
        if !reports.is_empty() {
            let loss = reports.iter().map(|report| report.figures.loss).reduce(f64::max);
            let jitter = reports.iter().map(|report| report.figures.jitter_time).max();
            self.publication.report(Link { loss, jitter, round_trip });
        }
        reports
    }

    /// Access units of which nothing was made so far.
    pub fn dropped(&self) -> u64 {
        self.tracks.iter().map(|track| track.depacketizer.dropped() + track.media.dropped()).sum()
    }

    /// The publisher said goodbye.
    pub fn finish(self) {
        self.publication.finish();
    }

    fn drain_track(&mut self, index: usize, now: Instant) -> Result<(), Replaced> {
        while let Some(next) = self.tracks.get_mut(index).and_then(|track| track.order.pop(now)) {
            let track = &mut self.tracks[index];
            match next {
                Next::Packet(packet, at) => {
                    for unit in track.depacketizer.take(&packet) {
                        let time = self.clock.unwrapped(index, unit.timestamp);
                        let frames = self.tracks[index].media.take(unit, time, at, &mut self.publication);
                        self.write(index, frames, now)?;
                    }
                }
                Next::Lost(count) => {
                    metrics::counter!("amphi_rtp_packets_lost_total").increment(count);
                    track.depacketizer.lost();
                    if self.loss == Loss::AwaitsKey {
                        track.media.await_key();
                    }
                }
                Next::Anew => {
                    tracing::info!(ssrc = track.order.ssrc(), "another sender goes on");
                    track.depacketizer.restart();
                    track.report = None;
                    let frames = track.media.restart();
                    self.write(index, frames, now)?;
                    self.clock.restart(index);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, track: usize, frames: Vec<Frame>, now: Instant) -> Result<(), Replaced> {
        for Frame { track: id, pts, dts, key, data, arrived } in frames {
            let arrived = arrived.saturating_duration_since(self.epoch).as_nanos();
            let offset = self.clock.offset(track, dts, i64::try_from(arrived).unwrap_or(i64::MAX));
            let (pts, dts) = (pts.saturating_add(offset), dts.saturating_add(offset));
            self.publication.write(stream::Frame { track: id, dts, pts, key, data }, now)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
