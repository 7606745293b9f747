//! Chunk streams (RTMP 1.0 §5.3): messages cut into chunks and put together again. Pure.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, BytesMut};

use super::{
    Error,
    message::{Message, kind},
};

/// Chunk size until a peer changes it (§5.4.1).
pub const INITIAL_CHUNK_SIZE: usize = 128;
/// No message is longer than this, so no chunk need be (§5.4.1).
const MAX_CHUNK_SIZE: u32 = 0xff_ffff;
/// A 24-bit time field with this value says that 32 bits follow (§5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;
/// A type 0 time above this (ms) is a clock, never the delta of a type 3 chunk after it.
const PLAUSIBLE_DELTA: u32 = 10_000;

/// What a peer may make the reader hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one message.
    pub message: usize,
    /// Bytes announced by all messages in progress together.
    pub pending: usize,
    /// Chunk streams.
    pub streams: usize,
}

impl Limits {
    /// For a peer that has not been let in.
    pub const STRANGER: Self = Self { message: 64 << 10, pending: 128 << 10, streams: 16 };
    /// For a publisher.
    pub const PUBLISHER: Self = Self { message: 8 << 20, pending: 12 << 20, streams: 64 };
}

/// Puts messages together. Feeds on any split of the bytes; holds at most [`Limits::pending`].
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    chunk_size: usize,
    streams: BTreeMap<u32, Stream>,
    /// The chunk whose payload comes next: its stream and how much is missing.
    current: Option<(u32, usize)>,
    pending: usize,
}

/// The latest header of a chunk stream and the message in progress.
#[derive(Debug, Default)]
struct Stream {
    kind: u8,
    message_stream: u32,
    length: usize,
    timestamp: u32,
    delta: u32,
    /// The 32-bit time of the latest type 0–2 header, if it had one.
    extended: Option<u32>,
    /// The message in progress, allocated once at its full length.
    message: Option<Vec<u8>>,
}

impl Reader {
    /// A reader at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, chunk_size: INITIAL_CHUNK_SIZE, streams: BTreeMap::new(), current: None, pending: 0 }
    }

    /// Changes what the peer may make the reader hold, from the next message on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes announced by the messages in progress.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Takes bytes off `input` until a message is complete, or nothing more can be taken: `None`.
    /// At most 18 bytes (a header) are then left. Payload is copied once, into the message.
    ///
    /// Set Chunk Size and Abort (§5.4.1, §5.4.2) are obeyed here and not returned.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Limit`]; the connection is then of no more use.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, Error> {
        loop {
            let (id, missing) = match self.current {
                Some(current) => current,
                None => match self.header(input)? {
                    Some(id) => (id, self.open(id)?),
                    None => return Ok(None),
                },
            };
            let Some(stream) = self.streams.get_mut(&id) else { return Err(Error::Malformed("chunk stream")) };
            let message = stream.message.get_or_insert_default();
            let taken = missing.min(input.len());
            message.extend_from_slice(&input[..taken]);
            input.advance(taken);
            if taken < missing {
                self.current = Some((id, missing - taken));
                return Ok(None);
            }
            self.current = None;
            if message.len() < stream.length {
                continue;
            }
            self.pending = self.pending.saturating_sub(stream.length);
            let message = Message {
                kind: stream.kind,
                stream: stream.message_stream,
                timestamp: stream.timestamp,
                payload: stream.message.take().unwrap_or_default().into(),
            };
            match message.kind {
                kind::SET_CHUNK_SIZE => self.chunk_size = checked_chunk_size(message.number()?)?,
                kind::ABORT => self.abort(message.number()?),
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Reads a chunk's headers (§5.3.1) once they are there whole: the chunk stream's id.
    fn header(&mut self, input: &mut BytesMut) -> Result<Option<u32>, Error> {
        let mut rest = &input[..];
        let Some(first) = rest.try_get_u8().ok() else { return Ok(None) };
        let id = match first & 0x3f {
            0 => rest.try_get_u8().ok().map(|byte| 64 + u32::from(byte)),
            1 => rest.try_get_u16_le().ok().map(|word| 64 + u32::from(word)),
            id => Some(u32::from(id)),
        };
        let Some(id) = id else { return Ok(None) };
        let format = first >> 6;
        if rest.len() < [11, 7, 3, 0][usize::from(format)] {
            return Ok(None);
        }
        if !self.streams.contains_key(&id) {
            if format == 3 {
                return Err(Error::Malformed("first chunk of a stream without a header"));
            }
            if self.streams.len() >= self.limits.streams {
                return Err(Error::Limit("chunk streams"));
            }
        }
        let known = self.streams.get(&id);
        let time = if format == 3 { None } else { Some(rest.get_uint(3) as u32) };
        let head = if format < 2 { Some((rest.get_uint(3) as usize, rest.get_u8())) } else { None };
        if let Some(Stream { message: Some(_), length, kind, .. }) = known {
            // Some encoders go on with a type 1 or 2 chunk where type 3 is due; it must fit.
            if format == 0 || head.is_some_and(|head| head != (*length, *kind)) {
                return Err(Error::Malformed("message header inside a message"));
            }
        }
        let message_stream = if format == 0 { Some(rest.get_u32_le()) } else { None };
        let extended = match (time, known) {
            (Some(EXTENDED), _) => match rest.try_get_u32().ok() {
                Some(time) => Some(time),
                None => return Ok(None),
            },
            (Some(_), _) => None,
            // The field is repeated in type 3 chunks (§5.3.1.3), but some encoders leave it out.
            // Four payload bytes that happen to equal the time are improbable enough.
            (None, Some(Stream { extended: Some(time), timestamp, .. })) => match rest.first_chunk() {
                Some(bytes) => {
                    let seen = u32::from_be_bytes(*bytes);
                    if seen == *time || seen == *timestamp {
                        rest.advance(4);
                    }
                    Some(*time)
                }
                None => return Ok(None),
            },
            (None, _) => None,
        };
        let used = input.len() - rest.len();
        input.advance(used);

        let stream = self.streams.entry(id).or_default();
        stream.extended = extended;
        if let Some((length, kind)) = head {
            (stream.length, stream.kind) = (length, kind);
        }
        if let Some(message_stream) = message_stream {
            stream.message_stream = message_stream;
        }
        let time = time.filter(|_| stream.message.is_none()).map(|time| extended.unwrap_or(time));
        match (format, time) {
            (0, Some(time)) => {
                stream.timestamp = time;
                // §5.3.1.2.4: a type 3 chunk after a type 0 one repeats its time as a delta.
                stream.delta = if time <= PLAUSIBLE_DELTA { time } else { 0 };
            }
            (_, Some(delta)) => {
                stream.delta = delta;
                stream.timestamp = stream.timestamp.wrapping_add(delta);
            }
            (_, None) if stream.message.is_none() => stream.timestamp = stream.timestamp.wrapping_add(stream.delta),
            _ => {}
        }
        Ok(Some(id))
    }

    /// Begins a message where none is in progress: how many bytes this chunk holds.
    fn open(&mut self, id: u32) -> Result<usize, Error> {
        let Some(stream) = self.streams.get_mut(&id) else { return Err(Error::Malformed("chunk stream")) };
        let held = match &stream.message {
            Some(message) => message.len(),
            None => {
                if stream.length > self.limits.message {
                    return Err(Error::Limit("message length"));
                }
                if self.pending + stream.length > self.limits.pending {
                    return Err(Error::Limit("messages in progress"));
                }
                self.pending += stream.length;
                stream.message = Some(Vec::with_capacity(stream.length));
                0
            }
        };
        Ok((stream.length - held).min(self.chunk_size))
    }

    fn abort(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.message.take().is_some()
        {
            self.pending = self.pending.saturating_sub(stream.length);
        }
    }
}

/// Cuts messages into chunks. Every message begins with a full header: they cost 11 bytes and
/// leave no doubt about times.
#[derive(Debug)]
pub struct Writer {
    chunk_size: usize,
}

impl Writer {
    /// A writer at the start of a connection.
    pub fn new() -> Self {
        Self { chunk_size: INITIAL_CHUNK_SIZE }
    }

    /// Announces and uses another chunk size (1 to 0xFFFFFF).
    pub fn set_chunk_size(&mut self, size: u32, out: &mut BytesMut) {
        let size = size.clamp(1, MAX_CHUNK_SIZE);
        self.write(2, &Message::control(kind::SET_CHUNK_SIZE, size), out);
        self.chunk_size = size as usize;
    }

    /// Appends a message's chunks on chunk stream `id` (2 to 63).
    pub fn write(&self, id: u8, message: &Message, out: &mut BytesMut) {
        let extended = message.timestamp >= EXTENDED;
        out.put_u8(id & 0x3f);
        out.put_uint(message.timestamp.min(EXTENDED).into(), 3);
        out.put_uint(message.payload.len() as u64, 3);
        out.put_u8(message.kind);
        out.put_u32_le(message.stream);
        for (index, chunk) in message.payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                out.put_u8(0xc0 | id & 0x3f);
            }
            if extended {
                out.put_u32(message.timestamp);
            }
            out.put_slice(chunk);
        }
        if extended && message.payload.is_empty() {
            out.put_u32(message.timestamp);
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

fn checked_chunk_size(size: u32) -> Result<usize, Error> {
    match size {
        // The first bit must be zero, and no chunk is empty (§5.4.1).
        0 | 0x8000_0000.. => Err(Error::Malformed("chunk size")),
        size => Ok(size.min(MAX_CHUNK_SIZE) as usize),
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
