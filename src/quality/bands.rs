//! Where estimates of a live are good, fair or poor; `/about/estimates` says the same to viewers.

use crate::model::Band;

/// Of a word error rate, 0 to 1 and beyond: good where at most one word in ten differs, fair up to one in four.
pub fn wer(rate: f64) -> Band {
    match rate {
        ..=0.1 => Band::Good,
        ..=0.25 => Band::Fair,
        _ => Band::Poor,
    }
}

/// Of chrF2, 0 to 100: good from 75, fair from 50.
pub fn chrf(score: f64) -> Band {
    match score {
        75.0.. => Band::Good,
        50.0.. => Band::Fair,
        _ => Band::Poor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_coarse_and_have_the_edges_they_are_told_to_have() {
        let of = |rates: &[f64], band: fn(f64) -> Band| rates.iter().map(|rate| band(*rate)).collect::<Vec<_>>();
        use Band::{Fair, Good, Poor};
        assert_eq!(of(&[0.0, 0.1, 0.101, 0.25, 0.251, 1.7, f64::NAN], wer), [Good, Good, Fair, Fair, Poor, Poor, Poor]);
        assert_eq!(
            of(&[100.0, 75.0, 74.9, 50.0, 49.9, 0.0, f64::NAN], chrf),
            [Good, Good, Fair, Fair, Poor, Poor, Poor]
        );
        assert!(Good > Fair && Fair > Poor);
    }
}
