//! A path that loses and delays datagrams, for tests of what WebRTC makes of it.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// What happens to datagrams on both ways.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Share of them that is lost; with 1.0 the path is cut.
    pub loss: f64,
    /// Each is late by anything up to this, so that they overtake each other.
    pub jitter: Duration,
    /// And by this.
    pub delay: Duration,
}

impl Weather {
    pub const FAIR: Self = Self { loss: 0.0, jitter: Duration::ZERO, delay: Duration::ZERO };
    pub const CUT: Self = Self { loss: 1.0, ..Self::FAIR };
}

/// Stands between clients and a server, which sees each of them at a port of its own. Dropping it ends it.
pub struct Proxy {
    /// Where clients send to, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    front: Arc<UdpSocket>,
    weather: Mutex<Weather>,
    ended: AtomicBool,
    passed: AtomicU64,
    lost: AtomicU64,
    /// What each client is seen by.
    clients: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
    late: mpsc::Sender<Late>,
}

/// A datagram under way.
struct Late {
    at: Instant,
    by: Arc<UdpSocket>,
    /// None: to the server.
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
}

impl Proxy {
    /// Begins to pass datagrams to `server` and back.
    pub fn start(server: SocketAddr, weather: Weather) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let port = front.local_addr().unwrap().port();
        let (late, arriving) = mpsc::channel();
        let shared = Arc::new(Shared {
            server,
            front,
            weather: Mutex::new(weather),
            ended: AtomicBool::default(),
            passed: AtomicU64::default(),
            lost: AtomicU64::default(),
            clients: Mutex::default(),
            late,
        });
        let upwards = shared.clone();
        thread::spawn(move || upwards.forward());
        thread::spawn(move || deliver(&arriving));
        Self { port, shared }
    }

    /// The weather changes.
    pub fn turn(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
    }

    /// Clients are seen at other ports from now on, and nothing reaches them by the old ones: they have gone from one
    /// network to another.
    pub fn move_clients(&self) {
        self.shared.clients.lock().unwrap().clear();
    }

    /// Sends the server what none of the clients has sent, from where it sees each of them.
    pub fn forge(&self, bytes: &[u8]) {
        for client in self.shared.clients.lock().unwrap().values() {
            client.send(bytes).unwrap();
        }
    }

    /// Datagrams that were passed on and that were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Relaxed), self.shared.lost.load(Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
    }
}

impl Shared {
    fn forward(self: Arc<Self>) {
        let (front, mut dice) = (self.front.clone(), Dice::new(1));
        let going_on = self.clone();
        receive(
            &front,
            || !going_on.ended.load(Relaxed),
            |client, bytes| {
                let mut clients = self.clients.lock().unwrap();
                let back = clients.entry(client).or_insert_with(|| self.clone().back(client)).clone();
                drop(clients);
                self.pass(&mut dice, back, None, bytes);
            },
        );
    }

    /// A socket that the server sees a client by, with a thread that brings back what the server sends there.
    fn back(self: Arc<Self>, client: SocketAddr) -> Arc<UdpSocket> {
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(self.server).unwrap();
        let (socket, mut dice) = (back.clone(), Dice::new(2));
        thread::spawn(move || {
            let is_its = || {
                let clients = self.clients.lock().unwrap();
                !self.ended.load(Relaxed) && clients.get(&client).is_some_and(|now| Arc::ptr_eq(now, &socket))
            };
            receive(&socket, is_its, |_, bytes| self.pass(&mut dice, self.front.clone(), Some(client), bytes));
        });
        back
    }

    fn pass(&self, dice: &mut Dice, by: Arc<UdpSocket>, to: Option<SocketAddr>, bytes: &[u8]) {
        let weather = *self.weather.lock().unwrap();
        let (lost, late) = (dice.roll() < weather.loss, weather.delay + weather.jitter.mul_f64(dice.roll()));
        if lost {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        self.passed.fetch_add(1, Relaxed);
        let _ = self.late.send(Late { at: Instant::now() + late, by, to, bytes: bytes.to_vec() });
    }
}

fn receive(socket: &UdpSocket, going_on: impl Fn() -> bool, mut take: impl FnMut(SocketAddr, &[u8])) {
    // Now and then it looks whether the proxy is still wanted.
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 2_048];
    while going_on() {
        if let Ok((length, source)) = socket.recv_from(&mut buffer)
            && going_on()
        {
            take(source, &buffer[..length]);
        }
    }
}

fn deliver(from: &mpsc::Receiver<Late>) {
    let mut late = BinaryHeap::<Late>::new();
    loop {
        let next = late.peek().map(|datagram| datagram.at.saturating_duration_since(Instant::now()));
        match from.recv_timeout(next.unwrap_or(Duration::from_secs(1))) {
            Ok(datagram) => late.push(datagram),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        while late.peek().is_some_and(|datagram| datagram.at <= Instant::now()) {
            let Some(Late { by, to, bytes, .. }) = late.pop() else { break };
            let _ = match to {
                Some(client) => by.send_to(&bytes, client),
                None => by.send(&bytes),
            };
        }
    }
}

/// The same weather in every run (Knuth's linear congruential generator).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Anything from 0 up to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The earliest first.
impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Late {}
