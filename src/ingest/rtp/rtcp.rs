//! RTCP (RFC 3550 §6.4): what a sender says of its clock, and what we say of what came.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::order::Figures;

/// Types of packets (§12.1).
const SENDER: u8 = 200;
const RECEIVER: u8 = 201;
const DESCRIPTION: u8 = 202;
/// What we call ourselves: everybody has to (§6.5.1).
const NAME: &[u8] = b"amphi";

/// What a sender report says of time (§6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Who sends.
    pub ssrc: u32,
    /// Wall clock in units of 2⁻³² s since 1900.
    pub ntp: u64,
    /// The same instant on the payload's clock.
    pub timestamp: u32,
}

/// The sender report in a compound packet, if there is one.
pub fn sender_report(mut data: &[u8]) -> Option<SenderReport> {
    while let Some(header) = data.first_chunk::<4>() {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
        let (packet, rest) = data.split_at_checked(length)?;
        if header[0] >> 6 != 2 {
            return None;
        }
        if header[1] == SENDER {
            let word = |at: usize| packet.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_be_bytes(*b));
            let ntp = u64::from(word(8)?) << 32 | u64::from(word(12)?);
            return Some(SenderReport { ssrc: word(4)?, ntp, timestamp: word(16)? });
        }
        data = rest;
    }
    None
}

/// A receiver report (§6.4.2) of `figures` by `own`, with our name; `last` is the sender's last report and how long
/// ago it came.
pub fn receiver_report(own: u32, figures: &Figures, last: Option<(SenderReport, Duration)>) -> Bytes {
    let mut out = BytesMut::with_capacity(56);
    out.put_slice(&[0x81, RECEIVER, 0, 7]);
    out.put_u32(own);
    out.put_u32(figures.ssrc);
    let lost = figures.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
    out.put_u32(((figures.loss * 255.0) as u32) << 24 | lost);
    out.put_u32(figures.highest);
    out.put_u32(figures.jitter);
    let (middle, since) = last.map_or((0, 0), |(report, since)| {
        // In units of 2⁻¹⁶ s.
        ((report.ntp >> 16) as u32, (since.as_secs_f64() * 65_536.0) as u32)
    });
    out.put_u32(middle);
    out.put_u32(since);
    // One chunk: source, CNAME, end, filled up to whole words.
    let item = 2 + NAME.len();
    let words = 1 + (item + 1).div_ceil(4);
    out.put_slice(&[0x81, DESCRIPTION, 0, words as u8]);
    out.put_u32(own);
    out.put_slice(&[1, NAME.len() as u8]);
    out.put_slice(NAME);
    out.put_bytes(0, (words - 1) * 4 - item);
    out.freeze()
}
