//! The audio tap: a live's sound as speech recognition takes it.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Pipeline, Stats, Templates, audio,
    blocks::Blocks,
    feed::{self, Job, Outlet},
};
use crate::{
    model::{Packet, Pcm, Track, TrackId},
    stream::Consumer,
};

/// Decodes the audio of the live `consumer` reads into blocks of 100 ms (1,600 samples), until the live
/// ends or `cancel` fires; then `sender` and the pipeline with its threads are gone.
///
/// [`Pcm::start`] is when a player sounds the first sample: an AAC access unit's samples begin at its
/// stamp, the encoder's priming included, as in every player of the same stream. Blocks follow each
/// other without a gap while the stamps stay within 50 ms of the samples counted. Beyond that, up to
/// a second becomes silence and more a jump. The last block before a break is filled up with silence.
///
/// Blocks that find `sender` full are dropped and counted (`amphi_media_blocks_lost_total`): captions
/// lose sound before media waits for them.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(
    consumer: Consumer,
    sender: mpsc::Sender<Pcm>,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<Stats, Error> {
    let job = Job { name: "tap", track: TrackId::AUDIO, keeps_tail: true, backlog: 10.0 };
    let build = move |track: &Track, _: &Packet, outlet: Outlet| build(&sender, &templates, track, outlet);
    feed::run(consumer, job, build, cancel).await
}

fn build(
    sender: &mpsc::Sender<Pcm>,
    templates: &Templates,
    track: &Track,
    outlet: Outlet,
) -> Result<Option<Pipeline>, Error> {
    let Some(format) = track.format.audio() else { return Ok(None) };
    let pipeline = Pipeline::launch(&templates.tap())?;
    pipeline.source("src")?.set_caps(Some(&audio::caps(format)));
    let blocks = Arc::new(Mutex::new(Blocks::default()));
    let rest = blocks.clone();
    let (writer, last) =
        (Writer { sender: sender.clone(), outlet: outlet.clone() }, Writer { sender: sender.clone(), outlet });
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink: &AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let (Some(at), Some(samples)) = (feed::media_time(&sample), samples(&sample)) {
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.push(at, &samples, |pcm| writer.write(pcm));
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| {
            rest.lock().unwrap_or_else(PoisonError::into_inner).finish_padded(|pcm| last.write(pcm));
        });
    pipeline.sink("sink")?.set_callbacks(callbacks.build());
    Ok(Some(pipeline))
}

struct Writer {
    sender: mpsc::Sender<Pcm>,
    outlet: Outlet,
}

impl Writer {
    fn write(&self, pcm: Pcm) {
        if self.sender.try_send(pcm).is_ok() {
            self.outlet.pass(|| ());
        } else {
            metrics::counter!("amphi_media_blocks_lost_total").increment(1);
        }
    }
}

/// Samples of a buffer in the format every template here ends in.
pub(super) fn samples(sample: &gst::Sample) -> Option<Vec<i16>> {
    let data = sample.buffer()?.map_readable().ok()?;
    Some(data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}
