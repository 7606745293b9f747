//! Lets publishers in and owns their sessions.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::session;
use crate::{
    ingest::{Door, Knock, Refusal},
    model::StreamName,
    rtc::{Direction, Handle, Port, Refused, sdp},
};

/// Sessions get this long to say goodbye.
const DRAIN: Duration = Duration::from_secs(3);

/// Every WHIP session of this server, by resource. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    port: Port,
    door: Arc<dyn Door>,
    resources: Mutex<HashMap<(StreamName, String), Handle>>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// A publisher that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The answer.
    pub answer: String,
    /// Names its resource below the channel; cannot be guessed.
    pub id: String,
    /// Names its ICE session (RFC 9725 §4.3.1).
    pub session: String,
}

/// Why a publisher was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its offer cannot be answered.
    #[error(transparent)]
    Offer(#[from] Refused),
    /// The door stays closed.
    #[error(transparent)]
    Door(#[from] Refusal),
}

/// What becomes of candidates that a client sends after its offer (RFC 9725 §4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trickle {
    /// Taken. Nothing needs them: the server waits to be called.
    Taken,
    /// There is no such session.
    Unknown,
    /// They belong to another ICE session.
    Mismatch,
    /// They would begin ICE anew, which this server does not; the client begins a new session instead.
    Restart,
}

impl Server {
    /// Publishers come through `port`; `door` lets them in.
    pub fn new(port: Port, door: Arc<dyn Door>) -> Self {
        let inner = Inner {
            port,
            door,
            resources: Mutex::default(),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers a publisher's offer and begins its session. `peer` is where the request came from.
    ///
    /// Dropped before it is done, it leaves nothing behind but a live that waits for its publisher.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn publish(
        &self,
        channel: StreamName,
        key: String,
        offer: &str,
        peer: SocketAddr,
    ) -> Result<Accepted, Error> {
        // Answered before anybody is let in: a live must neither begin nor be taken over for an offer that cannot be.
        Port::check(offer, Direction::Receive)?;
        let knock = Knock { protocol: "whip", peer, channel: Some(channel.clone()), key };
        let peer = self.inner.port.answer(offer, Direction::Receive, Instant::now())?;
        let publication = self.inner.door.admit(knock).await?;
        let id = id().map_err(|_| Refusal::Unavailable("it has no random numbers".into()))?;
        let handle = peer.handle();
        let accepted =
            Accepted { answer: peer.answer().to_owned(), id: id.clone(), session: handle.session().to_owned() };
        let span = tracing::info_span!("whip", channel = %channel);
        let resource = Resource { server: self.clone(), key: (channel, id) };
        self.resources().insert(resource.key.clone(), handle);
        let cancel = self.inner.cancel.child_token();
        self.inner.tracker.spawn(
            async move {
                session::run(peer, publication, cancel).await;
                drop(resource);
            }
            .instrument(span),
        );
        Ok(accepted)
    }

    /// Takes a fragment of candidates for the session that `tag` names, if any is named.
    pub fn trickle(&self, channel: &StreamName, id: &str, tag: Option<&str>, fragment: &str) -> Trickle {
        let Some(handle) = self.resources().get(&(channel.clone(), id.to_owned())).cloned() else {
            return Trickle::Unknown;
        };
        if tag.is_some_and(|tag| tag != "*" && tag != handle.session()) {
            return Trickle::Mismatch;
        }
        match sdp::fragment_of(fragment) {
            Some(client) if client != handle.client() => Trickle::Restart,
            _ => Trickle::Taken,
        }
    }

    /// Ends a session; false if there is none of that name.
    pub fn end(&self, channel: &StreamName, id: &str) -> bool {
        let handle = self.resources().remove(&(channel.clone(), id.to_owned()));
        handle.inspect(Handle::close).is_some()
    }

    /// Ends every session within three seconds.
    pub async fn stop(&self) {
        self.inner.cancel.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(DRAIN, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.inner.tracker.len(), "whip sessions did not end in time");
        }
    }

    fn resources(&self) -> MutexGuard<'_, HashMap<(StreamName, String), Handle>> {
        self.inner.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's entry among the resources; leaves with it.
struct Resource {
    server: Server,
    key: (StreamName, String),
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.server.resources().remove(&self.key);
    }
}

/// 128 random bits.
fn id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
