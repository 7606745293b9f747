//! A path that loses and delays datagrams, for tests of what WebRTC makes of it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    ended: Arc<AtomicBool>,
    passed: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Proxy {
    /// Begins to pass datagrams to `server` and back.
    pub fn start(server: SocketAddr, weather: Weather) -> Self {
        let (front, back) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(server).unwrap();
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        let port = front.local_addr().unwrap().port();
        let proxy = Self { port, ended: Arc::default(), passed: Arc::default(), lost: Arc::default() };
        let (ended, passed, lost) = (proxy.ended.clone(), proxy.passed.clone(), proxy.lost.clone());
        thread::spawn(move || {
            let (mut client, mut late, mut buffer) = (None, BinaryHeap::new(), [0; 2_048]);
            // The same weather in every run (Knuth's linear congruential generator).
            let mut seed = 1_u64;
            let mut chance = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 11) as f64 / (1_u64 << 53) as f64
            };
            while !ended.load(Ordering::Relaxed) {
                let mut take = |upwards: bool, bytes: &[u8]| {
                    if chance() < weather.loss {
                        lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    passed.fetch_add(1, Ordering::Relaxed);
                    late.push(Reverse((Instant::now() + weather.jitter.mul_f64(chance()), upwards, bytes.to_vec())));
                };
                if let Ok((length, source)) = front.recv_from(&mut buffer) {
                    client = Some(source);
                    take(true, &buffer[..length]);
                }
                if let Ok(length) = back.recv(&mut buffer) {
                    take(false, &buffer[..length]);
                }
                while late.peek().is_some_and(|Reverse((at, ..))| *at <= Instant::now()) {
                    let Some(Reverse((_, upwards, bytes))) = late.pop() else { break };
                    let _ = match client {
                        _ if upwards => back.send(&bytes),
                        Some(client) => front.send_to(&bytes, client),
                        None => Ok(0),
                    };
                }
            }
        });
        proxy
    }

    /// Datagrams that were passed on and that were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
