//! Translation with CTranslate2: one model, one request after the other.

mod tokens;

use std::{io, path::Path};

use amphi::{
    pipe,
    translate::{
        Text,
        wire::{Request, Response},
    },
};
use anyhow::{Context as _, Result, anyhow, ensure};
use ct2rs::sys::{ComputeType, Config, Device, TranslationOptions, Translator};

use super::{Args, Output};
use tokens::Tokens;

/// Bytes of one text; a sentence has a tenth of it.
const LONGEST: usize = 4_000;
/// How strongly a translation keeps to what was shown before (arXiv 1912.03393 §3.2); 1 would be all.
const BIAS: f32 = 0.25;
/// Hypotheses kept while decoding; CTranslate2's own choice.
const BEAM: usize = 2;

/// Serves requests until the input ends.
pub fn serve(args: &Args, out: &Output) -> Result<()> {
    let model = Model::open(&args.model, args)?;
    out.frame(&pipe::json(&Response::Ready)?)?;
    let mut input = io::stdin().lock();
    while let Some(body) = pipe::read(&mut input)? {
        let Request { texts } = pipe::parse(&body)?;
        let response = match model.translate(&texts) {
            Ok(texts) => Response::Translated { texts },
            Err(error) => Response::Failed { reason: format!("{error:#}") },
        };
        out.frame(&pipe::json(&response)?)?;
    }
    Ok(())
}

struct Model {
    translator: Translator,
    tokens: Tokens,
    source: Option<String>,
    target: Option<String>,
}

impl Model {
    fn open(folder: &Path, args: &Args) -> Result<Self> {
        let config = Config {
            device: Device::CPU,
            compute_type: ComputeType::INT8,
            num_threads_per_replica: args.threads,
            ..Config::default()
        };
        let translator = Translator::new(folder, &config)
            .with_context(|| format!("load the translation model in {}", folder.display()))?;
        let tokens = Tokens::open(folder)?;
        Ok(Self { translator, tokens, source: args.source_token.clone(), target: args.target_token.clone() })
    }

    fn translate(&self, texts: &[Text]) -> Result<Vec<String>> {
        ensure!(
            texts.iter().all(|text| text.text.len() <= LONGEST),
            "a text is longer than {LONGEST} bytes: divide it into sentences"
        );
        // The library takes an empty source for an error.
        let asked: Vec<&Text> = texts.iter().filter(|text| !text.text.trim().is_empty()).collect();
        let mut translated = self.batch(&asked)?.into_iter();
        let fill = |text: &Text| match text.text.trim() {
            "" => Ok(String::new()),
            _ => translated.next().ok_or_else(|| anyhow!("the library lost a text")),
        };
        texts.iter().map(fill).collect()
    }

    fn batch(&self, texts: &[&Text]) -> Result<Vec<String>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let sources: Vec<Vec<String>> = texts
            .iter()
            .map(|text| Ok(self.source.iter().cloned().chain(self.tokens.source(text.text.trim())?).collect()))
            .collect::<Result<_>>()?;
        let longest = sources.iter().map(Vec::len).max().unwrap_or_default();
        let mut options = TranslationOptions::<String, String> {
            beam_size: BEAM,
            // A model that loops costs no more than a translation twice as long as its source.
            max_decoding_length: 2 * longest + 16,
            ..TranslationOptions::default()
        };
        let must = self.target.is_some() || texts.iter().any(|text| !text.begin.is_empty());
        let prefix = |text: &&Text| -> Result<Vec<String>> {
            let wished = text.before.as_deref().filter(|_| !must).unwrap_or(&text.begin);
            Ok(self.target.iter().cloned().chain(self.tokens.target(wished.trim_end())?).collect())
        };
        let prefixes: Vec<Vec<String>> = texts.iter().map(prefix).collect::<Result<_>>()?;
        let results = if prefixes.iter().all(Vec::is_empty) {
            self.translator.translate_batch(&sources, &options, None)
        } else {
            // A language and stable words must be obeyed, and a bias would only recommend them.
            options.prefix_bias_beta = if must { 0.0 } else { BIAS };
            self.translator.translate_batch_with_target_prefix(&sources, &prefixes, &options, None)
        }
        .context("translate")?;
        let text = |mut hypotheses: Vec<Vec<String>>| {
            ensure!(!hypotheses.is_empty(), "the library found no translation");
            let mut tokens = hypotheses.swap_remove(0);
            if tokens.first() == self.target.as_ref() {
                tokens.remove(0);
            }
            self.tokens.text(&tokens)
        };
        results.into_iter().map(|result| text(result.hypotheses)).collect()
    }
}
