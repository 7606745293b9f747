//! A TCP path that can go dark: connections stay, and nothing comes through.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// A proxy in front of a server; gone when dropped.
pub struct TcpProxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// While true, nothing comes through.
    pub dark: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl TcpProxy {
    /// In front of `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, dark) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        let (sign, mut task) = (dark.subscribe(), JoinSet::new());
        task.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                pumps.spawn(pump(near_in, far_out, sign.clone()));
                pumps.spawn(pump(far_in, near_out, sign.clone()));
            }
        });
        Self { address, dark, _task: task }
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dark: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    while dark.wait_for(|dark| !dark).await.is_ok() {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if dark.wait_for(|dark| !dark).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
