//! Adapter for Firefox Translations models (crate `fxtranslate`).

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use fxtranslate::engine::Engine;

use super::{Text, Translator};

/// One model: one pair of languages, one direction.
pub struct Fx {
    engine: Engine,
}

/// Characters of one text; a sentence has a tenth of it.
const LONGEST: usize = 4_000;

impl Fx {
    /// Loads the model in a folder: `model.*.intgemm.alphas.bin` with `vocab.*.spm`, or with
    /// `srcvocab.*.spm` and `trgvocab.*.spm` where the languages do not share one. Takes some
    /// 50 ms and 50 MB.
    ///
    /// # Errors
    /// A file is missing or damaged; the message names the folder.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let load = || -> anyhow::Result<Engine> {
            let model = find(folder, "model.", ".bin")?;
            let (source, target) = match find(folder, "vocab.", ".spm") {
                Ok(shared) => (shared.clone(), shared),
                Err(_) => (find(folder, "srcvocab.", ".spm")?, find(folder, "trgvocab.", ".spm")?),
            };
            Engine::load(model, source, target).map_err(|message| anyhow!(message))
        };
        let engine = load().with_context(|| format!("loading the translation model in {}", folder.display()))?;
        Ok(Self { engine })
    }
}

impl Translator for Fx {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        if texts.iter().any(|text| text.text.len() > LONGEST) {
            bail!("a text is longer than {LONGEST} bytes: divide it into sentences");
        }
        // One by one: a long sentence is cut to the model's window, which the batch call does not do.
        let translate = |text: &Text| match text.text.trim() {
            "" => String::new(),
            text => self.engine.translate_long(text),
        };
        Ok(texts.iter().map(translate).collect())
    }
}

fn find(folder: &Path, prefix: &str, suffix: &str) -> anyhow::Result<PathBuf> {
    let names = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    names.filter(fits).min().with_context(|| format!("there is no file {prefix}*{suffix}"))
}
