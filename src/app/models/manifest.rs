use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::source::Source;
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
    /// Turns one language into another.
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
    /// Languages it hears; for translation, from the first to the second. Those of `tokens` where these are left
    /// out.
    #[serde(default)]
    pub languages: Vec<LanguageTag>,
    /// SPDX expression.
    pub licence: String,
    /// A line for people.
    pub about: String,
    /// What it is made of.
    pub source: Vec<Source>,
    /// A file that comes in numbered pieces.
    pub join: Option<String>,
    /// A line that one of its files lacks.
    pub append: Option<Append>,
    /// What a translation model of many languages calls each of them (`eng_Latn`, `__en__`). It goes from any of
    /// them to any other. Empty for one of a single pair.
    #[serde(default)]
    pub tokens: BTreeMap<LanguageTag, String>,
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

/// A model, and what it is to translate: a step of the way from one language to another.
#[derive(Debug, Clone)]
pub struct Leg<'a> {
    /// What translates.
    pub model: &'a Model,
    /// What a model of many languages is told: what it reads and what it is to write. None for one of a single pair.
    pub tokens: Option<[String; 2]>,
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
        let mut manifest: Self = toml::from_str(text)?;
        for model in &mut manifest.models {
            let id = &model.id;
            // It becomes a folder's name.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            ensure!(
                !id.is_empty() && !id.starts_with('.') && id.chars().all(plain),
                "{id:?}: an id has letters, digits, - _ and ."
            );
            model.check().with_context(|| format!("model {id}"))?;
            model.languages.extend(model.tokens.keys().cloned());
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
    /// English where no installed one does so alone.
    ///
    /// # Errors
    /// Says what to fetch.
    pub fn translation(&self, from: &LanguageTag, to: &LanguageTag, models_dir: &Path) -> Result<Vec<Leg<'_>>> {
        let pivot = LanguageTag::parse(PIVOT)?;
        let leg = |from, to| {
            let model = self.best(models_dir, |model| model.translates(from, to))?;
            let tokens = model.told(from).zip(model.told(to)).map(|(from, to)| [from.into(), to.into()]);
            Some(Leg { model, tokens })
        };
        let direct = leg(from, to).map(|leg| vec![leg]);
        let through = match [from, to].iter().any(|end| end.primary() == PIVOT) {
            true => None,
            false => leg(from, &pivot).zip(leg(&pivot, to)).map(|(first, second)| vec![first, second]),
        };
        let mut advice = Vec::new();
        for legs in [direct, through].into_iter().flatten() {
            let missing: Vec<_> =
                legs.iter().filter(|leg| !leg.model.installed(models_dir)).map(|leg| &*leg.model.id).collect();
            if missing.is_empty() {
                return Ok(legs);
            }
            let way = if legs.len() == 1 { "" } else { " (through English)" };
            advice.push(format!("`amphi models fetch {}`{way}", missing.join(" ")));
        }
        ensure!(
            !advice.is_empty(),
            "the manifest has no translation model from {from} to {to}: see `amphi models list`"
        );
        bail!("no translation model from {from} to {to} is installed: run {}", advice.join(" or "))
    }

    fn first(&self, models_dir: &Path, what: &str, fits: impl Fn(&Model) -> bool) -> Result<&Model> {
        let model = self
            .best(models_dir, fits)
            .with_context(|| format!("the manifest has no {what}: see `amphi models list`"))?;
        ensure!(model.installed(models_dir), "no {what} is installed: run `amphi models fetch {}`", model.id);
        Ok(model)
    }

    /// The first that fits and is installed, else the first that fits.
    fn best(&self, models_dir: &Path, fits: impl Fn(&Model) -> bool) -> Option<&Model> {
        let fitting = || self.models.iter().filter(|model| fits(model));
        fitting().find(|model| model.installed(models_dir)).or_else(|| fitting().next())
    }
}

impl Leg<'_> {
    /// Tells it from every other leg.
    pub fn name(&self) -> String {
        match &self.tokens {
            Some([from, to]) => format!("{} {from} {to}", self.model.id),
            None => self.model.id.clone(),
        }
    }
}

impl Model {
    /// Where it lies once fetched.
    pub fn folder(&self, models_dir: &Path) -> PathBuf {
        models_dir.join(&self.id)
    }

    /// Whether it is there, whole.
    pub fn installed(&self, models_dir: &Path) -> bool {
        self.folder(models_dir).join(super::fetch::SUMS).is_file()
    }

    /// Whether its licence keeps it from commercial use, as those of Creative Commons with `NC` in their name do.
    pub fn is_non_commercial(&self) -> bool {
        self.licence.contains("-NC")
    }

    fn speaks(&self, language: &LanguageTag) -> bool {
        self.languages.iter().any(|known| known.primary() == language.primary())
    }

    fn translates(&self, from: &LanguageTag, to: &LanguageTag) -> bool {
        let pair = [from, to].map(LanguageTag::primary);
        self.task == Task::Translation
            && match self.told(from).zip(self.told(to)) {
                Some((from, to)) => from != to,
                None => self.languages.iter().map(LanguageTag::primary).eq(pair),
            }
    }

    /// What it calls a language: the one of that very tag, else one of the same language.
    fn told(&self, language: &LanguageTag) -> Option<&str> {
        let near = || self.tokens.iter().find(|(known, _)| known.primary() == language.primary());
        self.tokens.get(language).or_else(|| near().map(|(_, token)| token)).map(String::as_str)
    }

    fn check(&self) -> Result<()> {
        match self.task {
            Task::Speech => ensure!(
                !self.languages.is_empty() && self.tokens.is_empty(),
                "a speech model has `languages` that it hears, and no `tokens`"
            ),
            Task::Translation if self.tokens.is_empty() => ensure!(
                self.languages.len() == 2,
                "a translation model has two `languages`, from and to, or `tokens` with a name for each of many"
            ),
            Task::Translation => ensure!(
                self.languages.is_empty() && self.tokens.len() > 1 && self.engine == Engine::Ct2,
                "`tokens` name two or more languages of a model for `ct2`, in place of `languages`"
            ),
        }
        self.source.iter().try_for_each(Source::check)
    }
}

#[cfg(test)]
mod tests;
