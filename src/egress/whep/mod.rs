//! WebRTC out (draft-ietf-wish-whep): H.264 and Opus of a live to many viewers, as it comes.
//!
//! [`Source`] picks the tracks that players take as they are, and says what has to be made; a live's [`Feed`] cuts
//! each access unit into payloads once, and keeps those since the last key frame for viewers that join. A viewer's
//! session only numbers and stamps them.

mod feed;
pub mod h264;
mod link;
mod recent;
mod server;
mod session;
mod source;

pub use feed::{Feed, Joined, Next};
pub use recent::{Kind, Recent, Unit};
pub use server::{Opened, Server};
pub use session::Viewer;
pub use source::{Output, Source, Wants};

#[cfg(test)]
mod tests;
