//! One publisher's connection, from handshake to goodbye, over any byte stream.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Error,
    address::{self, Address},
    amf::Value,
    capabilities,
    chunk::{Limits, Reader, Writer},
    handshake,
    media::{Media, Unusable},
    message::{Command, Message, kind},
};
use crate::{
    ingest::{Door, Knock, Refusal, flv::Tags},
    stream::{Link, Publication},
};

/// How patient and how generous the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the first byte to a publish that was let in, however the bytes are spread.
    pub authenticate: Duration,
    /// A publisher silent for so long is cut.
    pub silence: Duration,
    /// From one ping of a publisher to the next, at least.
    pub ping: Duration,
    /// Connections that have not been let in, at most.
    pub strangers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let [authenticate, silence, ping] = [10, 30, 2].map(Duration::from_secs);
        Self { authenticate, silence, ping, strangers: 256 }
    }
}

/// Who is at the other end.
#[derive(Debug)]
pub struct Visitor {
    /// The protocol as status and logs name it: `rtmp`, `rtmps`.
    pub protocol: &'static str,
    /// Its address.
    pub peer: SocketAddr,
    /// When it must have been let in.
    pub deadline: Instant,
    /// Its place among the strangers, given back as soon as it has been let in.
    pub place: Option<OwnedSemaphorePermit>,
}

/// A connection that has not been let in may send this much.
const STRANGER_BYTES: u64 = 512 << 10;
/// What one read of a stranger takes at most: a flood of connections must not cost memory.
const SMALL_BUFFER: usize = 4 << 10;
/// What one read of a publisher takes at most.
const BUFFER: usize = 32 << 10;
/// Bytes that either side sends before it wants an acknowledgement (§5.4.4).
const WINDOW: u32 = 2_500_000;
/// Chunk size of what the server sends.
const CHUNK_SIZE: u32 = 4096;
/// How long a publisher that was turned away may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// The one message stream a connection has.
const STREAM: f64 = 1.0;

/// Talks to one publisher until it leaves, is turned away, or `cancel` fires.
///
/// Not cancel-safe: use the token. Dropping it drops the connection and opens the live's grace.
///
/// # Errors
/// [`Error`] says why the connection ended, unless it was closed or cancelled in order.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    visitor: Visitor,
    door: Arc<dyn Door>,
    settings: Settings,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let Visitor { protocol, peer, deadline, place } = visitor;
    let mut session = Session {
        stream,
        protocol,
        peer,
        door,
        settings,
        place,
        input: BytesMut::new(),
        output: BytesMut::new(),
        reader: Reader::new(Limits::STRANGER),
        writer: Writer::new(),
        received: 0,
        acknowledged: 0,
        window: WINDOW,
        deadline,
        stranger_bytes: 0,
        connected: None,
        publishing: None,
    };
    let ended = match cancel.run_until_cancelled(session.talk()).await {
        Some(ended) => ended,
        None => {
            // What stands in the buffer may be half sent: a word after it would be garbage.
            let mid_word = !std::mem::take(&mut session.output).is_empty();
            if !mid_word && session.connected.is_some() {
                session
                    .send(3, &Message::status("error", "NetConnection.Connect.AppShutdown", "the server is stopping"));
            }
            Err(Error::Refused("server is stopping"))
        }
    };
    session.unpublish();
    match ended {
        Err(Error::Refused(_)) => {
            let _ = tokio::time::timeout(LINGER, session.say_goodbye()).await;
            if cancel.is_cancelled() { Ok(()) } else { ended }
        }
        Err(Error::Closed) if session.connected.is_some() => Ok(()),
        ended => ended,
    }
}

struct Session<S> {
    stream: S,
    protocol: &'static str,
    peer: SocketAddr,
    door: Arc<dyn Door>,
    settings: Settings,
    place: Option<OwnedSemaphorePermit>,
    input: BytesMut,
    output: BytesMut,
    reader: Reader,
    writer: Writer,
    received: u64,
    acknowledged: u64,
    window: u32,
    deadline: Instant,
    stranger_bytes: u64,
    /// Application and URL of connect.
    connected: Option<(String, String)>,
    publishing: Option<Publishing>,
}

struct Publishing {
    publication: Publication,
    media: Media,
    ping: Ping,
}

/// Measures the round trip (§7.1.7). One ping is under way at a time: an encoder that reads nothing must not be stopped
/// by them.
struct Ping {
    number: u32,
    sent: Instant,
    answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn talk(&mut self) -> Result<(), Error> {
        self.handshake().await?;
        loop {
            while let Some(message) = self.reader.read(&mut self.input)? {
                let ended = self.handle(message).await;
                self.flush().await?;
                ended?;
            }
            self.acknowledge();
            self.ping();
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// RTMP 1.0 §5.2. What the client answers is not compared: some encoders answer wrongly.
    async fn handshake(&mut self) -> Result<(), Error> {
        while self.input.len() < handshake::HELLO {
            // A client that speaks another protocol is cut at once, not after it has sent 1537 bytes.
            if self.input.first().is_some_and(|version| *version != 3) {
                return Err(Error::Malformed("handshake: not plain RTMP"));
            }
            self.fill().await?;
        }
        if let Some(hello) = self.input.first_chunk() {
            self.output.extend_from_slice(&handshake::hello()?);
            self.output.extend_from_slice(handshake::answer(hello)?);
        }
        self.input.advance(handshake::HELLO);
        self.flush().await?;
        while self.input.len() < handshake::PACKET {
            self.fill().await?;
        }
        self.input.advance(handshake::PACKET);
        Ok(())
    }

    /// Reads once, before the deadline.
    async fn fill(&mut self) -> Result<(), Error> {
        if self.publishing.is_some() {
            self.deadline = Instant::now() + self.settings.silence;
            self.input.reserve(BUFFER);
        } else {
            self.input.reserve(SMALL_BUFFER);
        }
        let read = tokio::time::timeout_at(self.deadline, self.stream.read_buf(&mut self.input));
        let count = read.await.map_err(|_| self.too_slow())??;
        if count == 0 {
            return Err(Error::Closed);
        }
        self.received += count as u64;
        if self.publishing.is_none() {
            self.stranger_bytes += count as u64;
            if self.stranger_bytes > STRANGER_BYTES {
                return Err(Error::Limit("bytes without a stream key"));
            }
        }
        Ok(())
    }

    /// Writes everything queued, before the deadline.
    async fn flush(&mut self) -> Result<(), Error> {
        if !self.output.is_empty() {
            let written = tokio::time::timeout_at(self.deadline, self.stream.write_all(&self.output)).await;
            written.map_err(|_| self.too_slow())??;
            self.output.clear();
        }
        Ok(())
    }

    fn too_slow(&self) -> Error {
        Error::Timeout(if self.publishing.is_some() { "no data" } else { "no publish in time" })
    }

    /// §5.4.3: the peer may stop sending without these.
    fn acknowledge(&mut self) {
        if self.received - self.acknowledged >= u64::from(self.window / 2).max(1) {
            self.acknowledged = self.received;
            self.send(2, &Message::control(kind::ACKNOWLEDGEMENT, self.received as u32));
        }
    }

    /// Asks a publisher for a sign, where it is time.
    fn ping(&mut self) {
        let Some(Publishing { ping, .. }) = &mut self.publishing else { return };
        if ping.answered && ping.sent.elapsed() >= self.settings.ping {
            *ping = Ping { number: ping.number.wrapping_add(1), sent: Instant::now(), answered: false };
            let request = Message::user_control(6, ping.number);
            self.send(2, &request);
        }
    }

    /// A publisher has answered: the last ping, unless it makes it up.
    fn pong(&mut self, number: u32) {
        let Some(Publishing { publication, ping, .. }) = &mut self.publishing else { return };
        if !ping.answered && number == ping.number {
            ping.answered = true;
            publication.report(Link { round_trip: Some(ping.sent.elapsed()), ..Link::default() });
        }
    }

    fn send(&mut self, chunk_stream: u8, message: &Message) {
        self.writer.write(chunk_stream, message, &mut self.output);
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.media(message.kind, message.timestamp, message.payload),
            kind::AGGREGATE => {
                let mut offset = None;
                for tag in Tags::of_aggregate(message.payload) {
                    // Times inside count from the first one's (§7.1.6).
                    let offset = *offset.get_or_insert(message.timestamp.wrapping_sub(tag.timestamp));
                    self.media(tag.kind, tag.timestamp.wrapping_add(offset), tag.body)?;
                }
                Ok(())
            }
            kind::DATA | kind::DATA_AMF3 => {
                if let (Some(publishing), true) =
                    (&mut self.publishing, message.payload.len() <= Limits::STRANGER.message)
                {
                    // Metadata only hints: what cannot be read is no reason to cut a lecture.
                    publishing.media.metadata(&message.values().unwrap_or_default());
                }
                Ok(())
            }
            kind::COMMAND | kind::COMMAND_AMF3 => self.command(Command::parse(&message)?).await,
            kind::WINDOW_SIZE => {
                self.window = message.number()?;
                Ok(())
            }
            // Ping request and response (§7.1.7).
            kind::USER_CONTROL if message.payload.starts_with(&[0, 6]) => {
                self.send(2, &Message::user_control(7, message.event_number()));
                Ok(())
            }
            kind::USER_CONTROL if message.payload.starts_with(&[0, 7]) => {
                self.pong(message.event_number());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn media(&mut self, kind: u8, timestamp: u32, body: bytes::Bytes) -> Result<(), Error> {
        let Some(Publishing { publication, media, .. }) = &mut self.publishing else { return Ok(()) };
        media.take(kind, timestamp, body, publication, std::time::Instant::now()).map_err(|unusable| {
            tracing::warn!(reason = %unusable, "publisher cut");
            let code = match unusable {
                Unusable::Replaced => "NetStream.Publish.BadName",
                _ => "NetStream.Publish.Rejected",
            };
            self.send(3, &Message::status("error", code, &unusable.to_string()));
            Error::Refused("media")
        })
    }

    async fn command(&mut self, command: Command) -> Result<(), Error> {
        match command.name.as_str() {
            "connect" => self.connect(&command),
            "createStream" => self.reply("_result", &command, &[Value::Null, Value::Number(STREAM)]),
            "releaseStream" | "FCPublish" | "_checkbw" => self.reply("_result", &command, &[Value::Null, Value::Null]),
            "publish" => self.publish(&command).await,
            "FCUnpublish" | "deleteStream" | "closeStream" => {
                if self.unpublish() {
                    self.send(3, &Message::status("status", "NetStream.Unpublish.Success", "unpublished"));
                }
                self.reply("_result", &command, &[Value::Null, Value::Null])
            }
            "play" | "play2" => {
                let text = "this port takes streams in; watch them over HTTP";
                self.send(3, &Message::status("error", "NetStream.Play.Failed", text));
                Err(Error::Refused("play"))
            }
            // Answers to what the server never asked, and everything else without effect here.
            "_result" | "_error" | "onStatus" => Ok(()),
            _ => {
                let information = Value::object([
                    ("level", Value::string("error")),
                    ("code", Value::string("NetConnection.Call.Failed")),
                    ("description", Value::string("unknown method")),
                ]);
                self.reply("_error", &command, &[Value::Null, information])
            }
        }
    }

    fn reply(&mut self, name: &str, to: &Command, values: &[Value]) -> Result<(), Error> {
        if to.transaction != 0.0 {
            self.send(3, &Message::command(0, name, to.transaction, values));
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        let (app, tc_url) = (command.member(0, "app"), command.member(0, "tcUrl"));
        if !address::is_application(app) {
            let information = Value::object([
                ("level", Value::string("error")),
                ("code", Value::string("NetConnection.Connect.InvalidApp")),
                ("description", Value::string(&address::Invalid::Application.to_string())),
            ]);
            self.reply("_error", command, &[Value::Null, information])?;
            tracing::info!(peer = %self.peer, reason = "no such application", "publisher turned away");
            return Err(Error::Refused("application"));
        }
        self.connected = Some((app.into(), tc_url.into()));
        self.send(2, &Message::control(kind::WINDOW_SIZE, WINDOW));
        self.send(2, &Message::peer_bandwidth(WINDOW));
        self.writer.set_chunk_size(CHUNK_SIZE, &mut self.output);
        let server = Value::object([("fmsVer", Value::string("FMS/3,0,1,123")), ("capabilities", Value::Number(31.0))]);
        let information = [
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.Connect.Success")),
            ("description", Value::string("connected")),
            ("objectEncoding", Value::Number(0.0)),
        ];
        let information = information.map(|(name, value)| (name.to_owned(), value)).into_iter();
        let information = Value::Object(information.chain(capabilities::answer(command)).collect());
        self.reply("_result", command, &[server, information])
    }

    async fn publish(&mut self, command: &Command) -> Result<(), Error> {
        let Some((app, tc_url)) = &self.connected else { return Err(Error::Malformed("publish before connect")) };
        let address = match Address::parse(app, tc_url, command.text(1)) {
            Ok(_) if self.publishing.is_some() => {
                return self.turn_away("NetStream.Publish.BadName", "already publishing");
            }
            Ok(address) => address,
            Err(invalid) => {
                // The text may repeat a key typed into the wrong field: it goes to the screen, not to the log.
                tracing::warn!(peer = %self.peer, reason = "unusable address", "publisher turned away");
                return self.turn_away("NetStream.Publish.Denied", &invalid.to_string());
            }
        };
        let Address { channel, key } = address;
        let knock = Knock { protocol: self.protocol, peer: self.peer, channel: channel.clone(), key };
        let admitted = tokio::time::timeout_at(self.deadline, self.door.admit(knock)).await;
        match admitted.map_err(|_| Error::Timeout("no answer from the door"))? {
            Ok(publication) => {
                tracing::Span::current().record("channel", publication.name().as_str());
                tracing::info!(peer = %self.peer, channel = %publication.name(), "publishing");
                let ping = Ping { number: 0, sent: Instant::now(), answered: true };
                self.publishing = Some(Publishing { publication, media: Media::default(), ping });
                self.place = None;
                self.reader.set_limits(Limits::PUBLISHER);
                self.send(2, &Message::user_control(0, STREAM as u32));
                self.send(3, &Message::status("status", "NetStream.Publish.Start", "publishing"));
                Ok(())
            }
            Err(refusal) => {
                let channel = channel.as_ref().map(|name| name.as_str());
                // The door has told the operator.
                tracing::debug!(peer = %self.peer, channel, reason = reason(&refusal), "publisher turned away");
                let code = match refusal {
                    Refusal::Busy(_) => "NetStream.Publish.BadName",
                    Refusal::Unknown | Refusal::WrongKey(_) => "NetStream.Publish.Denied",
                    Refusal::Unavailable(_) => "NetStream.Publish.Rejected",
                };
                self.turn_away(code, &refusal.to_string())
            }
        }
    }

    fn turn_away(&mut self, code: &str, text: &str) -> Result<(), Error> {
        self.send(3, &Message::status("error", code, text));
        Err(Error::Refused("publish"))
    }

    /// Gives the live back, if the connection holds one. It may publish again, within the time of a stranger.
    fn unpublish(&mut self) -> bool {
        let Some(Publishing { publication, media, .. }) = self.publishing.take() else { return false };
        tracing::info!(channel = %publication.name(), dropped = media.dropped(), bytes = self.received, "unpublished");
        publication.finish();
        self.reader.set_limits(Limits::STRANGER);
        self.stranger_bytes = 0;
        self.deadline = Instant::now() + self.settings.authenticate;
        true
    }

    /// Lets the last words arrive: closing with unread input would reset the connection under them.
    async fn say_goodbye(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.output).await?;
        self.stream.shutdown().await?;
        loop {
            self.input.clear();
            self.input.reserve(SMALL_BUFFER);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
        }
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown stream key",
        Refusal::WrongKey(_) => "wrong stream key",
        Refusal::Busy(_) => "busy",
        Refusal::Unavailable(_) => "unavailable",
    }
}
