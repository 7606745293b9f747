use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{Error, Keys, keys::Ring, throttle::Throttle};
use crate::{
    ingest::{self, Knock, Proof, Refusal},
    model::{Chain, StreamName},
    store::Channel,
    stream::{Claim, Publication, Rank, Registry},
};

/// Refusals that may wait at the same time; further ones are answered at once and say so.
const WAITING: usize = 256;

/// Lets publishers in who show a channel's key, and gives them their hold on its live.
#[derive(Debug)]
pub struct Door {
    keys: Keys,
    registry: Registry,
    throttle: Mutex<Throttle>,
    waiting: AtomicUsize,
    /// As of the last [`Door::refresh`].
    ring: Mutex<Arc<Ring>>,
    patient: bool,
}

impl Door {
    /// A door to the lives of a registry.
    pub fn new(keys: Keys, registry: Registry) -> Self {
        Self {
            keys,
            registry,
            throttle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            ring: Mutex::default(),
            patient: false,
        }
    }

    /// The same door for who comes again and again by itself: it replaces nobody, whatever the channel allows.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// Learns the keys of all channels as they are now, for [`ingest::Door::key`].
    ///
    /// # Errors
    /// [`Error::Store`]; what was known stays.
    pub async fn refresh(&self) -> super::Result<()> {
        let known = self.ring();
        let ring = self.keys.ring(&known).await?;
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn open(&self, knock: Knock, proof: Option<Proof>) -> Result<Publication, Refusal> {
        let (protocol, peer) = (knock.protocol, knock.peer);
        let (found, rank) = self.identify(knock, proof).await?;
        let claim = Claim { rank, takeover: found.takeover && !self.patient, protocol, peer };
        let Ok(publication) = self.registry.publish(&found.name, claim, Instant::now()) else {
            tracing::info!(stream = %found.name, protocol, %peer, "publisher refused: already live");
            return Err(Refusal::Busy(found.name));
        };
        publication.opened().await;
        Ok(publication)
    }

    /// The channel that a publisher has the key of, and which key. A wrong one takes its time.
    async fn identify(&self, knock: Knock, proof: Option<Proof>) -> Result<(Channel, Rank), Refusal> {
        let Knock { protocol, peer, channel, key } = knock;
        let identified = match (proof, &channel) {
            (Some(proof), Some(channel)) => self.keys.identify_by_proof(channel, proof).await,
            (Some(_), None) => Err(Error::UnknownKey),
            (None, _) => self.keys.identify(channel.as_ref(), &key).await,
        };
        match identified {
            Ok(found) => Ok(found),
            Err(Error::WrongKey(name)) => {
                tracing::warn!(stream = %name, protocol, %peer, "publisher refused: wrong stream key");
                Err(self.slow_down(peer.ip(), Refusal::WrongKey(name)).await)
            }
            Err(error @ (Error::UnknownChannel(_) | Error::UnknownKey)) => {
                tracing::warn!(protocol, %peer, reason = %error, "publisher refused");
                Err(self.slow_down(peer.ip(), Refusal::Unknown).await)
            }
            Err(error) => {
                tracing::error!(protocol, %peer, error = %Chain(&error), "cannot check a stream key");
                Err(Refusal::Unavailable("its database does not answer".into()))
            }
        }
    }

    /// The refusal, after a wait that grows with the wrong keys from there.
    async fn slow_down(&self, peer: std::net::IpAddr, refusal: Refusal) -> Refusal {
        let delay = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).failed(peer, Instant::now());
        let place = Place::take(&self.waiting);
        if place.is_none() {
            return Refusal::Unavailable("too many wrong keys at once, try again in a minute".into());
        }
        tokio::time::sleep(delay).await;
        refusal
    }
}

impl ingest::Door for Door {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(self.open(knock, None))
    }

    fn admit_by_proof(
        &self,
        knock: Knock,
        proof: Proof,
    ) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(self.open(knock, Some(proof)))
    }

    fn knows(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        Box::pin(async move { self.identify(knock, None).await.map(|_| ()) })
    }

    fn key(&self, channel: &StreamName, rank: Rank) -> Option<String> {
        self.ring().get(&(channel.clone(), rank)).map(|(_, key)| key.reveal().to_owned())
    }
}

/// One of the places for waiting refusals; given back when dropped, a cancelled wait included.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        // Made before the count is checked: dropping it undoes the addition either way.
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
