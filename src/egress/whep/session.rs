//! One viewer.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    feed::{Feed, Next},
    link::Link,
    recent::{Kind, Unit},
};
use crate::{
    model::Anchor,
    rtc::{Codec, Event, Outgoing, Peer},
};

/// Between two sender reports.
const REPORTS: Duration = Duration::from_secs(1);
/// How often packets go out, and how many at once at most: 50 Mbit/s, so that a key frame overflows no buffer.
const PACE: Duration = Duration::from_millis(5);
const PACKETS: usize = 26;
/// What a viewer begins with is on its way for a quarter of the time it lasts, and a second at most: a path that
/// carries the live with some room to spare carries that as well.
const CATCHING_UP: Duration = Duration::from_secs(1);
const FASTER: u32 = 4;
/// A decoder that has begun anew is not begun anew again so soon: it may ask for what is on its way. The wait doubles
/// up to the longest while it keeps asking: what is sent to begin with may be what its path cannot carry.
const ANEW: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(16);

/// Sender reports from one look at the round trip to the next.
const ROUND_TRIP: u32 = 5;

/// How a viewer's connection does.
#[derive(Debug, Clone, Copy)]
pub struct Viewer {
    /// Where it was connected from.
    pub peer: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// Share of the packets lost between its last two reports, of pictures or sound, 0–1; `None` before the first.
    pub loss: Option<f64>,
    /// There and back, as the last check of the path measured it.
    pub round_trip: Option<Duration>,
}

/// Sends a live to a peer, from when it is connected until one of both is gone, and tells how it goes.
pub(super) async fn run(mut peer: Peer, feed: Arc<Feed>, told: watch::Sender<Option<Viewer>>) {
    loop {
        match peer.recv().await {
            Some(Event::Connected(address)) => {
                tracing::debug!(%address, "viewer connected");
                told.send_replace(Some(Viewer { peer: address, since: Instant::now(), loss: None, round_trip: None }));
                break;
            }
            Some(_) => {}
            None => return,
        }
    }
    let Some((mut joined, recent)) = feed.join().await else { return };
    let (mut pace, mut reports) = (interval(PACE), interval(REPORTS));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outbox = Outbox::new(feed.anchor());
    outbox.begin(recent);
    let pictures = peer.streams().iter().find(|stream| stream.codec.is_video()).map(|stream| stream.ssrc);
    let mut link = Link::default();
    let (mut begun, mut wait, mut wanted, mut reported) = (Instant::now(), ANEW, false, 0_u32);
    loop {
        let mut due = false;
        tokio::select! {
            event = peer.recv() => match event {
                Some(Event::KeyFrameWanted) => wanted = !link.rests(),
                Some(Event::ReceiverReport { ssrc, loss, .. }) => {
                    metrics::histogram!("amphi_whep_loss_ratio").record(loss);
                    told.send_modify(|viewer| viewer.iter_mut().for_each(|viewer| viewer.loss = Some(loss)));
                    if Some(ssrc) == pictures && link.report(loss, Instant::now()) {
                        metrics::counter!("amphi_whep_rests_total").increment(1);
                        tracing::debug!(loss, "the path does not carry the pictures: sound alone for a while");
                        outbox.rest();
                        wanted = false;
                    }
                }
                Some(_) => {}
                None => return,
            },
            next = joined.recv(), if outbox.is_empty() => {
                match next {
                    Some(Next::Unit(unit)) if unit.kind == Kind::Video && link.rests() => {}
                    Some(Next::Unit(unit)) => outbox.add(unit),
                    Some(Next::Anew(_)) if link.rests() => {}
                    Some(Next::Anew(recent)) => outbox.begin(recent),
                    None => return,
                }
                due = true;
            }
            _ = pace.tick(), if !outbox.is_empty() => due = true,
            () = sleep_until(link.until().unwrap_or(begun).into()), if link.rests() => {
                link.resume(Instant::now());
                begun = Instant::now();
                let Some(recent) = joined.anew() else { return };
                outbox.begin(recent);
            }
            _ = reports.tick() => {
                let now = Instant::now();
                if reported.is_multiple_of(ROUND_TRIP) {
                    let round_trip = peer.round_trip();
                    told.send_modify(|viewer| viewer.iter_mut().for_each(|viewer| viewer.round_trip = round_trip));
                }
                reported = reported.wrapping_add(1);
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
            // Where there is nothing to begin with, what comes still follows what went out.
            if !recent.is_empty() {
                outbox.begin(recent);
            }
        }
        if due {
            let now = Instant::now();
            outbox.send(|codec, packet| peer.send(codec, packet, now));
        }
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
    /// How many of those that wait are past, and how many packets of them go out at once.
    past: usize,
    pace: usize,
    /// A decoder can go on with the next picture; otherwise pictures are left out up to a key frame.
    open: bool,
    streams: [Stream; 2],
}

#[derive(Debug, Default)]
struct Stream {
    sequence: u16,
    /// RTP time of the last packet.
    stamp: Option<u32>,
    /// The last one sent.
    last: Option<Arc<Unit>>,
}

impl Outbox {
    pub fn new(anchor: Anchor) -> Self {
        let (waiting, streams) = Default::default();
        Self { anchor, waiting, out: 0, past: 0, pace: PACKETS, open: false, streams }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a unit at its own time, or a tick behind the one before where that is later.
    pub fn add(&mut self, unit: Arc<Unit>) {
        if unit.kind == Kind::Video {
            self.open |= unit.key;
            if !self.open {
                return;
            }
        }
        let waiting = self.waiting.iter().rev().find(|(other, _)| other.kind == unit.kind).map(|(_, stamp)| *stamp);
        let stamp = behind(waiting.or(self.streams[unit.kind as usize].stamp), ticks(&unit));
        self.waiting.push_back((unit, stamp));
    }

    /// Begins with pictures that are past: each is decoded, but shown for a tick of the clock at most, so that the
    /// viewer is not as far behind as the key frame is old. They take the ticks behind the newest, which are
    /// fewer than there are up to the next picture. Where there are none, pictures begin with the next key frame.
    pub fn begin(&mut self, recent: Vec<Arc<Unit>>) {
        self.open = !recent.is_empty();
        let (Some(first), Some(newest)) = (recent.first(), recent.last()) else { return };
        self.finish();
        let lasts = newest.time.since(first.time);
        let ticks_out = (lasts / FASTER).min(CATCHING_UP).as_nanos().div_ceil(PACE.as_nanos()).max(1) as usize;
        let packets = recent.iter().map(|unit| unit.payloads().len()).sum::<usize>();
        (self.past, self.pace) = (recent.len() + self.waiting.len(), packets.div_ceil(ticks_out).min(PACKETS));
        // Behind what went out, which may have been the same pictures.
        let mut stamp = behind(self.streams[Kind::Video as usize].stamp, ticks(newest).wrapping_add(1));
        for unit in recent {
            self.waiting.push_back((unit, stamp));
            stamp = stamp.wrapping_add(1);
        }
    }

    /// Leaves out the pictures that wait, and those to come up to what begins anew.
    pub fn rest(&mut self) {
        self.finish();
        self.open = false;
    }

    /// Hands out as many packets as may go at once.
    pub fn send(&mut self, mut out: impl FnMut(Codec, Outgoing)) {
        let packets = if self.past > 0 { self.pace } else { PACKETS };
        for _ in 0..packets {
            let Some((unit, timestamp)) = self.waiting.front() else { return };
            let stream = &mut self.streams[unit.kind as usize];
            let Some(payload) = unit.payloads().get(self.out) else { return };
            self.out += 1;
            let last = self.out == unit.payloads().len();
            // RFC 7587 §4.2: of sound it marks what follows silence, which is sent here.
            let marker = last && unit.kind == Kind::Video;
            let (sequence, timestamp) = (stream.sequence, *timestamp);
            (stream.sequence, stream.stamp) = (sequence.wrapping_add(1), Some(timestamp));
            out(codec(unit.kind), Outgoing { sequence, timestamp, marker, payload: payload.clone() });
            if last {
                (self.out, self.past) = (0, self.past.saturating_sub(1));
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
        self.past = 0;
    }
}

/// RTP time of what follows: its own, unless what went before lies there already.
fn behind(last: Option<u32>, stamp: u32) -> u32 {
    let next = last.map_or(stamp, |last| last.wrapping_add(1));
    if stamp.wrapping_sub(next) < 1 << 31 { stamp } else { next }
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
