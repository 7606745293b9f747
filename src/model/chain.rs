use std::{error::Error, fmt};

/// An error with its sources, in one line, each said once: `cannot open x: permission denied`.
/// For logs and for operators; `{error}` alone says what failed, and not why.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Many errors repeat their source in their own words.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn every_reason_is_said_once() {
        let layer = |text, source| Layer(text, Some(Box::new(source)));
        let error = layer("cannot save", layer("the disk said: full", layer("full", Layer("really", None))));
        assert_eq!(Chain(&error).to_string(), "cannot save: the disk said: full: really");
    }
}
