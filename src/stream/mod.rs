//! The hub of a live: sources write packets in, readers take them out, neither knows the other.
//!
//! A [`Registry`] holds every live by name; a [`Publication`] is one publisher's hold on one;
//! [`Producer`] and [`Consumer`] are the two ends of its packet bus.

mod bus;
mod registry;
mod timeline;

pub use bus::{Consumer, Event, Producer};
pub use registry::{Busy, Frame, Link, Live, Publication, Registry, Replaced, State, Stats};
pub use timeline::Timeline;
