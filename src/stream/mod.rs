//! The hub of a live: sources write packets in, readers take them out, neither knows the other.
//!
//! A [`Registry`] holds every live by name; a [`Publication`] is one publisher's hold on one;
//! [`Producer`] and [`Consumer`] are the two ends of its packet bus.

mod bus;
mod live;
mod publication;
mod registry;
mod seats;
mod timeline;

use std::time::Duration;

pub use bus::{Consumer, Event, Producer};
pub use live::{Live, State, Stats};
pub use publication::{Frame, Publication};
pub use registry::{Claim, Registry};
pub use seats::{NotThere, Publisher, Rank};
pub use timeline::Timeline;

/// How a publisher's packets travel, as its protocol last measured it; `None` is what it does not measure.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Link {
    /// Share of the packets of the last seconds that never came, 0–1.
    pub loss: Option<f64>,
    /// Variation of the time packets take (RFC 3550 §6.4.1), or as near to it as the protocol comes.
    pub jitter: Option<Duration>,
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
