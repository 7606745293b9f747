//! The noise floor that a microphone has and a silent file lacks. Pure.

/// Adds one step of the converter, up or down, to every sample: -90 dBFS. Digital silence is
/// nothing a model has ever heard, and Kaldi without dither takes it for speech that goes on.
///
/// `first` is the number of the first sample since the live began. The noise depends on it alone,
/// so that audio that is heard again, in another process even, gives the same words.
pub fn add(samples: &mut [i16], first: u64) {
    for (sample, nth) in samples.iter_mut().zip(first..) {
        let step = if mix(nth) & 1 == 0 { 1 } else { -1 };
        *sample = sample.saturating_add(step);
    }
}

/// Scatters consecutive numbers evenly: the output function of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(nth: u64) -> u64 {
    let mut z = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_longer_silent_and_always_the_same() {
        let (mut whole, mut tail) = ([0; 16_000], [0; 1_000]);
        add(&mut whole, 7);
        add(&mut tail, 7 + 15_000);
        assert!(whole.iter().all(|sample| sample.abs() == 1));
        assert!(whole.iter().map(|sample| i64::from(*sample)).sum::<i64>().abs() < 500, "no offset");
        let changes = whole.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((7_500..8_500).contains(&changes), "{changes}: no tone");
        assert_eq!(whole[15_000..], tail);
    }

    #[test]
    fn full_scale_stays_full_scale() {
        let mut loud = [i16::MAX, i16::MIN].repeat(100);
        add(&mut loud, 0);
        assert!(loud.iter().all(|sample| sample.unsigned_abs() > 32_000));
    }
}
