use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::broadcast;

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

#[derive(Debug)]
struct Bus {
    sender: broadcast::Sender<Message>,
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
        let (sender, _) = broadcast::channel(capacity);
        Self { bus: Arc::new(Bus { sender, known: Mutex::default(), dropped: AtomicU64::new(0) }) }
    }

    /// Announces a track or its new format.
    pub fn announce(&self, track: Track) {
        let track = Arc::new(track);
        // Sent under the lock, so that a reader that subscribes meanwhile sees the track exactly once.
        let mut known = self.bus.known();
        known.tracks.insert(track.id, track.clone());
        self.send(Message::Event(Event::Track(track)));
    }

    /// Readers that come from now on are not told of a track: nothing is written to it any more.
    pub fn withdraw(&self, track: TrackId) {
        self.bus.known().tracks.remove(&track);
    }

    /// Hands a packet to every reader; never waits.
    pub fn write(&self, packet: Packet) {
        self.send(Message::Event(Event::Packet(packet)));
    }

    /// Marks a break in time or format.
    pub fn discontinuity(&self) {
        self.send(Message::Event(Event::Discontinuity));
    }

    /// Tells that the publisher is gone.
    pub fn away(&self) {
        self.send(Message::Event(Event::Away));
    }

    /// Ends the live for every reader, now and later.
    pub fn end(&self) {
        self.bus.known().ended = true;
        self.send(Message::End);
    }

    /// A new reader.
    pub fn consume(&self) -> Consumer {
        let known = self.bus.known();
        Consumer {
            bus: self.bus.clone(),
            receiver: self.bus.sender.subscribe(),
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

    fn send(&self, message: Message) {
        // Nobody listening is no error: readers come and go.
        let _ = self.bus.sender.send(message);
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
        if self.ended {
            return None;
        }
        if let Some(track) = self.known.pop_front() {
            return Some(Event::Track(track));
        }
        match self.receiver.recv().await {
            Ok(Message::Event(event)) => Some(event),
            Ok(Message::End) | Err(broadcast::error::RecvError::Closed) => {
                self.ended = true;
                None
            }
            Err(broadcast::error::RecvError::Lagged(lost)) => {
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
    use bytes::Bytes;

    use super::*;
    use crate::model::{AudioCodec, AudioFormat, MediaTime, RenditionId, TrackFormat};

    fn packet(millis: i64) -> Packet {
        let time = MediaTime::from_millis(millis);
        Packet { track: TrackId::AUDIO, pts: time, dts: time, key: true, data: Bytes::new() }
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
}
