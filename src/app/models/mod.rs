//! The models: which there are, which are installed, which one a channel gets.

mod source;
mod manifest;
mod fetch;

pub use fetch::{Options, fetch, verify};
pub use manifest::{Engine, Leg, Manifest, Model, Quality, Task};
