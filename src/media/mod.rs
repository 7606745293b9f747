//! Decoding and encoding, live and of files: GStreamer lives here and nowhere upstream or downstream.
//!
//! What runs is written down as text in `pipelines/`, embedded in the binary; a file of the same name
//! in a configured folder takes the place of ours. [`Templates::load`] checks all of it, for a
//! server that starts in a process of its own. [`ladder::run`] turns a live's pictures into smaller ones on the same bus,
//! [`audio::run`] sound in rare codecs into AAC, [`tap::run`] its sound into samples for speech recognition, [`file::pcm`] a file's, and
//! [`poster::jpeg`] a key frame into a still picture. [`direct::run`] and [`opus::run`] make what WebRTC players take.

pub mod audio;
mod blocks;
pub mod direct;
mod encoder;
mod feed;
pub mod file;
mod gate;
pub mod ladder;
pub mod opus;
mod pipeline;
pub mod poster;
mod scale;
pub mod tap;
mod template;
pub mod video;

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

pub use encoder::Encoder;
pub use feed::Stats;
pub use pipeline::Pipeline;
pub use template::{Missing, Templates, Verdict};

/// What can go wrong with media.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GStreamer itself does not start.
    #[error("initialising GStreamer: install libgstreamer1.0-0 1.22 or newer")]
    Init(#[source] gstreamer::glib::Error),
    /// A template in the configured folder cannot be read.
    #[error("reading pipeline template {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A template is not a pipeline this server can run.
    #[error("pipeline template {template}: {reason}")]
    Template {
        /// The file's name.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Elements that a template names are not installed.
    #[error("missing GStreamer elements: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Missing(Vec<Missing>),
    /// A pipeline failed while it ran.
    #[error("pipeline: {0}")]
    Pipeline(String),
    /// The thread that drives a pipeline could not be started.
    #[error("starting a media thread")]
    Thread(#[source] std::io::Error),
    /// No such file, or it may not be read.
    #[error("opening {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no sound.
    #[error("{} has no audio track", .0.display())]
    NoAudio(PathBuf),
    /// The file is in no format an installed plugin decodes.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What GStreamer says.
        reason: String,
    },
}

/// Starts GStreamer, once a process; every entry point of this module calls it, so that calling it
/// first only serves to learn about failure early.
///
/// # Errors
/// [`Error::Init`].
pub fn init() -> Result<(), Error> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        gstreamer::init().map_err(Error::Init)?;
        scale::register().map_err(|error| Error::Pipeline(error.to_string()))?;
        *started = true;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
