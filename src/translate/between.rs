use super::{Text, Translator};

/// One pair of a model of many languages.
pub struct Between {
    inner: Box<dyn Translator>,
    tokens: [String; 2],
}

impl Between {
    /// Has `inner` translate between the languages of these tokens: what it reads, what it writes.
    pub fn new(inner: Box<dyn Translator>, tokens: [String; 2]) -> Self {
        Self { inner, tokens }
    }
}

impl Translator for Between {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        let tell = |text: &Text| Text { tokens: Some(self.tokens.clone()), ..text.clone() };
        self.inner.translate(&texts.iter().map(tell).collect::<Vec<_>>())
    }
}
