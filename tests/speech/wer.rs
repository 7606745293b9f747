//! Word error rate as `amphi evaluate` counts it.

use amphi::quality::{Normalise, Rate};

/// What two texts are compared by: lower-case words without punctuation, numbers written out.
pub fn normalise(text: &str) -> Vec<String> {
    Normalise::English.words(text)
}

/// Substitutions, deletions and insertions over the words of the reference.
pub fn rate(reference: &str, heard: &str) -> f64 {
    Rate::words([(reference, heard)], Normalise::English).unwrap().rate().unwrap()
}
