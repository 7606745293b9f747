//! The data of a slice in which every macroblock is P_Skip (ISO 14496-10 §7.3.4).

use super::bits::Bits;

/// With CABAC the slice is coded at this quantiser, where "skipped" is what contexts expect most.
pub(super) const QP: i32 = 51;

/// Slice data by CAVLC: one run of skipped macroblocks, and the stop bit.
pub(super) fn cavlc(bits: &mut Bits, macroblocks: u32) {
    bits.golomb(macroblocks);
    bits.put(1, 1);
}

/// Slice data by CABAC (§9.3), whole bytes with the stop bit, for a slice at [`QP`] with `cabac_init_idc` 0.
///
/// A skipped neighbour counts like none, so every `mb_skip_flag` has context 11 (§9.3.3.1.1.1) and
/// is its more probable value.
pub(super) fn cabac(macroblocks: u32) -> Vec<u8> {
    let mut encoder = Encoder::new();
    // m = 23, n = 33 (table 9-13) make 106 of the quantiser: state 42, one being the likelier (§9.3.1.1).
    let mut state = 0;
    for left in (0..macroblocks).rev() {
        encoder.likely(RANGE_LPS[state][(encoder.range >> 6 & 3) as usize]);
        state = (state + 1).min(RANGE_LPS.len() - 1);
        // end_of_slice_flag 0
        if left > 0 {
            encoder.likely(2);
        }
    }
    encoder.end()
}

/// `rangeTabLPS` (table 9-44) from state 42 on; the last state stays (table 9-45).
const RANGE_LPS: [[u32; 4]; 21] = [
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
];

/// The arithmetic encoder (§9.3.4), as far as likely values and the end need it.
struct Encoder {
    low: u32,
    range: u32,
    /// Bits whose value a later carry decides.
    outstanding: u32,
    /// The very first bit is not written.
    first: bool,
    bits: Bits,
}

impl Encoder {
    fn new() -> Self {
        Self { low: 0, range: 510, outstanding: 0, first: true, bits: Bits::default() }
    }

    /// The likelier value: the interval loses its upper `part`.
    fn likely(&mut self, part: u32) {
        self.range -= part;
        self.renormalise();
    }

    /// `end_of_slice_flag` 1, and the stop bit (§9.3.4.5).
    fn end(mut self) -> Vec<u8> {
        self.low += self.range - 2;
        self.range = 2;
        self.renormalise();
        self.bit(self.low >> 9 & 1);
        self.bits.put(self.low >> 7 & 3 | 1, 2);
        self.bits.finish()
    }

    fn renormalise(&mut self) {
        while self.range < 256 {
            match self.low {
                0..256 => self.bit(0),
                256..512 => {
                    self.low -= 256;
                    self.outstanding += 1;
                }
                _ => {
                    self.low -= 512;
                    self.bit(1);
                }
            }
            self.range <<= 1;
            self.low <<= 1;
        }
    }

    fn bit(&mut self, bit: u32) {
        if !std::mem::take(&mut self.first) {
            self.bits.put(bit, 1);
        }
        for _ in 0..std::mem::take(&mut self.outstanding) {
            self.bits.put(1 - bit, 1);
        }
    }
}
