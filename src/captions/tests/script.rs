//! Speech that was never spoken, as a recogniser would report it.

use std::time::Duration;

use super::{at, word};
use crate::model::{Hypothesis, MediaTime, Part, RenditionId, Word};

/// Deterministic numbers (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What was said, and what the recogniser made of it when.
pub struct Script {
    pub words: Vec<Word>,
    pub heard: Vec<(MediaTime, Hypothesis)>,
}

/// Some minutes of talk: utterances of uneven length, pauses, sentences without an end, very
/// long words, unstable words that change, a recogniser that stalls now and then.
pub fn talk(seed: u64, utterances: u64) -> Script {
    let mut dice = Dice(seed);
    let (mut words, mut heard) = (Vec::new(), Vec::new());
    let (mut time, mut now) = (0, 0);
    for _ in 0..utterances {
        let mut utterance = Vec::new();
        for nth in 0..1 + dice.roll(40) {
            let length = if dice.roll(60) == 0 { 50 + dice.roll(50) } else { 1 + dice.roll(11) };
            let mut text = format!("{}", words.len() + utterance.len());
            while (text.len() as u64) < length {
                text.push(char::from(b'a' + dice.roll(26) as u8));
            }
            match dice.roll(9) {
                0 => text.push('.'),
                1 => text.push(','),
                2 if nth > 3 => text.push_str("é<b>"),
                _ => {}
            }
            let spoken = 80 + 60 * (text.len() as i64).min(14) / 2;
            utterance.push(word(&text, time, time + spoken));
            time += spoken + if dice.roll(7) == 0 { dice.roll(1_500) as i64 } else { 0 };
        }
        let mut stable = 0;
        loop {
            now = now.max(utterance[0].start.as_nanos() / 1_000_000)
                + match dice.roll(30) {
                    0 => 6_000,
                    _ => 100 + dice.roll(600) as i64,
                };
            let mut known: Vec<Word> =
                utterance.iter().filter(|word| word.end.as_nanos() / 1_000_000 + 300 <= now).cloned().collect();
            let last = known.len() == utterance.len();
            stable = if last { known.len() } else { stable.max(known.len().saturating_sub(dice.roll(4) as usize)) };
            for guess in known.iter_mut().skip(stable) {
                if dice.roll(2) == 0 {
                    guess.text = format!("guess{}", dice.roll(100));
                }
            }
            if !last && dice.roll(10) == 0 {
                known.truncate(stable);
            }
            heard.push((at(now), Hypothesis { words: known, stable, last }));
            if last {
                break;
            }
        }
        words.extend(utterance);
        time += 300 + dice.roll(2_500) as i64;
    }
    Script { words, heard }
}

/// Parts of a video rendition over so much time: quarters of a second, segments of about 2 s.
pub fn reference(millis: i64) -> Vec<Part> {
    let step = 250;
    (0..millis / step)
        .map(|nth| Part {
            rendition: RenditionId::source(),
            msn: nth as u64 / 8,
            index: nth as u32 % 8,
            number: nth as u64,
            start: at(nth * step),
            duration: Duration::from_millis(step as u64),
            independent: nth % 8 == 0,
            ends_segment: nth % 8 == 7,
            discontinuity: false,
            init: 3,
            data: b"video".as_slice().into(),
        })
        .collect()
}
