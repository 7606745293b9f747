//! Sources that the server fetches itself: cameras and encoders that publish by being asked.
//!
//! [`Source`] is a channel's setting, [`Rule`] says which machines may be asked, and [`Supervisor`] keeps asking.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpStream, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use url::Url;

use super::{Door, Knock, rtsp, srt};
use crate::model::{Chain, StreamName};

/// Between an attempt that failed and the next, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A session that lasted so long was sound: the next attempt is made soon.
const SOUND: Duration = Duration::from_secs(60);
/// How long an address may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Sessions get this long to say goodbye.
const DRAIN: Duration = Duration::from_secs(3);
/// The longest URL taken.
const LENGTH: usize = 2048;

/// Where a channel is fetched from. `Debug` and `Display` show no more than the machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    protocol: Protocol,
    url: Url,
}

/// How a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `rtsp://`.
    Rtsp,
    /// `srt://`.
    Srt,
}

/// Why a text is no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// Not a URL with a host.
    #[error("a source is a URL such as rtsp://USER:PASSWORD@HOST/PATH")]
    Url,
    /// Another scheme.
    #[error("a source begins with rtsp:// or srt://: nothing else is fetched")]
    Scheme,
    /// Not as SRT has it.
    #[error(transparent)]
    Srt(#[from] srt::pull::InvalidSource),
}

/// Which machines may be asked: by default none that only this one or its neighbours can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Those too.
    pub private: bool,
    /// Of those, these in any case.
    pub allowed: &'static [IpAddr],
}

/// Why a machine is not asked, or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The rule forbids it.
    #[error("{0} is not a public address: pull.private = true allows such sources")]
    Forbidden(IpAddr),
    /// Its name has no address.
    #[error("its name has no address")]
    Unknown,
    /// It does not answer.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
}

/// Why a session with a source ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not asked, or cannot be.
    #[error("not reached")]
    Unreachable(#[from] Unreachable),
    /// The channel does not take it.
    #[error("not let in")]
    Refused(#[from] super::Refusal),
    /// RTSP failed.
    #[error("rtsp")]
    Rtsp(#[from] rtsp::Error),
    /// It leads on to what is no source, or in a circle.
    #[error("redirects to nowhere")]
    Redirect,
    /// SRT failed.
    #[error("srt")]
    Srt(#[from] srt::Error),
    /// It is no SRT source.
    #[error("not a source")]
    Invalid(#[from] srt::pull::InvalidSource),
}

impl Source {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`InvalidSource`].
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        let url = Some(text.trim()).filter(|text| text.len() <= LENGTH).and_then(|text| Url::parse(text).ok());
        let url = url.ok_or(InvalidSource::Url)?;
        let protocol = match url.scheme() {
            "rtsp" => Protocol::Rtsp,
            "srt" => Protocol::Srt,
            _ => return Err(InvalidSource::Scheme),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidSource::Url);
        }
        if protocol == Protocol::Srt {
            srt::pull::Source::parse(url.as_str())?;
        }
        Ok(Self { protocol, url })
    }

    /// How it is asked.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// All of it, password included: for who asks, and for keeping it sealed.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// User and password, where it has them.
    pub fn credentials(&self) -> Option<(String, String)> {
        let user = Some(self.url.username()).filter(|user| !user.is_empty())?;
        Some((decoded(user), decoded(self.url.password().unwrap_or_default())))
    }

    /// Without user and password, as it is asked for.
    pub fn bare(&self) -> Url {
        let mut url = self.url.clone();
        // Neither fails on a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        url
    }
}

impl std::str::FromStr for Source {
    type Err = InvalidSource;
    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        Self::parse(text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Path, query and fragment may hold keys as well as the user's part does.
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
        f.write_str("/…")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

impl Rule {
    /// Whether a source may be set, as far as it says itself where it leads: a name's addresses are looked at whenever
    /// it is asked.
    ///
    /// # Errors
    /// [`Unreachable::Forbidden`].
    pub fn check(self, source: &Source) -> Result<(), Unreachable> {
        let host = source.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse() {
            Ok(address) => self.admit(address),
            Err(_) => Ok(()),
        }
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// [`Unreachable::Forbidden`].
    pub fn admit(self, address: IpAddr) -> Result<(), Unreachable> {
        let allowed = self.private || self.allowed.contains(&address) || is_public(address);
        if allowed { Ok(()) } else { Err(Unreachable::Forbidden(address)) }
    }

    /// The addresses of a source that may be asked. Whoever connects connects to one of these, and not to the name,
    /// which may mean another machine a moment later.
    ///
    /// # Errors
    /// [`Unreachable::Forbidden`] where there are none but forbidden ones, [`Unreachable::Unknown`] without any.
    pub async fn resolve(self, source: &Source, port: u16) -> Result<Vec<SocketAddr>, Unreachable> {
        let host = source.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = source.url.port().unwrap_or(port);
        let found = tokio::time::timeout(CONNECT, tokio::net::lookup_host((host, port))).await;
        let found: Vec<_> = found.map_err(|_| Unreachable::Unknown)?.map_err(|_| Unreachable::Unknown)?.collect();
        let (allowed, forbidden): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.admit(address.ip()).is_ok());
        match (allowed.is_empty(), forbidden.first()) {
            (false, _) => Ok(allowed),
            (true, Some(address)) => Err(Unreachable::Forbidden(address.ip())),
            (true, None) => Err(Unreachable::Unknown),
        }
    }

    /// A connection to a source, `port` where it names none.
    ///
    /// # Errors
    /// As [`Rule::resolve`], and [`Unreachable::Connect`] with what the last address said.
    pub async fn connect(self, source: &Source, port: u16) -> Result<TcpStream, Unreachable> {
        let mut last = Unreachable::Unknown;
        for address in self.resolve(source, port).await? {
            match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error.into(),
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(last)
    }
}

/// Keeps a session with every source that is wanted.
pub struct Supervisor {
    door: Arc<dyn Door>,
    rule: Rule,
    running: HashMap<StreamName, (Source, CancellationToken)>,
    tracker: TaskTracker,
}

impl Supervisor {
    /// Asks nobody yet. `door` lets what comes into its channel.
    pub fn new(door: Arc<dyn Door>, rule: Rule) -> Self {
        Self { door, rule, running: HashMap::new(), tracker: TaskTracker::new() }
    }

    /// From now on these are wanted, by channel: sessions begin, change and end accordingly.
    pub fn want(&mut self, wanted: &BTreeMap<StreamName, Source>) {
        self.running.retain(|name, (source, cancel)| {
            let stays = wanted.get(name) == Some(source);
            if !stays {
                cancel.cancel();
            }
            stays
        });
        for (name, source) in wanted {
            if !self.running.contains_key(name) {
                let cancel = CancellationToken::new();
                let span = tracing::info_span!("pull", channel = %name, %source);
                let keep = keep(name.clone(), source.clone(), self.door.clone(), self.rule, cancel.clone());
                self.tracker.spawn(keep.instrument(span));
                self.running.insert(name.clone(), (source.clone(), cancel));
            }
        }
    }

    /// Ends every session, within three seconds.
    pub async fn stop(mut self) {
        self.want(&BTreeMap::new());
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.tracker.len(), "sources did not let go in time");
        }
    }
}

/// Asks one source again and again.
async fn keep(name: StreamName, source: Source, door: Arc<dyn Door>, rule: Rule, cancel: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let ended = match source.protocol {
            Protocol::Rtsp => rtsp::pull::run(&name, &source, &*door, rule, &cancel).await,
            Protocol::Srt => call(&name, &source, &*door, rule, &cancel).await,
        };
        if cancel.is_cancelled() {
            return;
        }
        if began.elapsed() >= SOUND {
            pause = FIRST_PAUSE;
        }
        let retry_seconds = pause.as_secs();
        match ended {
            Ok(()) => tracing::info!(retry_seconds, "source ended"),
            Err(error) => tracing::warn!(error = %Chain(&error), retry_seconds, "source is not there"),
        }
        if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A session with an SRT source, from the call to its end.
async fn call(
    name: &StreamName,
    source: &Source,
    door: &dyn Door,
    rule: Rule,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let wanted = srt::pull::Source::parse(source.url.as_str())?;
    let mut last = Unreachable::Unknown.into();
    for peer in rule.resolve(source, wanted.port).await? {
        match cancel.run_until_cancelled(srt::pull::Connection::open(peer, &wanted)).await {
            None => return Ok(()),
            Some(Err(error)) => last = Error::from(error),
            Some(Ok(connection)) => {
                let knock = Knock { protocol: "srt", peer, channel: Some(name.clone()), key: String::new() };
                // Who may set a channel's source needs no key to feed it.
                let admitted = cancel.run_until_cancelled(door.admit_by_proof(knock, Box::new(|_| true))).await;
                let Some(publication) = admitted.transpose()? else { return Ok(()) };
                tracing::info!(%peer, "pulling");
                return Ok(connection.publish(publication, cancel.clone()).await?);
            }
        }
    }
    Err(last)
}

/// Whether anybody on the Internet could reach an address (the registries of RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || matches!((a, b, c), (0 | 240.., ..) | (100, 64..=127, _) | (198, 18 | 19, _) | (192, 0, 0) | (192, 88, 99));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to an address of version 4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Teredo, documentation, benchmarks: parts of 2000::/3 that are not its public use.
        [0x2001, 0 | 2 | 0xdb8, ..] => false,
        // All that is given out lies in 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// `%41` is `A`; what is no text then stays as it was.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let pair = tail.get(..2).filter(|_| byte == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
