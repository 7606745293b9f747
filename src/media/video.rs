//! Pictures in a codec that is not packaged, as H.264 on the same bus: VP8 from browsers, and the door for whatever
//! else a protocol brings.

use std::sync::Arc;

use gstreamer as gst;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Error, Pipeline, Stats, Templates,
    feed::{self, Job, Outlet},
    ladder::{self, Rung},
};
use crate::{
    model::{Packet, RenditionId, Track, TrackId, VideoCodec, VideoFormat},
    stream::{Consumer, Producer},
};

/// Makes [`TrackId::VIDEO`] of a live's [`TrackId::FOREIGN_VIDEO`], until the live ends or `cancel` fires; then the
/// pipeline and its threads are gone. There is neither in a live without such a track.
///
/// What comes out has the publisher's frames at their times, its size, and key frames where it has them. What the
/// machine cannot encode in time is dropped ahead of the decoder, up to the next key frame. A pipeline that fails is
/// logged and built again, after 0.5 s at first and 30 s at most; the sound goes on without.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(consumer: Consumer, templates: Arc<Templates>, cancel: CancellationToken) -> Result<Stats, Error> {
    let producer = consumer.producer();
    let job = Job { name: "video", track: TrackId::FOREIGN_VIDEO, keeps_tail: false, backlog: 1.0 };
    let build = move |track: &Track, first: &Packet, outlet: Outlet| build(&producer, &templates, track, first, outlet);
    feed::run(consumer, job, build, cancel).await
}

fn build(
    producer: &Producer,
    templates: &Templates,
    track: &Track,
    first: &Packet,
    outlet: Outlet,
) -> Result<Option<Pipeline>, Error> {
    let Some(source) = track.format.video() else { return Ok(None) };
    if !ladder::is_decodable(source) {
        warn!(width = source.width, height = source.height, "pictures are too large to be made H.264 of");
        return Ok(None);
    }
    let Some(caps) = caps(source) else { return Ok(None) };
    let rung = Rung {
        track: TrackId::VIDEO,
        rendition: RenditionId::source(),
        width: ladder::even(source.width.into(), 1).max(16),
        height: ladder::even(source.height.into(), 1).max(16),
        bitrate: ladder::usual_bitrate(source.height),
    };
    let pipeline = Pipeline::launch(&templates.video(rung.width, rung.height, rung.bitrate))?;
    pipeline.source("src")?.set_caps(Some(&caps));
    ladder::keep_order(&pipeline.element::<gst::Element>("raw")?, first.pts)?;
    ladder::connect(&pipeline, "sink", producer, rung, source.frame_rate, outlet)?;
    Ok(Some(pipeline))
}

/// A format as decoders take it; nothing where there is nothing to decode it with, or no need to.
fn caps(source: &VideoFormat) -> Option<gst::Caps> {
    matches!(source.codec, VideoCodec::Vp8).then(|| gst::Caps::builder("video/x-vp8").build())
}
