//! Packets of a publisher into frames of its publication. Pure but for the [`Publication`] it writes to.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    ingest::{
        parameter_sets::ParameterSets,
        rtp::{
            Picture,
            clock::Clock,
            h264,
            link::Meter,
            reorder::{Next, Reorder},
            vp8,
        },
    },
    model::{AudioCodec, AudioFormat, TrackId, VideoCodec, VideoFormat},
    rtc::{Codec, Incoming, Stream},
    stream::{Frame, Publication, Replaced},
};

/// How long a packet is waited for, repeated ones included: two round trips around the earth.
const PATIENCE: Duration = Duration::from_millis(400);
/// RTP time that goes back so far, in nanoseconds, is another clock's.
const RESTART: i64 = 1_000_000_000;
/// Segments of HLS begin at key frames, so they come at least this often.
const KEY_FRAMES: Duration = Duration::from_secs(2);
/// A publisher that was asked for a key frame gets this long to send it.
const ANSWER: Duration = Duration::from_millis(500);

/// One publication's decoder state.
pub(super) struct Media {
    begun: Instant,
    clock: Clock,
    meter: Meter,
    video: Video,
    audio: Audio,
    /// Since when pictures are due; none before the peer is there or if it sends none.
    connected: Option<Instant>,
    wanted: bool,
    asked: Option<Instant>,
    dropped: u64,
}

struct Video {
    reorder: Reorder,
    /// Of the stream that is taken: the first that came.
    source: Option<u32>,
    depacketizer: Depacketizer,
    sets: ParameterSets,
    /// Width and height of VP8.
    size: Option<(u32, u32)>,
    track: Option<TrackId>,
    /// Nothing can be decoded before the next key frame.
    broken: bool,
    last_key: Option<Instant>,
    last_dts: i64,
}

struct Audio {
    reorder: Reorder,
    source: Option<u32>,
    channels: u16,
    track: Option<TrackId>,
}

/// Follows the payload type: a publisher may go from one codec to the other.
enum Depacketizer {
    H264(h264::Depacketizer),
    Vp8(vp8::Depacketizer),
}

impl Media {
    /// Of a publisher that agreed on these streams, at `now`.
    pub fn new(streams: &[Stream], now: Instant) -> Self {
        let stereo = streams.iter().any(|stream| stream.codec == Codec::Opus && is_stereo(&stream.parameters));
        Self {
            begun: now,
            clock: Clock::new(Codec::Opus.clock_rate(), Codec::H264.clock_rate()),
            meter: Meter::new(now),
            video: Video {
                reorder: Reorder::new(PATIENCE),
                source: None,
                depacketizer: Depacketizer::H264(h264::Depacketizer::default()),
                sets: ParameterSets::default(),
                size: None,
                track: None,
                broken: true,
                last_key: None,
                last_dts: i64::MIN,
            },
            audio: Audio {
                reorder: Reorder::new(PATIENCE),
                source: None,
                channels: if stereo { 2 } else { 1 },
                track: None,
            },
            connected: None,
            wanted: false,
            asked: None,
            dropped: 0,
        }
    }

    /// The peer is there.
    pub fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// Takes a packet as it arrives.
    pub fn arrived(&mut self, packet: Incoming) {
        self.meter.arrived(&packet);
        let (source, reorder) = if packet.codec.is_video() {
            (&mut self.video.source, &mut self.video.reorder)
        } else {
            (&mut self.audio.source, &mut self.audio.reorder)
        };
        if *source.get_or_insert(packet.ssrc) == packet.ssrc {
            reorder.insert(packet);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes a sender report.
    pub fn reported(&mut self, ssrc: u32, rtp_time: u32, ntp: u64) {
        if self.audio.source == Some(ssrc) {
            self.clock.sound_report(rtp_time, ntp);
        } else if self.video.source == Some(ssrc) {
            self.clock.picture_report(rtp_time, ntp);
        }
    }

    /// A reader of the live cannot go on without a key frame.
    pub fn want_key_frame(&mut self) {
        self.wanted = true;
    }

    /// When [`Media::drain`] has something to do though nothing arrives.
    pub fn deadline(&self) -> Option<Instant> {
        let given_up = [&self.video.reorder, &self.audio.reorder].map(Reorder::deadline);
        let due = self.video.source.and(self.key_frame_due());
        given_up.into_iter().flatten().chain(due).min()
    }

    /// Writes what is complete at `now`.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn drain(&mut self, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        while let Some(next) = self.audio.reorder.next(now) {
            match next {
                Next::Packet(packet) => self.sound(packet, to, now)?,
                Next::Lost(count) => self.lost(count, now),
            }
        }
        while let Some(next) = self.video.reorder.next(now) {
            match next {
                Next::Packet(packet) => self.pictures(&packet, to, now)?,
                Next::Lost(count) => {
                    self.lost(count, now);
                    self.video.broken = true;
                    self.video.depacketizer.lost();
                }
            }
        }
        Ok(())
    }

    /// Whether the publisher is to be asked for a key frame now; then it is taken as asked.
    pub fn asks_for_key_frame(&mut self, now: Instant) -> bool {
        let asks = self.video.source.is_some() && self.key_frame_due().is_some_and(|due| due <= now);
        if asks {
            (self.asked, self.wanted) = (Some(now), false);
        }
        asks
    }

    /// Loss and jitter.
    pub fn link(&self) -> (f64, Duration) {
        (self.meter.loss(), self.meter.jitter())
    }

    /// Pictures and packets that were of no use.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn key_frame_due(&self) -> Option<Instant> {
        let since = self.connected?;
        let patient = self.asked.map_or(since, |asked| asked + ANSWER);
        if self.wanted || self.video.broken {
            return Some(patient);
        }
        Some(patient.max(self.video.last_key.unwrap_or(since) + KEY_FRAMES))
    }

    fn lost(&mut self, count: u64, now: Instant) {
        self.meter.lost(count, now);
        metrics::counter!("amphi_whip_packets_lost_total").increment(count);
    }

    fn sound(&mut self, packet: Incoming, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        let time = self.clock.sound(packet.timestamp, self.since_begin(packet.at));
        // One that only probes the path holds nothing; of the others the first byte says how many channels
        // (RFC 6716 §3.1). One channel fits in two, so there is no way back.
        let Some(first) = packet.payload.first() else { return Ok(()) };
        let channels = if first & 4 != 0 { 2 } else { self.audio.channels };
        let track = match self.audio.track.filter(|_| channels == self.audio.channels) {
            Some(track) => track,
            None => {
                tracing::info!(channels, "audio: opus");
                let format =
                    AudioFormat { codec: AudioCodec::Opus, config: Bytes::new(), sample_rate: 48_000, channels };
                self.audio.channels = channels;
                *self.audio.track.insert(to.audio(format, None))
            }
        };
        to.write(Frame { track, dts: time, pts: time, key: true, data: packet.payload }, now)
    }

    fn pictures(&mut self, packet: &Incoming, to: &mut Publication, now: Instant) -> Result<(), Replaced> {
        if packet.payload.is_empty() {
            return Ok(());
        }
        let pictures: Vec<_> = self.video.depacketizer.of(packet.codec).take(packet).collect();
        for picture in pictures {
            let time = self.clock.picture(picture.timestamp, self.since_begin(packet.at));
            let frame = match packet.codec {
                Codec::Vp8 => self.video.vp8(picture, to),
                _ => self.video.h264(&picture, to),
            };
            let Some((track, key, data)) = frame.filter(|(_, key, _)| *key || !self.video.broken) else {
                self.dropped += 1;
                continue;
            };
            if key {
                (self.video.broken, self.video.last_key) = (false, Some(now));
            }
            // Far behind the last one it is another clock, which the live's timeline places anew.
            if time.saturating_add(RESTART) < self.video.last_dts {
                self.video.last_dts = i64::MIN;
            }
            // Pictures come in decoding order; browsers send none that are shown in another.
            let dts = time.max(self.video.last_dts.saturating_add(1));
            self.video.last_dts = dts;
            to.write(Frame { track, dts, pts: time, key, data }, now)?;
        }
        Ok(())
    }

    fn since_begin(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(i64::MAX)
    }
}

impl Video {
    /// Track, whether it is a key frame, and what goes to it; `None` while it cannot be decoded.
    fn h264(&mut self, picture: &Picture, to: &mut Publication) -> Option<(TrackId, bool, Bytes)> {
        let unit = self.sets.take(&picture.units)?;
        // Another format begins with a key frame; a picture before it would be of neither.
        match self.sets.changed() {
            Ok(Some(format)) => self.announce(format, to),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "video cannot be taken");
                self.track = None;
            }
        }
        self.size = None;
        self.track.map(|track| (track, unit.key, unit.data))
    }

    fn vp8(&mut self, picture: Picture, to: &mut Publication) -> Option<(TrackId, bool, Bytes)> {
        let frame = picture.units.into_iter().next()?;
        let size = vp8::key_frame(&frame);
        if let Some((width, height)) = size.filter(|_| self.size != size) {
            self.size = size;
            self.sets = ParameterSets::default();
            let format = VideoFormat { codec: VideoCodec::Vp8, config: Bytes::new(), width, height, frame_rate: None };
            self.announce(format, to);
        }
        self.track.map(|track| (track, size.is_some(), frame))
    }

    fn announce(&mut self, format: VideoFormat, to: &mut Publication) {
        tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
        self.track = Some(to.video(format, None));
        self.broken = true;
    }
}

impl Depacketizer {
    /// The one for a codec; another than before begins anew.
    fn of(&mut self, codec: Codec) -> &mut Self {
        match (codec, &self) {
            (Codec::Vp8, Self::H264(_)) => *self = Self::Vp8(vp8::Depacketizer::default()),
            (Codec::H264, Self::Vp8(_)) => *self = Self::H264(h264::Depacketizer::default()),
            _ => {}
        }
        self
    }

    fn take(&mut self, packet: &Incoming) -> Box<dyn Iterator<Item = Picture>> {
        let Incoming { timestamp, marker, payload, .. } = packet;
        match self {
            Self::H264(h264) => Box::new(h264.take(*timestamp, *marker, payload)),
            Self::Vp8(vp8) => Box::new(vp8.take(*timestamp, *marker, payload)),
        }
    }

    fn lost(&mut self) {
        match self {
            Self::H264(h264) => h264.lost(),
            Self::Vp8(vp8) => vp8.lost(),
        }
    }
}

/// What an Opus sender says of itself (RFC 7587 §6.1).
fn is_stereo(parameters: &str) -> bool {
    parameters.split(';').any(|pair| pair.trim() == "sprop-stereo=1")
}
