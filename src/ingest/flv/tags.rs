use bytes::Bytes;

/// One tag of a file, or of an RTMP aggregate message (RTMP 1.0 §7.1.6), which has the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// 8 audio, 9 video, 18 data: RTMP's message types.
    pub kind: u8,
    /// Milliseconds.
    pub timestamp: u32,
    /// The body.
    pub body: Bytes,
}

/// Reads tags one after the other; ends where the bytes end or stop making sense.
#[derive(Debug, Clone)]
pub struct Tags {
    rest: Bytes,
}

impl Tags {
    /// The tags of a file (§E.2), or `None` if it is not one.
    pub fn of_file(file: Bytes) -> Option<Self> {
        let header: &[u8; 9] = file.first_chunk()?;
        let [b'F', b'L', b'V', 1, _, offset @ ..] = header else { return None };
        // The size of the tag before the first one follows the header.
        let start = (u32::from_be_bytes(*offset) as usize).checked_add(4)?;
        (start <= file.len()).then(|| Self { rest: file.slice(start..) })
    }

    /// The tags of an aggregate message's payload.
    pub fn of_aggregate(payload: Bytes) -> Self {
        Self { rest: payload }
    }
}

impl Iterator for Tags {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        let &[kind, a, b, c, t2, t1, t0, t3, _, _, _] = self.rest.first_chunk()?;
        let end = 11 + u32::from_be_bytes([0, a, b, c]) as usize;
        if end > self.rest.len() {
            return None;
        }
        let tag =
            Tag { kind: kind & 0x1f, timestamp: u32::from_be_bytes([t3, t2, t1, t0]), body: self.rest.slice(11..end) };
        self.rest = self.rest.slice((end + 4).min(self.rest.len())..);
        Some(tag)
    }
}
