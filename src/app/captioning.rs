//! The captions of one live through every change of its channel.
//!
//! Another language, model or translation takes over at a quiet place in the sound. What was said before
//! goes to the engine there was, which finishes what it holds; what is said from then on waits for the new
//! one. Picture and recording notice nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::speech::{self, Plan, Speech};
use crate::{
    captions::{Desk, Hearing},
    model::Pcm,
    serve::api::tracks::Missing,
    store::{Channel, Store},
    stream::{self, Live},
};

/// Blocks of 100 ms that may wait for an engine; beyond them the tap drops and counts.
pub(super) const BLOCKS: usize = 100;
/// How often the channel is looked at: commands write to the database and speak to no server.
const LOOK: Duration = Duration::from_millis(500);
/// What could not be made is tried again so often: a model may have been fetched.
const RETRY: Duration = Duration::from_secs(10);
/// Blocks of 100 ms of which the quietest is where a change takes place.
const SEARCH: usize = 15;
/// How much weaker a block is than a louder one near it where nobody speaks for certain: 30 dB.
const QUIET: u64 = 1_000;
/// The publisher may be away: the search ends then even without sound.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// What the engine that goes still holds is known by then. Less than [`BLOCKS`] last, so that no sound
/// is lost meanwhile.
const HANDOVER: Duration = Duration::from_secs(8);

/// Keeps one live's captions as its channel asks.
pub(super) struct Captioning {
    pub speech: Arc<Speech>,
    pub store: Store,
    /// As it was when the live began.
    pub channel: Channel,
    pub live: Arc<Live>,
    pub desk: Arc<Desk>,
    pub cancel: CancellationToken,
}

/// The time from one change to the next.
struct Stretch {
    sound: mpsc::Sender<Pcm>,
    /// Fires once its last word and translation are on the desk.
    over: CancellationToken,
    /// Cuts it short.
    cancel: CancellationToken,
}

/// What a channel asked for last.
struct Asked {
    channel: Channel,
    /// What of that could not be made.
    missing: Vec<Missing>,
    tried: Instant,
}

impl Asked {
    fn is(&self, channel: &Channel) -> bool {
        let asked = &self.channel;
        (&asked.language, &asked.model, &asked.translate) == (&channel.language, &channel.model, &channel.translate)
    }

    fn complain(&self) {
        for Missing { lang, reason } in &self.missing {
            tracing::error!(lang, reason, "this live has not all the captions that its channel asks for");
        }
    }
}

impl Captioning {
    /// Captions `sound` to its end, first as planned, then as every change asks.
    ///
    /// `refused`: what is missing where nothing was planned.
    pub async fn run(self, plan: Plan, refused: Option<Missing>, mut sound: mpsc::Receiver<Pcm>) {
        if refused.is_some() {
            self.fail();
        }
        let missing = refused.into_iter().chain(plan.missing().iter().cloned()).collect();
        let mut asked = Asked { channel: self.channel.clone(), missing, tried: Instant::now() };
        asked.complain();
        let mut stretches = JoinSet::new();
        let (mut current, mut begun) = (plan.clone(), Instant::now());
        let mut stretch = self.begin(plan, None, &mut stretches);
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                block = sound.recv() => match block {
                    // Nobody hears a live without a model for its language.
                    Some(block) => drop(stretch.sound.send(block).await),
                    None => break,
                },
                // One change at a time: the next waits until this one is over.
                _ = look.tick(), if stretches.len() <= 1 => {
                    let broken = stretch.sound.is_closed() && current.hears() && begun.elapsed() >= RETRY;
                    let plan = match self.changed(&mut asked).await {
                        Some(plan) => plan,
                        None if broken => current.clone(),
                        None => continue,
                    };
                    (current, begun) = (plan.clone(), Instant::now());
                    self.desk.line_up(&plan.tracks(), self.live.at(Instant::now()));
                    let (before, behind) = quiet_place(&mut sound).await;
                    for block in before {
                        let _ = stretch.sound.send(block).await;
                    }
                    stretch = self.begin(plan, Some(stretch), &mut stretches);
                    for block in behind {
                        let _ = stretch.sound.send(block).await;
                    }
                }
                Some(ended) = stretches.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "captions broke down");
                    if stretch.sound.is_closed() {
                        self.fail();
                    }
                },
            }
        }
        drop(stretch.sound);
        while stretches.join_next().await.is_some() {}
    }

    /// Nobody hears the live for now; it is tried again.
    fn fail(&self) {
        self.desk.set_hearing(Hearing::Failed, self.live.at(Instant::now()));
    }

    /// What the channel asks for now, if that is something else, or can be made by now. What cannot is left as
    /// it was, and logged with what would help.
    async fn changed(&self, asked: &mut Asked) -> Option<Plan> {
        // A channel that is removed or cannot be read stays as it was, too.
        let channel = self.store.channels().get(&self.channel.name).await.ok()??;
        let same = asked.is(&channel);
        if same && (asked.missing.is_empty() || asked.tried.elapsed() < RETRY) {
            return None;
        }
        let (speech, wanted) = (self.speech.clone(), channel.clone());
        let plan = spawn_blocking(move || speech.plan(&wanted)).await.ok()?;
        let missing = match &plan {
            Ok(plan) => plan.missing().to_vec(),
            Err(error) => vec![speech::lacks(&channel.language, error)],
        };
        let as_before = same && missing == asked.missing;
        *asked = Asked { channel, missing, tried: Instant::now() };
        if as_before {
            return None;
        }
        let Channel { language, model, translate, .. } = &asked.channel;
        tracing::info!(%language, ?model, ?translate, "the captions of this live change");
        asked.complain();
        plan.ok()
    }

    /// Begins a stretch behind another one, which ends with what it has been sent.
    fn begin(&self, plan: Plan, before: Option<Stretch>, stretches: &mut JoinSet<()>) -> Stretch {
        let (sound, blocks) = mpsc::channel(BLOCKS);
        let (over, cancel) = (CancellationToken::new(), self.cancel.child_token());
        let stretch = Stretch { sound, over: over.clone(), cancel: cancel.clone() };
        let before = before.map(|Stretch { over, cancel, .. }| (over, cancel));
        let turn = async move {
            let Some((over, cancel)) = before else { return };
            if time::timeout(HANDOVER, over.cancelled()).await.is_err() {
                tracing::warn!("the last words before a change took too long");
                cancel.cancel();
                over.cancelled().await;
            }
        };
        let (timed, watched, desk) = (self.live.clone(), self.live.clone(), self.desk.clone());
        let work = async move {
            let _over = over.drop_guard();
            let clock = move || timed.at(Instant::now());
            let away = move || watched.state() != stream::State::Live;
            plan.run(desk, blocks, turn, clock, away, cancel).await;
        };
        stretches.spawn(work.in_current_span());
        stretch
    }
}

/// Waits for a moment's sound, or a pause in it, and parts it behind its quietest block, so that hardly a
/// word is cut in two.
async fn quiet_place(sound: &mut mpsc::Receiver<Pcm>) -> (Vec<Pcm>, Vec<Pcm>) {
    let mut blocks = Vec::with_capacity(SEARCH);
    let collect = async {
        let mut loudest = 0;
        while blocks.len() < SEARCH {
            let Some(block) = sound.recv().await else { break };
            let power = power(&block);
            blocks.push(block);
            loudest = loudest.max(power);
            if power < loudest / QUIET {
                break;
            }
        }
    };
    let _ = time::timeout(SEARCH_TIME, collect).await;
    let quietest = blocks.iter().enumerate().min_by_key(|(_, block)| power(block)).map_or(0, |(nth, _)| nth + 1);
    let behind = blocks.split_off(quietest);
    (blocks, behind)
}

/// Mean power of the samples.
fn power(block: &Pcm) -> u64 {
    let sum: u64 = block.samples.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum();
    sum / block.samples.len().max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MediaTime;

    fn block(nth: i64, loud: i16) -> Pcm {
        Pcm { start: MediaTime::from_millis(nth * 100), samples: vec![loud; 1_600].into() }
    }

    #[tokio::test]
    async fn a_change_takes_place_behind_the_quietest_moment() {
        let (sender, mut sound) = mpsc::channel(BLOCKS);
        let loud = [900, 800, -90, 700, 1_000, -900, 700, 800, 900, 700, 800, 900, 700, 800, 900, 0];
        for (nth, loud) in loud.into_iter().enumerate() {
            sender.send(block(nth as i64, loud)).await.unwrap();
        }
        let (before, behind) = quiet_place(&mut sound).await;
        assert_eq!((before.len(), behind.len()), (3, 12), "no pause: the quietest moment");
        assert_eq!(sound.recv().await.unwrap().start, MediaTime::from_millis(1_500), "nothing else was taken");
        for (nth, loud) in [5, 900, -10, 900].into_iter().enumerate() {
            sender.send(block(nth as i64, loud)).await.unwrap();
        }
        let (before, behind) = quiet_place(&mut sound).await;
        assert_eq!((before.len(), behind.len()), (1, 2), "a pause ends the search");
    }

    #[tokio::test]
    async fn without_sound_a_change_takes_place_all_the_same() {
        let (sender, mut sound) = mpsc::channel(BLOCKS);
        sender.send(block(0, 900)).await.unwrap();
        drop(sender);
        assert_eq!(quiet_place(&mut sound).await, (vec![block(0, 900)], vec![]));
        assert_eq!(quiet_place(&mut sound).await, (vec![], vec![]));
    }
}
