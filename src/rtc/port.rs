//! The one address of all peers, and whose datagram is whose.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ::rtc::{
    crypto::{SignatureScheme, default_provider},
    peer_connection::certificate::{CertificateParams, RTCCertificate},
    shared::ifaces::ifaces,
};
use bytes::{Bytes, BytesMut};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Direction, Handle, Peer, Refused, connection,
    sdp::{self, Offer},
    stun::{self, Kind},
    tcp,
};

/// Datagrams that wait for their peer's task; some 200 ms of a fast stream. Further ones are dropped and counted.
const BACKLOG: usize = 512;
/// The largest datagram that is read, and the largest frame over TCP; WebRTC keeps below 1,500 bytes.
pub(super) const DATAGRAM: usize = 2_048;
/// What the kernel is asked to hold while this task does not run: key frames come in bursts.
const KERNEL_BUFFER: usize = 4 << 20;
/// TCP connections that have shown no credentials yet.
const STRANGERS: usize = 256;
/// Connections over TCP that one peer may have.
pub(super) const CONNECTIONS: usize = 8;
/// How long to wait where reading or accepting fails.
const PAUSE: Duration = Duration::from_millis(100);
/// Ports tried where any will do and one is free for UDP alone.
const ATTEMPTS: usize = 16;
/// One place in so many is for publishers alone.
const RESERVE: usize = 16;
/// One place in so many is for viewers that have been answered and are not there yet.
const COMING: usize = 8;

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses that peers are told before those of the machine: those of a NAT in front of it. Port 0 stands for
    /// the port that is listened on.
    pub public: Vec<SocketAddr>,
    /// Peers at the same time, at most.
    pub peers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { public: Vec::new(), peers: 4_096 }
    }
}

/// A bound port. Cheap to clone; nothing arrives unless one clone is served.
#[derive(Clone)]
pub struct Port {
    inner: Arc<Inner>,
}

struct Inner {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    /// Where peers are told to come.
    announced: Vec<SocketAddr>,
    certificate: RTCCertificate,
    settings: Settings,
    table: Mutex<Table>,
}

type Holders = HashMap<SocketAddr, mpsc::Sender<Datagram>>;

/// Whose datagram is whose.
#[derive(Default)]
struct Table {
    /// By the user fragment that checks name.
    fragments: HashMap<String, Entry>,
    /// By the address that ICE has validated.
    addresses: Holders,
    /// By addresses that were sent a check, so that the answer finds back: it names nobody.
    asked: Holders,
    /// Viewers that have been answered and are not connected yet, in the order of their coming, and from which site.
    coming: VecDeque<(IpAddr, Handle)>,
}

impl Table {
    /// Nobody waits for this peer any more.
    fn came(&mut self, fragment: &str) {
        self.coming.retain(|(_, viewer)| viewer.session() != fragment);
    }

    /// Gives up the viewer that has been awaited longest of the site that most are awaited of.
    fn gives_way(&mut self) {
        let mut awaited = HashMap::<_, usize>::new();
        for (site, _) in &self.coming {
            *awaited.entry(*site).or_default() += 1;
        }
        // Of equals the last is chosen.
        let oldest = (0..self.coming.len()).rev().max_by_key(|index| awaited.get(&self.coming[*index].0));
        if let Some((_, viewer)) = oldest.and_then(|index| self.coming.remove(index)) {
            viewer.close();
        }
    }
}

/// How a peer is reached.
#[derive(Clone)]
pub(super) struct Entry {
    pub sender: mpsc::Sender<Datagram>,
    /// Its TCP connections; whoever knows a fragment may open some, not all that the system has.
    pub connections: Arc<Semaphore>,
}

/// What arrived for a peer.
pub struct Datagram {
    /// When.
    pub at: Instant,
    /// From where.
    pub source: SocketAddr,
    /// Where answers to it go, if it came over TCP.
    pub reply: Option<mpsc::Sender<Bytes>>,
    /// It.
    pub bytes: BytesMut,
}

impl Port {
    /// Binds UDP and TCP of the same number.
    ///
    /// # Errors
    /// Whatever binding reports, or the system's source of random numbers.
    pub async fn bind(listen: SocketAddr, settings: Settings) -> io::Result<Self> {
        let (udp, tcp) = bind(listen).await?;
        // A smaller buffer is what the system allows.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&udp, KERNEL_BUFFER);
        let address = udp.local_addr()?;
        let announced = announced(address, &settings.public);
        let certificate = certificate().map_err(io::Error::other)?;
        let inner = Inner { udp, tcp, address, announced, certificate, settings, table: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it listens; tells the port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.address
    }

    /// Whether an offer can be answered, as far as reading it tells.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(offer: &str, direction: Direction) -> Result<(), Refused> {
        connection::chosen(&Offer::parse(offer)?, direction).map(|_| ())
    }

    /// Answers an offer of whoever asks from `site`, which is an address or stands for a network of one holder.
    /// Neither waits nor sends anything; the peer lives as long as it is polled.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn answer(&self, offer: &str, direction: Direction, site: IpAddr, now: Instant) -> Result<Peer, Refused> {
        let offer = Offer::parse(offer)?;
        self.admits(&self.table(), direction)?;
        let locals = self.locals();
        let mut answered = connection::answer(&offer, direction, &locals, self.inner.certificate.clone(), now)?;
        let fragment = sdp::value(&answered.answer, "a=ice-ufrag:").unwrap_or_default().to_owned();
        let client = sdp::value(&offer.text, "a=ice-ufrag:").unwrap_or_default().to_owned();
        let handle = Handle::new(fragment.clone(), client);
        let (sender, datagrams) = mpsc::channel(BACKLOG);
        {
            let mut table = self.table();
            self.admits(&table, direction)?;
            let connections = Arc::new(Semaphore::new(CONNECTIONS));
            table.fragments.insert(fragment.clone(), Entry { sender: sender.clone(), connections });
            if direction == Direction::Send {
                self.awaits(&mut table, site, handle.clone());
            }
        }
        answered.answer = sdp::with_candidates(&answered.answer, &self.inner.announced, &self.inner.announced);
        let place = Place { port: self.clone(), fragment, sender, validated: Vec::new(), asked: VecDeque::new() };
        Ok(Peer::new(answered, direction, place, handle, datagrams, now))
    }

    /// Awaits a viewer. Asking costs nobody anything: who has asked and not come gives way to who asks later.
    fn awaits(&self, table: &mut Table, site: IpAddr, viewer: Handle) {
        if table.coming.len() >= self.inner.settings.peers.div_ceil(COMING) {
            table.gives_way();
        }
        table.coming.push_back((site, viewer));
    }

    /// Whether one more peer may come. Anybody may watch: a crowd at the door must not keep lecturers out.
    fn admits(&self, table: &Table, direction: Direction) -> Result<(), Refused> {
        let peers = self.inner.settings.peers;
        let limit = match direction {
            Direction::Receive => peers,
            Direction::Send => peers - peers.div_ceil(RESERVE),
        };
        if table.fragments.len() < limit { Ok(()) } else { Err(Refused::Full) }
    }

    /// Hands datagrams to their peers until cancelled. Whether connections can be accepted does not matter to them.
    pub async fn serve(&self, cancel: CancellationToken) {
        let tracker = TaskTracker::new();
        tokio::join!(
            cancel.run_until_cancelled(self.read()),
            cancel.run_until_cancelled(self.accept(&tracker, &cancel))
        );
        tracker.close();
        tracker.wait().await;
    }

    async fn read(&self) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match self.inner.udp.recv_from(&mut buffer).await {
                Ok((length, source)) => self.deliver(&buffer[..length], canonical(source)),
                Err(error) => {
                    tracing::debug!(%error, "reading datagrams failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, tracker: &TaskTracker, cancel: &CancellationToken) {
        let strangers = Arc::new(Semaphore::new(STRANGERS));
        loop {
            match self.inner.tcp.accept().await {
                Ok((stream, source)) => {
                    let Ok(place) = strangers.clone().try_acquire_owned() else { continue };
                    let work = tcp::run(stream, canonical(source), self.clone(), place);
                    let cancel = cancel.clone();
                    tracker.spawn(async move { cancel.run_until_cancelled(work).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn deliver(&self, bytes: &[u8], source: SocketAddr) {
        let is_check = stun::kind(bytes) == Kind::Stun;
        let peer = self.receiver(bytes).filter(|_| is_check).map(|entry| entry.sender).or_else(|| {
            let table = self.table();
            let asked = || table.asked.get(&source).filter(|_| is_check);
            table.addresses.get(&source).or_else(asked).cloned()
        });
        let Some(peer) = peer else {
            metrics::counter!("amphi_rtc_datagrams_of_strangers_total").increment(1);
            return;
        };
        let datagram = Datagram { at: Instant::now(), source, reply: None, bytes: bytes.into() };
        if peer.try_send(datagram).is_err() {
            metrics::counter!("amphi_rtc_datagrams_dropped_total").increment(1);
        }
    }

    /// The peer whose user fragment a connectivity check names.
    pub(super) fn receiver(&self, check: &[u8]) -> Option<Entry> {
        self.table().fragments.get(stun::receiver(check)?).cloned()
    }

    /// Sends a datagram, or drops it where the system cannot take it now.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        let to = match to {
            SocketAddr::V4(v4) if self.inner.address.is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            to => to,
        };
        if self.inner.udp.try_send_to(bytes, to).is_err() {
            metrics::counter!("amphi_rtc_datagrams_unsent_total").increment(1);
        }
    }

    /// The address that a check from `source` is said to have reached: the first announced one of its family. Which
    /// one it was in truth the system does not tell, and nothing depends on it.
    pub(super) fn reached(&self, source: SocketAddr) -> SocketAddr {
        let same = self.inner.announced.iter().find(|address| address.is_ipv4() == source.is_ipv4());
        same.copied().unwrap_or(self.inner.address)
    }

    fn locals(&self) -> Vec<(SocketAddr, bool)> {
        let first = |v4: bool| self.inner.announced.iter().copied().find(|address| address.is_ipv4() == v4);
        let families = [first(true), first(false)].into_iter().flatten();
        families.flat_map(|address| [(address, false), (address, true)]).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer's entry in the table; leaves it when dropped.
pub struct Place {
    pub port: Port,
    pub fragment: String,
    sender: mpsc::Sender<Datagram>,
    validated: Vec<SocketAddr>,
    asked: VecDeque<SocketAddr>,
}

impl Place {
    /// Addresses of one peer that are remembered for answers to come.
    const ASKED: usize = 16;

    /// A check goes to this address.
    pub fn asks(&mut self, address: SocketAddr) {
        if self.asked.contains(&address) {
            return;
        }
        let mut table = self.port.table();
        if self.asked.len() == Self::ASKED
            && let Some(oldest) = self.asked.pop_front()
        {
            leave(&mut table.asked, oldest, &self.sender);
        }
        self.asked.push_back(address);
        table.asked.insert(address, self.sender.clone());
    }

    /// The peer is there.
    pub fn connected(&self) {
        self.port.table().came(&self.fragment);
    }

    /// From now on what is no check may come from this address too, and from those before it that `stay`.
    pub fn validated(&mut self, address: SocketAddr, stay: impl Fn(SocketAddr) -> bool) {
        let mut table = self.port.table();
        self.validated.retain(|known| {
            let stays = *known != address && stay(*known);
            if !stays {
                leave(&mut table.addresses, *known, &self.sender);
            }
            stays
        });
        self.validated.push(address);
        // Two peers cannot both hold an address: whoever answered from there last has it.
        table.addresses.insert(address, self.sender.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.port.table();
        table.fragments.remove(&self.fragment);
        table.came(&self.fragment);
        for address in self.asked.drain(..) {
            leave(&mut table.asked, address, &self.sender);
        }
        for address in self.validated.drain(..) {
            leave(&mut table.addresses, address, &self.sender);
        }
    }
}

fn leave(holders: &mut Holders, address: SocketAddr, peer: &mpsc::Sender<Datagram>) {
    if holders.get(&address).is_some_and(|holder| holder.same_channel(peer)) {
        holders.remove(&address);
    }
}

async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = 0;
    loop {
        let udp = UdpSocket::bind(listen).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if listen.port() != 0 || attempts == ATTEMPTS => return Err(error),
            Err(_) => attempts += 1,
        }
    }
}

/// IPv4 addresses as such, on a socket of both families as well.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What peers are told: what the operator says, then where it listens, which is all addresses of the machine where
/// that is any. Who is behind the same NAT need not come back through it.
fn announced(bound: SocketAddr, public: &[SocketAddr]) -> Vec<SocketAddr> {
    let own = if bound.ip().is_unspecified() { of_the_machine(bound.is_ipv6()) } else { vec![bound.ip()] };
    let own = own.into_iter().map(|ip| SocketAddr::new(ip, bound.port()));
    let mapped = public.iter().map(|address| match address.port() {
        0 => SocketAddr::new(address.ip(), bound.port()),
        _ => *address,
    });
    let mut all = Vec::new();
    for address in mapped.chain(own) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Its addresses that others can reach; those of its loopback if it has none.
fn of_the_machine(with_v6: bool) -> Vec<IpAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => with_v6 && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    };
    let interfaces = ifaces().unwrap_or_default();
    let mut all: Vec<_> = interfaces.into_iter().filter_map(|interface| interface.addr).map(|a| a.ip()).collect();
    all.retain(usable);
    all.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    all.dedup();
    if all.iter().any(|ip| !ip.is_loopback()) {
        all.retain(|ip| !ip.is_loopback());
    }
    if all.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { all }
}

/// The certificate of this run; its fingerprint travels in every answer.
fn certificate() -> Result<RTCCertificate, ::rtc::shared::error::Error> {
    let other = |error: &dyn std::fmt::Display| ::rtc::shared::error::Error::Other(error.to_string());
    let provider = default_provider().map_err(|error| other(&error))?;
    let parameters = CertificateParams::new(vec!["amphi".to_owned()]).map_err(|error| other(&error))?;
    RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, parameters)
}

#[cfg(test)]
mod tests {
    use rustix::net::Shutdown;

    use super::*;

    #[tokio::test]
    async fn connections_that_cannot_be_accepted_do_not_keep_datagrams_waiting() {
        let port = Port::bind("127.0.0.1:0".parse().unwrap(), Settings::default()).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (sender, mut datagrams) = mpsc::channel(1);
        port.table().addresses.insert(client.local_addr().unwrap(), sender);
        // Accepting fails from here on, at once and every time.
        rustix::net::shutdown(&port.inner.tcp, Shutdown::Both).unwrap();
        let (cancel, served) = (CancellationToken::new(), port.clone());
        let serving = tokio::spawn({
            let cancel = cancel.clone();
            async move { served.serve(cancel).await }
        });
        let begun = Instant::now();
        for number in 0..60 {
            client.send_to(&[0x80, number], port.local_addr()).await.unwrap();
            assert_eq!(&datagrams.recv().await.unwrap().bytes[..], [0x80, number]);
        }
        // Half of them would wait for as long as accepting rests.
        assert!(begun.elapsed() < PAUSE * 15, "it took {:?}", begun.elapsed());
        cancel.cancel();
        serving.await.unwrap();
    }

    #[test]
    fn a_nats_addresses_are_told_before_the_machines_own() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = address("10.0.0.7:8189");
        let public = ["203.0.113.5:0", "203.0.113.5:18189", "[2001:db8::5]:0", "10.0.0.7:0"].map(address);
        let told = ["203.0.113.5:8189", "203.0.113.5:18189", "[2001:db8::5]:8189", "10.0.0.7:8189"].map(address);
        assert_eq!(announced(own, &public), told);
        assert_eq!(announced(own, &[]), [own]);
        let any = announced(address("0.0.0.0:8189"), &public[..1]);
        let machines: Vec<_> = of_the_machine(false).into_iter().map(|ip| SocketAddr::new(ip, 8189)).collect();
        assert!(!machines.is_empty() && any[0] == told[0] && any[1..] == machines, "{any:?}");
    }
}
