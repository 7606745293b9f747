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

/// The ends at which packets enter, as far as the live has the tracks.
pub(super) struct Feed {
    ends: Vec<End>,
    /// Running time of the pipeline minus media time, from the first packet on; one for both tracks keeps them
    /// together.
    offset: Option<i64>,
}

struct End {
    track: TrackId,
    /// The pictures' codec.
    codec: Option<VideoCodec>,
    source: AppSrc,
    /// What has entered reaches to here: the last packet, or a gap that stood in for it.
    reached: Option<MediaTime>,
}

/// The pipeline, and readers who come, wait for something of each track: no longer than this, for a track that has
/// fallen silent (a lecturer without a microphone, a screen without pictures).
const PATIENCE: Duration = Duration::from_secs(1);

impl Feed {
    pub(super) fn new(video: Option<(AppSrc, VideoCodec)>, audio: Option<AppSrc>) -> Self {
        let end = |track, codec, source| End { track, codec, source, reached: None };
        let video = video.map(|(source, codec)| end(TrackId::VIDEO, Some(codec), source));
        let audio = audio.map(|source| end(TrackId::AUDIO, None, source));
        Self { ends: video.into_iter().chain(audio).collect(), offset: None }
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
        for end in self.ends {
            // A pipeline that is on its way out needs no end of stream.
            let _ = end.source.end_of_stream();
        }
    }

    /// Whether the pipeline is made for pictures in another codec.
    fn is_another(&self, track: &Track) -> bool {
        let made_for = self.end(track.id).and_then(|end| end.codec);
        match &track.format {
            TrackFormat::Video(video) => made_for.is_some_and(|codec| codec != video.codec),
            TrackFormat::Audio(_) => false,
        }
    }

    fn describe(&self, track: &Track) {
        let Some(end) = self.end(track.id) else { return };
        match &track.format {
            TrackFormat::Video(video) => end.source.set_caps(Some(&pictures(video))),
            TrackFormat::Audio(audio) => end.source.set_caps(Some(&sound(audio))),
        }
    }

    fn push(&mut self, packet: Packet) {
        let Some(source) = self.end(packet.track).map(|end| end.source.clone()) else { return };
        let offset = *self.offset.get_or_insert_with(|| {
            let now = source.current_running_time().map_or(0, |time| i64::try_from(time.nseconds()).unwrap_or(0));
            now.saturating_sub(packet.dts.as_nanos())
        });
        let running = |time: MediaTime| {
            let nanos = time.as_nanos().saturating_add(offset);
            gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0))
        };
        for end in &mut self.ends {
            let reached = end.reached.get_or_insert(packet.dts);
            if end.track == packet.track {
                *reached = packet.dts;
            } else if packet.dts.since(*reached) > PATIENCE {
                *reached = packet.dts;
                end.source.send_event(gst::event::Gap::new(running(packet.dts), None));
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

    fn end(&self, track: TrackId) -> Option<&End> {
        self.ends.iter().find(|end| end.track == track)
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
