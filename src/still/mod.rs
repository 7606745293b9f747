//! What a live shows while nothing comes: while its publisher is away the last key frame, standing still, and
//! silence, and either of them beside a publisher who sends the other alone; while its picture alone pauses, the last
//! picture ([`Pauses`]); while one of several sounds is missing, the first ([`Floor`]).
//!
//! Real media, made bit by bit and without an encoder, so that any player plays on. Pure: packets of
//! a live go by, and packets that go on in their place come out.

mod bits;
mod floor;
mod pauses;
mod picture;
mod silence;
mod skip;
mod stand_in;

#[cfg(test)]
mod tests;

pub use floor::{Floor, Sound};
pub use pauses::{Pace, Pauses};
pub use picture::Picture;
pub use silence::silence;
pub use stand_in::StandIn;
