//! What comes of one publisher, whichever way and by whomever it was asked: RTP and RTCP into frames of a live.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Error,
    media::Media,
    sdp::{Content, Description, Medium},
};
use crate::{
    ingest::rtsp::rtp::{
        Clock, Depacketizer, Order, Packet,
        rtcp::{self, SenderReport},
    },
    stream::{Link, Publication, Replaced},
};

/// Which media of a description are taken: the first video and the first audio that can be.
///
/// # Errors
/// [`Error::Unusable`] names the codec where there is video, or nothing but audio, and none can be taken.
pub fn choose(description: &Description) -> Result<Vec<usize>, Error> {
    let find = |wanted: fn(&Content) -> bool| {
        description.media.iter().position(|medium| medium.content.as_ref().is_ok_and(wanted))
    };
    let video = find(|content| matches!(content, Content::H264 { .. }));
    let audio = find(|content| matches!(content, Content::Audio { .. }));
    let refused = |kind: &str| {
        let mut refused = description.media.iter().filter_map(|medium| medium.content.as_ref().err());
        refused.find(|what| what.starts_with(kind)).cloned()
    };
    if let (None, Some(what)) = (video, refused("video")) {
        return Err(Error::Unusable(format!("{what}: set the encoder's video codec to H.264")));
    }
    if video.is_none() && audio.is_none() {
        let what = description.media.iter().find_map(|medium| medium.content.as_ref().err().cloned());
        return Err(Error::Unusable(format!("{}: set the encoder's audio codec to AAC", what.unwrap_or_default())));
    }
    Ok(video.into_iter().chain(audio).collect())
}

/// One publisher's tracks on their way into its live.
#[derive(Debug)]
pub struct Receiver {
    publication: Publication,
    tracks: Vec<Track>,
    clock: Clock,
    epoch: Instant,
    /// What we call ourselves in reports.
    ssrc: u32,
}

#[derive(Debug)]
struct Track {
    payload_type: u8,
    order: Order,
    depacketizer: Depacketizer,
    media: Media,
    clock: usize,
    report: Option<(SenderReport, Instant)>,
}

impl Receiver {
    /// For a publisher that was let in at `now`. `ssrc` is any number (RFC 3550 §8.1).
    pub fn new(publication: Publication, ssrc: u32, now: Instant) -> Self {
        Self { publication, tracks: Vec::new(), clock: Clock::default(), epoch: now, ssrc }
    }

    /// Takes a medium whose packets `may_stray`: come in another order, or not at all. Its index, unless it holds
    /// nothing that can be taken.
    pub fn add(&mut self, medium: &Medium, may_stray: bool) -> Option<usize> {
        let content = medium.content.clone().ok()?;
        self.tracks.push(Track {
            payload_type: medium.payload_type,
            order: Order::new(medium.clock_rate, may_stray),
            depacketizer: Depacketizer::new(content.codec()),
            media: Media::new(content),
            clock: self.clock.add(medium.clock_rate),
            report: None,
        });
        Some(self.tracks.len() - 1)
    }

    /// The live's name.
    pub fn name(&self) -> &crate::model::StreamName {
        self.publication.name()
    }

    /// Access units that could not be put together so far.
    pub fn dropped(&self) -> u64 {
        self.tracks.iter().map(|track| track.depacketizer.dropped()).sum()
    }

    /// A packet of a track that arrived at `now`. What is no packet of it is dropped.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn rtp(&mut self, track: usize, data: &Bytes, now: Instant) -> Result<(), Replaced> {
        let Some(state) = self.tracks.get_mut(track) else { return Ok(()) };
        match Packet::parse(data).filter(|packet| packet.payload_type == state.payload_type) {
            Some(packet) => {
                if !state.order.push(packet, now) {
                    self.clock.restart(state.clock);
                }
            }
            None => {
                metrics::counter!("amphi_rtsp_packets_dropped_total").increment(1);
                return Ok(());
            }
        }
        self.drain(track, now)
    }

    /// A control packet of a track's sender.
    pub fn rtcp(&mut self, track: usize, data: &[u8], now: Instant) {
        let Some(state) = self.tracks.get_mut(track) else { return };
        if let Some(report) = rtcp::sender_report(data) {
            self.clock.report(state.clock, &report);
            state.report = Some((report, now));
        }
    }

    /// Gives up waiting for what is overdue at `now`. Call it some ten times a second.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn tick(&mut self, now: Instant) -> Result<(), Replaced> {
        (0..self.tracks.len()).try_for_each(|track| self.drain(track, now))
    }

    /// Tells the live how packets travel, and gives what each sender should be told of it (RFC 3550 §6.4.2).
    /// `round_trip` is known where the server was asked something. Call it every two seconds.
    pub fn reports(&mut self, round_trip: Option<Duration>, now: Instant) -> Vec<(usize, Bytes)> {
        let mut link = Link { round_trip, ..Link::default() };
        let mut reports = Vec::new();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let Some(figures) = track.order.figures() else { continue };
            link.loss = link.loss.max(figures.loss);
            link.jitter = link.jitter.max(figures.jitter_time);
            let last = track.report.map(|(report, came)| {
                let since = now.duration_since(came).as_secs_f64() * 65_536.0;
                (report, since as u32)
            });
            reports.push((index, rtcp::receiver_report(self.ssrc, &figures, last)));
        }
        if !reports.is_empty() {
            self.publication.report(link);
        }
        reports
    }

    fn drain(&mut self, track: usize, now: Instant) -> Result<(), Replaced> {
        let arrived = i64::try_from(now.duration_since(self.epoch).as_nanos()).unwrap_or(i64::MAX);
        let Some(state) = self.tracks.get_mut(track) else { return Ok(()) };
        while let Some((packet, gap)) = state.order.pop(now) {
            for unit in state.depacketizer.push(&packet, gap) {
                let pts = self.clock.time(state.clock, unit.timestamp, arrived);
                state.media.write(unit.data, pts, &mut self.publication, now)?;
            }
        }
        Ok(())
    }
}
