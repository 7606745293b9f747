//! Times whole Whisper calls as `amphi-engine` makes them: features, encoding, decoding and word times.
//!
//! `whisper MODEL_DIR THREADS` reads lines `WINDOW FILE` from standard input: the frames (10 ms) that the
//! encoder gets, and a file of raw samples (16 kHz, mono, 16 bits, little endian). Each is answered by a
//! line of JSON, `{"seconds":0.31,"text":"…"}`. `scripts/bench engines` asks it clip by clip, in turns
//! with the peer.

#[allow(dead_code, unused_imports, reason = "live streams, and its own tests, use more of it than one call does")]
#[path = "../src/bin/amphi-engine/whisper/decode.rs"]
mod decode;
#[allow(dead_code, unused_imports, reason = "live streams, and its own tests, use more of it than one call does")]
#[path = "../src/bin/amphi-engine/whisper/mel.rs"]
mod mel;

use std::{fs, io, path::Path, time::Instant};

use anyhow::{Context as _, Result};
use decode::{Model, Task};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let usage = "usage: whisper MODEL_DIR THREADS";
    let model = arguments.next().context(usage)?;
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).context(usage)?;
    let model = Model::open(Path::new(&model), threads)?;
    for line in io::stdin().lines() {
        let line = line?;
        let (window, file) = line.split_once(' ').context("give WINDOW FILE")?;
        let bytes = fs::read(file).with_context(|| format!("read {file}"))?;
        let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let began = Instant::now();
        let text = call(&model, &samples, window.parse()?)?;
        println!("{}", serde_json::json!({ "seconds": began.elapsed().as_secs_f64(), "text": text }));
    }
    Ok(())
}

fn call(model: &Model, samples: &[i16], window: usize) -> Result<String> {
    let features = mel::Frames::default().features(model.mel(), samples, window);
    let heard = (samples.len() / mel::HOP).min(window);
    let task = Task { features, window, heard, language: "en", context: &[], prefix: &[] };
    let words: Vec<String> = model.decode(&task)?.words.into_iter().map(|word| word.text).collect();
    Ok(words.join(" "))
}
