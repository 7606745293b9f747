use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use fxtranslate::spm::SpmVocab;
use tokenizers::Tokenizer;

/// How a model divides text; its folder tells.
pub enum Tokens {
    /// `source.spm` and `target.spm`, unigram SentencePiece, as OPUS-MT models have.
    Pieces { source: Box<SpmVocab>, target: Box<SpmVocab> },
    /// `tokenizer.json`, as NLLB and other models from Hugging Face have. It adds no special tokens.
    HuggingFace(Box<Tokenizer>),
    /// Neither: text is tokens with spaces between them, as OpenNMT takes it.
    Blanks,
}

/// What ends a source sentence in models of the Marian and fairseq families.
const END: &str = "</s>";

impl Tokens {
    /// Reads what the folder has.
    ///
    /// # Errors
    /// A file is damaged, or one of a pair is missing.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if path.is_file() {
            let tokenizer = Tokenizer::from_file(&path).map_err(|error| anyhow!("load {}: {error}", path.display()))?;
            return Ok(Self::HuggingFace(Box::new(tokenizer)));
        }
        let (source, target) = (folder.join("source.spm"), folder.join("target.spm"));
        if !source.is_file() && !target.is_file() {
            return Ok(Self::Blanks);
        }
        let load = |path: &Path| SpmVocab::load(path).with_context(|| format!("load {}", path.display()));
        Ok(Self::Pieces { source: Box::new(load(&source)?), target: Box::new(load(&target)?) })
    }

    /// The tokens of a text to translate, its end among them where models of this kind want one.
    pub fn source(&self, text: &str) -> Result<Vec<String>> {
        let (mut tokens, ends) = match self {
            Self::Pieces { source, .. } => (pieces(source, text), true),
            Self::HuggingFace(tokenizer) => (encode(tokenizer, text)?, tokenizer.token_to_id(END).is_some()),
            Self::Blanks => (blanks(text), false),
        };
        if ends {
            tokens.push(END.into());
        }
        Ok(tokens)
    }

    /// The tokens of a translation.
    pub fn target(&self, text: &str) -> Result<Vec<String>> {
        match self {
            Self::Pieces { target, .. } => Ok(pieces(target, text)),
            Self::HuggingFace(tokenizer) => encode(tokenizer, text),
            Self::Blanks => Ok(blanks(text)),
        }
    }

    /// The text of a translation's tokens.
    pub fn text(&self, tokens: &[String]) -> Result<String> {
        match self {
            Self::Pieces { .. } => Ok(tokens.concat().replace('\u{2581}', " ").trim().into()),
            Self::HuggingFace(tokenizer) => {
                let ids: Vec<u32> = tokens.iter().filter_map(|token| tokenizer.token_to_id(token)).collect();
                tokenizer.decode(&ids, true).map_err(|error| anyhow!("read the translation's tokens: {error}"))
            }
            Self::Blanks => Ok(tokens.join(" ")),
        }
    }
}

/// The pieces of a text; characters that no piece covers come as they are.
fn pieces(vocabulary: &SpmVocab, text: &str) -> Vec<String> {
    let (normal, spans) = vocabulary.encode_with_offsets(text);
    spans.into_iter().map(|(_, span)| normal[span].to_owned()).collect()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<String>> {
    let encoding = tokenizer.encode(text, false).map_err(|error| anyhow!("divide the text into tokens: {error}"))?;
    Ok(encoding.get_tokens().to_vec())
}

fn blanks(text: &str) -> Vec<String> {
    text.split_whitespace().map(Into::into).collect()
}
