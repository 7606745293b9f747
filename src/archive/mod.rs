//! Recordings: written as the live goes, whole after a crash, played as VOD.
//!
//! A recording is a folder:
//!
//! ```text
//! recordings/<id>/
//!   recording.json            what it is of
//!   <rendition>/index.jsonl   journal: one line an init or a part, written after its bytes
//!   <rendition>/media-N.mp4   init version N and, appended, every part that needs it
//!   captions-<lang>.jsonl     cues as they become final; a later line with the same id wins
//!   ballast                   8 MiB of room for finishing on a full disk; goes when the live ends
//!   index.m3u8 …              made when the live is over, and made again by recovery
//! ```
//!
//! While the live is on, [`Monitor`] tells where its segments lie, for players that go back ([`crate::hls::Shelf`]).
//!
//! Three hours are a handful of files, each a playable fragmented MP4 in itself; segments are byte
//! ranges of them. The journal is the truth: what it does not name is cut off.

mod boxes;
mod captions;
mod catalogue;
mod finish;
mod journal;
mod layout;
mod playlist;
mod recorder;
mod recovery;
mod shelf;
mod timeline;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::{io, path::PathBuf};

use crate::store;

pub use crate::store::RecordingId;
pub use catalogue::{Asset, Catalogue};
pub use recorder::{LiveInfo, Monitor, Recorder, Status};
pub use recovery::{Recovered, recover};

/// Why a recording could not be made, finished or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of a recording cannot be used.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing was recorded that could be played.
    #[error("nothing was recorded that could be played")]
    Empty,
    /// What the folder holds is no recording.
    #[error("the recording is damaged: {0}")]
    Damaged(String),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The database failed.
    #[error("cannot keep the list of recordings")]
    Store(#[from] store::Error),
}

/// What an archive operation gives.
pub type Result<T> = std::result::Result<T, Error>;

fn at(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { doing, path: path.into(), source }
}
