use std::{collections::HashMap, hash::Hash};

/// How often each run of `order` units occurs.
pub(super) fn ngrams<T: Hash + Eq>(units: &[T], order: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for gram in units.windows(order) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

/// N-grams of a segment's two texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Matches {
    pub hypothesis: usize,
    pub reference: usize,
    /// In both, each as often as in the text that has it less often.
    pub both: usize,
}

impl Matches {
    pub fn count<T: Hash + Eq>(hypothesis: &[T], reference: &[T], order: usize) -> Self {
        let total = |units: usize| (units + 1).saturating_sub(order);
        let known = ngrams(reference, order);
        let both = ngrams(hypothesis, order)
            .into_iter()
            .map(|(gram, count)| count.min(known.get(gram).copied().unwrap_or(0)))
            .sum();
        Self { hypothesis: total(hypothesis.len()), reference: total(reference.len()), both }
    }

    pub fn add(&mut self, other: Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        self.both += other.both;
    }
}
