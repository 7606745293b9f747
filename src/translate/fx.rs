//! Adapter for Firefox Translations models (crate `fxtranslate`).

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use fxtranslate::{engine::Engine, segment::MAX_SOURCE_TOKENS, spm::SpmVocab};

use super::{Text, Translator};

/// One model: one pair of languages, one direction.
pub struct Fx {
    engine: Engine,
    /// How the language it writes is divided.
    target: SpmVocab,
}

/// Characters of one text; a sentence has a tenth of it.
const LONGEST: usize = 4_000;
/// How strongly a translation keeps to what was shown before (arXiv 1912.03393 §3.2); 1 would be all.
const BIAS: f32 = 0.25;
/// Tokens of a translation, as the crate's own decoding has it: twice the source's and a few more.
const MOST_TOKENS: usize = 256;
/// Decoder layers a model may have, each with a state; the largest have six.
const LAYERS: usize = 16;
/// What SentencePiece writes for the space before a word.
const SPACE: char = '\u{2581}';

impl Fx {
    /// Loads the model in a folder: `model.*.intgemm.alphas.bin` with `vocab.*.spm`, or with
    /// `srcvocab.*.spm` and `trgvocab.*.spm` where the languages do not share one. Takes some
    /// 50 ms and 50 MB.
    ///
    /// # Errors
    /// A file is missing or damaged; the message names the folder.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let load = || -> anyhow::Result<Self> {
            let model = find(folder, "model.", ".bin")?;
            let (source, target) = match find(folder, "vocab.", ".spm") {
                Ok(shared) => (shared.clone(), shared),
                Err(_) => (find(folder, "srcvocab.", ".spm")?, find(folder, "trgvocab.", ".spm")?),
            };
            let engine = Engine::load(model, source, &target).map_err(|message| anyhow!(message))?;
            Ok(Self { engine, target: SpmVocab::load(target)? })
        };
        load().with_context(|| format!("loading the translation model in {}", folder.display()))
    }

    /// A translation that begins as it must and keeps to what was said before where it can; none of
    /// a text beyond the model's window.
    ///
    /// Greedy, with the same steps as the crate's own decoding. What is given is not looked up in
    /// the vocabulary, which is most of a step's work: going on costs less than beginning again.
    fn continued(&self, text: &Text) -> Option<String> {
        let source = self.engine.src_ids(text.text.trim());
        if source.len() > MAX_SOURCE_TOKENS {
            return None;
        }
        let context = self.engine.encode(&source);
        let mut cells = vec![vec![0.0; context.len() / source.len()]; LAYERS];
        let given = self.target.encode(text.begin.trim_end());
        let wished = text.before.as_deref().map(|before| self.target.encode(before)).unwrap_or_default();
        let (end, most) = (self.target.eos_id(), (2 * source.len() + 4).min(MOST_TOKENS));
        let (mut tokens, mut last) = (Vec::new(), end);
        while tokens.len() < most.max(given.len()) {
            let at = tokens.len();
            let top = self.engine.decode_step(last, at, &context, source.len(), &mut cells);
            last = match given.get(at) {
                Some(given) => *given,
                None => {
                    let begins_word = at == given.len() && text.begin.ends_with(' ');
                    let wish = wished.get(at).copied().filter(|_| wished.starts_with(&tokens));
                    self.choose(&self.engine.project(&top), begins_word, wish)
                }
            };
            if last == end {
                break;
            }
            tokens.push(last);
        }
        let more = self.target.decode(&tokens[given.len().min(tokens.len())..]);
        Some(format!("{}{more}", text.begin).trim_end().into())
    }

    /// The likeliest token; the one wished for unless another is likelier by far.
    fn choose(&self, logits: &[f32], begins_word: bool, wish: Option<u32>) -> u32 {
        let end = self.target.eos_id();
        let fits = |token: u32| !begins_word || token == end || self.target.piece(token).starts_with(SPACE);
        let mut best = end as usize;
        for (token, logit) in logits.iter().enumerate() {
            if *logit > logits[best] && fits(token as u32) {
                best = token;
            }
        }
        let Some(wish) = wish.filter(|wish| *wish as usize != best && fits(*wish)) else { return best as u32 };
        // The published rule adds BIAS to the wish's probability and takes as much from all.
        let whole: f32 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
        let lead = (1.0 - (logits[wish as usize] - logits[best]).exp()) / whole;
        if lead * (1.0 - BIAS) <= BIAS { wish } else { best as u32 }
    }
}

impl Translator for Fx {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        if texts.iter().any(|text| text.text.len() > LONGEST) {
            bail!("a text is longer than {LONGEST} bytes: divide it into sentences");
        }
        let translate = |text: &Text| {
            if text.text.trim().is_empty() {
                return String::new();
            }
            let free = text.begin.is_empty() && text.before.is_none();
            let continued = if free { None } else { self.continued(text) };
            // The crate divides what is longer than the model's window, which its batch call does not do.
            continued.unwrap_or_else(|| self.engine.translate_long(text.text.trim()))
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
