//! Takes callers and owns their threads.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    BUFFER, Error, Passphrase, Settings,
    address::Address,
    limit::Knocks,
    port::{self, Port},
    session::Stranger,
    sys::{Caller, Listener, Rejection, Socket},
};
use crate::{ingest::Door, model::Chain};

/// Callers lost in a row before the port counts as broken, and the pause between two of them.
const FAILURES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// Sessions get this long to end.
const DRAIN: Duration = Duration::from_secs(3);
/// Handshakes that were answered and wait to be taken.
const BACKLOG: i32 = 32;
/// The first version of the handshake in which callers send a stream id.
const VERSION: i32 = 5;

/// A bound SRT port.
pub struct Server {
    listener: Arc<Listener>,
    port: Arc<Port>,
    shared: Arc<Shared>,
}

/// What every session needs.
pub(super) struct Shared {
    pub door: Arc<dyn Door>,
    pub settings: Settings,
    strangers: Arc<Semaphore>,
    knocks: Mutex<Knocks>,
}

impl Server {
    /// Binds the port; `door` lets publishers in.
    ///
    /// # Errors
    /// [`Error::Port`], where it is taken for instance, and [`Error::Library`].
    pub fn bind(address: SocketAddr, door: Arc<dyn Door>, settings: Settings) -> Result<Self, Error> {
        let strangers = Arc::new(Semaphore::new(settings.strangers));
        let shared = Arc::new(Shared { door, settings, strangers, knocks: Mutex::default() });
        let failed = |source| Error::Library("listen for SRT", source);
        let socket = Socket::new(BUFFER, shared.settings.latency).map_err(failed)?;
        let answering = shared.clone();
        let hook = move |caller: Caller<'_>| answering.answer(caller, Instant::now());
        let bound = port::bind(address).map_err(Error::Port)?;
        let ours = bound.try_clone().map_err(Error::Port)?;
        let listener = socket.listen(bound, BACKLOG, Box::new(hook)).map_err(failed)?;
        Ok(Self { listener: Arc::new(listener), port: Port::new(ours), shared })
    }

    /// Where it listens; tells the port where 0 was asked for.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.listener.local_addr().map_err(|source| Error::Library("name the SRT port", source))
    }

    /// Serves until cancelled, then ends every session within three seconds.
    pub async fn serve(self, cancel: CancellationToken) {
        let Self { listener, port, shared } = self;
        let (tracker, ended) = (TaskTracker::new(), CancellationToken::new());
        let acceptor = Acceptor {
            listener: listener.clone(),
            port,
            shared,
            runtime: Handle::current(),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
            _ended: ended.clone().drop_guard(),
        };
        match thread::Builder::new().name("srt-accept".into()).spawn(move || acceptor.run()) {
            Ok(_) => tokio::select! {
                () = cancel.cancelled() => {}
                () = ended.cancelled() => {}
            },
            Err(error) => tracing::error!(%error, "no thread for SRT"),
        }
        // Ends the thread that waits for callers. It waits for threads of libsrt's.
        let _ = tokio::task::spawn_blocking(move || listener.close()).await;
        tracker.close();
        if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
            tracing::warn!(sessions = tracker.len(), "srt sessions did not end in time");
        }
    }
}

impl Shared {
    /// Decides on a handshake by what can be decided at once: pace, form, and what it has to encrypt with. The door
    /// is asked when the connection stands.
    fn answer(&self, caller: Caller<'_>, now: Instant) -> Result<Option<String>, Rejection> {
        let admitted = self.knocks.lock().unwrap_or_else(PoisonError::into_inner).admit(caller.peer.ip(), now);
        let address = Address::parse(caller.stream_id);
        let answer = match &address {
            _ if !admitted || self.strangers.available_permits() == 0 => Err(Rejection::Overload),
            _ if caller.version < VERSION => Err(Rejection::Version),
            Err(invalid) => Err(invalid.rejection()),
            Ok(Address { key: Some(_), .. }) => {
                Ok(self.settings.passphrase.as_ref().map(|Passphrase(text)| text.clone()))
            }
            Ok(Address { channel, key: None, rank }) => {
                self.door.key(channel, *rank).map(Some).ok_or(Rejection::NotFound)
            }
        };
        if let Err(rejection) = answer {
            metrics::counter!("amphi_srt_connections_refused_total").increment(1);
            let (peer, reason) = (caller.peer, address.as_ref().err().map(ToString::to_string));
            let channel = address.as_ref().ok().map(|address| address.channel.as_str());
            match rejection {
                // A flood must not become one of lines.
                Rejection::Overload => tracing::debug!(%peer, channel, "too many callers"),
                _ => tracing::info!(%peer, channel, ?rejection, reason, "caller rejected"),
            }
        }
        answer
    }
}

/// The thread that waits for callers.
struct Acceptor {
    listener: Arc<Listener>,
    port: Arc<Port>,
    shared: Arc<Shared>,
    runtime: Handle,
    tracker: TaskTracker,
    cancel: CancellationToken,
    _ended: DropGuard,
}

impl Acceptor {
    fn run(self) {
        let mut failures = 0;
        loop {
            match self.listener.accept() {
                Ok((socket, peer)) => {
                    failures = 0;
                    self.start(socket, peer);
                }
                Err(_) if self.cancel.is_cancelled() => return,
                // A caller that was gone before it was taken looks the same as a listener that is; that one fails
                // each time.
                Err(error) if failures < FAILURES => {
                    failures += 1;
                    tracing::debug!(%error, "a caller was lost");
                    thread::sleep(PAUSE);
                }
                Err(error) => {
                    tracing::error!(%error, "SRT takes no callers any more");
                    return;
                }
            }
        }
    }

    fn start(&self, socket: Socket, peer: SocketAddr) {
        let Ok(place) = self.shared.strangers.clone().try_acquire_owned() else {
            metrics::counter!("amphi_srt_connections_refused_total").increment(1);
            tracing::debug!(%peer, "too many callers that were not let in");
            return;
        };
        let (runtime, cancel) = (self.runtime.clone(), self.cancel.child_token());
        let stranger = Stranger { socket, peer, shared: self.shared.clone(), runtime, cancel, place };
        let (span, token) = (tracing::info_span!("srt", %peer, channel = tracing::field::Empty), self.tracker.token());
        let called = self.port.call();
        let session = move || {
            let _in_span = span.entered();
            match stranger.run() {
                Ok(()) => tracing::debug!("connection ended"),
                Err(error) => tracing::info!(error = %Chain(&error), "connection ended"),
            }
            drop((called, token));
        };
        if let Err(error) = thread::Builder::new().name("srt".into()).spawn(session) {
            tracing::warn!(%error, %peer, "no thread for a caller");
        }
    }
}
