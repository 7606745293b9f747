//! Speech: 16 kHz samples in, timed words out, in child processes that may crash.

mod ledger;
mod load;
mod process;
mod supervisor;
mod talk;
pub mod wire;

pub use ledger::Lost;
pub use load::{Load, Pace};
pub use supervisor::{EngineKind, EngineSettings, EngineSpec, EngineStatus, Engines, Event, Stream};

use serde::{Deserialize, Serialize};

use crate::model::{Hypothesis, MediaTime, Pcm};

/// What became of words that an engine called stable while their utterance went on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many there were, in utterances that are over.
    pub stable: u64,
    /// Those of them that the engine, hearing the utterance whole, would take back. They stand:
    /// what a viewer has been told is stable does not change.
    pub overruled: u64,
}

/// One stream's recogniser inside an engine. Blocking; runs on its own thread.
pub trait Recognizer: Send {
    /// Takes the next samples (gapless within an utterance; a gap in `start` begins a new one)
    /// and returns what has become known, oldest first. May return nothing.
    ///
    /// # Errors
    /// The stream's recogniser is unusable from then on.
    fn accept(&mut self, pcm: &Pcm) -> anyhow::Result<Vec<Hypothesis>>;

    /// The audio is over: everything held back, ending with a [`Hypothesis::last`] one if any word is pending.
    ///
    /// # Errors
    /// As [`Recognizer::accept`].
    fn finish(&mut self) -> anyhow::Result<Vec<Hypothesis>>;

    /// Every word in the audio before this has been returned in a [`Hypothesis::last`] one; a
    /// fresh recogniser that begins here loses nothing.
    fn settled(&self) -> MediaTime;

    /// Does so much less from now on.
    fn relax(&mut self, _load: Load) {}

    /// What became of early stable words since this was last asked; nothing where stable words are
    /// an engine's last word.
    fn tally(&mut self) -> Tally {
        Tally::default()
    }
}
