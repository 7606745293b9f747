use super::{Text, Translator};

/// Two translators in a row, for a pair of languages that has no model of its own: from French to
/// Portuguese through English.
pub struct Pivot {
    first: Box<dyn Translator>,
    second: Box<dyn Translator>,
}

impl Pivot {
    /// Translates with `first` into the language that `second` reads.
    pub fn new(first: Box<dyn Translator>, second: Box<dyn Translator>) -> Self {
        Self { first, second }
    }
}

impl Translator for Pivot {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        let between: Vec<Text> = texts.iter().map(|text| text.text.as_str().into()).collect();
        let between = self.first.translate(&between)?;
        let keep = |(text, between): (&Text, String)| Text { text: between, ..text.clone() };
        let texts: Vec<Text> = texts.iter().zip(between).map(keep).collect();
        self.second.translate(&texts)
    }

    fn refresh(&mut self) -> anyhow::Result<()> {
        self.first.refresh()?;
        self.second.refresh()
    }
}
