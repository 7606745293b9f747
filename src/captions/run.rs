use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

use super::{Desk, Relay};
use crate::{
    model::{Chain, Cue, Hypothesis, LanguageTag, MediaTime},
    translate::{Worker, WorkerError},
};

/// A language to translate into.
#[derive(Debug, Clone)]
pub struct Target {
    /// The track the translation goes to; the desk has it.
    pub lang: LanguageTag,
    /// The model.
    pub worker: Worker,
}

/// How often rate-limited requests are looked after.
const PULSE: Duration = Duration::from_millis(250);
/// How often subscribers hear how the tracks do.
const REPORT: u64 = 20;
/// How long translations may take behind the last word.
const FAREWELL: Duration = Duration::from_secs(5);

type Answers = FuturesUnordered<BoxFuture<'static, (usize, u64, Option<String>)>>;

/// Runs the captions of one live: hypotheses of the track `lang` go to the desk and through every
/// target's translator to their tracks. Ends when `hypotheses` does, having waited for translations
/// under way 5 s at most, or until `cancel`. It does not end the desk.
///
/// While the desk's [`Pace`](crate::speech::Pace) says so, words that may still change are not
/// shown, and sentences in progress not translated. The desk is told which translations fail. `clock`
/// is the live's media time now.
pub async fn run(
    desk: Arc<Desk>,
    lang: LanguageTag,
    mut hypotheses: mpsc::Receiver<Hypothesis>,
    targets: Vec<Target>,
    clock: impl Fn() -> MediaTime + Send,
    cancel: CancellationToken,
) {
    let mut relays: Vec<Relay> =
        targets.iter().map(|target| Relay::new(lang.clone(), target.lang.clone(), desk.ids())).collect();
    let mut answers = Answers::new();
    let mut pulse = time::interval(PULSE);
    pulse.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut pulses = 0;
    loop {
        tokio::select! {
            hypothesis = hypotheses.recv() => {
                let Some(hypothesis) = hypothesis else { break };
                pass(&mut relays, &desk.apply_hypothesis(&lang, &hypothesis, clock()));
            }
            Some(answer) = answers.next() => take(&desk, &mut relays, answer, clock()),
            _ = pulse.tick() => {
                pass(&mut relays, &desk.settle(&lang, clock()));
                for target in &targets {
                    desk.set_failing(&target.lang, target.worker.is_failing(), clock());
                }
                pulses += 1;
                if pulses % REPORT == 0 {
                    desk.report(clock());
                }
            }
        }
        let patient = desk.pace().load.sheds_translation();
        relays.iter_mut().for_each(|relay| relay.set_patient(patient));
        ask(&mut relays, &targets, &mut answers, clock());
        for relay in &mut relays {
            desk.lost(&relay.to().clone(), relay.take_dropped());
        }
    }
    relays.iter_mut().for_each(Relay::finish);
    let farewell = async {
        loop {
            ask(&mut relays, &targets, &mut answers, clock());
            let Some(answer) = answers.next().await else { break };
            take(&desk, &mut relays, answer, clock());
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        _ = time::timeout(FAREWELL, farewell) => {}
    }
    for relay in &mut relays {
        desk.apply_cues(relay.end(clock()), clock());
        desk.lost(&relay.to().clone(), relay.take_dropped());
    }
}

fn pass(relays: &mut [Relay], cues: &[Cue]) {
    relays.iter_mut().for_each(|relay| cues.iter().for_each(|cue| relay.push(cue)));
}

fn ask(relays: &mut [Relay], targets: &[Target], answers: &mut Answers, now: MediaTime) {
    for (nth, (relay, target)) in relays.iter_mut().zip(targets).enumerate() {
        let Some(request) = relay.request(now) else { continue };
        let worker = target.worker.clone();
        let answer = async move {
            let texts = vec![request.text];
            let translated = match request.last {
                true => worker.translate(texts).await,
                false => worker.translate_unfinished(texts).await,
            };
            let text = match translated {
                Ok(mut texts) => texts.pop(),
                Err(WorkerError::Busy) => None,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a sentence was not translated");
                    None
                }
            };
            (nth, request.ticket, text)
        };
        answers.push(answer.boxed());
    }
}

fn take(desk: &Desk, relays: &mut [Relay], (nth, ticket, text): (usize, u64, Option<String>), now: MediaTime) {
    let Some(relay) = relays.get_mut(nth) else { return };
    let cues: Vec<Cue> = relay.answer(ticket, text.as_deref(), now);
    desk.apply_cues(cues, now);
}
