//! The publisher's clock. Pure.

const MILLI: i64 = 1_000_000;

/// Undoes the wrap of 32-bit milliseconds after 49.7 days. All tracks share it, so that one that
/// begins late begins in the same turn.
#[derive(Debug, Default)]
pub struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// Nanoseconds of the publisher's clock, its wraps undone.
    pub fn unwrapped(&mut self, timestamp: u32) -> i64 {
        let millis = match self.last {
            None => i64::from(timestamp),
            // The nearer way round: a step back of seconds is jitter between tracks, not a wrap.
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(millis);
        millis.saturating_mul(MILLI)
    }
}
