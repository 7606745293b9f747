//! The publishing side: what `amphi demo` and tests speak to a server with.

use std::{future::Future, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Error,
    amf::Value,
    chunk::{Limits, Reader, Writer},
    handshake,
    message::{Command, Message, kind},
};

/// Every step of getting in, and every write, must succeed within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Chunk size of what the client sends.
const CHUNK_SIZE: u32 = 65_536;

/// Why publishing failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Someone else is publishing, in the server's words; trying again helps once they have stopped.
    #[error("the server refused the stream: {0}")]
    Busy(String),
    /// The server said no, in these words; trying again does not help.
    #[error("the server refused the stream: {0}")]
    Refused(String),
    /// The connection failed; trying again may help.
    #[error("connection failed")]
    Connection(#[from] Error),
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// A connection that publishes one stream.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    reader: Reader,
    writer: Writer,
    input: BytesMut,
    output: BytesMut,
}

impl Client {
    /// Connects to `address` (`HOST:PORT`) and publishes `name` in application `app`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the server's words, or what failed.
    pub async fn publish(address: &str, app: &str, name: &str) -> Result<Self, ClientError> {
        in_time(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut client = Self {
                stream,
                reader: Reader::new(Limits::STRANGER),
                writer: Writer::new(),
                input: BytesMut::new(),
                output: BytesMut::new(),
            };
            client.handshake().await?;
            client.negotiate(address, app, name).await?;
            Ok(client)
        })
        .await
    }

    /// Sends a tag body: `kind` 8 (audio), 9 (video) or 18 (data), `timestamp` in milliseconds.
    /// Not cancel-safe: a message may be left half sent.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the server has meanwhile ended the stream, or what failed.
    pub async fn send(&mut self, kind: u8, timestamp: u32, payload: Bytes) -> Result<(), ClientError> {
        self.listen()?;
        let chunk_stream = if kind == kind::AUDIO { 4 } else { 6 };
        self.queue(chunk_stream, &Message { kind, stream: 1, timestamp, payload });
        in_time(self.flush()).await
    }

    /// Says goodbye and closes.
    ///
    /// # Errors
    /// What failed; the stream is over either way.
    pub async fn finish(mut self) -> Result<(), ClientError> {
        self.queue(3, &Message::command(1, "deleteStream", 0.0, &[Value::Null, Value::Number(1.0)]));
        in_time(async {
            self.flush().await?;
            Ok(self.stream.shutdown().await?)
        })
        .await
    }

    async fn handshake(&mut self) -> Result<(), ClientError> {
        self.output.extend_from_slice(&handshake::hello()?);
        self.flush().await?;
        while self.input.len() < handshake::HELLO + handshake::PACKET {
            self.fill().await?;
        }
        if let Some(hello) = self.input.first_chunk() {
            self.output.extend_from_slice(handshake::answer(hello)?);
        }
        self.input.advance(handshake::HELLO + handshake::PACKET);
        self.flush().await
    }

    async fn negotiate(&mut self, address: &str, app: &str, name: &str) -> Result<(), ClientError> {
        self.writer.set_chunk_size(CHUNK_SIZE, &mut self.output);
        let object = Value::object([
            ("app", Value::string(app)),
            ("type", Value::string("nonprivate")),
            ("flashVer", Value::string("FMLE/3.0 (compatible; Amphi)")),
            ("tcUrl", Value::string(&format!("rtmp://{address}/{app}"))),
        ]);
        self.queue(3, &Message::command(0, "connect", 1.0, &[object]));
        self.answer(1.0).await?;
        self.queue(3, &Message::command(0, "FCPublish", 0.0, &[Value::Null, Value::string(name)]));
        self.queue(3, &Message::command(0, "createStream", 2.0, &[Value::Null]));
        self.answer(2.0).await?;
        let arguments = [Value::Null, Value::string(name), Value::string("live")];
        self.queue(3, &Message::command(1, "publish", 3.0, &arguments));
        self.answer(3.0).await
    }

    /// Waits for the `_result` of a transaction, or for the status that begins the stream.
    async fn answer(&mut self, transaction: f64) -> Result<(), ClientError> {
        self.flush().await?;
        loop {
            while let Some(message) = self.reader.read(&mut self.input)? {
                let Some(command) = self.heard(&message)? else { continue };
                let started = command.member(1, "code") == "NetStream.Publish.Start";
                if started || command.name == "_result" && command.transaction == transaction {
                    return Ok(());
                }
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// Takes in what the server has said meanwhile, without waiting.
    fn listen(&mut self) -> Result<(), ClientError> {
        loop {
            self.input.reserve(4096);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Err(Error::Closed.into()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            while let Some(message) = self.reader.read(&mut self.input)? {
                self.heard(&message)?;
            }
        }
    }

    /// A command from the server; pings are answered on the way.
    fn heard(&mut self, message: &Message) -> Result<Option<Command>, ClientError> {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => {
                let command = Command::parse(message)?;
                if command.name == "_error" || command.member(1, "level") == "error" {
                    let busy = command.member(1, "code") == "NetStream.Publish.BadName";
                    let refused = if busy { ClientError::Busy } else { ClientError::Refused };
                    return Err(refused(command.member(1, "description").into()));
                }
                Ok(Some(command))
            }
            kind::USER_CONTROL if message.payload.starts_with(&[0, 6]) => {
                let time = message.payload[2..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.queue(2, &Message::user_control(7, time));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn queue(&mut self, chunk_stream: u8, message: &Message) {
        self.writer.write(chunk_stream, message, &mut self.output);
    }

    async fn fill(&mut self) -> Result<(), ClientError> {
        self.input.reserve(4096);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Error::Closed.into()),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::time::timeout(PATIENCE, step).await.unwrap_or(Err(Error::Timeout("no answer").into()))
}
