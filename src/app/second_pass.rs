//! What a live's captions were worth, estimated after it: the model that heard the live hears its recording
//! again, whole and without haste, and what both say is compared. One at a time, in the background, and only
//! while no live is on; one that was begun when a live begins is begun anew. What waits when the server
//! stops is given up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::spawn_blocking,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::Config,
    speech::{self, Outline, Speech},
    transcript,
};
use crate::{
    archive::Catalogue,
    captions::{Builder, Desk, Dress, Ids},
    media::Templates,
    model::{Estimate, LanguageTag, Measure, Method},
    quality::{Chrf, Normalise, Rate, bands, segments},
    serve::board::Board,
    speech::{EngineSettings, EngineSpec, Engines},
    store::{RecordingId, Store},
    stream::State,
};

/// Recordings that may wait; more are left without an estimate.
const QUEUE: usize = 32;
/// Fewer words tell nothing.
const LEAST: usize = 50;
/// Characters after which a sentence without an end is cut at the next space.
const SENTENCE: usize = 240;
/// How often it is looked whether a live is on.
const LOOK: Duration = Duration::from_secs(1);
/// In the background an engine may wait long for the processor.
const PATIENCE: Duration = Duration::from_secs(300);

/// Takes recordings whose live is over. Cheap to clone.
#[derive(Clone)]
pub(super) struct Estimates(Option<mpsc::Sender<Job>>);

/// The one that makes estimates.
pub(super) struct SecondPass {
    jobs: mpsc::Receiver<Job>,
    engine: EngineSettings,
    speech: Arc<Speech>,
    store: Store,
    catalogue: Arc<Catalogue>,
    board: Board,
    templates: Arc<Templates>,
}

/// What one live said, and with what.
struct Job {
    recording: RecordingId,
    spoken: LanguageTag,
    spec: EngineSpec,
    dress: Dress,
    model: String,
    said: String,
    /// Into which language, the ids of the models, what they said. Models do not stay in memory for it.
    translated: Vec<(LanguageTag, String, String)>,
}

/// Both ends; no estimates are made where the configuration says so.
pub(super) fn new(
    config: &Config,
    speech: Arc<Speech>,
    store: Store,
    catalogue: Arc<Catalogue>,
    board: Board,
    templates: Arc<Templates>,
) -> (Estimates, SecondPass) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let sender = (config.captions.enabled && config.captions.estimates).then_some(sender);
    let settings =
        EngineSettings { memory: config.captions.engine_memory, ..EngineSettings::new(speech::engine_path(config)) };
    let engine = EngineSettings { hang: PATIENCE, in_background: true, ..settings };
    (Estimates(sender), SecondPass { jobs, engine, speech, store, catalogue, board, templates })
}

impl Estimates {
    /// Asks for estimates of a live that went as planned from its beginning to its end. Never waits.
    pub fn ask(&self, recording: RecordingId, plan: Outline, desk: &Desk) {
        let Some(jobs) = &self.0 else { return };
        let said = |lang: &LanguageTag| {
            let cues = desk.track(lang).unwrap_or_default();
            cues.iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let Outline { spoken, spec, model, dress, translated } = plan;
        let translated = translated.into_iter().map(|(to, model)| {
            let said = said(&to);
            (to, model, said)
        });
        let job = Job {
            recording,
            spec: EngineSpec { live: false, ..spec },
            dress,
            model,
            said: said(&spoken),
            translated: translated.collect(),
            spoken,
        };
        match jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("too many recordings wait: one is left without estimates"),
            // The server stops.
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

impl SecondPass {
    /// Makes what is asked for until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let work = async {
            while let Some(job) = self.jobs.recv().await {
                self.attend(&job).await;
            }
        };
        let _ = cancel.run_until_cancelled(work).await;
    }

    /// Tries until no live has begun meanwhile.
    async fn attend(&self, job: &Job) {
        let made = loop {
            self.until(false).await;
            tokio::select! {
                made = self.estimate(job) => break made,
                () = self.until(true) => tracing::info!(recording = %job.recording, "estimates wait: a live is on"),
            }
        };
        let kept = match made {
            Ok(estimates) if estimates.is_empty() => return,
            Ok(estimates) => self.store.recordings().set_estimates(&job.recording, &estimates).await,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), recording = %job.recording, "no estimates");
                return;
            }
        };
        match kept {
            Ok(()) => tracing::info!(recording = %job.recording, "estimates made"),
            // Whoever removed it wants none.
            Err(error) => tracing::debug!(%error, recording = %job.recording, "estimates are not kept"),
        }
    }

    async fn until(&self, on_air: bool) {
        while self.board.all().iter().any(|live| live.stream.state() != State::Ended) != on_air {
            time::sleep(LOOK).await;
        }
    }

    async fn estimate(&self, job: &Job) -> Result<Vec<Estimate>> {
        // Its engine ends with it, whatever cuts it short.
        let engines = Engines::new(self.engine.clone());
        let sound = transcript::in_a_row(self.sound(&job.recording), self.templates.clone());
        let builder = Builder::new(job.spoken.clone(), job.dress.clone(), Ids::new());
        let (cues, words) = transcript::transcribe(&engines, job.spec.clone(), sound, builder, |_| {}).await?;
        engines.shutdown().await;
        if words.len() < LEAST {
            return Ok(Vec::new());
        }
        let text = cues.iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>().join(" ");
        let estimate = |lang: &LanguageTag, model: &str, measure, band| Estimate {
            lang: lang.clone(),
            measure,
            band,
            model: model.into(),
            method: Method::SecondPass,
        };
        let (again, said) = (text.clone(), job.said.clone());
        let rate = spawn_blocking(move || Rate::words([(&*again, &*said)], Normalise::Words)).await??;
        let rate = rate.rate().context("nothing was said")?;
        tracing::debug!(recording = %job.recording, rate, "second pass");
        let mut made = vec![estimate(&job.spoken, &job.model, Measure::Wer, bands::wer(rate))];
        let sentences = sentences(&text);
        for (lang, model, said) in &job.translated {
            let (speech, from, to) = (self.speech.clone(), job.spoken.clone(), lang.clone());
            let translator = spawn_blocking(move || speech.translator(&from, &to)).await?;
            let Some((worker, _)) = translator.ok().filter(|(_, models)| models == model) else {
                tracing::info!(recording = %job.recording, %lang, model, "no estimate: the model is another one by now");
                continue;
            };
            let mut again = Vec::with_capacity(sentences.len());
            for sentence in &sentences {
                again.extend(worker.translate(vec![sentence.as_str().into()]).await?);
            }
            let said = said.clone();
            let score = spawn_blocking(move || {
                let said = segments::align_to(&again, &said)?;
                let pairs = again.iter().map(String::as_str).zip(said.iter().map(String::as_str));
                Ok::<_, anyhow::Error>(Chrf::corpus(pairs).score)
            });
            let score = score.await??;
            tracing::debug!(recording = %job.recording, %lang, score, "second pass");
            made.push(estimate(lang, model, Measure::Chrf, bands::chrf(score)));
        }
        Ok(made)
    }

    /// The recording's sound: a file for each time its format changed.
    fn sound(&self, recording: &RecordingId) -> Vec<PathBuf> {
        let file = |nth: u32| self.catalogue.asset(recording, &format!("audio/media-{nth}.mp4"));
        (0..).map_while(|nth| file(nth).map(|asset| asset.path).filter(|path| path.is_file())).collect()
    }
}

/// A text in sentences, each with its mark.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let Some(sentence) = sentences.last_mut() else { break };
        sentence.push(c);
        let ends = match c {
            '。' | '？' | '！' => true,
            '.' | '?' | '!' | '…' => rest.peek().is_none_or(|next| next.is_whitespace()),
            _ => c.is_whitespace() && sentence.len() >= SENTENCE,
        };
        if ends {
            sentences.push(String::new());
        }
    }
    let sentences = sentences.iter().map(|sentence| sentence.trim()).filter(|sentence| !sentence.is_empty());
    sentences.map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_people_end_them_or_get_too_long() {
        assert_eq!(sentences("It is 3.5 m. Is it? Yes"), ["It is 3.5 m.", "Is it?", "Yes"]);
        assert_eq!(sentences("波です。速い！"), ["波です。", "速い！"]);
        let long = "word ".repeat(100);
        assert!(sentences(&long).len() == 3 && sentences(&long).iter().all(|sentence| sentence.len() < 250));
        assert!(sentences("  ").is_empty());
    }
}
