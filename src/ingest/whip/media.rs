//! What a browser's packets are, and when it is asked for a key frame. Pure but for the [`Publication`] that is written
//! to.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    ingest::rtp::{self, Content, Loss, Packet, Receiver, rtcp::SenderReport},
    model::{AudioCodec, AudioFormat},
    rtc::{Codec, Incoming, Stream},
    stream::{Publication, Replaced},
};

/// Segments of HLS begin at key frames, so they come at least this often.
const KEY_FRAMES: Duration = Duration::from_secs(2);
/// A publisher that was asked for a key frame gets this long to send it.
const ANSWER: Duration = Duration::from_millis(500);
/// However many readers want key frames, they get no more than these: a key frame costs what else its time would have.
const WISHES: Duration = Duration::from_secs(1);

/// One publication's state.
pub(super) struct Media {
    receiver: Receiver,
    /// The tracks of codecs that were agreed on: one of pictures and one of sound at most.
    tracks: Vec<Codec>,
    /// Since when pictures are due; none before the peer is there or if it sends none.
    connected: Option<Instant>,
    /// When a reader last wished for one.
    wanted: Option<Instant>,
    asked: Option<Instant>,
}

impl Media {
    /// Of a publisher that agreed on these streams, at `now`.
    pub fn new(streams: &[Stream], publication: Publication, now: Instant) -> Self {
        let mut receiver = Receiver::new(publication, Loss::AwaitsKey, now);
        let mut tracks = Vec::new();
        for stream in streams {
            // Several payload types may be the same codec.
            if !tracks.contains(&stream.codec) {
                tracks.push(stream.codec);
                receiver.add(content(stream), stream.codec.clock_rate(), true);
            }
        }
        Self { receiver, tracks, connected: None, wanted: None, asked: None }
    }

    /// The peer is there.
    pub fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// Takes a packet as it arrives.
    pub fn arrived(&mut self, packet: Incoming) {
        let Incoming { codec, ssrc, sequence, timestamp, marker, payload, at } = packet;
        if let Some(track) = self.tracks.iter().position(|known| *known == codec) {
            self.receiver.packet(track, Packet { marker, sequence, timestamp, ssrc, payload }, at);
        }
    }

    /// Takes a sender report that came at `now`.
    pub fn reported(&mut self, ssrc: u32, rtp_time: u32, ntp: u64, now: Instant) {
        if let Some(track) = self.receiver.of_sender(ssrc) {
            self.receiver.report(track, &SenderReport { ssrc, ntp, timestamp: rtp_time }, now);
        }
    }

    /// A reader of the live cannot go on without a key frame.
    pub fn want_key_frame(&mut self, now: Instant) {
        self.wanted = Some(now);
    }

    /// When [`Media::drain`] or [`Media::asks_for_key_frame`] has something to do though nothing arrives.
    pub fn deadline(&self) -> Option<Instant> {
        self.receiver.deadline().into_iter().chain(self.key_frame_due()).min()
    }

    /// Writes what is complete at `now`.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn drain(&mut self, now: Instant) -> Result<(), Replaced> {
        self.receiver.drain(now)
    }

    /// Whether the publisher is to be asked for a key frame now; then it is taken as asked.
    pub fn asks_for_key_frame(&mut self, now: Instant) -> bool {
        let asks = self.key_frame_due().is_some_and(|due| due <= now);
        if asks {
            (self.asked, self.wanted) = (Some(now), None);
        }
        asks
    }

    /// Tells the live how packets travel.
    pub fn report(&mut self, round_trip: Option<Duration>, now: Instant) {
        // The peer is told by the connection itself.
        self.receiver.figures(round_trip, now);
    }

    /// Pictures that were of no use.
    pub fn dropped(&self) -> u64 {
        self.receiver.dropped()
    }

    /// The publisher has gone.
    pub fn finish(self) {
        self.receiver.finish();
    }

    fn key_frame_due(&self) -> Option<Instant> {
        let since = self.connected?;
        let (awaited, last) = self.receiver.key_frames()?;
        let patient = self.asked.map_or(since, |asked| asked + ANSWER);
        if awaited {
            return Some(patient);
        }
        // One that has come meanwhile is what was wished for.
        let rest = if self.wanted > last { WISHES } else { KEY_FRAMES };
        Some(patient.max(last.unwrap_or(since) + rest))
    }
}

fn content(stream: &Stream) -> Content {
    let pictures = |codec| Content::Video { codec, parameter_sets: Vec::new() };
    match stream.codec {
        Codec::H264 => pictures(rtp::Codec::H264),
        Codec::Vp8 => pictures(rtp::Codec::Vp8),
        Codec::Opus => {
            // What a sender says of itself (RFC 7587 §6.1).
            let stereo = stream.parameters.split(';').any(|pair| pair.trim() == "sprop-stereo=1");
            let (codec, config, channels) = (AudioCodec::Opus, Bytes::new(), if stereo { 2 } else { 1 });
            let format = AudioFormat { codec, config, sample_rate: 48_000, channels };
            Content::Audio { codec: rtp::Codec::Whole, format }
        }
    }
}
