//! One publisher: its peer's packets become frames of its publication, and it is asked for what is missing.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::media::Media;
use crate::{
    rtc::{Event, Peer},
    stream::{Publication, Replaced},
};

/// How often status is told how packets travel.
const REPORT: Duration = Duration::from_secs(1);

/// Runs until the publisher leaves, another connection takes over, or `cancel` fires; then the live waits for it.
pub(super) async fn run(mut peer: Peer, publication: Publication, cancel: CancellationToken) {
    let mut wishes = publication.key_frames_wanted();
    let mut media = Media::new(peer.streams(), publication, Instant::now());
    let mut report = tokio::time::interval(REPORT);
    report.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let deadline = media.deadline();
        tokio::select! {
            event = peer.recv() => match event {
                Some(Event::Connected(remote)) => {
                    tracing::info!(%remote, "publishing");
                    media.connected(Instant::now());
                }
                Some(Event::Rtp(packet)) => media.arrived(packet),
                Some(Event::SenderReport { ssrc, rtp_time, ntp }) => media.reported(ssrc, rtp_time, ntp, Instant::now()),
                Some(_) => {}
                None => break,
            },
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {}
            Ok(()) = wishes.changed() => media.want_key_frame(Instant::now()),
            _ = report.tick() => media.report(peer.round_trip(), Instant::now()),
            () = cancel.cancelled() => break,
        }
        let now = Instant::now();
        if let Err(Replaced) = media.drain(now) {
            tracing::info!("another connection took over");
            break;
        }
        if media.asks_for_key_frame(now) {
            peer.want_key_frame(now);
        }
    }
    tracing::info!(dropped = media.dropped(), "unpublished");
    media.finish();
}
