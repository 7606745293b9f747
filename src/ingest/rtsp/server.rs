//! Accepts connections and owns their tasks.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    Readers,
    session::{self, Settings},
};
use crate::{ingest::Door, model::Chain};

/// Sessions get this long to end.
const DRAIN: Duration = Duration::from_secs(3);
/// How long to wait where accepting fails: the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound RTSP port.
pub struct Server {
    listener: TcpListener,
    door: Arc<dyn Door>,
    readers: Readers,
    settings: Settings,
}

impl Server {
    /// Binds the port; `door` lets publishers in, `readers` serves who comes to read.
    ///
    /// # Errors
    /// Whatever binding reports.
    pub async fn bind(
        address: impl ToSocketAddrs,
        door: Arc<dyn Door>,
        readers: Readers,
        settings: Settings,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, door, readers, settings })
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
            tracing::warn!(sessions = tracker.len(), "rtsp sessions did not end in time");
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
            metrics::counter!("amphi_rtsp_connections_refused_total").increment(1);
            tracing::debug!(%peer, "too many connections that neither publish nor read yet");
            return;
        };
        // Messages are small and awaited.
        let _ = stream.set_nodelay(true);
        let span = tracing::info_span!("rtsp", %peer, channel = tracing::field::Empty);
        let (door, readers, settings) = (self.door.clone(), self.readers.clone(), self.settings);
        let cancel = cancel.child_token();
        tracker.spawn(
            async move {
                match session::run(stream, peer, door, readers, settings, cancel, place).await {
                    Ok(()) => tracing::debug!("connection ended"),
                    Err(error) => tracing::info!(error = %Chain(&error), "connection ended"),
                }
            }
            .instrument(span),
        );
    }
}
