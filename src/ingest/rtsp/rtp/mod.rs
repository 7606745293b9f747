//! RTP as publishers send it (RFC 3550): packets into their order, payloads into access units, time stamps onto one
//! clock. Pure: time is an argument.

mod clock;
mod depacketizer;
mod order;
mod packet;
pub mod rtcp;

pub use clock::Clock;
pub use depacketizer::{Codec, Depacketizer, Unit};
pub use order::{Figures, Order};
pub use packet::Packet;

#[cfg(test)]
mod tests;
