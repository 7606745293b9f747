//! A live's packets on their way into the pipeline its readers share.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{AudioFormat, MediaTime, Packet, Track, TrackFormat, TrackId, VideoCodec, VideoFormat},
    stream::{Consumer, Event},
};

/// The two ends at which packets enter, as far as the live has them.
pub(super) struct Feed {
    video: Option<(AppSrc, VideoCodec)>,
    audio: Option<AppSrc>,
    /// Running time of the pipeline minus media time, from the first packet on; one for both tracks keeps them
    /// together.
    offset: Option<i64>,
    /// The time of the first packet, and the ends at which none has entered since.
    first: Option<MediaTime>,
    waiting: Vec<AppSrc>,
}

/// The pipeline waits for a first packet of each track, and readers with it: no longer than this, for a track that has
/// fallen silent (a lecturer without a microphone, a screen without pictures).
const PATIENCE: Duration = Duration::from_secs(1);

impl Feed {
    pub(super) fn new(video: Option<(AppSrc, VideoCodec)>, audio: Option<AppSrc>) -> Self {
        let waiting = video.iter().map(|(source, _)| source).chain(&audio).cloned().collect();
        Self { video, audio, offset: None, first: None, waiting }
    }

    /// Runs until the live ends or its pictures change their codec, of which readers are told but once; either ends
    /// the readers' streams, and they come again. Or until `stop`: the last reader has gone.
    pub(super) async fn run(mut self, mut consumer: Consumer, stop: CancellationToken) {
        while let Some(Some(event)) = stop.run_until_cancelled(consumer.recv()).await {
            match event {
                Event::Track(track) if self.is_another(&track) => break,
                Event::Track(track) => self.describe(&track),
                Event::Packet(packet) => self.push(packet),
                // Media time goes on behind all of these; decoders find their way at the next key frame.
                Event::Discontinuity | Event::Away | Event::Lost(_) => {}
            }
        }
        for source in [self.video.map(|(source, _)| source), self.audio].into_iter().flatten() {
            // A pipeline that is on its way out needs no end of stream.
            let _ = source.end_of_stream();
        }
    }

    /// Whether the pipeline is made for pictures in another codec.
    fn is_another(&self, track: &Track) -> bool {
        let made_for = self.video.as_ref().map(|(_, codec)| *codec);
        match &track.format {
            TrackFormat::Video(video) if track.id == TrackId::VIDEO => {
                made_for.is_some_and(|codec| codec != video.codec)
            }
            _ => false,
        }
    }

    fn describe(&self, track: &Track) {
        let Some(source) = self.source(track.id) else { return };
        match &track.format {
            TrackFormat::Video(video) => source.set_caps(Some(&pictures(video))),
            TrackFormat::Audio(audio) => source.set_caps(Some(&sound(audio))),
        }
    }

    fn push(&mut self, packet: Packet) {
        let Some(source) = self.source(packet.track).cloned() else { return };
        self.waiting.retain(|other| *other != source);
        let first = *self.first.get_or_insert(packet.dts);
        let offset = *self.offset.get_or_insert_with(|| {
            let now = source.current_running_time().map_or(0, |time| i64::try_from(time.nseconds()).unwrap_or(0));
            now.saturating_sub(packet.dts.as_nanos())
        });
        let running = |time: MediaTime| {
            let nanos = time.as_nanos().saturating_add(offset);
            gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0))
        };
        if packet.dts.since(first) > PATIENCE {
            for silent in self.waiting.drain(..) {
                silent.send_event(gst::event::Gap::new(running(packet.dts), None));
            }
        }
        let mut buffer = gst::Buffer::from_slice(packet.data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(running(packet.pts));
            buffer.set_dts(running(packet.dts));
            if !packet.key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        // It only refuses while the pipeline comes up or goes down.
        let _ = source.push_buffer(buffer);
    }

    fn source(&self, track: TrackId) -> Option<&AppSrc> {
        match track {
            TrackId::VIDEO => self.video.as_ref().map(|(source, _)| source),
            TrackId::AUDIO => self.audio.as_ref(),
            _ => None,
        }
    }
}

fn pictures(format: &VideoFormat) -> gst::Caps {
    let (name, stream) = match format.codec {
        VideoCodec::Hevc => ("video/x-h265", "hvc1"),
        _ => ("video/x-h264", "avc"),
    };
    gst::Caps::builder(name)
        .field("stream-format", stream)
        .field("alignment", "au")
        .field("width", i32::try_from(format.width).unwrap_or(0))
        .field("height", i32::try_from(format.height).unwrap_or(0))
        .field("codec_data", gst::Buffer::from_slice(format.config.clone()))
        .build()
}

fn sound(format: &AudioFormat) -> gst::Caps {
    gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw")
        .field("framed", true)
        .field("rate", i32::try_from(format.sample_rate).unwrap_or(0))
        .field("channels", i32::from(format.channels))
        .field("codec_data", gst::Buffer::from_slice(format.config.clone()))
        .build()
}
