//! Translation: text of one language in, text of another out.

/// Translates one pair of languages. Blocking; runs on its own thread.
pub trait Translator: Send {
    /// Translates texts, each a sentence or the beginning of one, in order.
    ///
    /// # Errors
    /// The model could not translate; the next call may.
    fn translate(&mut self, texts: &[&str]) -> anyhow::Result<Vec<String>>;
}
