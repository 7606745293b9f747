//! RTMP messages (RTMP 1.0 §5.4, §6, §7): what travels in chunks. Pure.

use bytes::Bytes;

use super::{
    Error,
    amf::{self, Value},
};

/// Message type ids.
pub mod kind {
    /// §5.4.1.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// §5.4.2.
    pub const ABORT: u8 = 2;
    /// §5.4.3.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// §6.2.
    pub const USER_CONTROL: u8 = 4;
    /// §5.4.4.
    pub const WINDOW_SIZE: u8 = 5;
    /// §5.4.5.
    pub const PEER_BANDWIDTH: u8 = 6;
    /// §7.1.4.
    pub const AUDIO: u8 = 8;
    /// §7.1.5.
    pub const VIDEO: u8 = 9;
    /// §7.1.2, AMF3: AMF0 after one byte.
    pub const DATA_AMF3: u8 = 15;
    /// §7.1.1, AMF3: AMF0 after one byte.
    pub const COMMAND_AMF3: u8 = 17;
    /// §7.1.2.
    pub const DATA: u8 = 18;
    /// §7.1.1.
    pub const COMMAND: u8 = 20;
    /// §7.1.6.
    pub const AGGREGATE: u8 = 22;
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// One of [`kind`], or an unknown one.
    pub kind: u8,
    /// Message stream id: 0 for the connection, 1 for the published stream.
    pub stream: u32,
    /// Milliseconds, absolute; wraps.
    pub timestamp: u32,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    /// A protocol control message that holds one number.
    pub fn control(kind: u8, number: u32) -> Self {
        Self { kind, stream: 0, timestamp: 0, payload: Bytes::copy_from_slice(&number.to_be_bytes()) }
    }

    /// §5.4.5 with limit type 2, dynamic.
    pub fn peer_bandwidth(bytes: u32) -> Self {
        let [a, b, c, d] = bytes.to_be_bytes();
        Self { kind: kind::PEER_BANDWIDTH, stream: 0, timestamp: 0, payload: Bytes::copy_from_slice(&[a, b, c, d, 2]) }
    }

    /// §7.1.7: a user control event about a stream or a time.
    pub fn user_control(event: u16, number: u32) -> Self {
        let payload = [&event.to_be_bytes()[..], &number.to_be_bytes()].concat();
        Self { kind: kind::USER_CONTROL, stream: 0, timestamp: 0, payload: payload.into() }
    }

    /// A command on a message stream.
    pub fn command(stream: u32, name: &str, transaction: f64, arguments: &[Value]) -> Self {
        let mut payload = Vec::with_capacity(256);
        Value::string(name).write(&mut payload);
        Value::Number(transaction).write(&mut payload);
        arguments.iter().for_each(|value| value.write(&mut payload));
        Self { kind: kind::COMMAND, stream, timestamp: 0, payload: payload.into() }
    }

    /// §7.2.2: the state of the stream, for the encoder and its user.
    pub fn status(level: &str, code: &str, description: &str) -> Self {
        // ffmpeg shows a description only if it is shorter than 256 bytes.
        let end = (0..=description.len().min(240)).rev().find(|&end| description.is_char_boundary(end)).unwrap_or(0);
        let information = Value::object([
            ("level", Value::string(level)),
            ("code", Value::string(code)),
            ("description", Value::string(&description[..end])),
        ]);
        Self::command(1, "onStatus", 0.0, &[Value::Null, information])
    }

    /// The number of a control message.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is shorter than four bytes.
    pub fn number(&self) -> Result<u32, Error> {
        self.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Error::Malformed("control message"))
    }

    /// What a user control event is about (§7.1.7): a stream or a time; 0 where it is cut short.
    pub fn event_number(&self) -> u32 {
        self.payload.get(2..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The AMF0 values of a command or data message, whose AMF3 forms hold AMF0 after one byte.
    ///
    /// # Errors
    /// As [`amf::read_all`].
    pub fn values(&self) -> Result<Vec<Value>, Error> {
        match self.kind {
            kind::COMMAND_AMF3 | kind::DATA_AMF3 if self.payload.first() == Some(&0) => {
                amf::read_all(&self.payload[1..])
            }
            _ => amf::read_all(&self.payload),
        }
    }
}

/// A command as received (§7.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// `connect`, `publish`, `_result`, …
    pub name: String,
    /// What the answer must carry; 0 asks for none.
    pub transaction: f64,
    /// What follows: the command object first.
    pub arguments: Vec<Value>,
}

impl Command {
    /// Reads a command message.
    ///
    /// # Errors
    /// [`Error::Malformed`] without a name, and as [`amf::read_all`].
    pub fn parse(message: &Message) -> Result<Self, Error> {
        let mut values = message.values()?.into_iter();
        let Some(Value::String(name)) = values.next() else { return Err(Error::Malformed("command without a name")) };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        Ok(Self { name, transaction, arguments: values.collect() })
    }

    /// The `index`-th argument as text; the command object is number 0.
    pub fn text(&self, index: usize) -> &str {
        self.arguments.get(index).and_then(Value::as_str).unwrap_or("")
    }

    /// A member of the `index`-th argument as text.
    pub fn member(&self, index: usize, name: &str) -> &str {
        self.arguments.get(index).and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or("")
    }
}
