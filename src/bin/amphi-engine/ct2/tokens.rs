use std::{path::Path, rc::Rc};

use anyhow::{Result, anyhow};
use tokenizers::Tokenizer;

use super::pieces::Pieces;

/// How a model divides text; its folder tells.
pub enum Tokens {
    /// SentencePiece: `source.spm` and `target.spm`, as OPUS-MT models have, or `sentencepiece.bpe.model` for all
    /// languages, as M2M100 has.
    Pieces { source: Rc<Pieces>, target: Rc<Pieces> },
    /// `tokenizer.json`, as NLLB and other models from Hugging Face have. It adds no special tokens.
    HuggingFace(Box<Tokenizer>),
    /// Neither: text is tokens with spaces between them, as OpenNMT takes it.
    Blanks,
}

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
        let shared = folder.join("sentencepiece.bpe.model");
        if shared.is_file() {
            let pieces = Rc::new(Pieces::load(&shared)?);
            return Ok(Self::Pieces { source: pieces.clone(), target: pieces });
        }
        let (source, target) = (folder.join("source.spm"), folder.join("target.spm"));
        if !source.is_file() && !target.is_file() {
            return Ok(Self::Blanks);
        }
        let load = |path: &Path| Pieces::load(path).map(Rc::new);
        Ok(Self::Pieces { source: load(&source)?, target: load(&target)? })
    }

    /// Whether models of this kind have such a special token.
    pub fn know(&self, special: &str) -> bool {
        match self {
            Self::Pieces { .. } => true,
            Self::HuggingFace(tokenizer) => tokenizer.token_to_id(special).is_some(),
            Self::Blanks => false,
        }
    }

    /// The tokens of a text to translate.
    pub fn source(&self, text: &str) -> Result<Vec<String>> {
        match self {
            Self::Pieces { source, .. } => Ok(source.encode(text)),
            Self::HuggingFace(tokenizer) => encode(tokenizer, text),
            Self::Blanks => Ok(blanks(text)),
        }
    }

    /// The tokens of a translation.
    pub fn target(&self, text: &str) -> Result<Vec<String>> {
        match self {
            Self::Pieces { target, .. } => Ok(target.encode(text)),
            Self::HuggingFace(tokenizer) => encode(tokenizer, text),
            Self::Blanks => Ok(blanks(text)),
        }
    }

    /// The text of a translation's tokens.
    pub fn text(&self, tokens: &[String]) -> Result<String> {
        match self {
            Self::Pieces { target, .. } => Ok(target.decode(tokens)),
            Self::HuggingFace(tokenizer) => {
                let ids: Vec<u32> = tokens.iter().filter_map(|token| tokenizer.token_to_id(token)).collect();
                tokenizer.decode(&ids, true).map_err(|error| anyhow!("read the translation's tokens: {error}"))
            }
            Self::Blanks => Ok(tokens.join(" ")),
        }
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<String>> {
    let encoding = tokenizer.encode(text, false).map_err(|error| anyhow!("divide the text into tokens: {error}"))?;
    Ok(encoding.get_tokens().to_vec())
}

fn blanks(text: &str) -> Vec<String> {
    text.split_whitespace().map(Into::into).collect()
}
