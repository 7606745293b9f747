//! The models: which there are, which are installed, which one a channel gets.

mod fetch;
mod manifest;

pub use fetch::{Options, fetch, verify};
pub use manifest::{Engine, Manifest, Model, Quality, Task};
