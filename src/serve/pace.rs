//! How fast a live comes in, lately.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What rates are taken over: long enough for a key frame every few seconds to even out.
const SPAN: Duration = Duration::from_secs(10);
/// Before this a rate says little.
const LEAST: Duration = Duration::from_secs(1);
/// Samples kept: those of [`SPAN`] at two a second, and some.
const SAMPLES: usize = 64;

/// Bits and frames a second over the last ten seconds, from samples taken about twice a second.
/// An outage shows as it happens, and is forgotten ten seconds after its end.
#[derive(Debug, Default)]
pub struct Pace {
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    bytes: u64,
    frames: u64,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Bits a second.
    pub bitrate: f64,
    /// Video frames a second.
    pub fps: f64,
}

impl Pace {
    /// Notes how much has come so far, of bytes and of video frames.
    pub fn sample(&self, at: Instant, bytes: u64, frames: u64) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() >= SAMPLES || samples.get(1).is_some_and(|next| at.duration_since(next.at) >= SPAN) {
            samples.pop_front();
        }
        samples.push_back(Sample { at, bytes, frames });
    }

    /// The rates; none in the first second.
    pub fn rates(&self) -> Option<Rates> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (samples.front()?, samples.back()?);
        let time = last.at.duration_since(first.at);
        (time >= LEAST).then(|| Rates {
            bitrate: last.bytes.saturating_sub(first.bytes) as f64 * 8.0 / time.as_secs_f64(),
            fps: last.frames.saturating_sub(first.frames) as f64 / time.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_shows_and_is_forgotten() {
        let (pace, start) = (Pace::default(), Instant::now());
        let mut sent = 0;
        let mut run = |halves: std::ops::Range<u32>, sends: bool| {
            for half in halves {
                sent += if sends { 125_000 } else { 0 };
                pace.sample(start + Duration::from_millis(500) * half, sent, sent / 125_000 * 15);
            }
            pace.rates().map(|rates| (rates.bitrate.round(), rates.fps.round()))
        };
        assert_eq!(run(0..2, true), None);
        assert_eq!(run(2..60, true), Some((2_000_000.0, 30.0)));
        assert_eq!(run(60..70, false), Some((1_000_000.0, 15.0)));
        assert_eq!(run(70..90, false), Some((0.0, 0.0)));
        assert_eq!(run(90..111, true), Some((2_000_000.0, 30.0)));
    }
}
