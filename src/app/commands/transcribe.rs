use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::{
    app::{
        cli::{self, Format},
        config::Config,
        models::Manifest,
        speech, transcript,
    },
    captions::{Builder, Ids, join, vtt},
    media,
    model::{Cue, LanguageTag, MediaTime, Word},
    speech::{EngineSpec, Engines},
};

/// `amphi transcribe`: one file through the speech core that lives use.
pub(in crate::app) fn run(
    config: &Config,
    file: &Path,
    model: Option<&str>,
    language: &LanguageTag,
    format: Format,
    output: Option<&Path>,
) -> Result<()> {
    let manifest = Manifest::load(&config.models_dir)?;
    let spec = EngineSpec { live: false, ..speech::spec(&manifest, config, language, model)? };
    media::init()?;
    let templates = media::Templates::load(config.ladder.pipelines_dir.as_deref())?;
    let sound = media::file::pcm(file, &templates)?;
    let dress = speech::dress(spec.engine, language, |lang| speech::names(config, lang));
    let engines = Engines::new(crate::speech::EngineSettings::new(speech::engine_path(config)));
    let (cues, words) = cli::block_on(async {
        let (total, mut shown) = (sound.duration(), 0);
        let builder = Builder::new(language.clone(), dress, Ids::new());
        let transcript =
            transcript::transcribe(&engines, spec, sound, builder, |at| progress(&mut shown, at, total)).await;
        engines.shutdown().await;
        transcript
    })?;
    cli::write(output, &render(format, &cues, &words))
}

/// A line to standard error every tenth of the file.
fn progress(shown: &mut u64, at: MediaTime, total: Option<std::time::Duration>) {
    let Some(total) = total.filter(|total| !total.is_zero()) else { return };
    let tenth = (at.as_secs_f64() * 10.0 / total.as_secs_f64()) as u64;
    if tenth > *shown {
        *shown = tenth;
        eprintln!("{:3} % of {:.0} s", tenth.min(10) * 10, total.as_secs_f64());
    }
}

fn render(format: Format, cues: &[Cue], words: &[Word]) -> String {
    let cues = join(cues);
    match format {
        Format::Vtt => vtt::document(&cues),
        Format::Srt => srt(&cues),
        Format::Txt => cues.iter().map(|cue| format!("{}\n", cue.text)).collect(),
        Format::Json => {
            let word = |word: &Word| {
                json!({
                    "text": word.text, "start": word.start.as_secs_f64(), "end": word.end.as_secs_f64(),
                    "confidence": word.confidence,
                })
            };
            let cue =
                |cue: &Cue| json!({ "start": cue.start.as_secs_f64(), "end": cue.end.as_secs_f64(), "text": cue.text });
            let document = json!({
                "cues": cues.iter().map(cue).collect::<Vec<_>>(),
                "words": words.iter().map(word).collect::<Vec<_>>(),
            });
            format!("{document:#}\n")
        }
    }
}

fn srt(cues: &[Cue]) -> String {
    let time = |time: MediaTime| vtt::timestamp(time).replace('.', ",");
    let block = |(index, cue): (usize, &Cue)| {
        format!("{}\n{} --> {}\n{}\n\n", index + 1, time(cue.start), time(cue.end), cue.text)
    };
    cues.iter().enumerate().map(block).collect()
}
