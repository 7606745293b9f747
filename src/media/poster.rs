//! Still pictures of a live or a recording.

use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;

use super::{Error, Pipeline, Templates, feed, ladder};
use crate::model::{Packet, VideoFormat};

/// How long one picture may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key frame as JPEG, `height` pixels high at most and in the source's shape. Blocking: decodes and
/// encodes a picture, some tens of milliseconds; call it off the runtime's workers.
///
/// # Errors
/// [`Error::Pipeline`] if the packet is no key frame of that format, or takes more than 5 s.
pub fn jpeg(format: &VideoFormat, key: &Packet, height: u32, templates: &Templates) -> Result<Bytes, Error> {
    if !ladder::is_decodable(format) {
        return Err(Error::Pipeline(format!("picture of {} × {} pixels is too large", format.width, format.height)));
    }
    let height = ladder::even(u64::from(height.min(format.height)), 1).max(2);
    let width = ladder::even(u64::from(format.width) * u64::from(height), u64::from(format.height)).max(2);
    let pipeline = Pipeline::launch(&templates.poster(format.codec, width, height))?;
    let (source, sink) = (pipeline.source("src")?, pipeline.sink("sink")?);
    source.set_caps(Some(&ladder::caps(format)));
    pipeline.play()?;
    let taken = feed::push(&source, key.clone(), false) && source.end_of_stream().is_ok();
    let patience = gst::ClockTime::from_nseconds(PATIENCE.as_nanos() as u64);
    let sample = if taken { sink.try_pull_sample(patience) } else { None };
    let data = sample.as_ref().and_then(|sample| sample.buffer()).and_then(|buffer| buffer.map_readable().ok());
    match data {
        Some(data) => Ok(Bytes::copy_from_slice(data.as_slice())),
        None => Err(pipeline.error().unwrap_or_else(|| Error::Pipeline("the packet gives no picture".into()))),
    }
}
