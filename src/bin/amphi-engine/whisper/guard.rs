//! Knows a hypothesis that cannot be speech: Whisper fills silence and noise with loops. Pure.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

/// Above it the text says the same thing over and over (OpenAI's `compression_ratio_threshold`).
const MAX_COMPRESSION: f64 = 2.4;
/// Nobody says more words a second.
const MAX_WORDS_PER_SECOND: f64 = 7.0;
/// So many words that begin within so many seconds are not speech.
const CROWD: usize = 4;
const CRAMMED: f64 = 0.15;

/// Whether these words, said to fill so many seconds, are a loop.
pub fn is_loop(words: &[&str], seconds: f64) -> bool {
    words.len() as f64 > 4.0 + MAX_WORDS_PER_SECOND * seconds || repeats(words) || compression(words) > MAX_COMPRESSION
}

/// How many of the words that begin at `starts` (seconds, rising) somebody can have said: what Whisper adds behind
/// the last sound has no audio to attend to, and begins all at once.
pub fn said(starts: &[f64]) -> usize {
    let crowd = starts.windows(CROWD).position(|crowd| crowd[CROWD - 1] - crowd[0] < CRAMMED);
    crowd.unwrap_or(starts.len())
}

/// One to eight words three times in a row (a single word: five times, people do stutter).
fn repeats(words: &[&str]) -> bool {
    let plain: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    (1..=8).any(|length| {
        let times = if length == 1 { 5 } else { 3 };
        plain.windows(length * times).any(|window| window.chunks(length).all(|chunk| chunk == &window[..length]))
    })
}

fn compression(words: &[&str]) -> f64 {
    let text = words.join(" ");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.map_or(0.0, |bytes| text.len() as f64 / bytes.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, seconds: f64) -> bool {
        is_loop(&text.split(' ').collect::<Vec<_>>(), seconds)
    }

    #[test]
    fn loops_are_found() {
        assert!(check("and then we go and then we go And then we go", 8.0));
        assert!(check("you you you you you", 8.0));
        assert!(check(&"a b c d e f g h i j k l ".repeat(12), 60.0), "longer than any n-gram looked for");
        assert!(check("one two three four five six seven eight nine ten eleven twelve", 0.5), "too fast");
    }

    #[test]
    fn what_begins_all_at_once_was_not_said() {
        assert_eq!(said(&[0.0, 0.2, 0.5, 10.9, 10.94, 10.96, 10.98, 11.0, 11.0]), 3);
        assert_eq!(said(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.44, 0.48]), 7, "quick as it is");
        assert_eq!(said(&[1.0, 1.0, 1.0]), 3);
        assert_eq!(said(&[]), 0);
    }

    #[test]
    fn speech_is_left_alone() {
        assert!(!check("it is very, very, very interesting that that is so", 4.0));
        assert!(!check(
            "When two waves meet, they add together. If two crests arrive at the same time, the result",
            6.0
        ));
        assert!(!check("Yes.", 0.3));
    }
}
