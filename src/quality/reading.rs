use serde::Serialize;

/// One caption as it stands on the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// When it appears, in seconds.
    pub start: f64,
    /// When it goes; `start < end`.
    pub end: f64,
    /// Lines divided by `\n`.
    pub text: String,
}

/// Whether captions can be read: lines of at most 42 characters, two at a time, for at least a second, at no
/// more than 20 characters a second (the limits of broadcasters' and streaming services' style guides).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Captions with text.
    pub captions: usize,
    /// Median characters a second, spaces counted, line breaks not.
    pub speed_p50: f64,
    /// 95th percentile.
    pub speed_p95: f64,
    /// Captions of more than 20 characters a second.
    pub too_fast: usize,
    /// Captions that stay less than a second.
    pub too_short: usize,
    /// Captions with a line of more than 42 characters.
    pub too_wide: usize,
    /// Captions of more than two lines.
    pub too_high: usize,
    /// The longest line, in characters.
    pub widest: usize,
}

const WIDTH: usize = 42;
const LINES: usize = 2;
const SPEED: f64 = 20.0;
const SHORTEST: f64 = 1.0;
/// Times are written in milliseconds.
const ROUNDING: f64 = 0.001;

impl Reading {
    /// Of captions in any order.
    pub fn of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Self {
        let (mut reading, mut speeds) = (Self::default(), Vec::new());
        for block in blocks.into_iter().filter(|block| !block.text.trim().is_empty()) {
            let lines: Vec<usize> = block.text.trim().lines().map(|line| line.trim().chars().count()).collect();
            let widest = lines.iter().copied().max().unwrap_or(0);
            let stays = block.end - block.start;
            let speed = lines.iter().sum::<usize>() as f64 / stays.max(ROUNDING);
            reading.captions += 1;
            reading.too_short += usize::from(stays + ROUNDING < SHORTEST);
            reading.too_fast += usize::from(speed * (stays / (stays + ROUNDING)) > SPEED);
            reading.too_wide += usize::from(widest > WIDTH);
            reading.too_high += usize::from(lines.len() > LINES);
            reading.widest = reading.widest.max(widest);
            speeds.push(speed);
        }
        speeds.sort_by(f64::total_cmp);
        let centile = |percent| super::centile(&speeds, percent).unwrap_or(0.0);
        Self { speed_p50: centile(50), speed_p95: centile(95), ..reading }
    }
}
