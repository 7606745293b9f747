//! The client: asks a camera or another server to play, and publishes what it plays.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Error,
    auth::Challenge,
    message::{Framer, Message, Request, Response, write_data},
    random,
    receiver::Receiver,
    sdp::{Description, Medium},
    transport::{self, Port, Transport, Udp},
};
use crate::{
    ingest::{
        Door, Knock,
        pull::{self, Rule, Source},
    },
    model::StreamName,
};

/// RTSP's port.
const PORT: u16 = 554;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// A source whose media stop for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(10);
/// What one read takes at most.
const BUFFER: usize = 32 << 10;
/// How often what is overdue is given up.
const PULSE: Duration = Duration::from_millis(100);
/// Pulses between reports.
const REPORT: u32 = 20;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Servers that one may be led on to.
const REDIRECTS: usize = 3;

/// Publishes what `source` plays to the channel until it ends or `cancel` fires, which is no error.
///
/// # Errors
/// [`pull::Error`] says why it ended.
pub async fn run(
    name: &StreamName,
    source: &Source,
    door: &dyn Door,
    rule: Rule,
    cancel: &CancellationToken,
) -> Result<(), pull::Error> {
    let asking = async {
        let (mut client, description) = describe(source, rule).await?;
        let tracks = client.set_up(&description).await?;
        client.play().await?;
        Ok::<_, pull::Error>((client, tracks))
    };
    let Some(asked) = cancel.run_until_cancelled(asking).await else { return Ok(()) };
    let (mut client, tracks) = asked?;
    let peer = client.stream.peer_addr().map_err(Error::Io)?;
    let knock = Knock { protocol: "rtsp", peer, channel: Some(name.clone()), key: String::new() };
    // Who may set a channel's source needs no key to feed it.
    let admitted = cancel.run_until_cancelled(door.admit_by_proof(knock, Box::new(|_| true))).await;
    let Some(publication) = admitted.transpose()? else { return Ok(()) };
    tracing::info!(%peer, udp = client.udp.iter().any(Option::is_some), "pulling");
    let mut receiver = Receiver::new(publication, client.number, std::time::Instant::now());
    for (medium, udp) in &tracks {
        receiver.add(medium, *udp);
    }
    let ended = cancel.run_until_cancelled(client.listen(&mut receiver)).await;
    tracing::info!(dropped = receiver.dropped(), "pull ended");
    let _ = timeout(GOODBYE, client.say_goodbye()).await;
    Ok(ended.unwrap_or(Ok(()))?)
}

/// Connects to a source, or to where it leads, and asks what it has to offer.
async fn describe(source: &Source, rule: Rule) -> Result<(Client, Description), pull::Error> {
    let mut source = source.clone();
    for _ in 0..=REDIRECTS {
        let mut client = Client::connect(&source, rule).await?;
        let url = client.url.to_string();
        let response = client.ask("DESCRIBE", &url, &[("Accept", "application/sdp")]).await?;
        match response.status {
            200 => {
                let base = ["Content-Base", "Content-Location"].iter().find_map(|name| response.headers.get(name));
                if let Some(base) = base.and_then(|base| Url::parse(base).ok()) {
                    client.url = base;
                }
                return Ok((client, Description::parse(&response.body)?));
            }
            301 | 302 | 303 | 305 | 307 | 308 => {
                // The next one is looked at like the first: it may lie where nobody may lead us. It gets no password
                // but what its own address holds.
                let location = response.headers.get("Location").and_then(|location| Source::parse(location).ok());
                let next = location.filter(|next| next.protocol() == pull::Protocol::Rtsp);
                source = next.ok_or(pull::Error::Redirect)?;
            }
            status => return Err(Error::Status { method: "DESCRIBE", status }.into()),
        }
    }
    Err(pull::Error::Redirect)
}

struct Client {
    stream: TcpStream,
    /// What media are relative to.
    url: Url,
    credentials: Option<(String, String)>,
    challenge: Option<Challenge>,
    input: BytesMut,
    framer: Framer,
    /// Of requests; also counts the uses of a nonce.
    sequence: u32,
    session: Option<String>,
    /// How long the server keeps a session without a sign.
    patience: Duration,
    channels: Vec<(u8, u8)>,
    udp: Vec<Option<Udp>>,
    /// Any, for what wants one.
    number: u32,
}

impl Client {
    async fn connect(source: &Source, rule: Rule) -> Result<Self, pull::Error> {
        let stream = rule.connect(source, PORT).await?;
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            url: source.bare(),
            credentials: source.credentials(),
            challenge: None,
            input: BytesMut::new(),
            framer: Framer::default(),
            sequence: 0,
            session: None,
            patience: Duration::from_secs(60),
            channels: Vec::new(),
            udp: Vec::new(),
            number: u32::from_str_radix(&random()?[..8], 16).unwrap_or_default(),
        })
    }

    /// Sets up the media that can be taken, each with whether its packets come over UDP.
    async fn set_up(&mut self, description: &Description) -> Result<Vec<(Medium, bool)>, Error> {
        let mut tracks = Vec::new();
        for index in description.choose()? {
            let medium = &description.media[index];
            let url = self.control(&description.control, &medium.control);
            let first = u8::try_from(2 * tracks.len()).unwrap_or(0);
            let wanted = format!("RTP/AVP/TCP;unicast;interleaved={first}-{}", first + 1);
            let mut response = self.ask("SETUP", &url, &[("Transport", &wanted)]).await?;
            let mut udp = None;
            // 461 says it; some cameras say less.
            if matches!(response.status, 400 | 406 | 461 | 500..) {
                let (local, peer) = (self.stream.local_addr()?.ip(), self.stream.peer_addr()?.ip());
                let ports = Udp::bind(local, peer).await?;
                let (rtp, rtcp) = ports.ports()?;
                let wanted = format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}");
                response = self.ask("SETUP", &url, &[("Transport", &wanted)]).await?;
                udp = Some(ports);
            }
            if response.status != 200 {
                return Err(Error::Status { method: "SETUP", status: response.status });
            }
            self.remember(&response);
            let transport = response.headers.get("Transport").unwrap_or_default();
            match (Transport::parse(transport, (first, first + 1)), &mut udp) {
                (Some(Transport::Interleaved(rtp, rtcp)), None) => self.channels.push((rtp, rtcp)),
                (Some(Transport::Udp { server, .. }), Some(udp)) => {
                    udp.expect(server).await;
                    self.channels.push((0, 0));
                }
                _ => return Err(Error::Malformed("transport that was not asked for")),
            }
            tracks.push((medium.clone(), udp.is_some()));
            self.udp.push(udp);
        }
        Ok(tracks)
    }

    async fn play(&mut self) -> Result<(), Error> {
        let url = self.url.to_string();
        let response = self.ask("PLAY", &url, &[("Range", "npt=0.000-")]).await?;
        if response.status == 200 { Ok(()) } else { Err(Error::Status { method: "PLAY", status: response.status }) }
    }

    /// Takes what is played until it ends.
    async fn listen(&mut self, receiver: &mut Receiver) -> Result<(), Error> {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut pulses, mut deadline) = (0_u32, Instant::now() + SILENCE);
        let (mut asked, mut round_trip) = (Instant::now(), None);
        // For the answer to a sign of life, which is given again where it was refused.
        let (mut waiting, mut again) = (false, false);
        loop {
            while let Some(raw) = self.framer.next(&mut self.input)? {
                match Message::parse(raw)? {
                    Message::Data { channel, payload } => {
                        let mut channels = self.channels.iter();
                        let track = channels.position(|(rtp, rtcp)| [*rtp, *rtcp].contains(&channel));
                        if let Some(track) = track.filter(|track| self.udp[*track].is_none()) {
                            let port = if self.channels[track].0 == channel { Port::Rtp } else { Port::Rtcp };
                            take(receiver, track, port, &payload, &mut deadline)?;
                        }
                    }
                    Message::Response(response) if std::mem::take(&mut waiting) => match response.status {
                        // A nonce has its time, and a session whose signs are refused ends.
                        401 if !again && self.challenged(&response) => again = true,
                        454 => return Err(Error::Status { method: "OPTIONS", status: 454 }),
                        _ => (round_trip, again) = (Some(asked.elapsed()), false),
                    },
                    // A server that asks something is alive; what it asks is nothing to us.
                    Message::Response(_) | Message::Request(_) => {}
                }
            }
            self.input.reserve(BUFFER);
            tokio::select! {
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)) => {
                    if read.map_err(|_| Error::Timeout("no media"))?? == 0 {
                        return Err(Error::Closed);
                    }
                }
                received = transport::receive(&mut self.udp) => {
                    let (track, port, data) = received?;
                    take(receiver, track, port, &data, &mut deadline)?;
                }
                _ = pulse.tick() => {
                    let now = std::time::Instant::now();
                    receiver.tick(now)?;
                    pulses += 1;
                    if pulses.is_multiple_of(REPORT) {
                        self.report(receiver.reports(round_trip, now)).await?;
                    }
                    // Sooner at first, so that the round trip is known.
                    let pause = if round_trip.is_none() { SILENCE / 10 } else { self.patience / 2 };
                    if asked.elapsed() >= pause || again && !waiting {
                        (asked, waiting) = (Instant::now(), true);
                        let url = self.url.to_string();
                        let request = self.request("OPTIONS", &url, &[]);
                        self.send(&request).await?;
                    }
                }
            }
        }
    }

    async fn report(&mut self, reports: Vec<(usize, Bytes)>) -> Result<(), Error> {
        let mut out = BytesMut::new();
        for (track, report) in reports {
            match (&self.udp[track], self.channels[track]) {
                (Some(udp), _) => udp.report(&report).await,
                (None, (_, rtcp)) => write_data(rtcp, &report, &mut out),
            }
        }
        timeout(ANSWER, self.stream.write_all(&out)).await.map_err(|_| Error::Timeout("reports are not read"))??;
        Ok(())
    }

    /// Asks and waits for the answer; once more with credentials if they are wanted.
    async fn ask(&mut self, method: &'static str, url: &str, headers: &[(&str, &str)]) -> Result<Response, Error> {
        for _ in 0..2 {
            let request = self.request(method, url, headers);
            self.send(&request).await?;
            let answer = timeout(ANSWER, self.answer(self.sequence)).await;
            let response = answer.map_err(|_| Error::Timeout("no answer"))??;
            if response.status != 401 || !self.challenged(&response) {
                return Ok(response);
            }
        }
        Err(Error::Status { method, status: 401 })
    }

    /// A refusal asks for credentials in a way that was not tried yet, and there are some.
    fn challenged(&mut self, response: &Response) -> bool {
        let challenge = Challenge::parse(response.headers.all("WWW-Authenticate"));
        let fresh = challenge.is_some() && challenge != self.challenge && self.credentials.is_some();
        if fresh {
            self.challenge = challenge;
        }
        fresh
    }

    fn request(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) -> Request {
        self.sequence += 1;
        let mut request = Request { method: method.into(), uri: url.into(), ..Request::default() };
        request.headers.add("CSeq", self.sequence.to_string());
        request.headers.add("User-Agent", "amphi");
        if let (Some(challenge), Some((user, password))) = (&self.challenge, &self.credentials) {
            let own = format!("{:08x}", self.number);
            let answer = challenge.answer(user, password, method, url, self.sequence, &own);
            request.headers.add("Authorization", answer);
        }
        if let Some(session) = &self.session {
            request.headers.add("Session", session);
        }
        headers.iter().for_each(|(name, value)| request.headers.add(name, *value));
        request
    }

    async fn send(&mut self, request: &Request) -> Result<(), Error> {
        let mut out = BytesMut::new();
        request.write(&mut out);
        timeout(ANSWER, self.stream.write_all(&out)).await.map_err(|_| Error::Timeout("requests are not read"))??;
        Ok(())
    }

    async fn answer(&mut self, sequence: u32) -> Result<Response, Error> {
        loop {
            while let Some(raw) = self.framer.next(&mut self.input)? {
                // Media may come before the answer to PLAY; the little that is lost is its beginning.
                if let Message::Response(response) = Message::parse(raw)? {
                    let number = response.headers.get("CSeq").and_then(|number| number.trim().parse().ok());
                    if number.is_none_or(|number: u32| number == sequence) {
                        return Ok(response);
                    }
                }
            }
            self.input.reserve(BUFFER);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    /// `Session: ID;timeout=60` (RFC 2326 §12.37).
    fn remember(&mut self, response: &Response) {
        let Some(header) = response.headers.get("Session") else { return };
        let mut fields = header.split(';').map(str::trim);
        self.session = fields.next().map(str::to_owned);
        let seconds = fields.find_map(|field| field.strip_prefix("timeout=")?.parse::<u64>().ok());
        if let Some(seconds) = seconds {
            self.patience = Duration::from_secs(seconds.clamp(5, 600));
        }
    }

    /// RFC 2326 §C.1.1: relative to the base as cameras mean it, behind a slash, whether it ends in one or not.
    fn control(&self, whole: &str, control: &str) -> String {
        let base = if whole.contains("://") { whole } else { self.url.as_str() };
        match control {
            "" | "*" => base.to_owned(),
            control if control.contains("://") => control.to_owned(),
            control => format!("{}/{}", base.trim_end_matches('/'), control.trim_start_matches('/')),
        }
    }

    async fn say_goodbye(&mut self) -> Result<(), Error> {
        let url = self.url.to_string();
        let request = self.request("TEARDOWN", &url, &[]);
        self.send(&request).await
    }
}

fn take(receiver: &mut Receiver, track: usize, port: Port, data: &Bytes, deadline: &mut Instant) -> Result<(), Error> {
    let now = std::time::Instant::now();
    if port == Port::Rtp {
        *deadline = Instant::from_std(now) + SILENCE;
    }
    receiver.take(track, port, data, now)
}
