#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Hears one word a second of loud audio, numbered in the order given.
struct Fake {
    mel: Mel,
    script: fn(usize) -> Vec<&'static str>,
    confidence: f32,
    calls: Arc<AtomicUsize>,
}

impl Decode for Fake {
    fn mel(&self) -> &Mel {
        &self.mel
    }

    fn decode(&self, task: &Task<'_>) -> Result<Decoded> {
        assert!(task.window >= 1_500 && task.window >= task.heard + 700, "{} of {}", task.heard, task.window);
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let words = (self.script)(call)
            .into_iter()
            .enumerate()
            .map(|(n, text)| {
                let start = n as f64 * 0.3 + 0.3;
                Timed { text: text.into(), tokens: vec![n], start, end: start + 0.25, confidence: self.confidence }
            })
            .filter(|word| word.end * 100.0 < task.heard as f64)
            .collect();
        Ok(Decoded { words, no_speech: 0.0, log_prob: -0.2 })
    }
}

fn streaming(script: fn(usize) -> Vec<&'static str>) -> (Streaming<Fake>, Arc<AtomicUsize>) {
    streaming_as_sure_as(0.8, script)
}

fn streaming_as_sure_as(
    confidence: f32,
    script: fn(usize) -> Vec<&'static str>,
) -> (Streaming<Fake>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let fake = Fake { mel: Mel::new(80), script, confidence, calls: calls.clone() };
    (Streaming::new(fake, &LanguageTag::parse("en").unwrap(), true), calls)
}

/// A second at a time of a loud or silent stretch.
fn feed(streaming: &mut Streaming<Fake>, at: &mut i64, millis: i64, loud: bool) -> Vec<Hypothesis> {
    let mut out = Vec::new();
    let end = *at + millis;
    while *at < end {
        let samples = (0..1_600).map(|n| if loud { ((n * 7_919) % 8_000) as i16 - 4_000 } else { 0 }).collect();
        out.extend(streaming.accept(&Pcm { start: MediaTime::from_millis(*at), samples }).unwrap());
        *at += 100;
    }
    out
}

fn last_texts(out: &[Hypothesis]) -> Vec<String> {
    let text = |heard: &Hypothesis| heard.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
    out.iter().filter(|heard| heard.last).map(text).collect()
}

#[test]
fn silence_costs_nothing_and_keeps_nothing() {
    let (mut streaming, calls) = streaming(|_| vec!["you"]);
    let mut at = 0;
    assert!(feed(&mut streaming, &mut at, 60_000, false).is_empty());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert!(streaming.audio.len() <= 16_000);
    assert!(streaming.settled() > MediaTime::from_millis(59_000));
}

#[test]
fn words_are_stable_once_two_decodings_agree() {
    let (mut streaming, _) = streaming(|call| if call == 0 { vec!["a", "wades"] } else { vec!["a", "wave", "is"] });
    let mut at = 0;
    let out = feed(&mut streaming, &mut at, 1_600, true);
    let seen: Vec<_> = out.iter().map(|heard| (heard.words.len(), heard.stable, heard.last)).collect();
    assert_eq!(seen, [(1, 0, false), (3, 1, false)]);
    let out = feed(&mut streaming, &mut at, 1_000, false);
    assert_eq!(last_texts(&out), ["a wave is"]);
    assert!(feed(&mut streaming, &mut at, 3_000, false).is_empty());
}

#[test]
fn sure_words_well_behind_the_end_are_stable_at_once() {
    let (mut streaming, _) = streaming_as_sure_as(0.95, |_| vec!["a", "wave", "is", "it"]);
    let mut at = 0;
    let out = feed(&mut streaming, &mut at, 1_400, true);
    let seen: Vec<_> = out.iter().map(|heard| (heard.words.len(), heard.stable)).collect();
    // The first decoding has 0.7 s of audio and a word up to 0.55 s, the second words up to 0.85 and 1.15 s.
    assert_eq!(seen, [(1, 0), (3, 2)]);
}

#[test]
fn a_loaded_engine_decodes_less_often() {
    let decodings = |level| {
        let (mut streaming, calls) = streaming(|_| vec!["a", "b", "c"]);
        streaming.relax(Load::from_level(level).unwrap());
        feed(&mut streaming, &mut 0, 6_000, true);
        calls.load(Ordering::Relaxed)
    };
    assert_eq!([0, 2, 3, 4].map(decodings), [8, 8, 4, 2]);
}

#[test]
fn a_stream_leaves_the_machine_half_of_the_time_whatever_a_decoding_takes() {
    let (mut streaming, _) = streaming(|_| Vec::new());
    let mut awaited = |took: [u64; 2]| {
        streaming.took = took.map(Duration::from_millis);
        streaming.awaited()
    };
    assert_eq!(awaited([200, 250]), 70, "what one live takes");
    assert_eq!(awaited([3_000, 250]), 70, "a hiccup");
    assert_eq!(awaited([600, 800]), 120, "a busy machine");
    streaming.relax(Load::from_level(3).unwrap());
    assert_eq!(streaming.awaited(), 240);
}

#[test]
fn no_decoding_waits_for_more_than_its_window_holds() {
    let (mut streaming, _) = streaming(|_| Vec::new());
    streaming.took = [Duration::from_secs(4); 2];
    streaming.relax(Load::from_level(4).unwrap());
    assert_eq!(streaming.awaited(), 1_000);
    assert!(TOO_LONG + streaming.awaited() + PADDING <= 3_000);
}

#[test]
fn words_that_turn_out_to_be_nobodys_are_taken_back() {
    let (mut streaming, _) = streaming(|call| if call == 0 { vec!["you"] } else { Vec::new() });
    let mut at = 0;
    let mut out = feed(&mut streaming, &mut at, 2_900, true);
    out.extend(feed(&mut streaming, &mut at, 1_000, false));
    let seen: Vec<_> = out.iter().map(|heard| (heard.words.len(), heard.last)).collect();
    assert_eq!(seen, [(1, false), (0, true)]);
}

#[test]
fn a_gap_in_time_closes_the_utterance() {
    let (mut streaming, _) = streaming(|_| vec!["one", "two"]);
    let mut at = 0;
    feed(&mut streaming, &mut at, 1_500, true);
    at += 20_000;
    let out = feed(&mut streaming, &mut at, 100, true);
    assert_eq!(last_texts(&out), ["one two"]);
    assert!(streaming.settled() >= MediaTime::from_millis(21_000));
}

#[test]
fn an_utterance_without_end_is_bounded() {
    let (mut streaming, _) = streaming(|call| if call % 2 == 0 { vec!["never"] } else { vec!["twice"] });
    let mut at = 0;
    // The floor of the detector takes steady noise for speech only so long.
    let out = feed(&mut streaming, &mut at, 20_000, true);
    assert!(streaming.audio.len() <= 13 * 16_000, "{}", streaming.audio.len());
    assert!(!last_texts(&out).is_empty());
}

#[test]
fn a_loop_is_not_speech() {
    let (mut streaming, _) = streaming(|_| vec!["you"; 20]);
    let mut at = 0;
    let mut out = feed(&mut streaming, &mut at, 4_000, true);
    out.extend(feed(&mut streaming, &mut at, 1_000, false));
    assert!(out.iter().all(|heard| heard.words.len() < 5), "{out:?}");
}

#[test]
fn the_end_of_the_audio_gives_what_is_held_back() {
    let (mut streaming, _) = streaming(|_| vec!["one"]);
    let mut at = 0;
    let mut out = feed(&mut streaming, &mut at, 700, true);
    out.extend(streaming.finish().unwrap());
    assert_eq!(last_texts(&out), ["one"]);
    assert!(streaming.finish().unwrap().is_empty());
}
