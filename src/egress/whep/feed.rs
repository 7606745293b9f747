use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    recent::{Kind, Recent, Unit},
    source::{Output, Source, Wants},
};
use crate::{
    media::{self, Templates},
    model::{Anchor, Chain},
    stream::{Consumer, Live, Producer},
};

/// Units a viewer may fall behind, about six seconds of pictures and sound, before it begins anew.
const BEHIND: usize = 512;
/// What is made stays so long without a viewer: one that loads its page again needs it in a moment.
const LINGER: Duration = Duration::from_secs(10);

/// One live on its way to its viewers: every access unit is cut into payloads once, whoever watches.
#[derive(Debug)]
pub struct Feed {
    live: Arc<Live>,
    shared: Mutex<Shared>,
    viewers: watch::Sender<usize>,
    /// What has come is there for viewers who join. While nobody watches, it is looked at from key frame to key frame.
    current: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    recent: Recent,
    /// `None` once the live is over.
    units: Option<broadcast::Sender<Arc<Unit>>>,
}

/// A viewer's place in a [`Feed`]. What has to be made is made as long as there is one.
#[derive(Debug)]
pub struct Joined {
    feed: Arc<Feed>,
    units: broadcast::Receiver<Arc<Unit>>,
}

impl Feed {
    /// A feed of a live, which does nothing before [`Feed::run`].
    pub fn new(live: Arc<Live>) -> Arc<Self> {
        let units = Some(broadcast::channel(BEHIND).0);
        let shared = Mutex::new(Shared { recent: Recent::default(), units });
        Arc::new(Self { live, shared, viewers: watch::Sender::new(0), current: watch::Sender::new(false) })
    }

    /// Reads the live by `published` until it ends or `cancel` fires; viewers see the end then. What viewers lack is
    /// made while there are any, and for ten seconds more.
    pub async fn run(&self, mut published: Consumer, templates: Arc<Templates>, cancel: CancellationToken) {
        let made = Producer::new(BEHIND);
        let mut coming = made.consume();
        let mut viewers = self.viewers.subscribe();
        let mut source = Source::default();
        let mut makers =
            Makers { live: self.live.clone(), made, templates, pictures: None, sound: None, tasks: JoinSet::new() };
        let mut until = Instant::now();
        let over = Over(self);
        loop {
            let now = Instant::now();
            if *viewers.borrow_and_update() > 0 {
                until = now + LINGER;
            }
            let watched = now < until;
            let wants = if watched { source.wants() } else { Wants::default() };
            if makers.make(wants) {
                self.lock().recent.clear();
            }
            self.current.send_if_modified(|current| {
                let before = std::mem::replace(current, watched && (*current || published.is_empty()));
                before != *current
            });
            let published_next = async { if watched { published.recv().await } else { published.recv_asleep().await } };
            let output = tokio::select! {
                () = cancel.cancelled() => break,
                event = published_next => match event {
                    Some(event) => source.published(event),
                    None => break,
                },
                Some(event) = coming.recv() => source.made(event),
                _ = viewers.changed() => None,
                () = sleep_until(until), if makers.busy() => None,
            };
            match output {
                Some(Output::Unit(unit)) => self.send(unit),
                Some(Output::Break) => self.lock().recent.clear(),
                None => {}
            }
        }
        makers.make(Wants::default());
        drop(over);
        while makers.tasks.join_next().await.is_some() {}
    }

    /// A new viewer, with the pictures it begins with: the last key frame and what followed; none where the next
    /// key frame has to be waited for, which the publisher is asked for then. `None` once the live is over. Waits for
    /// what has come to be looked at, which [`Feed::run`] does. Cancel-safe.
    pub async fn join(self: &Arc<Self>) -> Option<(Joined, Vec<Arc<Unit>>)> {
        let units = self.lock().units.as_ref()?.subscribe();
        self.viewers.send_modify(|viewers| *viewers += 1);
        let mut joined = Joined { feed: self.clone(), units };
        // The sender lives as long as the feed.
        let _ = self.current.subscribe().wait_for(|current| *current).await;
        let recent = {
            let shared = self.lock();
            joined.units = shared.units.as_ref()?.subscribe();
            shared.recent.units().to_vec()
        };
        if recent.is_empty() {
            self.live.want_key_frame();
        }
        Some((joined, recent))
    }

    /// The live is not over.
    pub fn is_on(&self) -> bool {
        self.lock().units.is_some()
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        *self.viewers.borrow()
    }

    /// Wall clock of the live's media time.
    pub fn anchor(&self) -> Anchor {
        self.live.anchor
    }

    fn send(&self, unit: Arc<Unit>) {
        // Sent under the lock, so that a viewer that joins meanwhile gets each picture exactly once.
        let mut shared = self.lock();
        if unit.kind == Kind::Video {
            shared.recent.push(unit.clone());
        }
        if let Some(units) = &shared.units {
            // Nobody watching is no error.
            let _ = units.send(unit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a feed, however it comes: nobody waits for it any more.
struct Over<'a>(&'a Feed);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().units = None;
        self.0.current.send_replace(true);
    }
}

impl Joined {
    /// The next access unit; `None` when the live is over. A viewer that fell behind gets the pictures since the
    /// last key frame in one go, as if it had just come. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Next> {
        match self.units.recv().await {
            Ok(unit) => Some(Next::Unit(unit)),
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                metrics::counter!("amphi_whep_units_lost_total").increment(lost);
                Some(Next::Anew(self.anew()?))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The pictures since the last key frame, for a decoder that has to begin anew; what comes next follows them.
    /// Where there are none, what comes next is what would have come anyway, and the publisher is asked for a key
    /// frame: one viewer's path is no matter of the publisher's otherwise.
    /// `None` once the live is over.
    pub fn anew(&mut self) -> Option<Vec<Arc<Unit>>> {
        let recent = {
            let shared = self.feed.lock();
            let units = shared.units.as_ref()?;
            if !shared.recent.units().is_empty() {
                self.units = units.subscribe();
            }
            shared.recent.units().to_vec()
        };
        if recent.is_empty() {
            self.feed.live.want_key_frame();
        }
        Some(recent)
    }

    /// The feed it belongs to.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.feed.viewers.send_modify(|viewers| *viewers -= 1);
    }
}

/// What a viewer gets next.
#[derive(Debug, Clone)]
pub enum Next {
    /// An access unit.
    Unit(Arc<Unit>),
    /// Units were lost: pictures to begin anew with, perhaps none.
    Anew(Vec<Arc<Unit>>),
}

/// What makes the tracks that a live lacks.
struct Makers {
    live: Arc<Live>,
    made: Producer,
    templates: Arc<Templates>,
    pictures: Option<CancellationToken>,
    sound: Option<CancellationToken>,
    tasks: JoinSet<()>,
}

impl Makers {
    /// Makes just this. True if pictures are no longer made.
    fn make(&mut self, wants: Wants) -> bool {
        if wants.sound && self.sound.is_none() {
            let cancel = self.sound.insert(CancellationToken::new()).clone();
            let (live, made, templates) = (self.live.producer.consume(), self.made.clone(), self.templates.clone());
            self.tasks.spawn(watch("opus", media::opus::run(live, made, templates, cancel)).in_current_span());
        }
        if wants.pictures && self.pictures.is_none() {
            let cancel = self.pictures.insert(CancellationToken::new()).clone();
            let (live, made, templates) = (self.live.producer.consume(), self.made.clone(), self.templates.clone());
            self.tasks.spawn(watch("direct", media::direct::run(live, made, templates, cancel)).in_current_span());
        }
        if let Some(cancel) = self.sound.take_if(|_| !wants.sound) {
            cancel.cancel();
        }
        let stopped = self.pictures.take_if(|_| !wants.pictures);
        if let Some(cancel) = &stopped {
            cancel.cancel();
        }
        while self.tasks.try_join_next().is_some() {}
        stopped.is_some()
    }

    fn busy(&self) -> bool {
        self.pictures.is_some() || self.sound.is_some()
    }
}

/// A maker that fails costs what it makes, not the live.
async fn watch(what: &'static str, work: impl Future<Output = Result<media::Stats, media::Error>>) {
    if let Err(error) = work.await {
        tracing::error!(error = %Chain(&error), what, "stopped working");
    }
}
