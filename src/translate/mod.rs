//! Translation: text of one language in, text of another out.

pub mod fx;
mod worker;

pub use worker::{Worker, WorkerError};

/// Translates one pair of languages. Blocking; stays on the thread that loaded it, as some
/// engines hold pointers that may not move: [`Worker`] gives it one of its own.
pub trait Translator {
    /// Translates texts, each a sentence or the beginning of one, in order.
    ///
    /// # Errors
    /// The model could not translate; the next call may.
    fn translate(&mut self, texts: &[&str]) -> anyhow::Result<Vec<String>>;
}
