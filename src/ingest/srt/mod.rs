//! SRT in (draft-sharabayko-srt-01), carrying MPEG-TS: callers told apart by their stream id on one port, and calls
//! to listeners elsewhere.
//!
//! [`server`] takes callers, [`session`] turns one connection into a publication, [`pull`] makes the connection
//! itself. libsrt speaks the protocol (`sys`); a connection has a thread of its own, as it has inside libsrt.
//! [`address`] and what bounds and measures connections are pure.

pub mod address;
mod limit;
mod meter;
mod port;
pub mod pull;
pub mod server;
mod session;
mod sys;

use std::{fmt, time::Duration};

use super::{Refusal, ts};
use crate::stream::Replaced;

pub use pull::pull;
pub use server::Server;
pub use sys::{Failure, version};

/// How patient and how generous connections are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// From the handshake to a publish that was let in.
    pub authenticate: Duration,
    /// A publisher that sends no picture and no sound for so long is cut.
    pub silence: Duration,
    /// Callers that have not been let in, at most.
    pub strangers: usize,
    /// How long a packet may be under way, retransmissions included; the other end may ask for more.
    pub latency: Duration,
    /// What callers must encrypt with, unless their channel's stream key is what they encrypt with.
    pub passphrase: Option<Passphrase>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authenticate: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            strangers: 32,
            latency: Duration::from_millis(120),
            passphrase: None,
        }
    }
}

/// A passphrase of 10 to 79 bytes, as SRT takes them. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

/// A text that cannot be a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an SRT passphrase has 10 to 79 bytes")]
pub struct InvalidPassphrase;

impl Passphrase {
    /// Checks and takes a passphrase.
    ///
    /// # Errors
    /// [`InvalidPassphrase`].
    pub fn parse(text: &str) -> Result<Self, InvalidPassphrase> {
        if (10..=79).contains(&text.len()) { Ok(Self(text.into())) } else { Err(InvalidPassphrase) }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libsrt could not do something.
    #[error("cannot {0}")]
    Library(&'static str, #[source] Failure),
    /// The system gives no port.
    #[error("cannot listen for SRT")]
    Port(#[source] std::io::Error),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A stream id that leads nowhere.
    #[error(transparent)]
    Address(#[from] address::Invalid),
    /// The door did not open.
    #[error("turned away")]
    Refused(#[source] Refusal),
    /// What was sent cannot be used.
    #[error("publisher cut")]
    Unusable(#[from] ts::Unusable),
    /// Nothing useful came in time.
    #[error("too slow: {0}")]
    Timeout(&'static str),
    /// Another connection took over.
    #[error(transparent)]
    Replaced(#[from] Replaced),
}

/// Bytes that wait to be read, at most: four seconds of 12 Mbit/s. A caller that was not let in may fill it.
const BUFFER: i32 = 6 << 20;
