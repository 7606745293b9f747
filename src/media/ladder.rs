//! The ladder: smaller pictures of a live, made from its source and put back on its bus.
//!
//! One decode feeds every rung. A rung has the frames of the source, with the source's presentation
//! times, and key frames where the source has them and nowhere else, so that all renditions are cut at
//! the same instants. What the machine cannot encode in time is dropped ahead of the decoder, up to the
//! next key frame, once a second of it waits: rungs lose pictures, never time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Error, Pipeline, Stats, Templates,
    feed::{self, Job, Outlet},
};
use crate::{
    model::{MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId, VideoCodec, VideoFormat},
    stream::{Consumer, Producer},
};

/// Pictures larger than this are passed through but not decoded: 4096 × 2304.
const MAX_PIXELS: u64 = 4096 * 2304;

/// Which rungs a live gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderSettings {
    rungs: Vec<(u32, u32)>,
    /// Codecs of which no rung is made.
    without: Vec<VideoCodec>,
}

/// One rung as it is made from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its track. The same height of the settings is always the same track, whatever the source's size.
    pub track: TrackId,
    /// Its rendition: `480p`.
    pub rendition: RenditionId,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// The encoder's ceiling in bits a second; 2 s of it may hold 1.3 times as much.
    pub bitrate: u32,
}

impl Default for LadderSettings {
    /// 480p and 240p: what two processor cores carry beside speech recognition.
    fn default() -> Self {
        Self::new([480, 240])
    }
}

impl LadderSettings {
    /// Rungs of these heights; odd ones, those outside 120 to 2160 and repeats are left out, and no
    /// more than eight are made. Usual: 1080, 720, 480, 360, 240.
    pub fn new(heights: impl IntoIterator<Item = u32>) -> Self {
        let mut heights: Vec<u32> =
            heights.into_iter().filter(|height| (120..=2160).contains(height) && height % 2 == 0).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.dedup();
        heights.truncate(8);
        let rungs = heights.into_iter().map(|height| (height, usual_bitrate(height))).collect();
        Self { rungs, without: Vec::new() }
    }

    /// Leaves sources of these codecs alone ([`Templates::undecodable`]).
    #[must_use]
    pub fn without(mut self, codecs: &[VideoCodec]) -> Self {
        self.without = codecs.to_vec();
        self
    }

    /// Sets the ceiling of one rung, in bits a second.
    #[must_use]
    pub fn with_bitrate(mut self, height: u32, bitrate: u32) -> Self {
        for rung in &mut self.rungs {
            if rung.0 == height {
                rung.1 = bitrate.clamp(50_000, 50_000_000);
            }
        }
        self
    }

    /// The rungs a source gets, largest first: those smaller than it, in its aspect ratio.
    ///
    /// Players that cannot decode the source need one that they can: of H.265 and AV1, which not every player
    /// takes, there is one of the source's own size where the ladder has a larger one.
    pub fn rungs(&self, source: &VideoFormat) -> Vec<Rung> {
        if !self.takes(source) {
            return Vec::new();
        }
        let rung = |(index, (height, bitrate))| Self::rung(source, index, height, bitrate);
        let universal = source.codec == VideoCodec::H264;
        let own = own_height(source);
        // The smallest of those that are larger, so that its bits are no more than the size deserves.
        let instead = if universal { None } else { self.rungs.iter().rposition(|(height, _)| *height >= own) };
        let fitting = |(index, (height, bitrate)): (usize, &(u32, u32))| match instead {
            Some(instead) if index == instead => Some((index, (own, *bitrate))),
            _ => (*height < source.height).then_some((index, (*height, *bitrate))),
        };
        self.rungs.iter().enumerate().filter_map(fitting).map(rung).filter(|rung| rung.width >= 16).collect()
    }

    /// The rungs a source gets in a live that has these tracks: those it began with stay under their names, of the
    /// source's own size where it became smaller than they are. Somebody may be watching each.
    fn rungs_beside(&self, source: &VideoFormat, tracks: &[Arc<Track>]) -> Vec<Rung> {
        let mut rungs = self.rungs(source);
        if !self.takes(source) {
            return rungs;
        }
        for (index, (height, bitrate)) in self.rungs.iter().copied().enumerate() {
            let Some(begun) = tracks.iter().find(|track| track.id == TrackId::rung(index as u8)) else { continue };
            let at = rungs.partition_point(|rung| rung.track < begun.id);
            if rungs.get(at).is_none_or(|rung| rung.track != begun.id) {
                rungs.insert(at, Self::rung(source, index, height.min(own_height(source)), bitrate));
            }
            if let Some(rung) = rungs.get_mut(at) {
                rung.rendition = begun.rendition.clone();
            }
        }
        rungs.retain(|rung| rung.width >= 16);
        rungs
    }

    fn takes(&self, source: &VideoFormat) -> bool {
        is_decodable(source) && !self.without.contains(&source.codec)
    }

    fn rung(source: &VideoFormat, index: usize, height: u32, bitrate: u32) -> Rung {
        Rung {
            track: TrackId::rung(index as u8),
            rendition: RenditionId::rung(height),
            width: even(u64::from(source.width) * u64::from(height), u64::from(source.height)),
            height,
            bitrate,
        }
    }
}

/// A source's height as an encoder of ours has it.
fn own_height(source: &VideoFormat) -> u32 {
    source.height / 2 * 2
}

/// Makes rungs of the live `consumer` reads and writes them to the same bus, until the live ends or
/// `cancel` fires; then the pipeline and its threads are gone. Dropping the future stops it as well, a
/// moment later. A pipeline that fails is logged and built again, after 0.5 s at first and 30 s at
/// most; the source is never touched.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(
    consumer: Consumer,
    settings: LadderSettings,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<Stats, Error> {
    let producer = consumer.producer();
    let job = Job { name: "ladder", track: TrackId::VIDEO, keeps_tail: false, backlog: 1.0 };
    let build = move |track: &Track, first: &Packet, outlet: Outlet| {
        build(&producer, &settings, &templates, track, first, &outlet)
    };
    feed::run(consumer, job, build, cancel).await
}

fn build(
    producer: &Producer,
    settings: &LadderSettings,
    templates: &Templates,
    track: &Track,
    first: &Packet,
    outlet: &Outlet,
) -> Result<Option<Pipeline>, Error> {
    let Some(source) = track.format.video() else { return Ok(None) };
    let rungs = settings.rungs_beside(source, &producer.tracks());
    launch(producer, templates, source, rungs, first, outlet)
}

/// The pipeline that makes `rungs` of a source and writes them to `producer`; none where there is nothing to make.
pub(super) fn launch(
    producer: &Producer,
    templates: &Templates,
    source: &VideoFormat,
    rungs: Vec<Rung>,
    first: &Packet,
    outlet: &Outlet,
) -> Result<Option<Pipeline>, Error> {
    if !is_decodable(source) {
        warn!(width = source.width, height = source.height, "source is too large to be decoded");
        return Ok(None);
    }
    if templates.undecodable().contains(&source.codec) {
        warn!(codec = source.codecs(), "this machine has no decoder of the source: `amphi check` names it");
        return Ok(None);
    }
    if rungs.is_empty() {
        return Ok(None);
    }
    let sizes: Vec<_> = rungs.iter().map(|rung| (rung.width, rung.height, rung.bitrate)).collect();
    let pipeline = Pipeline::launch(&templates.ladder(source.codec, &sizes))?;
    pipeline.source("src")?.set_caps(Some(&caps(source)));
    keep_order(&pipeline.element::<gst::Element>("raw")?, first.pts)?;
    for (index, rung) in rungs.into_iter().enumerate() {
        connect(&pipeline, &format!("rung{index}"), producer, rung, source.frame_rate, outlet.clone())?;
    }
    Ok(Some(pipeline))
}

/// Has what comes out of the `appsink` of that name written to a rung's track.
pub(super) fn connect(
    pipeline: &Pipeline,
    sink: &str,
    producer: &Producer,
    rung: Rung,
    frame_rate: Option<f64>,
    outlet: Outlet,
) -> Result<(), Error> {
    let mut writer = Writer { producer: producer.clone(), rung, frame_rate, config: None, last: None };
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        outlet.pass(|| writer.write(&sample));
        Ok(gst::FlowSuccess::Ok)
    });
    pipeline.sink(sink)?.set_callbacks(callbacks.build());
    Ok(())
}

/// Puts one rung's access units on the bus. Runs on the encoder's thread, and only copies.
struct Writer {
    producer: Producer,
    rung: Rung,
    frame_rate: Option<f64>,
    config: Option<Bytes>,
    last: Option<MediaTime>,
}

impl Writer {
    fn write(&mut self, sample: &gst::Sample) {
        let Some(pts) = feed::media_time(sample) else { return };
        let Some(buffer) = sample.buffer() else { return };
        let Ok(data) = buffer.map_readable() else { return };
        // Encoders that begin with a buffer of headers alone stamp it like the frame that follows.
        if self.last.is_some_and(|last| pts <= last) {
            return;
        }
        self.announce(sample);
        if self.config.is_none() {
            return;
        }
        self.last = Some(pts);
        self.producer.write(Packet {
            track: self.rung.track,
            pts,
            // No frame is reordered in a rung, so each is decoded when it is shown.
            dts: pts,
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            data: Bytes::copy_from_slice(&data),
        });
    }

    fn announce(&mut self, sample: &gst::Sample) {
        let structure = sample.caps().and_then(|caps| caps.structure(0));
        let Some(config) = structure.and_then(|structure| structure.get::<gst::Buffer>("codec_data").ok()) else {
            return;
        };
        let Ok(config) = config.map_readable() else { return };
        if config.len() < 7 || self.config.as_deref() == Some(&config[..]) {
            return;
        }
        let config = Bytes::copy_from_slice(&config);
        self.config = Some(config.clone());
        let track = Track {
            id: self.rung.track,
            rendition: self.rung.rendition.clone(),
            format: TrackFormat::Video(VideoFormat {
                codec: VideoCodec::H264,
                config,
                width: self.rung.width,
                height: self.rung.height,
                frame_rate: self.frame_rate,
            }),
            // The rate buffer holds 600 ms, so two seconds may peak at 1.3 times the ceiling.
            bitrate: Some(self.rung.bitrate / 10 * 13),
            label: None,
        };
        // A pipeline that was built again usually makes the same format, which readers know.
        if self.producer.tracks().iter().all(|known| **known != track) {
            self.producer.announce(track);
        }
    }
}

/// Drops pictures that lie before the first key frame (leading pictures of an open GOP that cannot be decoded)
/// or before one that was already encoded: encoders need stamps that rise, and the first picture must be
/// the key frame.
pub(super) fn keep_order(raw: &gst::Element, first: MediaTime) -> Result<(), Error> {
    let pad = raw.static_pad("sink").ok_or_else(|| Error::Pipeline("raw has no sink pad".into()))?;
    let floor = AtomicU64::new(feed::clock(first).nseconds());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| match info.buffer().and_then(|buffer| buffer.pts()) {
        Some(pts) if pts.nseconds() >= floor.load(Ordering::Relaxed) => {
            floor.store(pts.nseconds() + 1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Drop,
    });
    Ok(())
}

/// Small enough that decoding it cannot take the machine's memory.
pub(super) fn is_decodable(source: &VideoFormat) -> bool {
    u64::from(source.width) * u64::from(source.height) <= MAX_PIXELS
}

/// A format as decoders take it.
pub(super) fn caps(source: &VideoFormat) -> gst::Caps {
    let (name, form, alignment) = match source.codec {
        VideoCodec::H264 => ("video/x-h264", "avc", "au"),
        VideoCodec::Hevc => ("video/x-h265", "hvc1", "au"),
        VideoCodec::Av1 => ("video/x-av1", "obu-stream", "tu"),
        VideoCodec::Vp8 => return gst::Caps::new_empty_simple("video/x-vp8"),
    };
    let mut caps = gst::Caps::builder(name)
        .field("stream-format", form)
        .field("alignment", alignment)
        .field("codec_data", gst::Buffer::from_slice(source.config.clone()));
    if let Some(rate) = source.frame_rate {
        caps = caps.field("framerate", fraction(rate));
    }
    caps.build()
}

/// 29.97 and its kin as broadcasters mean them (30000/1001), others to three digits.
fn fraction(rate: f64) -> gst::Fraction {
    let whole = (rate * 1.001).round();
    if (rate * 1.001 - whole).abs() < 0.002 && (rate - rate.round()).abs() > 0.002 {
        gst::Fraction::new(whole as i32 * 1000, 1001)
    } else {
        gst::Fraction::new(((rate * 1000.0).round() as i32).max(1), 1000)
    }
}

/// `numerator / denominator` to the nearest even number.
pub(super) fn even(numerator: u64, denominator: u64) -> u32 {
    let denominator = denominator.max(1);
    u32::try_from((numerator + denominator) / (2 * denominator) * 2).unwrap_or(0)
}

/// What the eye of a lecture's viewer is used to.
pub(super) fn usual_bitrate(height: u32) -> u32 {
    match height {
        0..=240 => 400_000,
        241..=360 => 800_000,
        361..=480 => 1_200_000,
        481..=720 => 2_500_000,
        721..=1080 => 4_500_000,
        _ => 12_000_000,
    }
}
