//! RTP into access units: order, loss, times, and what packets hold. Pure; `now` is an argument.

pub mod clock;
pub mod h264;
pub mod link;
pub mod reorder;
pub mod vp8;

use bytes::Bytes;

/// One picture as its packets brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// In ticks of 90 kHz; wraps.
    pub timestamp: u32,
    /// Its NAL units without start codes or lengths (H.264), or the one frame (VP8). Never empty.
    pub units: Vec<Bytes>,
}

/// The largest picture; level 6.2 at its highest rate stays far below. A larger one is dropped.
const MAX_PICTURE: usize = 16 << 20;
/// NAL units of one picture, at most.
const MAX_UNITS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::{h264, vp8};
    use crate::ingest::parameter_sets::ParameterSets;

    #[test]
    fn packets_of_noise_do_no_harm() {
        // Knuth's linear congruential generator: the same noise in every run.
        let mut seed = 3_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut avc, mut vp, mut sets) =
            (h264::Depacketizer::default(), vp8::Depacketizer::default(), ParameterSets::default());
        let (mut pictures, mut timestamp) = (0, 0);
        for _ in 0..200_000 {
            // Types that mean something come more often than by chance.
            let first = [0x67, 0x68, 0x65, 0x41, 24, 28, 0x7c, 0x90][random(8) as usize] ^ (random(4) == 0) as u8;
            let length = random(40);
            let payload: Vec<u8> = std::iter::once(first).chain((0..length).map(|_| random(256) as u8)).collect();
            let payload = payload.into();
            timestamp += u32::from(random(3) == 0) * 3_000;
            let marker = random(3) == 0;
            for picture in avc.take(timestamp, marker, &payload).collect::<Vec<_>>() {
                sets.take(&picture.units);
                let _ = sets.changed();
                pictures += 1;
            }
            for frame in vp.take(timestamp, marker, &payload).collect::<Vec<_>>() {
                vp8::key_frame(&frame.units[0]);
                pictures += 1;
            }
            if random(50) == 0 {
                avc.lost();
                vp.lost();
            }
        }
        assert!(pictures > 1_000, "{pictures}");
    }
}
