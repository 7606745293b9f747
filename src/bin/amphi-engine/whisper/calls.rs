//! Times single calls of a model, for `scripts/bench`.

use std::{fs, io, path::Path, time::Instant};

use anyhow::{Context as _, Result};

use super::{
    decode::{Model, Task},
    mel::{Frames, HOP},
};

/// Answers each line `WINDOW FILE` on standard input, until it ends, with a line of JSON:
/// `{"seconds":0.31,"text":"…"}`. WINDOW is how many frames of 10 ms the encoder gets, FILE holds
/// raw samples (16 kHz, mono, 16 bits, little endian). A call is all that a decoding takes:
/// features, encoder, decoder, word times.
///
/// # Errors
/// A line, a file or the model is of no use.
pub fn calls(model: &Path, threads: usize) -> Result<()> {
    let model = Model::open(model, threads)?;
    for line in io::stdin().lines() {
        let line = line?;
        let (window, file) = line.split_once(' ').context("give WINDOW FILE")?;
        let window = window.parse().context("WINDOW is a number of frames")?;
        let bytes = fs::read(file).with_context(|| format!("read {file}"))?;
        let samples: Vec<i16> = bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let began = Instant::now();
        let features = Frames::default().features(model.mel(), &samples, window);
        let heard = (samples.len() / HOP).min(window);
        let decoded = model.decode(&Task { features, window, heard, language: "en", context: &[], prefix: &[] })?;
        let seconds = began.elapsed().as_secs_f64();
        let words: Vec<String> = decoded.words.into_iter().map(|word| word.text).collect();
        println!("{}", serde_json::json!({ "seconds": seconds, "text": words.join(" ") }));
    }
    Ok(())
}
