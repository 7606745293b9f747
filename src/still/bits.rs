//! A bit writer for slices and audio frames.

/// Writes bits, most significant first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits free in the last byte.
    free: u32,
}

impl Bits {
    /// The `count` low bits of `value`.
    pub fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << self.free;
            }
        }
    }

    /// An unsigned Exp-Golomb code (ISO 14496-10 §9.1); `value` is below 2³¹.
    pub fn golomb(&mut self, value: u32) {
        let code = value + 1;
        let length = code.ilog2();
        self.put(0, length);
        self.put(code, length + 1);
    }

    /// A signed Exp-Golomb code (§9.1.1).
    pub fn signed_golomb(&mut self, value: i32) {
        self.golomb(if value > 0 { value.unsigned_abs() * 2 - 1 } else { value.unsigned_abs() * 2 });
    }

    /// Fills the last byte with ones or zeros.
    pub fn align(&mut self, bit: bool) {
        let free = self.free;
        self.put(if bit { u32::MAX } else { 0 }, free);
    }

    /// The bytes; what the last one lacks is zero.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
