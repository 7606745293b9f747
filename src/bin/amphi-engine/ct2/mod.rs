//! Translation with CTranslate2: one model, one request after the other.

mod pieces;
mod tokens;

use std::{fs, io, path::Path};

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
    /// Whether a source's end is ours to write.
    ends: bool,
}

/// What ends a source sentence in models of the Marian and fairseq families.
const END: &str = "</s>";

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
        let ends = tokens.know(END) && !adds_end(folder)?;
        Ok(Self { translator, tokens, ends })
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
        let source = |text: &&Text| -> Result<Vec<String>> {
            let language = text.tokens.iter().map(|[source, _]| source.clone());
            let end = self.ends.then(|| END.into());
            Ok(language.chain(self.tokens.source(text.text.trim())?).chain(end).collect())
        };
        let sources: Vec<Vec<String>> = texts.iter().map(source).collect::<Result<_>>()?;
        let longest = sources.iter().map(Vec::len).max().unwrap_or_default();
        let mut options = TranslationOptions::<String, String> {
            beam_size: BEAM,
            // A model that loops costs no more than a translation twice as long as its source.
            max_decoding_length: 2 * longest + 16,
            ..TranslationOptions::default()
        };
        let must = texts.iter().any(|text| text.tokens.is_some() || !text.begin.is_empty());
        let prefix = |text: &&Text| -> Result<Vec<String>> {
            let language = text.tokens.iter().map(|[_, target]| target.clone());
            let wished = text.before.as_deref().filter(|_| !must).unwrap_or(&text.begin);
            Ok(language.chain(self.tokens.target(wished.trim_end())?).collect())
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
        let text = |(asked, mut hypotheses): (&&Text, Vec<Vec<String>>)| {
            ensure!(!hypotheses.is_empty(), "the library found no translation");
            let tokens = hypotheses.swap_remove(0);
            let language = asked.tokens.as_ref().is_some_and(|[_, target]| tokens.first() == Some(target));
            self.tokens.text(&tokens[usize::from(language)..])
        };
        texts.iter().zip(results.into_iter().map(|result| result.hypotheses)).map(text).collect()
    }
}

/// Whether the library adds the end of a source itself, as models converted from Marian's own files have it.
fn adds_end(folder: &Path) -> Result<bool> {
    let path = folder.join("config.json");
    let config = match fs::read(&path) {
        Ok(config) => config,
        // Models of old converters have none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let config: serde_json::Value =
        serde_json::from_slice(&config).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(config["add_source_eos"] == true)
}
