//! Sound in a codec that is not packaged, as AAC on the same bus: MP3, G.711, PCM and the like from RTMP,
//! and the door for whatever else a protocol brings.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Error, Pipeline, Stats, Templates,
    feed::{self, Job, Outlet},
};
use crate::{
    model::{AudioCodec, AudioFormat, Label, MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId},
    stream::{Consumer, Event, Producer},
};

/// Samples of nothing that avenc_aac puts before the first it was given: its first access unit overlaps with them.
const PRIMING: u32 = 1024;

/// Makes [`TrackId::AUDIO`] of a live's [`TrackId::FOREIGN_AUDIO`], until the live ends or `cancel` fires; then the
/// pipeline and its threads are gone. There is neither in a live without such a track.
///
/// What comes out is AAC-LC of 48 kHz with at most two channels, one access unit of 1024 samples after the
/// other without a seam, behind gaps of the source as well, which become silence. Each sounds when the source's
/// sound does, the encoder's delay taken off, within the 40 ms that stamps may stray from the samples counted.
/// A pipeline that fails is logged and built again, after 0.5 s at first and 30 s at most; pictures go on without.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(consumer: Consumer, templates: Arc<Templates>, cancel: CancellationToken) -> Result<Stats, Error> {
    make(consumer, TrackId::AUDIO, TrackId::FOREIGN_AUDIO, templates, cancel).await
}

/// The same of a live's further sounds ([`TrackId::sound`]), for each from when the publisher announces it in a codec
/// that is not packaged.
///
/// # Errors
/// As [`run`], once the live has ended.
pub async fn further(
    mut consumer: Consumer,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let (producer, mut begun, mut making) = (consumer.producer(), BTreeSet::new(), JoinSet::new());
    while let Some(Some(event)) = cancel.run_until_cancelled(consumer.recv()).await {
        let Event::Track(track) = event else { continue };
        let mut sounds = (1..=TrackId::FURTHER_SOUNDS).filter_map(TrackId::sound);
        if let Some(own) = sounds.find(|own| own.foreign() == Some(track.id))
            && begun.insert(own)
        {
            let make = make(producer.consume_foreign(), own, track.id, templates.clone(), cancel.clone());
            making.spawn(make.in_current_span());
        }
    }
    while let Some(made) = making.join_next().await {
        made.map_err(|panic| Error::Thread(panic.into()))??;
    }
    Ok(())
}

/// Makes `own` of a live's `foreign`.
async fn make(
    consumer: Consumer,
    own: TrackId,
    foreign: TrackId,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<Stats, Error> {
    let producer = consumer.producer();
    let job = Job { name: "audio", track: foreign, keeps_tail: false, backlog: 10.0 };
    let build = move |track: &Track, _: &Packet, outlet: Outlet| build(&producer, &templates, own, track, outlet);
    feed::run(consumer, job, build, cancel).await
}

fn build(
    producer: &Producer,
    templates: &Templates,
    own: TrackId,
    track: &Track,
    outlet: Outlet,
) -> Result<Option<Pipeline>, Error> {
    let Some(source) = track.format.audio() else { return Ok(None) };
    let channels = source.channels.clamp(1, 2);
    // What the source states is no measure: PCM says a megabit, and Speex of 20 kbit/s deserves no worse.
    let bitrate = if channels == 1 { 80_000 } else { 128_000 };
    let pipeline = Pipeline::launch(&templates.audio(source.codec, channels, bitrate))?;
    pipeline.source("src")?.set_caps(Some(&caps(source)));
    let (rendition, label) = (track.rendition.clone(), track.label.clone());
    let mut writer = Writer { producer: producer.clone(), own, rendition, label, bitrate, config: None, last: None };
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        outlet.pass(|| writer.write(&sample));
        Ok(gst::FlowSuccess::Ok)
    });
    pipeline.sink("sink")?.set_callbacks(callbacks.build());
    Ok(Some(pipeline))
}

/// Puts access units on the bus. Runs on the encoder's thread, and only copies.
struct Writer {
    producer: Producer,
    own: TrackId,
    rendition: RenditionId,
    label: Option<Label>,
    bitrate: u32,
    config: Option<Bytes>,
    last: Option<MediaTime>,
}

impl Writer {
    fn write(&mut self, sample: &gst::Sample) {
        let Some(format) = format(sample) else { return };
        let delay = Duration::from_nanos(u64::from(PRIMING) * 1_000_000_000 / u64::from(format.sample_rate));
        let Some(pts) = feed::media_time(sample).map(|time| time - delay) else { return };
        // The very first access unit of a live holds little but priming.
        if pts < MediaTime::ZERO || self.last.is_some_and(|last| pts <= last) {
            return;
        }
        let Some(data) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) else { return };
        self.announce(format);
        self.last = Some(pts);
        let data = Bytes::copy_from_slice(&data);
        self.producer.write(Packet { track: self.own, pts, dts: pts, key: true, data });
    }

    fn announce(&mut self, format: AudioFormat) {
        if self.config.as_ref() == Some(&format.config) {
            return;
        }
        self.config = Some(format.config.clone());
        let track = Track {
            id: self.own,
            rendition: self.rendition.clone(),
            format: TrackFormat::Audio(format),
            bitrate: Some(self.bitrate),
            label: self.label.clone(),
        };
        // A pipeline that was built again usually makes the same format, which readers know.
        if self.producer.tracks().iter().all(|known| **known != track) {
            self.producer.announce(track);
        }
    }
}

/// What the encoder says it makes.
fn format(sample: &gst::Sample) -> Option<AudioFormat> {
    let structure = sample.caps()?.structure(0)?;
    let config = structure.get::<gst::Buffer>("codec_data").ok()?;
    let config = Bytes::copy_from_slice(&config.map_readable().ok()?);
    let number = |name| structure.get::<i32>(name).ok().and_then(|number| u32::try_from(number).ok());
    let (sample_rate, channels) = (number("rate").filter(|rate| *rate > 0)?, number("channels")?);
    (config.len() >= 2).then_some(AudioFormat {
        codec: AudioCodec::Aac,
        config,
        sample_rate,
        channels: u16::try_from(channels).ok()?,
    })
}

/// A format as decoders take it.
pub(super) fn caps(format: &AudioFormat) -> gst::Caps {
    let caps = match format.codec {
        AudioCodec::Aac => gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4i32)
            .field("stream-format", "raw")
            .field("framed", true)
            .field("codec_data", gst::Buffer::from_slice(format.config.clone())),
        AudioCodec::Mp3 => {
            gst::Caps::builder("audio/mpeg").field("mpegversion", 1i32).field("layer", 3i32).field("parsed", true)
        }
        AudioCodec::Mp2 => {
            gst::Caps::builder("audio/mpeg").field("mpegversion", 1i32).field("layer", 2i32).field("parsed", true)
        }
        AudioCodec::ALaw => gst::Caps::builder("audio/x-alaw"),
        AudioCodec::MuLaw => gst::Caps::builder("audio/x-mulaw"),
        AudioCodec::Pcm => gst::Caps::builder("audio/x-raw").field("format", "S16LE").field("layout", "interleaved"),
        AudioCodec::Speex => gst::Caps::builder("audio/x-speex").field("streamheader", speex_headers(format)),
        AudioCodec::Nellymoser => gst::Caps::builder("audio/x-nellymoser"),
        AudioCodec::Adpcm => gst::Caps::builder("audio/x-adpcm").field("layout", "swf"),
        AudioCodec::Opus => gst::Caps::builder("audio/x-opus").field("channel-mapping-family", 0i32),
    };
    caps.field("rate", i32::try_from(format.sample_rate).unwrap_or(48_000))
        .field("channels", i32::from(format.channels))
        .build()
}

/// The two packets that begin Speex in Ogg, which its decoder wants and RTMP leaves out: the stream header
/// (Speex manual §7.3) and an empty comment.
fn speex_headers(format: &AudioFormat) -> gst::Array {
    const SIZE: u32 = 80;
    let mut header = b"Speex   1.2.0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let (version, wideband, bitstream, unknown_bitrate, frame, varies) = (1, 1, 4, u32::MAX, 320, 0);
    // As many as a packet may hold; the decoder stops where it ends.
    let frames = 10;
    let (rate, channels) = (format.sample_rate, u32::from(format.channels));
    let numbers = [version, SIZE, rate, wideband, bitstream, channels, unknown_bitrate, frame, varies, frames];
    header.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    header.resize(SIZE as usize, 0);
    gst::Array::new([header, vec![0; 8]].map(gst::Buffer::from_mut_slice))
}
