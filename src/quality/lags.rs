use serde::Serialize;

/// How long after words their text comes. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lags {
    /// Words measured.
    pub words: usize,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// The latest.
    pub max: f64,
    /// Share that took at most two seconds, 0 to 1.
    pub within_2s: f64,
}

impl Lags {
    /// Of what was measured; none of nothing.
    pub fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let soon = seconds.iter().filter(|lag| **lag <= 2.0).count();
        Some(Self {
            words: seconds.len(),
            p50: centile(&seconds, 50)?,
            p95: centile(&seconds, 95)?,
            max: *seconds.last()?,
            within_2s: soon as f64 / seconds.len() as f64,
        })
    }
}

/// The nearest-rank percentile of what is sorted, `percent` of 1 to 100; none of nothing.
pub fn centile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}
