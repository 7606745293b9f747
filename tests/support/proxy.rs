//! A path that loses and delays datagrams, for tests of what WebRTC makes of it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// What happens to datagrams on both ways.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Share of them that is lost.
    pub loss: f64,
    /// Each is late by anything up to this, so that they overtake each other.
    pub jitter: Duration,
}

/// Stands between one client and a server. Dropping it ends it.
pub struct Proxy {
    /// Where the client sends to, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    weather: Weather,
    dark: AtomicBool,
    ended: AtomicBool,
    passed: AtomicU64,
    lost: AtomicU64,
    client: Mutex<Option<SocketAddr>>,
}

/// When it arrives, whether it goes to the server, and what it is.
type Late = Reverse<(Instant, bool, Vec<u8>)>;

impl Proxy {
    /// Begins to pass datagrams to `server` and back.
    pub fn start(server: SocketAddr, weather: Weather) -> Self {
        let (front, back) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(server).unwrap();
        let port = front.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            weather,
            dark: AtomicBool::default(),
            ended: AtomicBool::default(),
            passed: AtomicU64::default(),
            lost: AtomicU64::default(),
            client: Mutex::default(),
        });
        let (send, late) = mpsc::channel();
        for (upwards, socket) in [(true, &front), (false, &back)] {
            let (socket, shared, send) = (socket.try_clone().unwrap(), shared.clone(), send.clone());
            thread::spawn(move || shared.receive(upwards, &socket, &send));
        }
        let deliverer = shared.clone();
        thread::spawn(move || deliverer.deliver(&late, &front, &back));
        Self { port, shared }
    }

    /// While it is dark, nothing comes through.
    pub fn set_dark(&self, dark: bool) {
        self.shared.dark.store(dark, Ordering::Relaxed);
    }

    /// Datagrams that were passed on and that were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn receive(&self, upwards: bool, socket: &UdpSocket, to: &mpsc::Sender<Late>) {
        // Now and then it looks whether the proxy is still wanted.
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut buffer = [0; 2_048];
        // The same weather in every run (Knuth's linear congruential generator).
        let mut seed = 1 + u64::from(upwards);
        let mut chance = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        while !self.ended.load(Ordering::Relaxed) {
            let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
            if upwards {
                *self.client.lock().unwrap() = Some(source);
            }
            if chance() < self.weather.loss || self.dark.load(Ordering::Relaxed) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.passed.fetch_add(1, Ordering::Relaxed);
            let at = Instant::now() + self.weather.jitter.mul_f64(chance());
            let _ = to.send(Reverse((at, upwards, buffer[..length].to_vec())));
        }
    }

    fn deliver(&self, from: &mpsc::Receiver<Late>, front: &UdpSocket, back: &UdpSocket) {
        let mut late = BinaryHeap::new();
        loop {
            let next = late.peek().map(|Reverse((at, ..)): &Late| at.saturating_duration_since(Instant::now()));
            match from.recv_timeout(next.unwrap_or(Duration::from_secs(1))) {
                Ok(datagram) => late.push(datagram),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            while late.peek().is_some_and(|Reverse((at, ..))| *at <= Instant::now()) {
                let Some(Reverse((_, upwards, bytes))) = late.pop() else { break };
                let client = *self.client.lock().unwrap();
                let _ = match client {
                    _ if upwards => back.send(&bytes),
                    Some(client) => front.send_to(&bytes, client),
                    None => Ok(0),
                };
            }
        }
    }
}
