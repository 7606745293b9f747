//! Which engine hears a channel, which models translate it, and how their results reach the desk.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    config::Config,
    hearing::{Ear, Pauses},
    models::{Engine, Manifest, Model},
};
use crate::{
    captions::{self, Desk, Dress, Target, TrackSpec},
    model::{Hypothesis, LanguageTag, MediaTime, Pcm},
    speech::{self, EngineKind, EngineSpec, Engines},
    store::Channel,
    translate::{self, Pivot, Translator, Worker},
};

/// Hypotheses that may wait for the desk, which takes them at once.
const HYPOTHESES: usize = 64;

/// The engines and models of this server. One model in memory serves every live.
pub(super) struct Speech {
    config: Config,
    /// As it was when it could last be read.
    manifest: Mutex<Manifest>,
    engines: Engines,
    workers: Mutex<Vec<(String, Worker)>>,
}

/// How one channel's live is captioned.
#[derive(Clone)]
pub(super) struct Plan {
    spoken: LanguageTag,
    heard: Option<(Engines, EngineSpec, Track)>,
    targets: Vec<(Target, Track)>,
}

/// What the desk says a track is made of.
#[derive(Clone)]
struct Track {
    engine: &'static str,
    model: String,
}

impl Speech {
    /// Nothing is loaded before the first live needs it.
    ///
    /// # Errors
    /// The engine's binary is missing while captions are on, or the operator's manifest is wrong.
    pub fn new(config: &Config) -> Result<Self> {
        let manifest = Mutex::new(Manifest::load(&config.models_dir)?);
        let engine = engine_path(config);
        if config.captions.enabled {
            ensure!(engine.is_file(), "no {}: build it, or set captions.engine", engine.display());
        }
        let engines = Engines::new(speech::EngineSettings::new(engine));
        Ok(Self { config: config.clone(), manifest, engines, workers: Mutex::default() })
    }

    /// What can be made of a channel here; what cannot is logged with what would help.
    pub fn plan(&self, channel: &Channel) -> Plan {
        let mut plan = Plan { spoken: channel.language.clone(), heard: None, targets: Vec::new() };
        if !self.config.captions.enabled {
            return plan;
        }
        let manifest = self.manifest();
        match self.hear(&manifest, &channel.language) {
            Ok(heard) => plan.heard = Some(heard),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), language = %channel.language, "this live has no captions");
                return plan;
            }
        }
        for to in &channel.translate {
            match self.target(&manifest, &channel.language, to) {
                Ok(target) => plan.targets.push(target),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), language = %to, "this live is not translated");
                }
            }
        }
        plan
    }

    /// The models there are to choose from by now: fetched ones are used without a restart.
    pub fn manifest(&self) -> Manifest {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        match Manifest::load(&self.config.models_dir) {
            Ok(read) => *manifest = read,
            Err(error) => tracing::error!(error = format!("{error:#}"), "the models stay as they were"),
        }
        manifest.clone()
    }

    /// The engines there are.
    pub fn engines(&self) -> Engines {
        self.engines.clone()
    }

    /// Ends the engines.
    pub async fn stop(&self) {
        self.engines.shutdown().await;
    }

    fn hear(&self, manifest: &Manifest, language: &LanguageTag) -> Result<(Engines, EngineSpec, Track)> {
        let spec = spec(manifest, &self.config, language, None)?;
        let model = spec.model_dir.file_name().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default();
        let track = Track { engine: spec.engine.as_str(), model };
        Ok((self.engines.clone(), spec, track))
    }

    fn target(&self, manifest: &Manifest, from: &LanguageTag, to: &LanguageTag) -> Result<(Target, Track)> {
        ensure!(from.primary() != to.primary(), "it is the language spoken");
        let models = manifest.translation(from, to, &self.config.models_dir)?;
        let id = models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join("+");
        let worker = self.worker(&models)?;
        let engine = models.last().map_or("none", |model| model.engine.as_str());
        let track = Track { engine, model: id };
        Ok((Target { lang: to.clone(), worker }, track))
    }

    /// The translator of a model, or of a row of them: each hands what it says to the next, and the first ones are
    /// those that other rows share, so that the language in between is made once for all of them.
    fn worker(&self, models: &[&Model]) -> Result<Worker> {
        let [before @ .., model] = models else { bail!("there is no translation model") };
        let before = if before.is_empty() { None } else { Some(self.worker(before)?) };
        let id = models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join("+");
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, worker)) = workers.iter().find(|(known, _)| *known == id) {
            return Ok(worker.clone());
        }
        let (model, config) = ((*model).clone(), self.config.clone());
        let worker = Worker::start(&id, move || {
            let model = load(&model, &config)?;
            Ok(match before {
                Some(before) => Box::new(Pivot::new(Box::new(before), model)),
                None => model,
            })
        })?;
        workers.push((id, worker.clone()));
        Ok(worker)
    }
}

impl Plan {
    /// Whether anything is recognised.
    pub fn hears(&self) -> bool {
        self.heard.is_some()
    }

    /// Caption languages, the spoken one first; empty without captions.
    pub fn languages(&self) -> Vec<LanguageTag> {
        if self.heard.is_none() {
            return Vec::new();
        }
        std::iter::once(&self.spoken).chain(self.targets.iter().map(|(target, _)| &target.lang)).cloned().collect()
    }

    /// The tracks the desk keeps.
    pub fn tracks(&self) -> Vec<TrackSpec> {
        let spec = |lang: &LanguageTag, track: &Track| TrackSpec {
            lang: lang.clone(),
            engine: track.engine.into(),
            model: track.model.clone(),
            dress: if track.engine == Engine::Vosk.as_str() { Dress::Sentence } else { Dress::AsGiven },
        };
        let spoken = self.heard.iter().map(|(_, _, track)| spec(&self.spoken, track));
        let translated = self.targets.iter().map(|(target, track)| spec(&target.lang, track));
        spoken.chain(translated).collect()
    }

    /// Recognises `sound` until it ends, and brings what was heard and its translations to `desk`.
    pub async fn run(
        self,
        desk: Arc<Desk>,
        sound: mpsc::Receiver<Pcm>,
        clock: impl Fn() -> MediaTime + Clone + Send + 'static,
        away: impl Fn() -> bool + Send + Sync + 'static,
        cancel: CancellationToken,
    ) {
        let Some((engines, spec, _)) = self.heard else { return };
        let targets = self.targets.into_iter().map(|(target, _)| target).collect();
        let (sender, hypotheses) = mpsc::channel::<Hypothesis>(HYPOTHESES);
        let captioning =
            captions::run(desk.clone(), self.spoken.clone(), hypotheses, targets, clock.clone(), cancel.clone());
        let ear =
            Ear { engines, spec, desk, lang: self.spoken, clock, away: Box::new(away), pauses: Pauses::default() };
        tokio::join!(captioning, ear.hear(sound, sender, cancel));
    }
}

/// The engine and model that hear a language, or the model of that id.
///
/// # Errors
/// Says what to fetch.
pub(super) fn spec(
    manifest: &Manifest,
    config: &Config,
    language: &LanguageTag,
    model: Option<&str>,
) -> Result<EngineSpec> {
    let model = match model {
        Some(id) => {
            let model = manifest.get(id)?;
            ensure!(model.installed(&config.models_dir), "model {id} is not installed: run `amphi models fetch {id}`");
            model
        }
        None => manifest.speech(language, &config.captions.models, &config.models_dir)?,
    };
    let engine = match model.engine {
        Engine::Whisper => EngineKind::Whisper,
        Engine::Vosk => EngineKind::Vosk,
        Engine::Fx | Engine::Ct2 => bail!("{} translates, it does not hear", model.id),
    };
    Ok(EngineSpec {
        engine,
        model_dir: model.folder(&config.models_dir),
        language: language.clone(),
        threads: config.captions.threads.into(),
        live: true,
    })
}

/// Loads a translation model, or a row of them that hand on what they say.
///
/// # Errors
/// One cannot be loaded, or is no translation model.
pub(super) fn translator(models: &[&Model], config: &Config) -> Result<Box<dyn Translator>> {
    let loaded = models.iter().map(|model| load(model, config)).collect::<Result<Vec<_>>>()?;
    let in_a_row = |first, second| Box::new(Pivot::new(first, second)) as Box<dyn Translator>;
    loaded.into_iter().reduce(in_a_row).context("there is no translation model")
}

fn load(model: &Model, config: &Config) -> Result<Box<dyn Translator>> {
    let folder = model.folder(&config.models_dir);
    match model.engine {
        Engine::Fx => Ok(Box::new(translate::fx::Fx::load(&folder)?)),
        Engine::Ct2 => {
            let [source, target] = model.tokens.clone().map_or([None, None], |tokens| tokens.map(Some));
            let threads = config.captions.threads.into();
            let settings =
                translate::ct2::Settings { engine: engine_path(config), model: folder, threads, source, target };
            Ok(Box::new(translate::ct2::Ct2::load(settings)?))
        }
        Engine::Whisper | Engine::Vosk => bail!("{} hears, it does not translate", model.id),
    }
}

/// The engine's binary: the configured one, or the one beside this program.
pub(super) fn engine_path(config: &Config) -> PathBuf {
    let beside = || std::env::current_exe().ok()?.parent().map(|folder| folder.join("amphi-engine"));
    config.captions.engine.clone().or_else(beside).unwrap_or_else(|| "amphi-engine".into())
}

/// Runs the engine for its version, which loads its libraries.
///
/// # Errors
/// Says whether it or its libraries are missing.
pub(super) fn try_engine(config: &Config) -> Result<String> {
    let path = engine_path(config);
    let output = Command::new(&path)
        .arg("--version")
        .output()
        .with_context(|| format!("{} cannot be started: build it, or set captions.engine", path.display()))?;
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    ensure!(output.status.success(), "{} does not start: {}", path.display(), said.trim());
    Ok(said.trim().to_owned())
}
