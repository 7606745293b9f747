//! Who may write to a live. Pure.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Busy, Link, Replaced};
use crate::model::{Track, TrackId};

/// How long a connection must have been silent before another may have its place.
const SILENCE: Duration = Duration::from_secs(2);
/// How long who is on the air may be silent while nobody can take over. What a path has held up for so long comes
/// late, but whole; players wait for a part twice as long.
const LOST: Duration = Duration::from_secs(5);
/// How long a connection that sends nothing may go on yet: twice as long as most protocols keep one. WebRTC keeps it.
const GONE: Duration = Duration::from_secs(60);

/// Which of a channel's two stream keys a publisher shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rank {
    /// The one every channel has.
    Main,
    /// The one for a second encoder, which stands by.
    Backup,
}

impl Rank {
    /// As status, API and logs name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Backup => "backup",
        }
    }
}

/// No publisher of that rank is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {} publisher is not connected", .0.as_str())]
pub struct NotThere(pub Rank);

/// What status reports about a publisher's connection.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// Which key it showed.
    pub rank: Rank,
    /// Viewers see it; otherwise it stands by.
    pub on_air: bool,
    /// `rtmp`, …
    pub protocol: &'static str,
    /// Its address.
    pub peer: SocketAddr,
    /// When it came.
    pub since: Instant,
    /// How its packets travel, once something of it is known.
    pub link: Option<Link>,
    /// What it sends, by id.
    pub tracks: Vec<Track>,
    /// From one key frame to the next, the last time.
    pub key_interval: Option<Duration>,
    /// Pictures are sent in another order than they are shown in (B-frames).
    pub reorders: bool,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    last_write: Instant,
    /// When it began to send, or was first heard again after a silence.
    heard_since: Instant,
    pub publisher: Publisher,
    pub tracks: BTreeMap<TrackId, Track>,
    last_key: Option<i64>,
}

/// A seat for each rank; whoever is on the air writes, the other stands by.
#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: [Option<Seat>; 2],
    on_air: Option<Rank>,
    /// Told to go on the air as soon as it can.
    wanted: Option<Rank>,
    /// Counts the publishers that went on the air.
    turn: u64,
    issued: u64,
}

/// What a connection may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Write; it is the `turn`-th that does.
    OnAir(u64),
    /// Wait.
    Standby,
    /// Go on the air with a picture that decoders can start with.
    Called,
}

impl Seat {
    /// A picture came; times in nanoseconds of the publisher's clock.
    pub fn note_picture(&mut self, dts: i64, pts: i64, key: bool) {
        self.publisher.reorders |= dts != pts;
        if key {
            let since = self.last_key.replace(dts).map(|last| dts.saturating_sub(last));
            self.publisher.key_interval = since.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
        }
    }

    /// It has announced pictures.
    pub fn has_video(&self) -> bool {
        self.tracks.contains_key(&TrackId::VIDEO) || self.tracks.contains_key(&TrackId::FOREIGN_VIDEO)
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.silence(now) >= SILENCE
    }

    fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_write)
    }
}

impl Seats {
    /// A seat for a connection. It goes on the air at once if nobody is, or if it takes over the seat of who is:
    /// of a connection that has fallen silent, or of any if `takeover`. Returns what tells it from others.
    pub fn sit(
        &mut self,
        rank: Rank,
        protocol: &'static str,
        peer: SocketAddr,
        takeover: bool,
        now: Instant,
    ) -> Result<u64, Busy> {
        if self.seats[rank as usize].as_ref().is_some_and(|seat| !takeover && !seat.is_silent(now)) {
            return Err(Busy);
        }
        self.issued += 1;
        let publisher = Publisher {
            rank,
            on_air: false,
            protocol,
            peer,
            since: now,
            link: None,
            tracks: Vec::new(),
            key_interval: None,
            reorders: false,
        };
        let seat = Seat {
            id: self.issued,
            last_write: now,
            heard_since: now,
            publisher,
            tracks: BTreeMap::new(),
            last_key: None,
        };
        self.seats[rank as usize] = Some(seat);
        if self.on_air.is_none_or(|on_air| on_air == rank) {
            self.go_on_air(rank);
        }
        Ok(self.issued)
    }

    /// Gives a seat up. True if it was on the air.
    pub fn leave(&mut self, id: u64) -> bool {
        let Some(rank) = self.get(id).map(|seat| seat.publisher.rank) else { return false };
        self.seats[rank as usize] = None;
        self.wanted = self.wanted.filter(|wanted| *wanted != rank);
        let was_on_air = self.on_air == Some(rank);
        if was_on_air {
            self.on_air = None;
        }
        was_on_air
    }

    /// Takes everybody's seat.
    pub fn clear(&mut self) {
        *self = Self { turn: self.turn, issued: self.issued, ..Self::default() };
    }

    /// What the connection may do.
    pub fn standing(&self, id: u64) -> Result<Standing, Replaced> {
        let rank = self.get(id).ok_or(Replaced)?.publisher.rank;
        Ok(match self.on_air {
            Some(on_air) if on_air == rank => Standing::OnAir(self.turn),
            Some(_) if self.wanted != Some(rank) => Standing::Standby,
            _ => Standing::Called,
        })
    }

    /// The connection has sent something.
    pub fn note(&mut self, id: u64, now: Instant) -> Option<&mut Seat> {
        let seat = self.get_mut(id)?;
        if seat.is_silent(now) {
            seat.heard_since = now;
        }
        seat.last_write = now;
        Some(seat)
    }

    /// Takes who is on the air off it if it has fallen silent while another stands by, or for long. True if so.
    pub fn drop_silent(&mut self, now: Instant) -> bool {
        let Some(silence) = self.on_air().map(|seat| seat.silence(now)) else { return false };
        let relieved = silence >= SILENCE && self.seats.iter().flatten().any(|seat| !seat.is_silent(now));
        if relieved || silence >= LOST {
            self.on_air = None;
        }
        self.on_air.is_none()
    }

    /// A connection that is called goes on the air.
    pub fn take(&mut self, id: u64) {
        if let Some(rank) = self.get(id).map(|seat| seat.publisher.rank) {
            self.go_on_air(rank);
        }
    }

    /// For how long somebody has been heard who is about to go on the air, where nobody is.
    pub fn is_due(&self, now: Instant) -> Option<Duration> {
        let heard = self.seats.iter().flatten().filter(|seat| !seat.is_silent(now));
        let shortest = heard.map(|seat| now.saturating_duration_since(seat.heard_since)).min();
        shortest.filter(|_| self.on_air.is_none())
    }

    /// Nobody is on the air, and a connection that has fallen silent may go on yet.
    pub fn may_return(&self, now: Instant) -> bool {
        self.on_air.is_none() && self.seats.iter().flatten().any(|seat| (SILENCE..GONE).contains(&seat.silence(now)))
    }

    /// Calls a publisher to the air.
    pub fn call(&mut self, rank: Rank) -> Result<(), NotThere> {
        if self.seats[rank as usize].is_none() {
            return Err(NotThere(rank));
        }
        self.wanted = (self.on_air != Some(rank)).then_some(rank);
        Ok(())
    }

    /// Who is on the air.
    pub fn on_air(&self) -> Option<&Seat> {
        self.seats[self.on_air? as usize].as_ref()
    }

    /// Whether that connection is.
    pub fn on_air_is(&self, id: u64) -> bool {
        self.on_air().is_some_and(|seat| seat.id == id)
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().flatten().find(|seat| seat.id == id)
    }

    /// Everyone who is connected, the main publisher first.
    pub fn publishers(&self) -> Vec<Publisher> {
        let seats = self.seats.iter().flatten();
        let told = |seat: &Seat| Publisher {
            on_air: self.on_air == Some(seat.publisher.rank),
            tracks: seat.tracks.values().cloned().collect(),
            ..seat.publisher.clone()
        };
        seats.map(told).collect()
    }

    fn get(&self, id: u64) -> Option<&Seat> {
        self.seats.iter().flatten().find(|seat| seat.id == id)
    }

    fn go_on_air(&mut self, rank: Rank) {
        self.on_air = Some(rank);
        self.wanted = None;
        self.turn += 1;
    }
}
