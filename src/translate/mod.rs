//! Translation: text of one language in, text of another out.

pub mod wire;
pub mod fx;
pub mod ct2;
mod memo;
mod between;
mod pivot;
mod worker;
#[cfg(test)]
mod tests;

pub use between::Between;
pub use memo::Memo;
pub use pivot::Pivot;
pub use worker::{Patience, WeakWorker, Worker, WorkerError};

use serde::{Deserialize, Serialize};

/// What to translate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// A sentence, or the beginning of one.
    pub text: String,
    /// What its translation begins with, since viewers have it for good; empty where nothing is. A space
    /// stands behind it where its last word is whole. An engine that cannot do that says what it says.
    #[serde(default)]
    pub begin: String,
    /// The translation of a shorter beginning, which this one should keep to where it can, so that
    /// what viewers have read stays (biased decoding, arXiv 1912.03393). A wish: not every engine
    /// hears it.
    pub before: Option<String>,
    /// What a model of many languages is told: the tokens of the language it reads and of the one it is to write.
    #[serde(default)]
    pub tokens: Option<[String; 2]>,
}

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self { text: text.into(), begin: String::new(), before: None, tokens: None }
    }
}

/// Translates one pair of languages, or what each text says. Blocking; stays on the thread that loaded it, as some
/// engines hold pointers that may not move: [`Worker`] gives it one of its own.
pub trait Translator {
    /// Translates texts, in order.
    ///
    /// # Errors
    /// The model could not translate; the next call may.
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>>;

    /// Does between two requests what would keep one waiting. Call it behind each.
    ///
    /// # Errors
    /// It can translate nothing any more, and has to be loaded anew.
    fn refresh(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
