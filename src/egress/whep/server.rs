//! The viewers of all lives.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    feed::Feed,
    session::{self, Viewer},
};
use crate::{
    model::StreamName,
    rtc::{Direction, Handle, Port, Refused},
};

/// Takes viewers in and shows them out. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    port: Port,
    sessions: Mutex<HashMap<String, Session>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

struct Session {
    channel: StreamName,
    handle: Handle,
    /// `None` until it is connected.
    viewer: watch::Receiver<Option<Viewer>>,
}

/// A viewer that was taken in.
#[derive(Debug)]
pub struct Opened {
    /// Its resource; nobody guesses it.
    pub id: String,
    /// The answer to its offer.
    pub answer: String,
    /// Names its ICE session.
    pub session: String,
}

impl Server {
    /// A server of viewers that come by `port`, until `cancel` fires.
    pub fn new(port: Port, cancel: CancellationToken) -> Self {
        let inner = Inner { port, sessions: Mutex::default(), tasks: TaskTracker::new(), cancel };
        Self { inner: Arc::new(inner) }
    }

    /// Takes in a viewer of a channel's live, who asks from `site`. Its session runs by itself from here on.
    ///
    /// # Errors
    /// [`Refused`]; also where its offer is good and the system has no random numbers, as [`Refused::Full`].
    pub fn open(
        &self,
        channel: &StreamName,
        feed: Arc<Feed>,
        offer: &str,
        site: IpAddr,
        now: Instant,
    ) -> Result<Opened, Refused> {
        let peer = self.inner.port.answer(offer, Direction::Send, site, now)?;
        let id = id()?;
        let (handle, answer) = (peer.handle(), peer.answer().to_owned());
        let session = handle.session().to_owned();
        let (told, viewer) = watch::channel(None);
        self.lock().insert(id.clone(), Session { channel: channel.clone(), handle, viewer });
        let (inner, own, cancel) = (self.inner.clone(), id.clone(), self.inner.cancel.clone());
        let work = async move {
            cancel.run_until_cancelled(session::run(peer, feed, told)).await;
            lock(&inner.sessions).remove(&own);
        };
        self.inner.tasks.spawn(work.instrument(tracing::info_span!("whep", stream = %channel)));
        metrics::counter!("amphi_whep_sessions_total").increment(1);
        Ok(Opened { id, answer, session })
    }

    /// Ends a viewer's session; false if the channel has none of that id.
    pub fn close(&self, channel: &StreamName, id: &str) -> bool {
        self.with(channel, id, Handle::close).is_some()
    }

    /// A viewer's session, if the channel has one of that id.
    pub fn session(&self, channel: &StreamName, id: &str) -> Option<Handle> {
        self.with(channel, id, Handle::clone)
    }

    /// The viewers of a channel that are connected, who came first first.
    pub fn viewers(&self, channel: &StreamName) -> Vec<Viewer> {
        let sessions = self.lock();
        let of = sessions.values().filter(|session| session.channel == *channel);
        let mut viewers: Vec<_> = of.filter_map(|session| *session.viewer.borrow()).collect();
        viewers.sort_by_key(|viewer| viewer.since);
        viewers
    }

    /// Waits until every session has ended, once `cancel` has fired.
    pub async fn drained(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn with<T>(&self, channel: &StreamName, id: &str, look: impl FnOnce(&Handle) -> T) -> Option<T> {
        let sessions = self.lock();
        sessions.get(id).filter(|session| session.channel == *channel).map(|session| look(&session.handle))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        lock(&self.inner.sessions)
    }
}

fn lock(sessions: &Mutex<HashMap<String, Session>>) -> MutexGuard<'_, HashMap<String, Session>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 128 random bits.
fn id() -> Result<String, Refused> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Refused::Full)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
