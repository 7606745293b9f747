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
    models::{Engine, Leg, Manifest, Model},
};
use crate::{
    captions::{self, Desk, Dress, Names, Target, TrackSpec},
    model::{Chain, Hypothesis, LanguageTag, MediaTime, Pcm},
    serve::api::tracks::Missing,
    speech::{self, EngineKind, EngineSpec, Engines},
    store::Channel,
    translate::{self, Between, Patience, Pivot, Translator, WeakWorker, Worker},
};

/// Hypotheses that may wait for the desk, which takes them at once.
const HYPOTHESES: usize = 64;

/// The engines and models of this server. One model in memory serves every live, and goes a while after the last.
pub(super) struct Speech {
    config: Config,
    /// As it was when it could last be read.
    manifest: Mutex<Manifest>,
    engines: Engines,
    workers: Mutex<Vec<(String, WeakWorker)>>,
    names: Mutex<Vec<(LanguageTag, Names)>>,
}

/// How one channel's live is captioned.
#[derive(Clone)]
pub(super) struct Plan {
    spoken: LanguageTag,
    heard: Option<(Engines, EngineSpec, Track)>,
    targets: Vec<(Target, Track)>,
    missing: Vec<Missing>,
}

/// What a plan comes to. It holds no model in memory.
#[derive(Clone)]
pub(super) struct Outline {
    pub spoken: LanguageTag,
    pub spec: EngineSpec,
    /// The id of the model that hears.
    pub model: String,
    pub dress: Dress,
    /// Into which language, with the ids of which models.
    pub translated: Vec<(LanguageTag, String)>,
}

/// What the desk says a track is made of.
#[derive(Clone)]
struct Track {
    engine: &'static str,
    model: String,
    dress: Dress,
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
        let settings =
            speech::EngineSettings { memory: config.captions.engine_memory, ..speech::EngineSettings::new(engine) };
        let engines = Engines::new(settings);
        Ok(Self { config: config.clone(), manifest, engines, workers: Mutex::default(), names: Mutex::default() })
    }

    /// What is made of a channel here: nothing while captions are off. A translation that cannot be made is
    /// left out, see [`Plan::missing`]. Reads files: keep it off Tokio's workers.
    ///
    /// # Errors
    /// Nothing here hears its language; says what would.
    pub fn plan(&self, channel: &Channel) -> Result<Plan> {
        let mut plan = Plan::silent(channel.language.clone());
        if !self.config.captions.enabled {
            return Ok(plan);
        }
        let manifest = self.manifest();
        plan.heard = Some(self.hear(&manifest, &channel.language, channel.model.as_deref())?);
        for to in &channel.translate {
            match self.target(&manifest, &channel.language, to) {
                Ok(target) => plan.targets.push(target),
                Err(error) => plan.missing.push(lacks(to, &error)),
            }
        }
        Ok(plan)
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

    /// What translates one language into another, and the ids of its models. Reads files, as [`Speech::plan`] does.
    ///
    /// # Errors
    /// Nothing here does; says what would.
    pub fn translator(&self, from: &LanguageTag, to: &LanguageTag) -> Result<(Worker, String)> {
        let (target, track) = self.target(&self.manifest(), from, to)?;
        Ok((target.worker, track.model))
    }

    /// The engines there are.
    pub fn engines(&self) -> Engines {
        self.engines.clone()
    }

    /// Ends the engines.
    pub async fn stop(&self) {
        self.engines.shutdown().await;
    }

    fn hear(
        &self,
        manifest: &Manifest,
        language: &LanguageTag,
        model: Option<&str>,
    ) -> Result<(Engines, EngineSpec, Track)> {
        can_hear(manifest, &self.config, language, model)?;
        let spec = spec(manifest, &self.config, language, model)?;
        let model = spec.model_dir.file_name().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default();
        let names = |lang: &LanguageTag| self.names(lang);
        let track = Track { engine: spec.engine.as_str(), model, dress: dress(spec.engine, language, names) };
        Ok((self.engines.clone(), spec, track))
    }

    /// The names of a language, read once.
    fn names(&self, lang: &LanguageTag) -> Names {
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, names)) = known.iter().find(|(known, _)| known == lang) {
            return names.clone();
        }
        let names = names(&self.config, lang);
        known.push((lang.clone(), names.clone()));
        names
    }

    fn target(&self, manifest: &Manifest, from: &LanguageTag, to: &LanguageTag) -> Result<(Target, Track)> {
        let legs = translates(manifest, &self.config, from, to)?;
        let id = legs.iter().map(|leg| leg.model.id.as_str()).collect::<Vec<_>>().join("+");
        let worker = self.worker(&legs)?;
        let engine = legs.last().map_or("none", |leg| leg.model.engine.as_str());
        let track = Track { engine, model: id, dress: Dress::AsGiven };
        Ok((Target { lang: to.clone(), worker }, track))
    }

    /// The translator of a leg, or of a row of them: each hands what it says to the next. Rows share the models of
    /// their legs with all others, so that the language in between is made once for all of them; a model of many
    /// languages is in memory once for all its pairs.
    fn worker(&self, legs: &[Leg]) -> Result<Worker> {
        match legs {
            [] => bail!("there is no translation model"),
            [leg] => {
                let (model, config) = (leg.model.clone(), self.config.clone());
                let worker = self.started(&leg.model.id, move || load(&model, &config))?;
                Ok(match &leg.tokens {
                    Some(tokens) => worker.between(tokens.clone()),
                    None => worker,
                })
            }
            [before @ .., last] => {
                let (first, second) = (self.worker(before)?, self.worker(std::slice::from_ref(last))?);
                let name = legs.iter().map(Leg::name).collect::<Vec<_>>().join("+");
                self.started(&name, move || {
                    let (mut first, mut second) = (first.clone(), second.clone());
                    // Nothing is asked: whether they can be is known when they have answered.
                    Translator::translate(&mut first, &[])?;
                    Translator::translate(&mut second, &[])?;
                    Ok(Box::new(Pivot::new(Box::new(first), Box::new(second))))
                })
            }
        }
    }

    /// The worker of that name, which `load` makes where there is none yet.
    fn started(
        &self,
        name: &str,
        load: impl FnMut() -> Result<Box<dyn Translator>> + Send + 'static,
    ) -> Result<Worker> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.iter().find(|(known, _)| known == name).and_then(|(_, worker)| worker.upgrade()) {
            return Ok(worker);
        }
        let worker = Worker::start(name, Patience::default(), load).context("a translation cannot begin")?;
        workers.retain(|(known, _)| known != name);
        workers.push((name.into(), worker.downgrade()));
        Ok(worker)
    }
}

impl Plan {
    /// No captions.
    pub fn silent(spoken: LanguageTag) -> Self {
        Self { spoken, heard: None, targets: Vec::new(), missing: Vec::new() }
    }

    /// What the channel asks for and cannot be made here, and what would help.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The tracks the desk keeps, the spoken language's first; none without captions.
    pub fn tracks(&self) -> Vec<TrackSpec> {
        let spec = |lang: &LanguageTag, track: &Track| TrackSpec {
            lang: lang.clone(),
            engine: track.engine.into(),
            model: track.model.clone(),
            dress: track.dress.clone(),
        };
        let spoken = self.heard.iter().map(|(_, _, track)| spec(&self.spoken, track));
        let translated = self.targets.iter().map(|(target, track)| spec(&target.lang, track));
        spoken.chain(translated).collect()
    }

    /// Whether somebody hears the live.
    pub fn hears(&self) -> bool {
        self.heard.is_some()
    }

    /// What the live is heard and translated with; none without captions.
    pub fn outline(&self) -> Option<Outline> {
        let (_, spec, track) = self.heard.as_ref()?;
        let translated = self.targets.iter().map(|(target, track)| (target.lang.clone(), track.model.clone()));
        Some(Outline {
            spoken: self.spoken.clone(),
            spec: spec.clone(),
            model: track.model.clone(),
            dress: track.dress.clone(),
            translated: translated.collect(),
        })
    }

    /// Recognises `sound` until it ends, and brings what was heard and its translations to `desk` from its
    /// `turn` on: until then words wait, and sound behind them.
    pub async fn run(
        self,
        desk: Arc<Desk>,
        sound: mpsc::Receiver<Pcm>,
        turn: impl Future<Output = ()>,
        clock: impl Fn() -> MediaTime + Clone + Send + 'static,
        away: impl Fn() -> bool + Send + Sync + 'static,
        cancel: CancellationToken,
    ) {
        let tracks = self.tracks();
        let Some((engines, spec, _)) = self.heard else { return };
        let targets = self.targets.into_iter().map(|(target, _)| target).collect();
        let (sender, hypotheses) = mpsc::channel::<Hypothesis>(HYPOTHESES);
        let captioning = async {
            turn.await;
            desk.make_with(&tracks, clock());
            let lang = self.spoken.clone();
            captions::run(desk.clone(), lang, hypotheses, targets, clock.clone(), cancel.clone()).await;
        };
        let ear = Ear {
            engines,
            spec,
            desk: desk.clone(),
            lang: self.spoken.clone(),
            clock: clock.clone(),
            away: Box::new(away),
            pauses: Pauses::default(),
        };
        tokio::join!(captioning, ear.hear(sound, sender, cancel.clone()));
    }
}

/// Whether a channel's language can be heard here, with the model of that id or one of the manifest's choice.
/// While captions are off it need not be.
///
/// # Errors
/// Says what to do.
pub(super) fn can_hear(
    manifest: &Manifest,
    config: &Config,
    language: &LanguageTag,
    model: Option<&str>,
) -> Result<()> {
    if !config.captions.enabled {
        return Ok(());
    }
    match model {
        Some(id) => manifest.hearing(id, language, &config.models_dir).map(drop),
        None => manifest.speech(language, &config.captions.models, &config.models_dir).map(drop),
    }
}

/// What a channel asks for and cannot be made here: each language with what would help. Nothing while captions are
/// off. Reads files.
pub(super) fn missing(manifest: &Manifest, config: &Config, channel: &Channel) -> Vec<Missing> {
    if !config.captions.enabled {
        return Vec::new();
    }
    let spoken = &channel.language;
    let heard = can_hear(manifest, config, spoken, channel.model.as_deref()).err().map(|error| lacks(spoken, &error));
    let translated = channel.translate.iter().filter_map(|to| {
        let error = translates(manifest, config, spoken, to).err()?;
        Some(lacks(to, &error))
    });
    heard.into_iter().chain(translated).collect()
}

/// What is missing of a language, and what would help.
pub(super) fn lacks(lang: &LanguageTag, error: &anyhow::Error) -> Missing {
    Missing { lang: lang.to_string(), reason: format!("{error:#}") }
}

/// The models that translate one language into another, in a row.
fn translates<'a>(
    manifest: &'a Manifest,
    config: &Config,
    from: &LanguageTag,
    to: &LanguageTag,
) -> Result<Vec<Leg<'a>>> {
    ensure!(from.primary() != to.primary(), "{to} is spoken already: no translation is needed");
    manifest.translation(from, to, &config.models_dir)
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

/// What an engine leaves to do on the words of a language.
pub(super) fn dress(engine: EngineKind, lang: &LanguageTag, names: impl FnOnce(&LanguageTag) -> Names) -> Dress {
    match engine {
        EngineKind::Vosk => Dress::Bare(names(lang)),
        EngineKind::Whisper => Dress::AsGiven,
    }
}

/// The names of a language; none, and a line in the log, where its dictionary cannot be used.
pub(super) fn names(config: &Config, lang: &LanguageTag) -> Names {
    Names::load(&config.captions.dictionaries, lang).unwrap_or_else(|error| {
        tracing::warn!(error = %Chain(&error), %lang, "bare words get no capitals from this dictionary");
        Names::default()
    })
}

/// Loads a translation model, or a row of them that hand on what they say.
///
/// # Errors
/// One cannot be loaded, or is no translation model.
pub(super) fn translator(legs: &[Leg], config: &Config) -> Result<Box<dyn Translator>> {
    let load = |leg: &Leg| -> Result<Box<dyn Translator>> {
        let model = load(leg.model, config)?;
        Ok(match &leg.tokens {
            Some(tokens) => Box::new(Between::new(model, tokens.clone())),
            None => model,
        })
    };
    let loaded = legs.iter().map(load).collect::<Result<Vec<_>>>()?;
    let in_a_row = |first, second| Box::new(Pivot::new(first, second)) as Box<dyn Translator>;
    loaded.into_iter().reduce(in_a_row).context("there is no translation model")
}

fn load(model: &Model, config: &Config) -> Result<Box<dyn Translator>> {
    let folder = model.folder(&config.models_dir);
    match model.engine {
        Engine::Fx => Ok(Box::new(translate::fx::Fx::load(&folder)?)),
        Engine::Ct2 => {
            let threads = config.captions.threads.into();
            let (engine, memory) = (engine_path(config), config.captions.engine_memory);
            let settings = translate::ct2::Settings { engine, model: folder, threads, memory };
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn lang(tag: &str) -> LanguageTag {
        LanguageTag::parse(tag).unwrap()
    }

    /// From Galician and through English, with the models of Portuguese, which is near enough.
    fn speech(models: &Path) -> Speech {
        let entry = |id: &str, from: &str, to: &str| {
            format!(
                "[[model]]\nid = \"{id}\"\ntask = \"translation\"\nengine = \"fx\"\nlanguages = [\"{from}\", \"{to}\"]\n\
                 licence = \"MIT\"\nabout = \"\"\nsource = []\n"
            )
        };
        fs::write(models.join("manifest.toml"), entry("gl-en", "gl", "en") + &entry("en-eo", "en", "eo")).unwrap();
        let mut config = Config::load(None, Some(models)).unwrap();
        let installed = std::mem::replace(&mut config.models_dir, models.into());
        symlink(installed.join("fx-pt-en"), models.join("gl-en")).unwrap();
        symlink(installed.join("fx-en-pt"), models.join("fx-en-pt")).unwrap();
        symlink(installed.join("fx-en-pt"), models.join("en-eo")).unwrap();
        config.captions.engine = Some("/bin/true".into());
        Speech::new(&config).unwrap()
    }

    #[tokio::test]
    async fn rows_of_models_share_their_first_and_fail_with_it() {
        let models = tempfile::tempdir().unwrap();
        let whole = speech(models.path());
        let (one, ids) = whole.translator(&lang("gl"), &lang("pt")).unwrap();
        let (other, _) = whole.translator(&lang("gl"), &lang("eo")).unwrap();
        assert_eq!(ids, "gl-en+fx-en-pt");
        for worker in [&one, &other] {
            assert_eq!(worker.translate(vec!["Boa noite.".into()]).await.unwrap(), ["Boa noite."]);
        }
        let names = whole.workers.lock().unwrap().iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        assert_eq!(names, ["gl-en", "fx-en-pt", "gl-en+fx-en-pt", "en-eo", "gl-en+en-eo"]);

        // Another server's, as each keeps its workers.
        let manifest = whole.manifest();
        let row = manifest.translation(&lang("gl"), &lang("pt"), models.path()).unwrap();
        fs::remove_file(models.path().join("gl-en")).unwrap();
        let worker = Speech::new(&whole.config).unwrap().worker(&row).unwrap();
        let error = worker.translate(vec!["Boa noite.".into()]).await.unwrap_err().to_string();
        assert!(error.contains("gl-en") && error.contains("loading") && worker.is_failing(), "{error}");
    }
}
