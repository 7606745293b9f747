//! Tells speech from silence by loudness over an adaptive noise floor. Pure.

/// Samples in a frame: 10 ms, as the mel frames.
pub const FRAME: usize = super::mel::HOP;

/// Follows one stream's noise floor.
pub struct Vad {
    floor: f32,
    run: u32,
}

impl Vad {
    /// How far above the noise speech begins, in dB.
    const MARGIN: f32 = 9.0;
    /// Frames above the threshold that make speech: shorter ones are clicks.
    const ONSET: u32 = 4;
    /// The noise floor is believed to lie between these, in dBFS.
    const RANGE: (f32, f32) = (-60.0, -30.0);

    /// Knows nothing yet.
    pub fn new() -> Self {
        Self { floor: -50.0, run: 0 }
    }

    /// Takes the next frame's loudness (see [`loudness`]); true if speech sounds in it.
    pub fn push(&mut self, level: f32) -> bool {
        // Down within 100 ms, up by 1 dB a second: a lecturer pauses more often than noise grows.
        let step = if level < self.floor { (level.max(-90.0) - self.floor) * 0.1 } else { 0.01 };
        self.floor = (self.floor + step).clamp(Self::RANGE.0, Self::RANGE.1);
        self.run = if self.is_loud(level) { self.run + 1 } else { 0 };
        self.run >= Self::ONSET
    }

    /// Above the threshold, however briefly.
    pub fn is_loud(&self, level: f32) -> bool {
        level > self.floor + Self::MARGIN
    }
}

/// Loudness of a frame in dBFS; -100 for digital silence.
pub fn loudness(frame: &[i16]) -> f32 {
    let sum: i64 = frame.iter().map(|sample| i64::from(*sample) * i64::from(*sample)).sum();
    let mean = sum as f32 / frame.len().max(1) as f32 / (32_768.0 * 32_768.0);
    10.0 * mean.max(1e-10).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(vad: &mut Vad, level: f32, frames: usize) -> usize {
        (0..frames).filter(|_| vad.push(level)).count()
    }

    #[test]
    fn speech_over_noise_is_heard_and_clicks_are_not() {
        let mut vad = Vad::new();
        assert_eq!(run(&mut vad, -48.0, 300), 0, "room noise");
        assert_eq!(run(&mut vad, -20.0, 2), 0, "a click");
        assert_eq!(run(&mut vad, -48.0, 10), 0);
        assert!(run(&mut vad, -25.0, 500) > 490, "five seconds of speech");
        assert_eq!(run(&mut vad, -48.0, 100), 0, "the pause after it");
    }

    #[test]
    fn steady_loud_noise_becomes_the_floor() {
        let mut vad = Vad::new();
        run(&mut vad, -32.0, 3_000);
        assert_eq!(run(&mut vad, -32.0, 100), 0);
    }

    #[test]
    fn digital_silence_is_silent_and_full_scale_is_not() {
        assert_eq!(loudness(&[0; FRAME]), -100.0);
        assert!(loudness(&[i16::MIN; FRAME]).abs() < 0.01);
        assert_eq!(loudness(&[]), -100.0);
    }
}
