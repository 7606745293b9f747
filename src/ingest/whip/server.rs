//! Lets publishers in and owns their sessions.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::session;
use crate::{
    ingest::{Door, Knock, Refusal, site},
    model::StreamName,
    rtc::{Direction, Handle, Port, Refused},
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
    resources: Mutex<HashMap<Place, Session>>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// Where a session's resource lies: its channel, and its id there.
pub type Place = (StreamName, String);

struct Session {
    handle: Handle,
    /// The key that it was begun with: whoever has another touches it no more than a stranger.
    key: String,
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

/// Why a session's resource is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such session.
    #[error("no such session: it has ended, or belongs to another channel")]
    Unknown,
    /// It was begun with another key.
    #[error("the session is another publisher's: send the key that it was begun with")]
    Key,
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
        let knock = Knock { protocol: "whip", peer, channel: Some(channel.clone()), key: key.clone() };
        // Whoever only guesses keys takes no peer's place while the door makes it wait.
        self.inner.door.knows(knock.clone()).await?;
        let peer = self.inner.port.answer(offer, Direction::Receive, site(peer.ip()), Instant::now())?;
        let publication = self.inner.door.admit(knock).await?;
        let id = id().map_err(|_| Refusal::Unavailable("it has no random numbers".into()))?;
        let handle = peer.handle();
        let accepted =
            Accepted { answer: peer.answer().to_owned(), id: id.clone(), session: handle.session().to_owned() };
        let span = tracing::info_span!("whip", channel = %channel);
        let resource = Resource { server: self.clone(), place: (channel, id) };
        self.resources().insert(resource.place.clone(), Session { handle, key });
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

    /// Ends a session.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn end(&self, place: &Place, key: &str) -> Result<(), Denied> {
        let handle = self.session(place, key)?;
        self.resources().remove(place);
        handle.close();
        Ok(())
    }

    /// A session, for whoever has the key that it was begun with.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn session(&self, place: &Place, key: &str) -> Result<Handle, Denied> {
        let resources = self.resources();
        let session = resources.get(place).ok_or(Denied::Unknown)?;
        let same = session.key.as_bytes().ct_eq(key.as_bytes());
        bool::from(same).then(|| session.handle.clone()).ok_or(Denied::Key)
    }

    /// Ends every session within three seconds.
    pub async fn stop(&self) {
        self.inner.cancel.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(DRAIN, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.inner.tracker.len(), "whip sessions did not end in time");
        }
    }

    fn resources(&self) -> MutexGuard<'_, HashMap<Place, Session>> {
        self.inner.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's entry among the resources; leaves with it.
struct Resource {
    server: Server,
    place: Place,
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.server.resources().remove(&self.place);
    }
}

/// 128 random bits.
fn id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
