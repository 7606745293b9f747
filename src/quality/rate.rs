use super::{Normalise, Step, TooLong, align};

/// Word or character error rate of a corpus, as counts (Morris et al. 2004).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Units that are the same.
    pub hits: usize,
    /// Units of the reference that became another.
    pub substitutions: usize,
    /// Units of the reference that are missing.
    pub deletions: usize,
    /// Units the reference does not have.
    pub insertions: usize,
}

impl Rate {
    /// Word error rate over pairs of reference and hypothesis, each aligned for itself.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn words<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        normalise: Normalise,
    ) -> Result<Self, TooLong> {
        Self::of(pairs, |text| normalise.words(text))
    }

    /// As [`Rate::words`], of characters.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn characters<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        normalise: Normalise,
    ) -> Result<Self, TooLong> {
        Self::of(pairs, |text| normalise.characters(text))
    }

    /// Units of the reference.
    pub fn reference(&self) -> usize {
        self.hits + self.substitutions + self.deletions
    }

    /// Units of the hypothesis.
    pub fn hypothesis(&self) -> usize {
        self.hits + self.substitutions + self.insertions
    }

    /// Substitutions, deletions and insertions for each unit of the reference: 0 is perfect, and there is no
    /// upper end. None where the reference has no units.
    pub fn rate(&self) -> Option<f64> {
        let errors = self.substitutions + self.deletions + self.insertions;
        (self.reference() > 0).then(|| errors as f64 / self.reference() as f64)
    }

    fn of<'a, T: Eq + std::hash::Hash>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        units: impl Fn(&str) -> Vec<T>,
    ) -> Result<Self, TooLong> {
        let mut rate = Self::default();
        for (reference, hypothesis) in pairs {
            for step in align(&units(reference), &units(hypothesis))? {
                match step {
                    Step::Equal => rate.hits += 1,
                    Step::Substitute => rate.substitutions += 1,
                    Step::Delete => rate.deletions += 1,
                    Step::Insert => rate.insertions += 1,
                }
            }
        }
        Ok(rate)
    }
}
