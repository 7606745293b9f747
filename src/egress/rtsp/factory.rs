use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_app::AppSrc;
use gstreamer_rtsp_server::{
    RTSPMedia, RTSPMediaFactory, RTSPSuspendMode, RTSPTransportMode, gst_rtsp::RTSPUrl, prelude::*,
    subclass::prelude::*,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{feed, info};
use crate::{
    model::{AudioCodec, Track, TrackFormat, TrackId, VideoCodec},
    stream::Live,
};

/// How much waits where a reader does not keep up.
const QUEUE: gst::ClockTime = gst::ClockTime::from_seconds(2);
const QUEUE_BYTES: u32 = 8 << 20;

glib::wrapper! {
    /// Makes the one pipeline that a live's readers share, when the first comes.
    pub(super) struct Factory(ObjectSubclass<Inner>) @extends RTSPMediaFactory;
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    source: OnceLock<(Arc<Live>, Handle)>,
}

impl Factory {
    /// Pipelines of `live`, which `runtime` reads for them.
    pub(super) fn new(live: Arc<Live>, runtime: Handle) -> Self {
        let factory: Self = glib::Object::new();
        factory.set_shared(true);
        factory.set_transport_mode(RTSPTransportMode::PLAY);
        // A live that is suspended between DESCRIBE and PLAY would have to be prepared twice.
        factory.set_suspend_mode(RTSPSuspendMode::None);
        factory.set_stop_on_disconnect(true);
        let set = factory.imp().source.set((live, runtime));
        set.expect("nobody else has the new factory");
        factory
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Inner {
    const NAME: &'static str = "AmphiRtspFactory";
    type Type = Factory;
    type ParentType = RTSPMediaFactory;
}

impl ObjectImpl for Inner {}

impl RTSPMediaFactoryImpl for Inner {
    /// Who comes when the publisher sends something else than before shares no pipeline with who came earlier.
    fn gen_key(&self, _: &RTSPUrl) -> Option<glib::GString> {
        let (live, _) = self.source.get()?;
        launch(&live.producer.tracks()).map(glib::GString::from)
    }

    fn create_element(&self, _: &RTSPUrl) -> Option<gst::Element> {
        let (live, _) = self.source.get()?;
        let Some(text) = launch(&live.producer.tracks()) else {
            // The library does not bear nothing; what holds nothing it refuses.
            return Some(gst::Bin::new().upcast());
        };
        match gst::parse::bin_from_description(&text, false) {
            Ok(bin) => Some(bin.upcast()),
            Err(error) => {
                tracing::error!(%error, "no pipeline for RTSP readers");
                None
            }
        }
    }

    fn media_configure(&self, media: &RTSPMedia) {
        self.parent_media_configure(media);
        let (Some((live, runtime)), Ok(bin)) = (self.source.get(), media.element().downcast::<gst::Bin>()) else {
            return;
        };
        if let Some(pipeline) = media.element().parent().and_then(|parent| parent.downcast::<gst::Bin>().ok()) {
            pipeline.connect_element_added(|_, element| adjust(element));
        }
        let source = |name| bin.by_name(name).and_then(|element| element.downcast::<AppSrc>().ok());
        let pictures = [("h264", VideoCodec::H264), ("h265", VideoCodec::Hevc)];
        let pictures = pictures.into_iter().find_map(|(name, codec)| Some((source(name)?, codec)));
        let stop = CancellationToken::new();
        let feed = feed::Feed::new(pictures, source("aac"));
        runtime.spawn(feed.run(live.producer.consume(), stop.clone()));
        media.connect_unprepared(move |_| stop.cancel());
    }
}

/// Sets what the library leaves as it is where it puts ways out into the pipeline: a queue, which it puts before each
/// where there are several, loses what is oldest instead of holding up the others, since who reads nothing over TCP
/// would stop who reads over UDP.
fn adjust(element: &gst::Element) {
    if element.factory().is_some_and(|factory| factory.name() == "queue") {
        element.set_properties(&[
            ("max-size-buffers", &0u32),
            ("max-size-bytes", &QUEUE_BYTES),
            ("max-size-time", &QUEUE.nseconds()),
        ]);
        element.set_property_from_str("leaky", "downstream");
    }
    if element.has_property("enable-last-sample") {
        info::remember(element, false);
    }
}

/// The pipeline for a live's tracks: of its pictures those of the publisher, and its AAC. `None` if it has neither.
fn launch(tracks: &[Arc<Track>]) -> Option<String> {
    let mut text = String::new();
    let mut payloads = 0;
    let mut add = |name, payloader| {
        // A pipeline that stalls loses what is oldest instead of growing.
        let (bytes, time) = (QUEUE_BYTES, QUEUE.nseconds());
        let source = format!("is-live=true format=time max-bytes={bytes} max-time={time} leaky-type=downstream");
        // A track that no reader has set up leads nowhere, which must not end the others.
        let alone = "errorignore ignore-notlinked=true convert-to=ok";
        let end = format!("name=pay{payloads} pt={}", 96 + payloads);
        let written = write!(text, "appsrc name={name} {source} ! {alone} ! {payloader} {end} ");
        written.expect("writing to a string does not fail");
        payloads += 1;
    };
    for track in tracks {
        match (&track.format, track.id) {
            (TrackFormat::Video(video), TrackId::VIDEO) => match video.codec {
                VideoCodec::H264 => add("h264", "rtph264pay config-interval=-1"),
                VideoCodec::Hevc => add("h265", "rtph265pay config-interval=-1"),
                VideoCodec::Av1 | VideoCodec::Vp8 => {}
            },
            (TrackFormat::Audio(audio), TrackId::AUDIO) if audio.codec == AudioCodec::Aac => add("aac", "rtpmp4gpay"),
            _ => {}
        }
    }
    (payloads > 0).then_some(text)
}
