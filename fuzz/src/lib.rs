//! What strangers' bytes may not do to a parser, whatever they are: panic, grow, or mean one thing in one piece and
//! another in two. `scripts/fuzz` looks for bytes that do; `tests/fuzz.rs` replays those it has looked at.
#![allow(clippy::unwrap_used, reason = "a check that fails panics")]

mod media;
mod names;
mod rtc;
mod rtmp;
mod rtp;
mod rtsp;

/// A check of one parser; panics where it misbehaves.
pub type Check = fn(&[u8]);

/// Every target: its name here, in `fuzz_targets` and in `corpus`.
pub const TARGETS: &[(&str, Check)] = &[
    ("amf", rtmp::amf),
    ("cmaf", media::cmaf),
    ("codecs", media::codecs),
    ("flv", rtmp::flv),
    ("hls", names::hls),
    ("names", names::names),
    ("offer", rtc::offer),
    ("rtmp", rtmp::chunks),
    ("rtp", rtp::packets),
    ("rtsp", rtsp::messages),
    ("sdp", rtsp::description),
    ("sources", names::sources),
    ("srt", names::stream_id),
    ("stun", rtc::stun),
    ("ts", media::transport_stream),
];

/// Runs the check of a target.
pub fn run(target: &str, data: &[u8]) {
    let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    check(data);
}

/// A future's value, if it is there already.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
