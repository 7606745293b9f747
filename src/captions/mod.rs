//! Captions: words become stable cues, cues become tracks, WebVTT and events.
//!
//! Text arrives later than sound. Toward websocket and SSE a cue is revised as words become
//! known ([`Builder`], [`Desk`]); toward HLS it is append-only ([`Lane`]); in documents phrases are
//! [`join()`]ed. [`Relay`] feeds one track's words through a translator into another track. All of it
//! is pure or takes time as an argument; [`run()`] alone owns a clock.

mod builder;
mod desk;
mod dress;
mod event;
mod figures;
mod join;
mod lane;
mod lineup;
mod phrase;
mod relay;
mod run;
mod subscription;
mod text;
mod track;
mod translation;
#[cfg(test)]
mod tests;
pub mod vtt;

pub use builder::{Builder, Dress, Ids};
pub use desk::{CorrectError, Desk};
pub use dress::{Dresser, Names, NamesError};
pub use event::{Event, Hearing, Phase};
pub use figures::Quality;
pub use join::join;
pub use lane::Lane;
pub use lineup::{Lineup, TrackSpec};
pub use relay::{Relay, Request};
pub use run::{Target, run};
pub use subscription::{Subscription, TooSlow};
pub use text::words;
