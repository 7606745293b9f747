//! One viewer.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    feed::{Feed, Next},
    recent::{Kind, Unit},
};
use crate::{
    model::Anchor,
    rtc::{Codec, Event, Outgoing, Peer},
};

/// Between two sender reports.
const REPORTS: Duration = Duration::from_secs(1);
/// What a viewer begins with goes out at 50 Mbit/s at most: faster than a burst lasts, slower than buffers overflow.
const PACE: Duration = Duration::from_millis(5);
const PACKETS: usize = 26;
/// A decoder that has begun anew is not begun anew again so soon: it may ask for what is on its way. The wait doubles
/// up to the longest while it keeps asking: what is sent to begin with may be what its path cannot carry.
const ANEW: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(16);

/// Sends a live to a peer, from when it is connected until one of both is gone.
pub async fn run(mut peer: Peer, feed: Arc<Feed>) {
    loop {
        match peer.recv().await {
            Some(Event::Connected(address)) => {
                tracing::debug!(%address, "viewer connected");
                break;
            }
            Some(_) => {}
            None => return,
        }
    }
    let Some((mut joined, recent)) = feed.join() else { return };
    let (mut pace, mut reports) = (interval(PACE), interval(REPORTS));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outbox = Outbox::new(feed.anchor());
    outbox.begin(recent);
    let (mut begun, mut wait, mut wanted) = (Instant::now(), ANEW, false);
    loop {
        tokio::select! {
            event = peer.recv() => match event {
                Some(Event::KeyFrameWanted) => wanted = true,
                Some(Event::ReceiverReport { loss, .. }) => {
                    metrics::histogram!("amphi_whep_loss_ratio").record(loss);
                }
                Some(_) => {}
                None => return,
            },
            next = joined.recv(), if outbox.is_empty() => match next {
                Some(Next::Unit(unit)) => outbox.add(unit),
                Some(Next::Anew(recent)) => outbox.begin(recent),
                None => return,
            },
            _ = pace.tick(), if !outbox.is_empty() => {}
            _ = reports.tick() => {
                let now = Instant::now();
                for (codec, rtp_time, at) in outbox.reports() {
                    peer.report(codec, rtp_time, at, now);
                }
                continue;
            }
        }
        if wanted && begun.elapsed() >= wait {
            wait = if begun.elapsed() >= 4 * wait { ANEW } else { LONGEST.min(2 * wait) };
            (begun, wanted) = (Instant::now(), false);
            let Some(recent) = joined.anew() else { return };
            outbox.begin(recent);
        }
        let now = Instant::now();
        outbox.send(PACKETS, |codec, packet| peer.send(codec, packet, now));
    }
}

/// What a viewer is to get next, numbered and stamped. Pure.
///
/// RTP time is media time in ticks of the stream's clock, without an offset: a page reads a picture's place on the
/// captions' timeline from it.
#[derive(Debug)]
pub(super) struct Outbox {
    anchor: Anchor,
    waiting: VecDeque<(Arc<Unit>, u32)>,
    /// Payloads of the first one that are out.
    out: usize,
    streams: [Stream; 2],
}

#[derive(Debug, Default)]
struct Stream {
    sequence: u16,
    /// The last one sent.
    last: Option<Arc<Unit>>,
}

impl Outbox {
    pub fn new(anchor: Anchor) -> Self {
        Self { anchor, waiting: VecDeque::new(), out: 0, streams: Default::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a unit at its own time.
    pub fn add(&mut self, unit: Arc<Unit>) {
        let stamp = ticks(&unit);
        self.waiting.push_back((unit, stamp));
    }

    /// Begins with pictures that are past: each is decoded, but shown for a tick of the clock at most, so that the
    /// viewer is not as far behind as the key frame is old. They take the ticks behind the newest, which are
    /// fewer than there are up to the next picture.
    pub fn begin(&mut self, recent: Vec<Arc<Unit>>) {
        self.finish();
        let Some(newest) = recent.last().map(|unit| ticks(unit)) else { return };
        // Behind what is half out as well.
        let open = self.waiting.back().map_or(newest, |(_, stamp)| *stamp);
        let newest = if open.wrapping_sub(newest) < 1 << 31 { open } else { newest };
        for (index, unit) in recent.into_iter().enumerate() {
            self.waiting.push_back((unit, newest.wrapping_add(1 + index as u32)));
        }
    }

    /// Hands out so many packets at most.
    pub fn send(&mut self, packets: usize, mut out: impl FnMut(Codec, Outgoing)) {
        for _ in 0..packets {
            let Some((unit, timestamp)) = self.waiting.front() else { return };
            let stream = &mut self.streams[unit.kind as usize];
            let Some(payload) = unit.payloads.get(self.out) else { return };
            self.out += 1;
            let last = self.out == unit.payloads.len();
            // RFC 7587 §4.2: of sound it marks what follows silence, which is sent here.
            let marker = last && unit.kind == Kind::Video;
            let (sequence, timestamp) = (stream.sequence, *timestamp);
            stream.sequence = sequence.wrapping_add(1);
            out(codec(unit.kind), Outgoing { sequence, timestamp, marker, payload: payload.clone() });
            if last {
                self.out = 0;
                stream.last = self.waiting.pop_front().map(|(unit, _)| unit);
            }
        }
    }

    /// Which RTP time of each stream is which time of day: that of its media time. Both streams say the same of
    /// it, however long each was under way, so that players keep them in step.
    pub fn reports(&self) -> impl Iterator<Item = (Codec, u32, SystemTime)> {
        let last = self.streams.iter().filter_map(|stream| stream.last.as_deref());
        last.map(|unit| (codec(unit.kind), ticks(unit), self.anchor.wall(unit.time)))
    }

    /// Leaves out what waits, but for the rest of what is half out.
    fn finish(&mut self) {
        self.waiting.truncate(usize::from(self.out > 0));
    }
}

fn ticks(unit: &Unit) -> u32 {
    unit.time.to_ticks(unit.kind.clock()) as u32
}

const fn codec(kind: Kind) -> Codec {
    match kind {
        Kind::Video => Codec::H264,
        Kind::Audio => Codec::Opus,
    }
}
