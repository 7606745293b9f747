use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{
    app::{cli, config::Config, models::Manifest, speech},
    captions::vtt,
    model::LanguageTag,
    translate::Translator,
};

/// `amphi translate`: the cues of a WebVTT file in another language, at the same times; or of a text file each
/// line.
pub(in crate::app) fn run(
    config: &Config,
    file: &Path,
    from: &LanguageTag,
    to: &LanguageTag,
    output: Option<&Path>,
) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_plain = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt"));
    let entries = if is_plain { Vec::new() } else { vtt::parse(&text) };
    ensure!(is_plain || !entries.is_empty(), "{} holds no WebVTT cues; plain text ends in .txt", file.display());
    let manifest = Manifest::load(&config.models_dir)?;
    let legs = manifest.translation(from, to, &config.models_dir)?;
    let mut translator = speech::translator(&legs, config)?;
    let translated = match is_plain {
        true => lines(&text, &mut *translator),
        false => vtt::translate(&entries, &mut *translator).map(|entries| vtt::write(&entries)),
    };
    cli::write(output, &translated.context("the model could not translate it")?)
}

/// Every line by itself; blank ones stay blank, so that lines keep their numbers.
fn lines(text: &str, translator: &mut dyn Translator) -> Result<String> {
    let mut out = String::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        if !line.trim().is_empty() {
            out.push_str(&translator.translate(&[line.trim().into()])?.concat().replace('\n', " "));
            translator.refresh()?;
        }
        out.push('\n');
    }
    Ok(out)
}
