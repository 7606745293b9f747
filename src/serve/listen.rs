//! Connections, plain and in TLS: how many there may be, how long a request may take to arrive, how they end.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use futures_util::future::OptionFuture;
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service as _, util::MapRequest};

use self::{
    body::Timely,
    owed::Owed,
    places::{Place, Places},
};
use crate::ingest::site;

mod body;
mod owed;
mod places;

/// The protocols that connections in TLS choose from (RFC 9113 §3.2); websockets ask for the second.
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A port whose connections are in TLS.
pub struct Secure {
    /// The port.
    pub listener: TcpListener,
    /// Made for [`ALPN`].
    pub tls: TlsAcceptor,
}

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once, websockets included; who comes on top is told to come again, and so is, in the last
    /// quarter, who holds as many as are left. A player keeps up to six, and one HTTP/1.1 connection costs some ten
    /// kilobytes and a descriptor.
    pub connections: usize,
    /// A request's head must have arrived so long after the one before it was answered, and its body so long after
    /// that: the time that slow senders get, and the time that a connection may be kept alive without a request.
    pub head: Duration,
    /// A client that takes hardly anything of an answer for so long is gone; over HTTP/2, one that leaves a piece of
    /// it four to five times as long.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 8192, head: Duration::from_secs(30), stall: Duration::from_secs(30) }
    }
}

/// Bytes of a request's head, and of an answer that waits to be written.
const BUFFER: usize = 64 * 1024;
/// Requests that one connection of HTTP/2 may have in hand: a player holds six or so.
const STREAMS: u32 = 32;
/// Bytes a second that whoever listens to the smallest rendition takes many times over. Who takes less of an answer
/// keeps it: its segments could not be freed.
const FLOOR: f64 = 1024.0;
/// A piece of an answer may wait so many times longer for a window of HTTP/2 than bytes for a socket: browsers close it
/// where people pause, and everything else on the connection goes with it.
const CLOSED: u32 = 4;
/// How long to wait where accepting fails: the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Said without reading the request.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until `cancel`; then connections end as soon as the request in hand is answered, and this
/// returns when all have. Websockets end by themselves. Cancelled, it leaves connections to themselves.
pub(super) async fn serve(
    plain: TcpListener,
    secure: Option<Secure>,
    router: Router,
    limits: Limits,
    cancel: CancellationToken,
) {
    let (places, tracker) = (Places::new(limits.connections), TaskTracker::new());
    let house = House { router, limits, places, tracker, cancel };
    let secure = secure.map(|Secure { listener, tls }| house.accept(listener, Some(tls)));
    tokio::join!(house.accept(plain, None), OptionFuture::from(secure));
    house.tracker.close();
    house.tracker.wait().await;
}

/// What all connections share.
struct House {
    router: Router,
    limits: Limits,
    places: Arc<Places>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl House {
    async fn accept(&self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        while let Some(accepted) = self.cancel.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => match self.places.take(site(peer.ip())) {
                    Some(place) => {
                        // An answer's last bytes must not wait for the acknowledgement of those before.
                        let _ = stream.set_nodelay(true);
                        // The place goes with whoever holds the socket: an upgrade takes it out of this task.
                        let held = Held::new(stream, self.limits.stall, place);
                        let (router, limits, cancel) = (self.router.clone(), self.limits, self.cancel.clone());
                        let guest = Guest { peer, router, limits, cancel };
                        match tls.clone() {
                            None => drop(self.tracker.spawn(connection(held, guest))),
                            Some(tls) => drop(self.tracker.spawn(secured(held, tls, guest))),
                        }
                    }
                    None => turn_away(&stream, peer, tls.is_some()),
                },
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whom a connection serves, with what, and how long.
struct Guest {
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    cancel: CancellationToken,
}

/// A connection in TLS, in the protocol that its handshake agrees on.
async fn secured(held: Held, tls: TlsAcceptor, guest: Guest) {
    let handshake = tokio::time::timeout(guest.limits.head, tls.accept(held));
    let stream = match guest.cancel.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(peer = %guest.peer, %error, "no tls"),
        Some(Err(_)) | None => return,
    };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN[0]) {
        multiplexed(stream, guest).await;
    } else {
        connection(stream, guest).await;
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, guest: Guest) {
    let Guest { peer, router, limits: Limits { head, .. }, cancel, .. } = guest;
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(BUFFER);
    let service = MapRequest::new(router, move |request| received(request, peer, head));
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
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

/// HTTP/2. A connection on which `head` passes without a request in hand is told to go, as one of HTTP/1.1 is, and one
/// that does not take what it has asked for is cut.
async fn multiplexed(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, guest: Guest) {
    let Guest { peer, router, limits: Limits { head, stall, .. }, cancel } = guest;
    let owed = Arc::new(Owed::default());
    let begun = Arc::new(AtomicU64::new(0));
    let in_hand = Arc::new(());
    let service = {
        let (begun, in_hand, owed) = (begun.clone(), in_hand.clone(), owed.clone());
        hyper::service::service_fn(move |request| {
            let request = received(request, peer, head);
            begun.fetch_add(1, Ordering::Relaxed);
            let (mut router, held, owed) = (router.clone(), in_hand.clone(), owed.clone());
            async move {
                let answer = router.call(request).await;
                drop(held);
                answer.map(|answer| owed.watch(answer))
            }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(BUFFER as u32)
        // What waits here counts as waiting for the client: no more than it must be.
        .max_send_buf_size(owed::PIECE)
        .keep_alive_interval(Some(head))
        .keep_alive_timeout(head);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let idle = async {
        let mut seen = None;
        loop {
            tokio::time::sleep(head).await;
            let now = begun.load(Ordering::Relaxed);
            // One reference is this function's, one the service's.
            if seen.replace(now) == Some(now) && Arc::strong_count(&in_hand) <= 2 {
                break;
            }
        }
    };
    let stalled = async {
        while !owed.is_stalled(stall * CLOSED) {
            tokio::time::sleep(stall).await;
        }
    };
    let served = async {
        tokio::select! {
            served = serving.as_mut() => served,
            () = async { tokio::select! { () = cancel.cancelled() => {}, () = idle => {} } } => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%peer, %error, "connection ended");
        },
        () = stalled => tracing::debug!(%peer, "the client takes nothing any more"),
    }
}

/// A request as the router takes it.
fn received(request: Request<Incoming>, peer: SocketAddr, patience: Duration) -> Request<Body> {
    let mut request = request.map(|body| Body::new(Timely::new(body, patience)));
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

fn turn_away(stream: &TcpStream, peer: SocketAddr, secure: bool) {
    metrics::counter!("amphi_http_connections_refused_total").increment(1);
    tracing::debug!(%peer, "too many connections");
    // In TLS nothing can be said before a handshake, which would take the work that is to be spared.
    if !secure {
        // A new socket takes so little at once, or it does not matter.
        let _ = stream.try_write(FULL);
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A socket that holds its place among the connections for as long as it is open, which it is no longer once
/// hardly anything could be written for `patience`.
struct Held {
    stream: TcpStream,
    patience: Duration,
    wait: Wait,
    _place: Place,
}

/// How long a client has let the socket wait, in all, since it last took enough.
#[derive(Default)]
struct Wait {
    before: Duration,
    taken: usize,
    /// Since when it waits now, and what ends it.
    now: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Held {
    fn new(stream: TcpStream, patience: Duration, place: Place) -> Self {
        Self { stream, patience, wait: Wait::default(), _place: place }
    }

    fn written(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let wait = &mut self.wait;
        if let Poll::Ready(result) = write {
            wait.taken += *result.as_ref().unwrap_or(&0);
            wait.before += wait.now.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            if wait.taken as f64 >= FLOOR * self.patience.as_secs_f64() {
                *wait = Wait::default();
            }
            return Poll::Ready(result);
        }
        let left = self.patience.saturating_sub(wait.before);
        let (_, end) = wait.now.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing any more")))
    }
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, write)
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
