//! WHIP (RFC 9725): browsers and encoders publish over WebRTC. The requests themselves are `serve`'s.

mod media;
mod server;
mod session;
#[cfg(test)]
mod tests;

pub use server::{Accepted, Denied, Error, Server};
