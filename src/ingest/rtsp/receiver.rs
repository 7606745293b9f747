//! What comes of one publisher, whichever way and by whomever it was asked: datagrams of its tracks' ports.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Error, sdp::Medium, transport::Port};
use crate::{
    ingest::rtp::{self, Loss, Packet, rtcp},
    model::StreamName,
    stream::{Publication, Replaced},
};

/// One publisher's tracks on their way into its live.
#[derive(Debug)]
pub struct Receiver {
    tracks: rtp::Receiver,
    /// By track.
    payload_types: Vec<u8>,
    /// What we call ourselves in reports.
    ssrc: u32,
}

impl Receiver {
    /// For a publisher that was let in at `now`. `ssrc` is any number (RFC 3550 §8.1).
    pub fn new(publication: Publication, ssrc: u32, now: Instant) -> Self {
        // Nobody can be asked for a key frame: RTSP has no word for it, and few senders know feedback in RTCP.
        Self { tracks: rtp::Receiver::new(publication, Loss::Conceals, now), payload_types: Vec::new(), ssrc }
    }

    /// Takes a medium whose packets `may_stray`: come in another order, or not at all. Its index, unless it holds
    /// nothing that can be taken.
    pub fn add(&mut self, medium: &Medium, may_stray: bool) -> Option<usize> {
        let content = medium.content.clone().ok()?;
        self.payload_types.push(medium.payload_type);
        Some(self.tracks.add(content, medium.clock_rate, may_stray))
    }

    /// The live's name.
    pub fn name(&self) -> &StreamName {
        self.tracks.name()
    }

    /// Access units that could not be put together so far.
    pub fn dropped(&self) -> u64 {
        self.tracks.dropped()
    }

    /// What came for a track at `now`. What is nothing of it is dropped.
    ///
    /// # Errors
    /// [`Error::Replaced`].
    pub fn take(&mut self, track: usize, port: Port, data: &Bytes, now: Instant) -> Result<(), Error> {
        let Some(payload_type) = self.payload_types.get(track) else { return Ok(()) };
        match port {
            Port::Rtp => match Packet::parse(data, *payload_type) {
                Some(packet) => self.tracks.packet(track, packet, now),
                None => metrics::counter!("amphi_rtsp_packets_dropped_total").increment(1),
            },
            Port::Rtcp => {
                if let Some(report) = rtcp::sender_report(data) {
                    self.tracks.report(track, &report, now);
                }
            }
        }
        Ok(self.tracks.drain(now)?)
    }

    /// Gives up waiting for what is overdue at `now`. Call it some ten times a second.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn tick(&mut self, now: Instant) -> Result<(), Replaced> {
        self.tracks.drain(now)
    }

    /// Tells the live how packets travel, and gives what each sender should be told of it (RFC 3550 §6.4.2).
    /// `round_trip` is known where the server was asked something. Call it every two seconds.
    pub fn reports(&mut self, round_trip: Option<Duration>, now: Instant) -> Vec<(usize, Bytes)> {
        let reports = self.tracks.figures(round_trip, now).into_iter();
        let written =
            |report: rtp::Report| (report.track, rtcp::receiver_report(self.ssrc, &report.figures, report.last));
        reports.map(written).collect()
    }
}
