//! The one muxer for live, recording and VOD: packets in, CMAF initialisation segments and parts out.
//!
//! Pure: no I/O, no clock. One [`Packager`] sees every track of a live, decides part length and
//! segment boundaries for all of them, and so keeps the renditions in lock step.

mod cuts;
mod fragment;
mod init;
mod lane;
mod packager;
mod timing;

#[cfg(test)]
mod tests;

pub use fragment::{BoxHeader, Boxes, Fragment, boxes, whole};
pub use init::Unusable;
pub use packager::{Output, Packager, Settings};
pub use timing::Timing;
