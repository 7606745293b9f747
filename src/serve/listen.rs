//! Connections: how many there may be, how long a request may take to arrive, how they end.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::MapRequest;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once, websockets included; who comes on top is told to come again. A player
    /// keeps up to six, and one HTTP/1.1 connection costs some ten kilobytes and a descriptor.
    pub connections: usize,
    /// A request's head must have arrived so long after the one before it was answered: the time
    /// that slow senders get, and the time that a connection may be kept alive without a request.
    pub head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, head: Duration::from_secs(30) }
    }
}

/// Bytes of a request's head, and of an answer that waits to be written.
const BUFFER: usize = 64 * 1024;
/// How long to wait where accepting fails: the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Said without reading the request.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until `cancel`; then connections end as soon as the request in hand is answered, and this
/// returns when all have. Websockets end by themselves. Cancelled, it leaves connections to themselves.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, cancel: CancellationToken) {
    let (places, tracker) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    // An answer's last bytes must not wait for the acknowledgement of those before.
                    let _ = stream.set_nodelay(true);
                    tracker.spawn(connection(stream, peer, router.clone(), limits.head, cancel.clone(), place));
                }
                Err(_) => turn_away(&stream, peer),
            },
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection was not accepted"),
            Err(error) => {
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    head: Duration,
    cancel: CancellationToken,
    place: OwnedSemaphorePermit,
) {
    // The place goes with whoever holds the socket: an upgrade takes it out of this task.
    let io = TokioIo::new(Held { stream, _place: place });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(BUFFER);
    let service = MapRequest::new(router, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let serving = builder.serve_connection(io, TowerToHyperService::new(service)).with_upgrades();
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = cancel.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

fn turn_away(stream: &TcpStream, peer: SocketAddr) {
    metrics::counter!("amphi_http_connections_refused_total").increment(1);
    tracing::debug!(%peer, "too many connections");
    // A new socket takes so little at once, or it does not matter.
    let _ = stream.try_write(FULL);
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A socket that holds its place among the connections for as long as it is open.
struct Held {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
