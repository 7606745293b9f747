//! The live's sound as Opus, which is what WebRTC players take.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Pipeline, Stats, Templates, audio,
    feed::{self, Job, Outlet},
};
use crate::{
    model::{AudioCodec, AudioFormat, MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId},
    stream::{Consumer, Producer},
};

/// Sound in a packet.
const PACKET: Duration = Duration::from_millis(20);

/// Makes Opus of a live's [`TrackId::AUDIO`] and writes it to `made` under the same id, until the live ends or
/// `cancel` fires; then the pipeline and its threads are gone.
///
/// Packets last 20 ms and follow each other without a seam, behind gaps of the source as well, which become
/// silence. Each is stamped with when its sound is heard, the encoder's delay taken off, within the 40 ms that
/// stamps may stray from the samples counted. A pipeline that fails is logged and built again.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(
    consumer: Consumer,
    made: Producer,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<Stats, Error> {
    let job = Job { name: "opus", track: TrackId::AUDIO, keeps_tail: false, backlog: 10.0 };
    let build = move |track: &Track, _: &Packet, outlet: Outlet| build(&made, &templates, track, outlet);
    feed::run(consumer, job, build, cancel).await
}

fn build(made: &Producer, templates: &Templates, track: &Track, outlet: Outlet) -> Result<Option<Pipeline>, Error> {
    let Some(source) = track.format.audio() else { return Ok(None) };
    let channels = source.channels.clamp(1, 2);
    let bitrate = if channels == 1 { 64_000 } else { 96_000 };
    let pipeline = Pipeline::launch(&templates.opus(channels, bitrate))?;
    pipeline.source("src")?.set_caps(Some(&audio::caps(source)));
    made.announce(Track {
        id: TrackId::AUDIO,
        rendition: RenditionId::audio(),
        format: TrackFormat::Audio(AudioFormat {
            codec: AudioCodec::Opus,
            config: Bytes::new(),
            sample_rate: 48_000,
            channels,
        }),
        bitrate: Some(bitrate),
        label: None,
    });
    let made = made.clone();
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(packet) = packet(&sample) {
            outlet.pass(|| made.write(packet));
        }
        Ok(gst::FlowSuccess::Ok)
    });
    pipeline.sink("sink")?.set_callbacks(callbacks.build());
    Ok(Some(pipeline))
}

fn packet(sample: &gst::Sample) -> Option<Packet> {
    let buffer = sample.buffer()?;
    // The first packet of all begins with the encoder's delay (RFC 7845 calls it pre-skip, RTP has no word for it).
    // GStreamer takes it off that packet's duration, so that every packet's end is where its sound ends.
    let lasts = buffer.duration().map_or(PACKET, Into::into);
    let pts = feed::media_time(sample)? + lasts - PACKET;
    let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
    (pts >= MediaTime::ZERO).then_some(Packet { track: TrackId::AUDIO, pts, dts: pts, key: true, data })
}
