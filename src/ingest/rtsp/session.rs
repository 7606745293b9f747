//! One connection, until it turns out to be a reader's; a publisher's to its end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use subtle::ConstantTimeEq;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Readers,
    auth::{self, Credentials},
    guard,
    message::{Framer, Message, Request, Response, write_data},
    random,
    receiver::Receiver,
    sdp::Description,
    transport::{self, Port, Transport, Udp},
};
use crate::{
    ingest::{Door, Knock, Refusal},
    model::StreamName,
};

/// How patient and how generous the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the first byte to RECORD or PLAY, however the bytes are spread.
    pub authenticate: Duration,
    /// A publisher whose media stop for so long is cut.
    pub silence: Duration,
    /// Connections that neither publish nor read, at most.
    pub strangers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { authenticate: Duration::from_secs(10), silence: Duration::from_secs(30), strangers: 256 }
    }
}

/// What one read takes at most.
const BUFFER: usize = 32 << 10;
/// How often what is overdue is given up.
const PULSE: Duration = Duration::from_millis(100);
/// Bytes of answers that an encoder may leave unread.
const UNREAD: usize = 64 << 10;
/// Pulses between reports.
const REPORT: u32 = 20;
/// How long a publisher that was turned away may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// So long datagrams are waited for behind a goodbye, which took another way.
const OVERTAKEN: Duration = Duration::from_millis(50);
const METHODS: &str = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER, DESCRIBE, PLAY, PAUSE";

/// Talks to whoever comes until they leave, are turned away, or `cancel` fires. `place` is given back as soon as they
/// publish or read.
///
/// Not cancel-safe: use the token. Dropping it drops the connection and opens the live's grace.
///
/// # Errors
/// [`Error`] says why the connection ended, unless it was closed or cancelled in order.
pub(super) async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<dyn Door>,
    readers: Readers,
    settings: Settings,
    cancel: CancellationToken,
    place: OwnedSemaphorePermit,
) -> Result<(), Error> {
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut session = Session {
        stream,
        peer,
        door,
        settings,
        place: Some(place),
        input: BytesMut::new(),
        output: BytesMut::new(),
        framer: Framer::default(),
        deadline: Instant::now() + settings.authenticate,
        nonce: random()?,
        id: random()?,
        announced: None,
        pulse,
        pulses: 0,
    };
    let ended = match cancel.run_until_cancelled(session.talk()).await {
        None => return Ok(()),
        Some(Ok(End::Reader(first))) => {
            let Session { stream, input, deadline, place, .. } = session;
            let reading = guard::run(stream, peer, &readers, first, input, deadline, place);
            return cancel.run_until_cancelled(reading).await.unwrap_or(Ok(()));
        }
        Some(ended) => ended,
    };
    let published = session.leave();
    match ended {
        Ok(_) => Ok(()),
        Err(Error::Closed) if published => Ok(()),
        Err(error) => {
            let _ = timeout(LINGER, session.say_goodbye()).await;
            Err(error)
        }
    }
}

/// How a conversation ends without an error.
enum End {
    /// It is a reader's, who has said this first.
    Reader(Bytes),
    /// The publisher has said goodbye.
    Goodbye,
}

struct Session {
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<dyn Door>,
    settings: Settings,
    place: Option<OwnedSemaphorePermit>,
    input: BytesMut,
    output: BytesMut,
    framer: Framer,
    deadline: Instant,
    nonce: String,
    id: String,
    announced: Option<Announced>,
    pulse: Interval,
    pulses: u32,
}

/// A publisher that was let in.
struct Announced {
    description: Description,
    /// Media of the description that are taken.
    chosen: Vec<usize>,
    receiver: Receiver,
    /// Tracks by interleaved channel: packets on even ones, reports on odd ones.
    channels: Vec<(u8, u8, usize)>,
    /// By track.
    udp: Vec<Option<Udp>>,
    recording: bool,
}

impl Session {
    async fn talk(&mut self) -> Result<End, Error> {
        loop {
            while let Some(raw) = self.framer.next(&mut self.input)? {
                match Message::parse(raw.clone())? {
                    Message::Request(request) => {
                        if self.announced.is_none() && request.path().starts_with("live/") {
                            return Ok(End::Reader(raw));
                        }
                        let ended = self.handle(&request).await;
                        self.flush().await?;
                        if ended? {
                            return Ok(End::Goodbye);
                        }
                    }
                    Message::Data { channel, payload } => self.data(channel, payload)?,
                    Message::Response(_) => {}
                }
            }
            self.receive().await?;
            self.flush().await?;
        }
    }

    /// Whatever comes next: bytes, a datagram, or time to look after what is overdue.
    async fn receive(&mut self) -> Result<(), Error> {
        let (mut nobody, recording) =
            (Vec::new(), self.announced.as_ref().is_some_and(|announced| announced.recording));
        let udp = self.announced.as_mut().map_or(&mut nobody, |announced| &mut announced.udp);
        self.input.reserve(BUFFER);
        tokio::select! {
            read = timeout_at(self.deadline, self.stream.read_buf(&mut self.input)) => {
                let late = Error::Timeout(if recording { "no media" } else { "neither RECORD nor PLAY in time" });
                if read.map_err(|_| late)?? == 0 { Err(Error::Closed) } else { Ok(()) }
            }
            received = transport::receive(udp), if recording => {
                let (track, port, data) = received?;
                self.media(track, port, &data)
            }
            _ = self.pulse.tick(), if recording => self.look_after().await,
        }
    }

    async fn look_after(&mut self) -> Result<(), Error> {
        let Some(announced) = &mut self.announced else { return Ok(()) };
        let now = std::time::Instant::now();
        announced.receiver.tick(now)?;
        self.pulses += 1;
        if !self.pulses.is_multiple_of(REPORT) {
            return Ok(());
        }
        // Reports that are not read would fill the connection.
        let read = self.output.is_empty();
        for (track, report) in announced.receiver.reports(None, now) {
            match announced.udp.get(track) {
                Some(Some(udp)) => udp.report(&report).await,
                _ if !read => {}
                _ => {
                    if let Some((_, channel, _)) = announced.channels.iter().find(|(.., of)| *of == track) {
                        write_data(*channel, &report, &mut self.output);
                    }
                }
            }
        }
        Ok(())
    }

    fn data(&mut self, channel: u8, payload: Bytes) -> Result<(), Error> {
        let Some(announced) = &self.announced else { return Err(Error::Malformed("data before ANNOUNCE")) };
        if !announced.recording {
            return Ok(());
        }
        let mut channels = announced.channels.iter();
        match channels.find(|(rtp, rtcp, _)| [*rtp, *rtcp].contains(&channel)) {
            Some(&(rtp, _, track)) => {
                let port = if channel == rtp { Port::Rtp } else { Port::Rtcp };
                self.media(track, port, &payload)
            }
            None => Ok(()),
        }
    }

    fn media(&mut self, track: usize, port: Port, data: &Bytes) -> Result<(), Error> {
        let Some(announced) = &mut self.announced else { return Ok(()) };
        let now = std::time::Instant::now();
        if port == Port::Rtp {
            self.deadline = Instant::from_std(now) + self.settings.silence;
        }
        announced.receiver.take(track, port, data, now)
    }

    /// Takes the datagrams that the goodbye, over TCP, has overtaken.
    async fn take_overtaken(&mut self) -> Result<(), Error> {
        let until = Instant::now() + OVERTAKEN;
        // A sender that goes on and on is not listened to for longer.
        while Instant::now() < until {
            let Some(announced) = self.announced.as_mut().filter(|announced| announced.recording) else { break };
            if announced.udp.iter().all(Option::is_none) {
                break;
            }
            let Ok(received) = timeout_at(until, transport::receive(&mut announced.udp)).await else { break };
            let (track, port, data) = received?;
            self.media(track, port, &data)?;
        }
        Ok(())
    }

    /// Answers a request. True: it was a goodbye.
    async fn handle(&mut self, request: &Request) -> Result<bool, Error> {
        let session =
            request.headers.get("Session").map(|session| session.split(';').next().unwrap_or_default().trim());
        if session.is_some_and(|session| session != self.id) {
            self.answer(&Response::to(request, 454));
            return Ok(false);
        }
        match request.method.as_str() {
            "OPTIONS" => self.answer(&Response::to(request, 200).with("Public", METHODS)),
            "ANNOUNCE" => self.announce(request).await?,
            "SETUP" => self.set_up(request).await?,
            "RECORD" => self.record(request, true),
            "PAUSE" if self.announced.is_some() => self.record(request, false),
            "GET_PARAMETER" | "SET_PARAMETER" if self.announced.is_some() => self.answer(&self.ok(request)),
            "TEARDOWN" if self.announced.is_some() => {
                self.take_overtaken().await?;
                self.answer(&self.ok(request));
                return Ok(true);
            }
            "DESCRIBE" | "PLAY" => self.answer(&Response::to(request, 404)),
            "TEARDOWN" | "PAUSE" | "GET_PARAMETER" | "SET_PARAMETER" => self.answer(&Response::to(request, 455)),
            _ => self.answer(&Response::to(request, 405).with("Allow", METHODS)),
        }
        Ok(false)
    }

    /// RFC 2326 §10.3. Whoever shows the channel's key holds its live from here on.
    async fn announce(&mut self, request: &Request) -> Result<(), Error> {
        let Some(name) = request.path().strip_prefix("publish/").and_then(|name| StreamName::parse(name).ok()) else {
            return self.turn_away(request, 404, "publish at /publish/CHANNEL");
        };
        if self.announced.is_some() {
            self.answer(&Response::to(request, 455));
            return Ok(());
        }
        let Some(shown) = request.headers.get("Authorization").and_then(Credentials::parse) else {
            let [digest, basic] = auth::challenges(&self.nonce);
            self.answer(&Response::to(request, 401).with("WWW-Authenticate", digest).with("WWW-Authenticate", basic));
            return Ok(());
        };
        let description = match Description::parse(&request.body) {
            Ok(description) => description,
            Err(error) => return self.turn_away(request, 400, &error.to_string()),
        };
        let chosen = match description.choose() {
            Ok(chosen) => chosen,
            Err(error) => return self.turn_away(request, 415, &error.to_string()),
        };
        let mut knock = Knock { protocol: "rtsp", peer: self.peer, channel: Some(name), key: String::new() };
        let door = self.door.clone();
        let admitted = match shown {
            Credentials::Basic { password, .. } => {
                knock.key = password;
                door.admit(knock)
            }
            Credentials::Digest(digest) => {
                // The nonce is this connection's alone: nothing that was overheard opens another.
                let (fresh, method) = (digest.nonce == self.nonce, request.method.clone());
                let proof = move |key: &str| {
                    fresh && bool::from(digest.expected(&method, key).as_bytes().ct_eq(digest.response.as_bytes()))
                };
                door.admit_by_proof(knock, Box::new(proof))
            }
        };
        let admitted = timeout_at(self.deadline, admitted).await;
        match admitted.map_err(|_| Error::Timeout("no answer from the door"))? {
            Ok(publication) => {
                tracing::Span::current().record("channel", publication.name().as_str());
                let mut ssrc = [0; 4];
                getrandom::fill(&mut ssrc).map_err(std::io::Error::from)?;
                let receiver = Receiver::new(publication, u32::from_ne_bytes(ssrc), std::time::Instant::now());
                let (channels, udp) = (Vec::new(), Vec::new());
                let announced = Announced { description, chosen, receiver, channels, udp, recording: false };
                self.announced = Some(announced);
                self.answer(&self.ok(request));
                Ok(())
            }
            Err(refusal) => {
                let status = match refusal {
                    Refusal::Unknown | Refusal::WrongKey(_) => 401,
                    Refusal::Busy(_) => 403,
                    Refusal::Unavailable(_) => 503,
                };
                self.turn_away(request, status, &refusal.to_string())
            }
        }
    }

    /// §10.4. A medium that is not taken is set up all the same, and its packets dropped: encoders set up all.
    async fn set_up(&mut self, request: &Request) -> Result<(), Error> {
        let local = self.stream.local_addr()?.ip();
        let Some(announced) = self.announced.as_mut().filter(|announced| !announced.recording) else {
            // Readers ask for `/live/`; nobody else has a session before ANNOUNCE.
            let status = if self.announced.is_some() { 455 } else { 404 };
            self.answer(&Response::to(request, status));
            return Ok(());
        };
        let media = &announced.description.media;
        let Some(index) = media.iter().position(|medium| leads_to(&request.uri, &medium.control, media.len())) else {
            self.answer(&Response::to(request, 404));
            return Ok(());
        };
        let first = u8::try_from(2 * index).unwrap_or(0);
        let transport =
            request.headers.get("Transport").and_then(|header| Transport::parse(header, (first, first + 1)));
        let taken = announced.chosen.contains(&index).then(|| media[index].clone());
        let answer = match transport {
            None => Response::to(request, 461),
            Some(Transport::Interleaved(rtp, rtcp)) => {
                if let Some(track) = taken.and_then(|medium| announced.receiver.add(&medium, false)) {
                    announced.channels.push((rtp, rtcp, track));
                    announced.udp.push(None);
                }
                let transport = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp};mode=record");
                self.ok(request).with("Transport", transport)
            }
            Some(Transport::Udp { client, .. }) => {
                let mut udp = Udp::bind(local, self.peer.ip()).await?;
                let server = udp.ports()?;
                if let Some(track) = taken.and_then(|medium| announced.receiver.add(&medium, true)) {
                    udp.expect(client).await;
                    announced.udp.resize_with(track, || None);
                    announced.udp.push(Some(udp));
                }
                let transport = format!(
                    "RTP/AVP;unicast;client_port={}-{};server_port={}-{};mode=record",
                    client.0, client.1, server.0, server.1
                );
                self.ok(request).with("Transport", transport)
            }
        };
        // The same medium twice would be two tracks.
        if answer.status == 200
            && let Some(announced) = &mut self.announced
        {
            announced.chosen.retain(|chosen| *chosen != index);
        }
        self.answer(&answer);
        Ok(())
    }

    /// §10.11, and §10.6: a publisher that pauses keeps its live as long as it may be silent.
    fn record(&mut self, request: &Request, recording: bool) {
        let answer = match &mut self.announced {
            Some(announced) if !announced.udp.is_empty() => {
                announced.recording = recording;
                let udp = announced.udp.iter().any(Option::is_some);
                tracing::info!(peer = %self.peer, channel = %announced.receiver.name(), udp, recording, "publishing");
                self.place = None;
                self.deadline = Instant::now() + self.settings.silence;
                self.ok(request)
            }
            _ => Response::to(request, 455),
        };
        self.answer(&answer);
    }

    fn ok(&self, request: &Request) -> Response {
        Response::to(request, 200).with("Session", format!("{};timeout=60", self.id))
    }

    fn answer(&mut self, response: &Response) {
        response.write(&mut self.output);
    }

    fn turn_away(&mut self, request: &Request, status: u16, why: &str) -> Result<(), Error> {
        self.answer(&Response { reason: Some(why.into()), ..Response::to(request, status) });
        Err(Error::Refused("publisher"))
    }

    /// Writes everything queued, before the deadline. An encoder that sends media gets what it takes at once: many
    /// never read, and what they send must not wait for that.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.announced.as_ref().is_some_and(|announced| announced.recording) {
            while !self.output.is_empty() {
                match self.stream.try_write(&self.output) {
                    Ok(written) => self.output.advance(written),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if self.output.len() > UNREAD {
                return Err(Error::Timeout("answers are not read"));
            }
        } else if !self.output.is_empty() {
            let written = timeout_at(self.deadline, self.stream.write_all(&self.output)).await;
            written.map_err(|_| Error::Timeout("answers are not read"))??;
            self.output.clear();
        }
        Ok(())
    }

    /// Gives the live back, if the connection holds one.
    fn leave(&mut self) -> bool {
        let Some(announced) = self.announced.take() else { return false };
        let receiver = announced.receiver;
        tracing::info!(channel = %receiver.name(), dropped = receiver.dropped(), "unpublished");
        announced.recording
    }

    /// Lets the last words arrive: closing with unread input would reset the connection under them.
    async fn say_goodbye(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.output).await?;
        self.stream.shutdown().await?;
        loop {
            self.input.clear();
            self.input.reserve(BUFFER);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Whether a URL is that of a medium (RFC 2326 §C.1.1).
fn leads_to(uri: &str, control: &str, media: usize) -> bool {
    let uri = uri.trim_end_matches('/');
    if control.is_empty() || control == "*" {
        return media == 1;
    }
    let before = uri.strip_suffix(control.trim_end_matches('/'));
    before.is_some_and(|before| before.is_empty() || before.ends_with(['/', '?']))
}
