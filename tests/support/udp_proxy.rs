//! A UDP path that loses, delays and reorders packets.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{net::UdpSocket, task::JoinSet};

/// What happens to packets, both ways.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path {
    /// Of a thousand packets so many are lost.
    pub loss: u32,
    /// Each is delayed by up to this much, which also reorders them.
    pub jitter: Duration,
}

/// A proxy in front of a server; gone when dropped.
pub struct UdpProxy {
    /// Where clients send to.
    pub address: SocketAddr,
    /// While set, nothing comes through.
    pub dark: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl UdpProxy {
    /// In front of `server`.
    pub async fn start(server: SocketAddr, path: Path) -> Self {
        Self::at(UdpSocket::bind("127.0.0.1:0").await.unwrap(), server, path)
    }

    /// In front of `server`, at a socket of the test's choice.
    pub fn at(front: UdpSocket, server: SocketAddr, path: Path) -> Self {
        let front = Arc::new(front);
        let (address, dark) = (front.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        tasks.spawn(run(front, server, path, dark.clone()));
        Self { address, dark, _tasks: tasks }
    }
}

async fn run(front: Arc<UdpSocket>, server: SocketAddr, path: Path, dark: Arc<AtomicBool>) {
    let (mut clients, mut tasks) = (HashMap::<SocketAddr, Arc<UdpSocket>>::new(), JoinSet::new());
    let (mut buffer, mut dice) = (vec![0; 2048], Dice(1));
    loop {
        // A client that is gone may leave an error behind.
        let Ok((count, client)) = front.recv_from(&mut buffer).await else { continue };
        let back = match clients.entry(client) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                back.connect(server).await.unwrap();
                tasks.spawn(answers(back.clone(), front.clone(), client, path, dark.clone()));
                new.insert(back).clone()
            }
        };
        let packet = buffer[..count].to_vec();
        if let Some(delay) = dice.pass(path, &dark) {
            tasks.spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = back.send(&packet).await;
            });
        }
        while tasks.try_join_next().is_some() {}
    }
}

async fn answers(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, path: Path, dark: Arc<AtomicBool>) {
    let (mut tasks, mut buffer, mut dice) = (JoinSet::new(), vec![0; 2048], Dice(2));
    loop {
        let Ok(count) = back.recv(&mut buffer).await else { continue };
        let (front, packet) = (front.clone(), buffer[..count].to_vec());
        if let Some(delay) = dice.pass(path, &dark) {
            tasks.spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = front.send_to(&packet, client).await;
            });
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// The same fate every time.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % sides.max(1)
    }

    /// How late the next packet is, if it comes through.
    fn pass(&mut self, path: Path, dark: &AtomicBool) -> Option<Duration> {
        let lost = self.roll(1000) < path.loss;
        let delay = Duration::from_micros(self.roll(path.jitter.as_micros() as u32).into());
        (!lost && !dark.load(Ordering::Relaxed)).then_some(delay)
    }
}
