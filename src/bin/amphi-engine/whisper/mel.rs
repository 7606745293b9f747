//! Log-mel spectra as Whisper was trained on: 400-sample Hann windows every 160 samples, Slaney
//! mel filters, log10, computed once a frame however often the audio is decoded.

use std::{f64::consts::PI, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex};

const FFT: usize = 400;
/// Samples between two frames.
pub const HOP: usize = 160;
const BINS: usize = FFT / 2 + 1;
/// log10 of the power of digital silence, clamped.
const FLOOR: f32 = -10.0;

/// Turns samples into frames. Shared by all streams of a model.
pub struct Mel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// For each mel band the first bin and the weights from there on.
    filters: Vec<(usize, Vec<f32>)>,
}

impl Mel {
    /// With so many bands (80; 128 for large-v3).
    pub fn new(bands: usize) -> Self {
        let window = (0..FFT).map(|n| (0.5 - 0.5 * (2.0 * PI * n as f64 / FFT as f64).cos()) as f32).collect();
        Self { fft: RealFftPlanner::new().plan_fft_forward(FFT), window, filters: filters(bands) }
    }

    /// How many bands.
    pub fn bands(&self) -> usize {
        self.filters.len()
    }

    /// Appends the spectrum around `centre` (a sample index; what lies outside `samples` is silence).
    fn frame(&self, samples: &[i16], centre: usize, out: &mut Vec<f32>) {
        let mut input = self.fft.make_input_vec();
        for (n, value) in input.iter_mut().enumerate() {
            let sample = (centre + n).checked_sub(FFT / 2).and_then(|at| samples.get(at)).copied().unwrap_or(0);
            *value = f32::from(sample) / 32_768.0 * self.window[n];
        }
        let mut spectrum = self.fft.make_output_vec();
        let done = self.fft.process(&mut input, &mut spectrum);
        debug_assert!(done.is_ok(), "buffers of the planner's own size");
        let power: Vec<f32> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
        out.extend(self.filters.iter().map(|(first, weights)| {
            let sum: f32 = weights.iter().zip(&power[*first..]).map(|(weight, power)| weight * power).sum();
            sum.max(1e-10).log10()
        }));
    }
}

/// The frames of a growing stretch of audio, and only those.
#[derive(Default)]
pub struct Frames {
    /// Band after band of frame after frame; frames that will not change.
    settled: Vec<f32>,
    count: usize,
}

impl Frames {
    /// Forgets the first `frames` frames (their `frames * HOP` samples are gone).
    pub fn skip(&mut self, mel: &Mel, frames: usize) {
        let frames = frames.min(self.count);
        self.settled.drain(..frames * mel.bands());
        self.count -= frames;
    }

    /// The input of the encoder for all of `samples` and silence up to `window` frames, band
    /// by band, normalised as in training: clamped 8 decades below the loudest, scaled around 0.
    pub fn features(&mut self, mel: &Mel, samples: &[i16], window: usize) -> Vec<f32> {
        let whole = (samples.len().saturating_sub(FFT / 2) / HOP).min(window);
        for index in self.count..whole {
            mel.frame(samples, index * HOP, &mut self.settled);
        }
        self.count = self.count.max(whole);
        let mut tail = Vec::new();
        let end = (samples.len() + FFT / 2).div_ceil(HOP).min(window);
        for index in self.count..end {
            mel.frame(samples, index * HOP, &mut tail);
        }
        let loudest = self.settled.iter().chain(&tail).copied().fold(FLOOR, f32::max);
        let scale = |value: f32| (value.max(loudest - 8.0) + 4.0) / 4.0;
        let bands = mel.bands();
        let mut features = vec![scale(FLOOR); bands * window];
        for (frame, values) in self.settled.chunks_exact(bands).chain(tail.chunks_exact(bands)).take(window).enumerate()
        {
            for (band, value) in values.iter().enumerate() {
                features[band * window + frame] = scale(*value);
            }
        }
        features
    }
}

/// Triangular filters on Slaney's mel scale, each of unit area (librosa's default).
fn filters(bands: usize) -> Vec<(usize, Vec<f32>)> {
    let hz =
        |mel: f64| if mel < 15.0 { mel * 200.0 / 3.0 } else { 1_000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() };
    let top = 15.0 + (8_000.0_f64 / 1_000.0).ln() * 27.0 / 6.4_f64.ln();
    let edges: Vec<f64> = (0..bands + 2).map(|n| hz(top * n as f64 / (bands + 1) as f64)).collect();
    let bin = |n: usize| n as f64 * 16_000.0 / FFT as f64;
    edges
        .windows(3)
        .map(|edge| {
            let weight = |n: usize| {
                let rise = (bin(n) - edge[0]) / (edge[1] - edge[0]);
                let fall = (edge[2] - bin(n)) / (edge[2] - edge[1]);
                (rise.min(fall).max(0.0) * 2.0 / (edge[2] - edge[0])) as f32
            };
            let first = (0..BINS).find(|n| weight(*n) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|weight| *weight > 0.0).collect();
            (first, weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process::Command;

    use super::*;

    /// Noise that a test in another language can make as well.
    fn noise(length: usize) -> Vec<i16> {
        let mut state = 1_u32;
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*state >> 18) as i16 - 8_192
        };
        (0..length).map(|_| next(&mut state)).collect()
    }

    #[test]
    fn features_are_those_of_faster_whisper() {
        let script = "
import json, numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
state, samples = 1, []
for _ in range(16000):
    state = (state * 1664525 + 1013904223) % 2**32
    samples.append((state >> 18) - 8192)
audio = np.array(samples, dtype=np.float32) / 32768
print(json.dumps(FeatureExtractor(feature_size=80)(audio, padding=16000 * 14).astype(float).round(5).tolist()))
";
        let home = || std::env::home_dir().unwrap().join(".cache/amphi/venv");
        let reference = std::env::var_os("AMPHI_VENV").map_or_else(home, std::path::PathBuf::from);
        let out = Command::new(reference.join("bin/python")).args(["-c", script]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let reference: Vec<Vec<f32>> = serde_json::from_slice(&out.stdout).unwrap();
        let mel = Mel::new(80);
        let ours = Frames::default().features(&mel, &noise(16_000), 1_500);
        for (band, values) in reference.iter().enumerate() {
            // The very first frame differs: theirs mirrors the audio at its edge, ours is silent before it.
            for frame in 2..1_500 {
                let (ours, theirs) = (ours[band * 1_500 + frame], values[frame]);
                assert!((ours - theirs).abs() < 2e-3, "band {band} frame {frame}: {ours} and {theirs}");
            }
        }
    }

    #[test]
    fn frames_computed_in_pieces_are_the_same() {
        let (mel, samples) = (Mel::new(80), noise(16_000));
        let mut frames = Frames::default();
        for end in [3_000, 3_001, 9_000, 16_000] {
            frames.features(&mel, &samples[..end], 1_500);
        }
        assert_eq!(frames.features(&mel, &samples, 1_500), Frames::default().features(&mel, &samples, 1_500));
        frames.skip(&mel, 10);
        let cut = frames.features(&mel, &samples[1_600..], 1_500);
        let fresh = Frames::default().features(&mel, &samples[1_600..], 1_500);
        let same = cut.iter().zip(&fresh).filter(|(a, b)| (*a - *b).abs() < 1e-4).count();
        assert!(same >= 80 * 1_498, "all but the first frames, which know what came before: {same}");
    }
}
