//! A live's pictures for players that show each as it comes: H.264 in which none is put in order.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    Error, Stats, Templates,
    feed::{self, Job, Outlet},
    ladder::{self, Rung},
};
use crate::{
    model::{Packet, RenditionId, Track, TrackId, VideoFormat},
    stream::{Consumer, Producer},
};

/// Lines that a processor encodes beside a ladder.
const MAX_HEIGHT: u32 = 720;

/// Makes H.264 without B-frames of a live's [`TrackId::VIDEO`] and writes it to `made` under the same id, until the
/// live ends or `cancel` fires; then the pipeline and its threads are gone. Pictures have the source's times and
/// key frames, and its size up to 720 lines.
///
/// # Errors
/// [`Error::Init`] and [`Error::Thread`].
pub async fn run(
    consumer: Consumer,
    made: Producer,
    templates: Arc<Templates>,
    cancel: CancellationToken,
) -> Result<Stats, Error> {
    let job = Job { name: "direct", track: TrackId::VIDEO, keeps_tail: false, backlog: 1.0 };
    let build = move |track: &Track, first: &Packet, outlet: Outlet| {
        let Some(source) = track.format.video() else { return Ok(None) };
        ladder::launch(&made, &templates, source, vec![rung(source)], first, &outlet)
    };
    feed::run(consumer, job, build, cancel).await
}

fn rung(source: &VideoFormat) -> Rung {
    let height = ladder::even(u64::from(source.height.min(MAX_HEIGHT)), 1).max(2);
    Rung {
        track: TrackId::VIDEO,
        rendition: RenditionId::source(),
        width: ladder::even(u64::from(source.width) * u64::from(height), u64::from(source.height)).max(2),
        height,
        bitrate: ladder::usual_bitrate(height),
    }
}
