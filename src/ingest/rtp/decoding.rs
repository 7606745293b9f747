//! The decoding times that RTP does not carry.

use std::collections::{BTreeSet, VecDeque};

/// Gives pictures decoding times: those of presentation in rising order. Pictures that are reordered wait for as many
/// as may come before them; others do not wait. Times are nanoseconds.
#[derive(Debug)]
pub struct Decoding<T> {
    /// Pictures that may precede another in decoding and follow it on the screen.
    depth: usize,
    waiting: VecDeque<(T, i64)>,
    times: BTreeSet<i64>,
    last: Option<i64>,
}

/// The deepest reordering of any level (ISO 14496-10 §A.3.1).
const DEEPEST: usize = 16;
/// A step back that is a new beginning rather than an order.
const BREAK: i64 = 1_000_000_000;
/// Decoding times are at least so far apart.
const STEP: i64 = 1_000_000;

impl<T> Decoding<T> {
    /// Without reordering, until some shows or is told of.
    pub fn new() -> Self {
        Self { depth: 0, waiting: VecDeque::new(), times: BTreeSet::new(), last: None }
    }

    /// So many pictures may wait for one that is shown before them.
    pub fn may_wait(&mut self, depth: usize) {
        self.depth = self.depth.max(depth).min(DEEPEST);
    }

    /// Takes the next picture, which is shown at `pts`; gives what can be decoded, with presentation and decoding time.
    pub fn push(&mut self, picture: T, pts: i64) -> Vec<(T, i64, i64)> {
        let newest = self.times.last().copied().or(self.last);
        let mut out = Vec::new();
        if newest.is_some_and(|newest| pts < newest - BREAK) {
            out = self.flush();
        } else if self.last.is_some_and(|last| pts <= last) {
            // What was shown later has left already: the stream reorders more than it says.
            self.may_wait(self.depth + 1);
        }
        self.times.insert(pts);
        self.waiting.push_back((picture, pts));
        while self.waiting.len() > self.depth {
            out.extend(self.pop());
        }
        out
    }

    /// Gives all that waits; the next picture begins anew.
    pub fn flush(&mut self) -> Vec<(T, i64, i64)> {
        let out = std::iter::from_fn(|| self.pop()).collect();
        self.last = None;
        out
    }

    fn pop(&mut self) -> Option<(T, i64, i64)> {
        let (picture, pts) = self.waiting.pop_front()?;
        let time = self.times.pop_first().unwrap_or(pts);
        let dts = self.last.map_or(time, |last| time.max(last + STEP));
        self.last = Some(dts);
        Some((picture, pts, dts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(depth: usize, pts: &[i64]) -> Vec<(i64, i64)> {
        let mut decoding = Decoding::new();
        decoding.may_wait(depth);
        let millis = 1_000_000;
        let out = pts.iter().flat_map(|pts| decoding.push((), pts * millis)).collect::<Vec<_>>();
        out.into_iter().map(|((), pts, dts)| (pts / millis, dts / millis)).collect()
    }

    #[test]
    fn pictures_in_order_are_decoded_when_shown_and_do_not_wait() {
        assert_eq!(times(0, &[0, 40, 80, 120]), [(0, 0), (40, 40), (80, 80), (120, 120)]);
    }

    #[test]
    fn reordered_pictures_are_decoded_at_the_times_others_are_shown() {
        let shown = times(2, &[0, 160, 80, 40, 120, 320, 240]);
        assert_eq!(shown, [(0, 0), (160, 40), (80, 80), (40, 120), (120, 160)]);
    }

    #[test]
    fn a_stream_that_hides_its_depth_is_found_out() {
        let shown = times(0, &[0, 80, 40, 160, 120, 240, 200, 320, 280]);
        assert!(shown.windows(2).all(|two| two[0].1 < two[1].1), "{shown:?}");
        assert_eq!(shown.last(), Some(&(320, 280)), "settled: {shown:?}");
    }

    #[test]
    fn a_clock_that_goes_back_begins_anew() {
        assert_eq!(times(1, &[5_000, 5_040, 0, 40, 80]), [(5_000, 5_000), (5_040, 5_040), (0, 0), (40, 40)]);
    }
}
