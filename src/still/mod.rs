//! What a live shows while nothing comes: while its publisher is away the last key frame, standing still, and
//! silence; while its picture alone pauses, the last picture ([`Pauses`]).
//!
//! Real media, made bit by bit and without an encoder, so that any player plays on. Pure: packets of
//! a live go by, and packets that go on in their place come out.

mod bits;
mod pauses;
mod picture;
mod silence;
mod skip;
mod stand_in;

#[cfg(test)]
mod tests;

pub use pauses::{Pace, Pauses};
pub use picture::Picture;
pub use silence::silence;
pub use stand_in::StandIn;
