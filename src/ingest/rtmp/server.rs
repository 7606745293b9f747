//! Accepts connections and owns their tasks.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Semaphore,
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    Error,
    session::{self, Settings, Visitor},
};
use crate::{ingest::Door, model::Chain};

/// Sessions get this long to say goodbye.
const DRAIN: Duration = Duration::from_secs(3);
/// How long to wait where accepting fails: the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound RTMP port.
pub struct Server {
    listener: TcpListener,
    door: Arc<dyn Door>,
    settings: Settings,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Binds the port; `door` lets publishers in.
    ///
    /// # Errors
    /// Whatever binding reports.
    pub async fn bind(address: impl ToSocketAddrs, door: Arc<dyn Door>, settings: Settings) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, door, settings, tls: None })
    }

    /// The same port inside TLS: RTMPS. The handshake counts as part of the time strangers have.
    #[must_use]
    pub fn within(mut self, tls: TlsAcceptor) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens; tells the port where 0 was asked for.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until cancelled, then ends every session within three seconds.
    pub async fn serve(self, cancel: CancellationToken) {
        let tracker = TaskTracker::new();
        let strangers = Arc::new(Semaphore::new(self.settings.strangers));
        while let Some(accepted) = cancel.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.start(stream, peer, &strangers, &tracker, &cancel),
                Err(error) => {
                    tracing::warn!(%error, "accepting failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        tracker.close();
        if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
            tracing::warn!(sessions = tracker.len(), "rtmp sessions did not end in time");
        }
    }

    fn start(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        strangers: &Arc<Semaphore>,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let Ok(place) = strangers.clone().try_acquire_owned() else {
            metrics::counter!("amphi_rtmp_connections_refused_total").increment(1);
            tracing::debug!(%peer, "too many connections without a stream key");
            return;
        };
        // Replies are small and awaited.
        let _ = stream.set_nodelay(true);
        let span = tracing::info_span!("rtmp", %peer, channel = tracing::field::Empty);
        let (door, settings, tls, cancel) = (self.door.clone(), self.settings, self.tls.clone(), cancel.child_token());
        let protocol = if tls.is_some() { "rtmps" } else { "rtmp" };
        let deadline = Instant::now() + settings.authenticate;
        let visitor = Visitor { protocol, peer, deadline, place: Some(place) };
        tracker.spawn(
            async move {
                let ended = match tls {
                    None => session::run(stream, visitor, door, settings, cancel).await,
                    Some(tls) => match secured(stream, &tls, deadline, &cancel).await {
                        Ok(stream) => session::run(stream, visitor, door, settings, cancel).await,
                        Err(error) => Err(error),
                    },
                };
                match ended {
                    Ok(()) => tracing::debug!("connection ended"),
                    Err(error) => tracing::info!(error = %Chain(&error), "connection ended"),
                }
            }
            .instrument(span),
        );
    }
}

async fn secured(
    stream: TcpStream,
    tls: &TlsAcceptor,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Result<TlsStream<TcpStream>, Error> {
    let handshake = tokio::time::timeout_at(deadline, tls.accept(stream));
    let secured = cancel.run_until_cancelled(handshake).await.ok_or(Error::Refused("server is stopping"))?;
    Ok(secured.map_err(|_| Error::Timeout("tls handshake"))??)
}
