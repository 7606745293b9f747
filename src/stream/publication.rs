use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Link, Live, Replaced, State, Timeline,
    live::Condition,
    seats::{Rank, Standing},
};
use crate::model::{
    AudioFormat, Label, MediaTime, Packet, RenditionId, StreamName, Track, TrackFormat, TrackId, VideoFormat,
};

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

/// A publisher's hold on a live: it is on the air, or stands by and what it says waits. Dropping it, like
/// [`Publication::finish`], opens the grace if it was on the air.
#[derive(Debug)]
pub struct Publication {
    live: Arc<Live>,
    seat: u64,
    /// The turn it has last had on the air.
    turn: u64,
    timeline: Timeline,
    /// What it says next is behind a break.
    breaks: bool,
    /// How old what it says was when it last got newer, and when that was, while it is off the air.
    behind: Option<(Duration, Instant)>,
}

/// What a path brings that late was not held up.
const LATE: Duration = Duration::from_millis(300);
/// A publisher that gets no newer for so long has caught up.
const STEADY: Duration = Duration::from_secs(1);

impl Publication {
    pub(super) fn new(live: Arc<Live>, seat: u64) -> Self {
        Self { live, seat, turn: 0, timeline: Timeline::new(MediaTime::ZERO), breaks: false, behind: None }
    }

    /// The channel.
    pub fn name(&self) -> &StreamName {
        &self.live.name
    }

    /// Waits until the live's readers are in place, so that none misses the first packets. Cancel-safe.
    pub async fn opened(&self) {
        self.live.opened().await;
        // The wait was not the publisher's.
        self.live.condition().seats.note(self.seat, Instant::now());
    }

    /// Whether another publisher is on the air and this one waits.
    pub fn stands_by(&self) -> bool {
        self.live.condition().seats.standing(self.seat) == Ok(Standing::Standby)
    }

    /// Announces the video track or its new format. Returns the track its frames belong to: [`TrackId::VIDEO`], or
    /// [`TrackId::FOREIGN_VIDEO`] in a codec that is not packaged. Going from one to the other is a break.
    pub fn video(&mut self, format: VideoFormat, bitrate: Option<u32>) -> TrackId {
        let (id, other) = kind(format.codec.is_packaged(), TrackId::VIDEO, TrackId::FOREIGN_VIDEO);
        let format = TrackFormat::Video(format);
        self.announce(Track { id, rendition: RenditionId::source(), format, bitrate, label: None }, other);
        id
    }

    /// Announces the audio track or its new format. Returns the track its frames belong to: [`TrackId::AUDIO`], or
    /// [`TrackId::FOREIGN_AUDIO`] in a codec that is not packaged. Going from one to the other is a break.
    pub fn audio(&mut self, format: AudioFormat, bitrate: Option<u32>) -> TrackId {
        self.sound(0, format, bitrate, None).expect("the first track of sound is always taken")
    }

    /// The same for the `nth` track of sound, the first one being 0: [`TrackId::sound`], or [`TrackId::foreign`] of it.
    /// `None`: it is not taken, since it is one too many ([`TrackId::FURTHER_SOUNDS`]).
    pub fn sound(&mut self, nth: u8, format: AudioFormat, rate: Option<u32>, label: Option<Label>) -> Option<TrackId> {
        let own = TrackId::sound(nth)?;
        let (id, other) = kind(format.codec.is_packaged(), own, own.foreign()?);
        let (rendition, format) = (RenditionId::sound(nth), TrackFormat::Audio(format));
        self.announce(Track { id, rendition, format, bitrate: rate, label }, other);
        Some(id)
    }

    /// Told as readers ask for key frames, a burst of wishes as one.
    pub fn key_frames_wanted(&self) -> watch::Receiver<u64> {
        self.live.key_frames.subscribe()
    }

    /// States how packets travel now.
    pub fn report(&self, link: Link) {
        if let Some(seat) = self.live.condition().seats.get_mut(self.seat) {
            seat.publisher.link = Some(link);
        }
    }

    /// Writes one access unit that arrived at `now`; while another publisher is on the air it is dropped. Never
    /// waits.
    ///
    /// # Errors
    /// [`Replaced`] when another connection has its place: close this one.
    pub fn write(&mut self, frame: Frame, now: Instant) -> Result<(), Replaced> {
        // Held while the packet goes out: a replaced publisher's must not follow its successor's.
        let live = self.live.clone();
        let mut condition = live.condition();
        let is_video = matches!(frame.track, TrackId::VIDEO | TrackId::FOREIGN_VIDEO);
        let seat = condition.seats.note(self.seat, now).ok_or(Replaced)?;
        if is_video {
            seat.note_picture(frame.dts, frame.pts, frame.key);
        }
        let opens = if is_video { frame.key } else { !seat.has_video() };
        if !self.may_write(&mut condition, opens, frame.dts, now)? {
            return Ok(());
        }
        let Some(mapped) = self.timeline.map(frame.track, frame.dts, live.at(now)) else { return Ok(()) };
        condition.end = condition.end.max(mapped.dts + Duration::from_millis(1));
        condition.stats.bytes += frame.data.len() as u64;
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

    /// Whether it is on the air. One that stands by goes on the air where it is called and decoders can start.
    fn may_write(&mut self, condition: &mut Condition, opens: bool, dts: i64, now: Instant) -> Result<bool, Replaced> {
        if condition.seats.drop_silent(now) {
            self.live.vacate(condition, now);
        }
        let mut standing = condition.seats.standing(self.seat)?;
        let current = matches!(standing, Standing::OnAir(_)) || self.is_current(dts, now);
        if standing == Standing::Called && opens && current {
            condition.seats.take(self.seat);
            condition.state = State::Live;
            condition.stats.reconnects += 1;
            standing = condition.seats.standing(self.seat)?;
            tracing::info!(stream = %self.live.name, rank = self.rank(condition).as_str(), "goes on the air");
        }
        let Standing::OnAir(turn) = standing else { return Ok(false) };
        self.begin_turn(condition, turn);
        Ok(true)
    }

    /// Whether what it says is new. A path that was held up brings in one go what it held, which would set the
    /// live's clock ahead by as much; viewers have been shown something else meanwhile.
    fn is_current(&mut self, dts: i64, now: Instant) -> bool {
        let Some(lag) = self.timeline.lag(dts, self.live.at(now)).filter(|lag| *lag > LATE) else { return true };
        match self.behind {
            Some((before, since)) if before <= lag + LATE => now.saturating_duration_since(since) >= STEADY,
            _ => {
                self.behind = Some((lag, now));
                false
            }
        }
    }

    /// Says what a track is, which may take the place of the other one.
    fn announce(&mut self, track: Track, other: TrackId) {
        let live = self.live.clone();
        let mut condition = live.condition();
        let Some(seat) = condition.seats.get_mut(self.seat) else { return };
        let switched = seat.tracks.remove(&other).is_some();
        seat.tracks.insert(track.id, track.clone());
        let Ok(Standing::OnAir(turn)) = condition.seats.standing(self.seat) else { return };
        self.breaks |= switched;
        if !self.begin_turn(&mut condition, turn) {
            self.resume();
            self.tell(track);
        }
    }

    /// The first thing it says in a turn on the air: a break, unless it opens the live, and what it sends. False if
    /// the turn has begun already.
    fn begin_turn(&mut self, condition: &mut Condition, turn: u64) -> bool {
        if self.turn == turn {
            return false;
        }
        self.turn = turn;
        self.behind = None;
        self.timeline = Timeline::new(condition.end);
        self.breaks = turn > 1;
        let Some(seat) = condition.seats.get_mut(self.seat) else { return true };
        let tracks: Vec<_> = seat.tracks.values().cloned().collect();
        // Whoever comes from now on is not told of what only the publisher before sent.
        let has = |id| tracks.iter().any(|track| track.id == id);
        let comes = |id: TrackId| has(id) || id.foreign().is_some_and(has);
        for track in self.live.producer.tracks() {
            if (track.id.is_foreign() || track.id.is_published()) && !tracks.is_empty() && !comes(track.id) {
                self.live.producer.withdraw(track.id);
            }
        }
        if !tracks.is_empty() {
            self.resume();
        }
        tracks.into_iter().for_each(|track| self.tell(track));
        true
    }

    /// Readers that come from now on are not told of the track this one takes the place of: nothing is written to it.
    fn tell(&self, track: Track) {
        if let Some(foreign) = track.id.foreign() {
            self.live.producer.withdraw(foreign);
        }
        self.live.producer.announce(track);
    }

    /// A publisher that returns or changes the kind of its audio breaks the stream once, before anything else it says.
    fn resume(&mut self) {
        if std::mem::take(&mut self.breaks) {
            self.live.producer.discontinuity();
        }
    }

    fn rank(&self, condition: &mut Condition) -> Rank {
        condition.seats.get_mut(self.seat).map_or(Rank::Main, |seat| seat.publisher.rank)
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let live = self.live.clone();
        let mut condition = live.condition();
        let (now, seated) = (Instant::now(), condition.seats.get_mut(self.seat).is_some());
        if condition.seats.leave(self.seat) {
            live.vacate(&mut condition, now);
        } else if seated && matches!(condition.state, State::Reconnecting(_)) {
            // It might have gone on until now: the time to come back begins.
            condition.state = State::Reconnecting(now);
        }
    }
}

/// The track that a format belongs to, and the one it does not.
const fn kind(packaged: bool, own: TrackId, foreign: TrackId) -> (TrackId, TrackId) {
    if packaged { (own, foreign) } else { (foreign, own) }
}
