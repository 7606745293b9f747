use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::sync::{
    Notify,
    broadcast::{self, error::RecvError, error::TryRecvError},
};

use crate::model::{Packet, Track, TrackId};

/// What a reader of a live sees, in order.
#[derive(Debug, Clone)]
pub enum Event {
    /// A track appears or changes its format; precedes the packets it describes.
    Track(Arc<Track>),
    /// One access unit.
    Packet(Packet),
    /// Time or format of all tracks break here: the publisher came back, or its clock jumped.
    Discontinuity,
    /// The publisher is gone, perhaps for good. What comes next of its tracks follows a discontinuity.
    Away,
    /// The reader was too slow and lost so many events; wait for key frames.
    Lost(u64),
}

#[derive(Debug, Clone)]
enum Message {
    Event(Event),
    End,
}

/// The writing end. Cheap to clone; each track has one writer by convention:
/// the publisher its own, the ladder the rungs.
#[derive(Debug, Clone)]
pub struct Producer {
    bus: Arc<Bus>,
}

/// Packets of sound that readers at ease are left alone with at most: some 40 ms where no picture comes between.
const SOUNDS_IN_A_BEAT: u32 = 3;
/// Packets that readers who sleep are left alone with at most: a bus has to hold many times as many.
const PACKETS_ASLEEP: u32 = 256;

#[derive(Debug)]
struct Bus {
    all: broadcast::Sender<Message>,
    /// All but packets in codecs that are packaged. Of these a live has some eighty a second, and in most lives every
    /// reader of others would be woken for each in vain.
    foreign: broadcast::Sender<Message>,
    /// Wakes readers at ease.
    beat: Notify,
    /// Packets of sound since the last beat.
    unheard: AtomicU32,
    /// Wakes readers who sleep.
    key: Notify,
    /// Packets since it last did.
    unread: AtomicU32,
    known: Mutex<Known>,
    dropped: AtomicU64,
}

/// What a reader that comes now must be told.
#[derive(Debug, Default)]
struct Known {
    tracks: BTreeMap<TrackId, Arc<Track>>,
    ended: bool,
}

/// A reading end. It begins with the tracks known so far, then follows.
#[derive(Debug)]
pub struct Consumer {
    bus: Arc<Bus>,
    receiver: broadcast::Receiver<Message>,
    known: VecDeque<Arc<Track>>,
    ended: bool,
}

impl Producer {
    /// A bus on which a reader may fall `capacity` events behind before it loses the oldest.
    pub fn new(capacity: usize) -> Self {
        let (all, foreign) = (broadcast::Sender::new(capacity), broadcast::Sender::new(capacity));
        let (beat, unheard, key, unread, known, dropped) = Default::default();
        Self { bus: Arc::new(Bus { all, foreign, beat, unheard, key, unread, known, dropped }) }
    }

    /// Announces a track or its new format.
    pub fn announce(&self, track: Track) {
        let track = Arc::new(track);
        // Sent under the lock, so that a reader that subscribes meanwhile sees the track exactly once.
        let mut known = self.bus.known();
        known.tracks.insert(track.id, track.clone());
        self.tell(Message::Event(Event::Track(track)));
    }

    /// Readers that come from now on are not told of a track: nothing is written to it any more.
    pub fn withdraw(&self, track: TrackId) {
        self.bus.known().tracks.remove(&track);
    }

    /// Hands a packet to every reader; never waits.
    pub fn write(&self, packet: Packet) {
        let (track, key) = (packet.track, packet.key && packet.track == TrackId::VIDEO);
        let message = Message::Event(Event::Packet(packet));
        // Nobody listening is no error: readers come and go.
        if track.is_foreign() {
            let _ = self.bus.foreign.send(message.clone());
        }
        let _ = self.bus.all.send(message);
        let picture = !track.is_sound() && (!track.is_foreign() || track == TrackId::FOREIGN_VIDEO);
        if picture || self.bus.unheard.fetch_add(1, Ordering::Relaxed) + 1 >= SOUNDS_IN_A_BEAT {
            self.beat();
        }
        if key || self.bus.unread.fetch_add(1, Ordering::Relaxed) + 1 >= PACKETS_ASLEEP {
            self.wake();
        }
    }

    /// Marks a break in time or format.
    pub fn discontinuity(&self) {
        self.tell(Message::Event(Event::Discontinuity));
    }

    /// Tells that the publisher is gone.
    pub fn away(&self) {
        self.tell(Message::Event(Event::Away));
    }

    /// Ends the live for every reader, now and later.
    pub fn end(&self) {
        self.bus.known().ended = true;
        self.tell(Message::End);
    }

    /// A new reader.
    pub fn consume(&self) -> Consumer {
        self.read(&self.bus.all)
    }

    /// A new reader whom packets in codecs that are packaged pass by.
    pub fn consume_foreign(&self) -> Consumer {
        self.read(&self.bus.foreign)
    }

    fn read(&self, events: &broadcast::Sender<Message>) -> Consumer {
        let known = self.bus.known();
        Consumer {
            bus: self.bus.clone(),
            receiver: events.subscribe(),
            known: known.tracks.values().cloned().collect(),
            ended: known.ended,
        }
    }

    /// The tracks announced so far, by id.
    pub fn tracks(&self) -> Vec<Arc<Track>> {
        self.bus.known().tracks.values().cloned().collect()
    }

    /// Events lost by slow readers so far.
    pub fn dropped(&self) -> u64 {
        self.bus.dropped.load(Ordering::Relaxed)
    }

    /// Says what every reader has to know.
    fn tell(&self, message: Message) {
        let _ = self.bus.foreign.send(message.clone());
        let _ = self.bus.all.send(message);
        self.beat();
        self.wake();
    }

    fn beat(&self) {
        self.bus.unheard.store(0, Ordering::Relaxed);
        self.bus.beat.notify_waiters();
    }

    fn wake(&self) {
        self.bus.unread.store(0, Ordering::Relaxed);
        self.bus.key.notify_waiters();
    }
}

impl Bus {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    /// The next event, or `None` when the live has ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.ended || !self.known.is_empty() {
            return self.first();
        }
        let received = self.receiver.recv().await;
        self.take(received)
    }

    /// The same for a reader that need not have sound at once: it is woken by the next picture, which it comes with, or
    /// by the third packet where no picture comes. Being woken costs more than what most readers do with a packet.
    /// Cancel-safe.
    pub async fn recv_at_ease(&mut self) -> Option<Event> {
        self.recv_at(|bus| &bus.beat).await
    }

    /// The same for a reader that only has to be there when it is asked, and then needs the last key frame and what
    /// followed: it is woken by the next one, or by the 256th packet. Cancel-safe.
    pub async fn recv_asleep(&mut self) -> Option<Event> {
        self.recv_at(|bus| &bus.key).await
    }

    /// Nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.receiver.is_empty()
    }

    /// Sleeps until the bell rings where nothing is there.
    async fn recv_at(&mut self, bell: fn(&Bus) -> &Notify) -> Option<Event> {
        if self.ended || !self.known.is_empty() {
            return self.first();
        }
        let received = loop {
            match self.receiver.try_recv() {
                Ok(message) => break Ok(message),
                Err(TryRecvError::Closed) => break Err(RecvError::Closed),
                Err(TryRecvError::Lagged(lost)) => break Err(RecvError::Lagged(lost)),
                Err(TryRecvError::Empty) => {}
            }
            let mut rung = pin!(bell(&self.bus).notified());
            rung.as_mut().enable();
            // Nothing has come before this waited for it.
            if self.receiver.is_empty() {
                rung.await;
            }
        };
        self.take(received)
    }

    /// What is there without waiting: the tracks that were known, or the end.
    fn first(&mut self) -> Option<Event> {
        if self.ended { None } else { self.known.pop_front().map(Event::Track) }
    }

    fn take(&mut self, received: Result<Message, RecvError>) -> Option<Event> {
        match received {
            Ok(Message::Event(event)) => Some(event),
            Ok(Message::End) | Err(RecvError::Closed) => {
                self.ended = true;
                None
            }
            Err(RecvError::Lagged(lost)) => {
                self.bus.dropped.fetch_add(lost, Ordering::Relaxed);
                // An announcement may be among what was lost.
                self.known = self.bus.known().tracks.values().cloned().collect();
                Some(Event::Lost(lost))
            }
        }
    }

    /// The writing end of the same bus, for a reader that also makes tracks.
    pub fn producer(&self) -> Producer {
        Producer { bus: self.bus.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicBool,
        task::{Context, Poll, Wake},
    };

    use bytes::Bytes;

    use super::*;
    use crate::model::{AudioCodec, AudioFormat, MediaTime, RenditionId, TrackFormat};

    fn packet(millis: i64) -> Packet {
        packet_of(TrackId::AUDIO, millis)
    }

    fn packet_of(track: TrackId, millis: i64) -> Packet {
        let time = MediaTime::from_millis(millis);
        Packet { track, pts: time, dts: time, key: true, data: Bytes::new() }
    }

    fn track() -> Track {
        Track {
            id: TrackId::AUDIO,
            rendition: RenditionId::audio(),
            format: TrackFormat::Audio(AudioFormat {
                codec: AudioCodec::Aac,
                config: Bytes::from_static(&[0x11, 0x90]),
                sample_rate: 48_000,
                channels: 2,
            }),
            bitrate: None,
            label: None,
        }
    }

    #[tokio::test]
    async fn a_late_reader_learns_the_tracks_first() {
        let producer = Producer::new(8);
        producer.announce(track());
        producer.write(packet(0));
        let mut consumer = producer.consume();
        producer.write(packet(20));
        assert!(matches!(consumer.recv().await, Some(Event::Track(_))));
        assert!(matches!(consumer.recv().await, Some(Event::Packet(p)) if p.dts == MediaTime::from_millis(20)));
        producer.end();
        assert!(consumer.recv().await.is_none());
        assert!(consumer.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost_and_the_loss_is_counted() {
        let producer = Producer::new(4);
        let mut consumer = producer.consume();
        for n in 0..10 {
            producer.write(packet(n));
        }
        assert!(matches!(consumer.recv().await, Some(Event::Lost(6))));
        assert!(matches!(consumer.recv().await, Some(Event::Packet(p)) if p.dts == MediaTime::from_millis(6)));
        assert_eq!(producer.dropped(), 6);
    }

    #[tokio::test]
    async fn an_announcement_among_the_lost_is_repeated() {
        let producer = Producer::new(4);
        let mut consumer = producer.consume();
        producer.announce(track());
        for n in 0..10 {
            producer.write(packet(n));
        }
        assert!(matches!(consumer.recv().await, Some(Event::Lost(_))));
        assert!(matches!(consumer.recv().await, Some(Event::Track(_))));
        assert!(matches!(consumer.recv().await, Some(Event::Packet(_))));
    }

    #[tokio::test]
    async fn a_reader_that_comes_after_the_end_sees_the_end() {
        let producer = Producer::new(4);
        producer.announce(track());
        producer.end();
        assert!(producer.consume().recv().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_of_what_is_foreign_is_told_all_but_other_packets() {
        let producer = Producer::new(4);
        let mut consumer = producer.consume_foreign();
        producer.announce(track());
        for n in 0..10 {
            producer.write(packet(n));
        }
        producer.write(packet_of(TrackId::FOREIGN_VIDEO, 10));
        producer.away();
        producer.end();
        assert!(matches!(consumer.recv().await, Some(Event::Track(_))));
        assert!(matches!(consumer.recv().await, Some(Event::Packet(p)) if p.track == TrackId::FOREIGN_VIDEO));
        assert!(matches!(consumer.recv().await, Some(Event::Away)));
        assert!(consumer.recv().await.is_none());
        assert_eq!(producer.dropped(), 0);
    }

    /// Whether a task has been woken.
    #[derive(Default)]
    struct Bell(AtomicBool);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Which of these packets wake a reader, who sees all of them in order and is woken by the end.
    fn wakes(asleep: bool, packets: impl IntoIterator<Item = (TrackId, bool)>) -> Vec<bool> {
        let producer = Producer::new(1024);
        let mut consumer = producer.consume();
        let mut reading = Box::pin(async move {
            let mut seen = 0;
            while let Some(event) = if asleep { consumer.recv_asleep().await } else { consumer.recv_at_ease().await } {
                let Event::Packet(packet) = event else { continue };
                assert_eq!(packet.dts, MediaTime::from_millis(seen));
                seen += 1;
            }
            assert!(consumer.is_empty());
            seen
        });
        let bell = Arc::new(Bell::default());
        let waker = bell.clone().into();
        let mut poll = || reading.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        let mut write = |(nth, (track, key)): (usize, (TrackId, bool))| {
            producer.write(Packet { key, ..packet_of(track, nth as i64) });
            let rung = bell.0.swap(false, Ordering::Relaxed);
            assert!(!rung || poll().is_pending());
            rung
        };
        let woken: Vec<_> = packets.into_iter().enumerate().map(&mut write).collect();
        producer.end();
        assert!(bell.0.load(Ordering::Relaxed));
        assert_eq!(poll(), Poll::Ready(woken.len() as i64));
        woken
    }

    #[test]
    fn a_reader_at_ease_is_woken_by_pictures_and_by_every_third_sound_without() {
        let (sound, picture) = ((TrackId::AUDIO, true), (TrackId::VIDEO, false));
        let woken = wakes(false, [sound, sound, sound, sound, picture, sound, sound, sound, sound]);
        assert_eq!(woken, [false, false, true, false, true, false, false, true, false]);
    }

    #[test]
    fn a_reader_who_sleeps_is_woken_by_key_frames_and_by_many_packets_without() {
        let (picture, rung) = ((TrackId::VIDEO, false), (TrackId::rung(0), true));
        assert_eq!(
            wakes(true, [picture, (TrackId::AUDIO, true), rung, (TrackId::VIDEO, true), picture]),
            [false, false, false, true, false]
        );
        let woken = wakes(true, vec![picture; 600]);
        let at: Vec<_> = (0..600).filter(|nth| woken[*nth]).collect();
        assert_eq!(at, [255, 511]);
    }
}
