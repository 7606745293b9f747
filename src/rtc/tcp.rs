//! ICE over TCP (RFC 6544, passive side): where UDP is blocked, a peer's datagrams come in frames (RFC 4571).

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, mpsc},
};

use super::{
    Port,
    port::{DATAGRAM, Datagram, Entry},
};

/// A connection shows credentials within this time or is cut.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// One that is silent for longer is cut; peers check every few seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// Frames that wait for a slow connection. Further ones are dropped, as datagrams would be.
const BACKLOG: usize = 256;

/// Serves one connection until it ends or its peer does. `place` is given back once its credentials name a peer.
pub async fn run(stream: TcpStream, source: SocketAddr, port: Port, place: OwnedSemaphorePermit) {
    // Frames are whole messages, and late ones are worth nothing.
    let _ = stream.set_nodelay(true);
    let (mut reading, writing) = stream.into_split();
    let Ok(Ok(first)) = tokio::time::timeout(INTRODUCTION, frame(&mut reading)).await else { return };
    // What begins with anything but a check of somebody here is no peer.
    let Some(Entry { sender: peer, connections }) = port.receiver(&first) else { return };
    let Ok(_place) = connections.try_acquire_owned() else { return };
    drop(place);
    let (reply, frames) = mpsc::channel(BACKLOG);
    tokio::select! {
        ended = read(reading, first, source, reply, peer) => tracing::debug!(%source, ?ended, "connection ended"),
        ended = write(writing, frames) => tracing::debug!(%source, ?ended, "connection ended"),
    }
}

async fn read(
    mut reading: OwnedReadHalf,
    mut bytes: BytesMut,
    source: SocketAddr,
    reply: mpsc::Sender<Bytes>,
    peer: mpsc::Sender<Datagram>,
) -> io::Result<()> {
    loop {
        let datagram = Datagram { at: Instant::now(), source, reply: Some(reply.clone()), bytes };
        if peer.send(datagram).await.is_err() {
            return Ok(());
        }
        bytes = tokio::time::timeout(SILENCE, frame(&mut reading)).await??;
    }
}

async fn write(mut writing: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(bytes) = frames.recv().await {
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut frame = BytesMut::with_capacity(2 + bytes.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&bytes);
        tokio::time::timeout(SILENCE, writing.write_all(&frame)).await??;
    }
    Ok(())
}

/// Two bytes of length, then as many (RFC 4571 §2). One that no datagram would hold is refused.
async fn frame(reading: &mut OwnedReadHalf) -> io::Result<BytesMut> {
    let length = usize::from(reading.read_u16().await?);
    if length > DATAGRAM {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame longer than any datagram"));
    }
    let mut bytes = BytesMut::with_capacity(length);
    let mut rest = reading.take(length as u64);
    while bytes.len() < length {
        if rest.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_frame_is_no_longer_than_a_datagram() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut reading, _writing) = listener.accept().await.unwrap().0.into_split();
        for length in [0, 1, DATAGRAM] {
            client.write_u16(length as u16).await.unwrap();
            client.write_all(&vec![7; length]).await.unwrap();
            assert_eq!(frame(&mut reading).await.unwrap(), vec![7; length]);
        }
        // It is told by its length, before the rest is there.
        client.write_u16(DATAGRAM as u16 + 1).await.unwrap();
        assert_eq!(frame(&mut reading).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
