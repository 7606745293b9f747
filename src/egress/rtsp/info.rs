//! What a reader who begins is told of where the streams are: RTP-Info (RFC 2326 §12.33), which puts picture and sound
//! together until the first sender report does.
//!
//! The library takes a stream's place from the last packet of the sink it goes out by, else from its payloader, whose
//! running time it reads as nanoseconds though it counts ticks. Of one stream this and of the other that, and one is off
//! by as long as the pipeline runs; so sinks tell all or none. By payloaders alone, which the first reader over a
//! transport gets, they are off by 42 µs a second that others have read before.

use gstreamer::{self as gst, prelude::*};
use gstreamer_rtsp_server::{RTSPSession, prelude::*};

/// Before a PLAY: sinks that cannot all tell where they are tell nothing.
pub(super) fn before(session: &RTSPSession) {
    for sinks in sinks(session) {
        let knows = |sink: &gst::Element| sink.property::<Option<gst::Sample>>("last-sample").is_some();
        if !sinks.iter().all(knows) {
            sinks.iter().for_each(|sink| remember(sink, false));
        }
    }
}

/// Behind it: all learn for the next.
pub(super) fn after(session: &RTSPSession) {
    sinks(session).flatten().for_each(|sink| remember(&sink, true));
}

/// Whether a sink keeps its last packet. What comes into a pipeline in the middle of a PLAY must not.
pub(super) fn remember(sink: &gst::Element, whether: bool) {
    if sink.property::<bool>("enable-last-sample") != whether {
        sink.set_property("enable-last-sample", whether);
    }
}

/// The ways out of each pipeline that a session reads; those of RTCP, which are not paced, are not among them.
fn sinks(session: &RTSPSession) -> impl Iterator<Item = Vec<gst::Element>> {
    let media = session.filter(None).into_iter().filter_map(|reads| reads.media());
    let pipelines = media.filter_map(|media| media.element().parent().and_downcast::<gst::Bin>());
    pipelines.map(|pipeline| {
        let leads_out = |element: &gst::Element| element.has_property("last-sample") && element.property("sync");
        pipeline.children().into_iter().filter(leads_out).collect()
    })
}
