use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{
    app::{cli, config::Config, models::Manifest, speech},
    captions::vtt,
    model::LanguageTag,
};

/// `amphi translate`: the cues of a WebVTT file, in another language, at the same times.
pub(in crate::app) fn run(
    config: &Config,
    file: &Path,
    from: &LanguageTag,
    to: &LanguageTag,
    output: Option<&Path>,
) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let entries = vtt::parse(&text);
    ensure!(!entries.is_empty(), "{} holds no WebVTT cues", file.display());
    let manifest = Manifest::load(&config.models_dir)?;
    let models = manifest.translation(from, to, &config.models_dir)?;
    let mut translator = speech::translator(&models, config)?;
    let translated = vtt::translate(&entries, &mut *translator).context("the model could not translate it")?;
    cli::write(output, &vtt::write(&translated))
}
