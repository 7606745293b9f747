use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{Producer, Timeline};
use crate::model::{
    Anchor, AudioFormat, Label, MediaTime, Packet, RenditionId, StreamName, Track, TrackFormat, TrackId, VideoFormat,
};

/// Readers may fall this many events behind: about 13 s of a video, two rungs and an audio track.
const BUS_CAPACITY: usize = 2048;
/// How long a connection must have been silent before the same key may replace it.
const SILENCE: Duration = Duration::from_secs(2);

/// Where a live is in its life: idle → live ⇄ reconnecting → ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A publisher is connected.
    Live,
    /// The publisher is gone since then; the live goes on if it returns within the grace.
    Reconnecting(Instant),
    /// Over. A publisher that comes now starts another live.
    Ended,
}

/// Every live of this server, by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lives: Mutex<HashMap<StreamName, Arc<Live>>>,
    started: mpsc::Sender<Arc<Live>>,
    grace: Duration,
}

/// One live: from the first packet to the end of the last publisher's grace.
#[derive(Debug)]
pub struct Live {
    /// The channel.
    pub name: StreamName,
    /// Wall clock of media time zero.
    pub anchor: Anchor,
    /// The packet bus.
    pub producer: Producer,
    epoch: Instant,
    opened: watch::Sender<bool>,
    /// Counts the key frames that readers have asked for.
    key_frames: watch::Sender<u64>,
    condition: Mutex<Condition>,
}

#[derive(Debug)]
struct Condition {
    state: State,
    /// Which publication holds the live; others find themselves replaced.
    generation: u64,
    key: u64,
    last_write: Instant,
    end: MediaTime,
    stats: Stats,
}

/// What status reports about the publisher.
#[derive(Debug, Clone)]
pub struct Stats {
    /// `rtmp`, …
    pub protocol: &'static str,
    /// The publisher's address.
    pub peer: SocketAddr,
    /// Media bytes received in this live.
    pub bytes: u64,
    /// Video frames received in this live.
    pub video_frames: u64,
    /// Times the publisher came back.
    pub reconnects: u32,
    /// How its packets travel, where the protocol measures it.
    pub link: Option<Link>,
}

/// How a publisher's packets travel, as its protocol last measured it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Link {
    /// Share of the packets of the last seconds that never came, 0–1.
    pub loss: f64,
    /// Variation of the time packets take (RFC 3550 §6.4.1), or as near to it as the protocol comes.
    pub jitter: Duration,
    /// There and back.
    pub round_trip: Option<Duration>,
}

/// Someone else is publishing on the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("channel is already live from another publisher")]
pub struct Busy;

/// Another connection took over; this one must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another connection of the same publisher took over")]
pub struct Replaced;

/// One access unit as a publisher sends it, on its own clock.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The track that [`Publication::video`] or [`Publication::audio`] announced.
    pub track: TrackId,
    /// Decoding time in nanoseconds of the publisher's clock; wraps already undone.
    pub dts: i64,
    /// Presentation time in nanoseconds of the publisher's clock.
    pub pts: i64,
    /// A decoder can start here.
    pub key: bool,
    /// The access unit: four-byte lengths for H.264, raw for AAC, as published for other audio.
    pub data: Bytes,
}

/// A publisher's hold on a live. Dropping it, like [`Publication::finish`], opens the grace.
#[derive(Debug)]
pub struct Publication {
    live: Arc<Live>,
    generation: u64,
    timeline: Timeline,
    breaks: bool,
    /// The video track it has announced.
    video: Option<TrackId>,
    /// The audio track it has announced.
    audio: Option<TrackId>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// An empty registry whose lives wait `grace` for a publisher that went away, and its lives as
    /// they begin; 64 may wait there, beyond that publishers are refused.
    pub fn new(grace: Duration) -> (Self, mpsc::Receiver<Arc<Live>>) {
        let (started, lives) = mpsc::channel(64);
        (Self { inner: Arc::new(Inner { lives: Mutex::default(), started, grace }) }, lives)
    }

    /// The live of a channel, unless it has none or it has ended.
    pub fn get(&self, name: &StreamName) -> Option<Arc<Live>> {
        lock(&self.inner.lives).get(name).cloned()
    }

    /// Every live that has not ended.
    pub fn lives(&self) -> Vec<Arc<Live>> {
        lock(&self.inner.lives).values().cloned().collect()
    }

    /// Gives a publisher that was let in its hold on the channel's live, which begins or goes on.
    /// `key` tells publishers' keys apart (a hash): the same key replaces a silent connection.
    ///
    /// # Errors
    /// [`Busy`] while another connection is publishing.
    pub fn publish(
        &self,
        name: &StreamName,
        key: u64,
        protocol: &'static str,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<Publication, Busy> {
        let mut lives = lock(&self.inner.lives);
        if let Some(live) = lives.get(name) {
            let mut condition = lock(&live.condition);
            let free = match condition.state {
                State::Live => condition.key == key && now.duration_since(condition.last_write) >= SILENCE,
                State::Reconnecting(_) => true,
                State::Ended => false,
            };
            if condition.state == State::Live && !free {
                return Err(Busy);
            }
            if free {
                condition.state = State::Live;
                condition.generation += 1;
                condition.key = key;
                condition.last_write = now;
                condition.stats.reconnects += 1;
                condition.stats.protocol = protocol;
                condition.stats.peer = peer;
                condition.stats.link = None;
                let (generation, floor) = (condition.generation, condition.end);
                drop(condition);
                let timeline = Timeline::new(floor);
                return Ok(Publication {
                    live: live.clone(),
                    generation,
                    timeline,
                    breaks: true,
                    video: None,
                    audio: None,
                });
            }
        }
        let live = Arc::new(Live {
            name: name.clone(),
            anchor: Anchor::new(SystemTime::now()),
            producer: Producer::new(BUS_CAPACITY),
            epoch: now,
            opened: watch::Sender::new(false),
            key_frames: watch::Sender::new(0),
            condition: Mutex::new(Condition {
                state: State::Live,
                generation: 0,
                key,
                last_write: now,
                end: MediaTime::ZERO,
                stats: Stats { protocol, peer, bytes: 0, video_frames: 0, reconnects: 0, link: None },
            }),
        });
        // Nobody there to present it is the server's affair; a crowd at the door is not.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.inner.started.try_send(live.clone()) {
            return Err(Busy);
        }
        lives.insert(name.clone(), live.clone());
        Ok(Publication {
            live,
            generation: 0,
            timeline: Timeline::new(MediaTime::ZERO),
            breaks: false,
            video: None,
            audio: None,
        })
    }

    /// Ends every live whose grace has run out at `now`. Call it about twice a second.
    pub fn expire(&self, now: Instant) {
        let grace = self.inner.grace;
        self.end_where(|_, state| matches!(state, State::Reconnecting(since) if now.duration_since(since) >= grace));
    }

    /// Ends every live at once: the server is shutting down.
    pub fn end_all(&self) {
        self.end_where(|_, _| true);
    }

    /// Ends one live at once: it cannot be presented. Its publisher finds itself replaced.
    pub fn end(&self, live: &Arc<Live>) {
        self.end_where(|candidate, _| Arc::ptr_eq(candidate, live));
    }

    fn end_where(&self, over: impl Fn(&Arc<Live>, State) -> bool) {
        lock(&self.inner.lives).retain(|_, live| {
            let mut condition = lock(&live.condition);
            let ends = over(live, condition.state);
            if ends {
                condition.state = State::Ended;
                condition.generation += 1;
                live.producer.end();
            }
            !ends
        });
    }
}

impl Live {
    /// Where the live is in its life.
    pub fn state(&self) -> State {
        lock(&self.condition).state
    }

    /// About the publisher.
    pub fn stats(&self) -> Stats {
        lock(&self.condition).stats.clone()
    }

    /// Its readers are in place: packets may come.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Asks the publisher for a key frame soon; protocols that cannot ask let it pass.
    pub fn want_key_frame(&self) {
        self.key_frames.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Media time of an instant.
    pub fn at(&self, now: Instant) -> MediaTime {
        MediaTime::ZERO + now.saturating_duration_since(self.epoch)
    }
}

impl Publication {
    /// The channel.
    pub fn name(&self) -> &StreamName {
        &self.live.name
    }

    /// Waits until the live's readers are in place, so that none misses the first packets. Cancel-safe.
    pub async fn opened(&self) {
        // The sender lives as long as the live that this publication holds.
        let _ = self.live.opened.subscribe().wait_for(|open| *open).await;
    }

    /// Announces the video track or its new format. Returns the track its frames belong to: [`TrackId::VIDEO`], or
    /// [`TrackId::FOREIGN_VIDEO`] in a codec that is not packaged. Going from one to the other is a break.
    pub fn video(&mut self, format: VideoFormat, bitrate: Option<u32>) -> TrackId {
        let id = if format.codec.is_packaged() { TrackId::VIDEO } else { TrackId::FOREIGN_VIDEO };
        let before = self.video.replace(id);
        self.switched(before, id, [TrackId::VIDEO, TrackId::FOREIGN_VIDEO]);
        let format = TrackFormat::Video(format);
        self.announce(Track { id, rendition: RenditionId::source(), format, bitrate, label: None });
        id
    }

    /// Announces the audio track or its new format. Returns the track its frames belong to: [`TrackId::AUDIO`], or
    /// [`TrackId::FOREIGN_AUDIO`] in a codec that is not packaged. Going from one to the other is a break.
    pub fn audio(&mut self, format: AudioFormat, bitrate: Option<u32>) -> TrackId {
        self.sound(0, format, bitrate, None).expect("the first track of sound is always taken")
    }

    /// The same for the `nth` track of sound, the first one being 0. `None`: it is not taken, since it is one too
    /// many ([`TrackId::FURTHER_SOUNDS`]), or a further one in a codec that is not packaged.
    pub fn sound(&mut self, nth: u8, format: AudioFormat, rate: Option<u32>, label: Option<Label>) -> Option<TrackId> {
        let id = match (nth, format.codec.is_packaged()) {
            (0, false) => TrackId::FOREIGN_AUDIO,
            (_, true) => TrackId::sound(nth)?,
            _ => return None,
        };
        if nth == 0 {
            let before = self.audio.replace(id);
            self.switched(before, id, [TrackId::AUDIO, TrackId::FOREIGN_AUDIO]);
        }
        let (rendition, format) = (RenditionId::sound(nth), TrackFormat::Audio(format));
        self.announce(Track { id, rendition, format, bitrate: rate, label });
        Some(id)
    }

    /// Told as readers ask for key frames, a burst of wishes as one.
    pub fn key_frames_wanted(&self) -> watch::Receiver<u64> {
        self.live.key_frames.subscribe()
    }

    /// States how packets travel now.
    pub fn report(&self, link: Link) {
        let mut condition = lock(&self.live.condition);
        if condition.generation == self.generation {
            condition.stats.link = Some(link);
        }
    }

    /// Whoever reads a packaged track from now on is not told of the foreign one, to which nothing is written.
    fn switched(&mut self, before: Option<TrackId>, to: TrackId, [packaged, foreign]: [TrackId; 2]) {
        if before.is_some_and(|before| before != to) {
            self.breaks = true;
        }
        if to == packaged && self.holds() {
            self.live.producer.withdraw(foreign);
        }
    }

    fn announce(&mut self, track: Track) {
        if !self.holds() {
            return;
        }
        self.resume();
        self.live.producer.announce(track);
    }

    /// No other publication has taken over.
    fn holds(&self) -> bool {
        lock(&self.live.condition).generation == self.generation
    }

    /// A publisher that returns or changes the kind of its audio breaks the stream once, before anything else it says.
    fn resume(&mut self) {
        if std::mem::take(&mut self.breaks) {
            self.live.producer.discontinuity();
        }
    }

    /// Writes one access unit that arrived at `now`. Never waits.
    ///
    /// # Errors
    /// [`Replaced`] when another connection holds the live: close this one.
    pub fn write(&mut self, frame: Frame, now: Instant) -> Result<(), Replaced> {
        let size = frame.data.len() as u64;
        let Some(mapped) = self.timeline.map(frame.track, frame.dts, self.live.at(now)) else { return Ok(()) };
        // Held while the packet goes out: a replaced publisher's must not follow its successor's.
        let live = self.live.clone();
        let mut condition = lock(&live.condition);
        if condition.generation != self.generation {
            return Err(Replaced);
        }
        condition.last_write = now;
        condition.end = condition.end.max(mapped.dts + Duration::from_millis(1));
        condition.stats.bytes += size;
        let is_video = matches!(frame.track, TrackId::VIDEO | TrackId::FOREIGN_VIDEO);
        condition.stats.video_frames += u64::from(is_video);
        self.resume();
        if mapped.jumped {
            live.producer.discontinuity();
        }
        let pts = MediaTime::from_nanos(frame.pts.saturating_add(mapped.offset)).max(MediaTime::ZERO);
        live.producer.write(Packet { track: frame.track, pts, dts: mapped.dts, key: frame.key, data: frame.data });
        Ok(())
    }

    /// The publisher said goodbye. A cut looks the same: OBS says it on every reconnect.
    pub fn finish(self) {}
}

impl Drop for Publication {
    fn drop(&mut self) {
        let mut condition = lock(&self.live.condition);
        if condition.generation == self.generation && condition.state == State::Live {
            condition.state = State::Reconnecting(Instant::now());
            // Told under the lock, so that nothing of its successor's comes before.
            self.live.producer.away();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Event;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn frame(millis: i64) -> Frame {
        Frame {
            track: TrackId::AUDIO,
            dts: millis * 1_000_000,
            pts: millis * 1_000_000,
            key: true,
            data: Bytes::from_static(b"x"),
        }
    }

    fn name() -> StreamName {
        StreamName::parse("maths").unwrap()
    }

    #[tokio::test]
    async fn a_second_publisher_is_refused_and_a_returning_one_goes_on_behind_a_discontinuity() {
        let (registry, mut started) = Registry::new(Duration::from_secs(30));
        let now = Instant::now();
        let mut first = registry.publish(&name(), 1, "rtmp", PEER, now).unwrap();
        let live = started.recv().await.unwrap();
        let mut reader = live.producer.consume();
        first.write(frame(0), now).unwrap();
        first.write(frame(20), now).unwrap();
        assert_eq!(registry.publish(&name(), 2, "rtmp", PEER, now).unwrap_err(), Busy);
        first.finish();
        let later = now + Duration::from_secs(3);
        let mut second = registry.publish(&name(), 1, "rtmp", PEER, later).unwrap();
        second.write(frame(0), later).unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(match reader.recv().await.unwrap() {
                Event::Packet(packet) => packet.dts.as_nanos() / 1_000_000,
                Event::Discontinuity => -1,
                Event::Away => -2,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, [0, 20, -2, -1, 3_000]);
    }

    #[test]
    fn the_same_key_replaces_a_silent_connection_only() {
        let (registry, _started) = Registry::new(Duration::from_secs(30));
        let now = Instant::now();
        let mut old = registry.publish(&name(), 1, "rtmp", PEER, now).unwrap();
        assert!(registry.publish(&name(), 1, "rtmp", PEER, now + Duration::from_secs(1)).is_err());
        let new = registry.publish(&name(), 1, "rtmp", PEER, now + Duration::from_secs(2)).unwrap();
        assert_eq!(old.write(frame(0), now), Err(Replaced));
        drop(old);
        assert_eq!(registry.get(&name()).unwrap().state(), State::Live, "the old one's end is not the live's");
        drop(new);
    }

    #[tokio::test]
    async fn the_live_ends_when_the_grace_runs_out() {
        let (registry, _started) = Registry::new(Duration::from_secs(30));
        let publication = registry.publish(&name(), 1, "rtmp", PEER, Instant::now()).unwrap();
        let live = registry.get(&name()).unwrap();
        let mut reader = live.producer.consume();
        drop(publication);
        registry.expire(Instant::now() + Duration::from_secs(29));
        assert!(registry.get(&name()).is_some());
        registry.expire(Instant::now() + Duration::from_secs(31));
        assert!(registry.get(&name()).is_none());
        assert!(matches!(reader.recv().await, Some(Event::Away)));
        assert!(reader.recv().await.is_none());
        assert_eq!(live.state(), State::Ended);
    }
}
