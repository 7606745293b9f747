//! SentencePiece vocabularies: unigram by `fxtranslate`'s reader, and BPE, which it takes for unigram.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use fxtranslate::spm::SpmVocab;

/// How one vocabulary divides text, and puts it together again.
pub struct Pieces {
    vocabulary: SpmVocab,
    /// What a text may be divided into, and how gladly.
    scores: HashMap<String, f32>,
    bpe: bool,
}

/// What SentencePiece writes for the space before a word.
const SPACE: char = '\u{2581}';
/// What models write where they know no word.
const UNKNOWN: &str = "<unk>";

impl Pieces {
    /// Reads a file of SentencePiece's (sentencepiece_model.proto).
    ///
    /// # Errors
    /// It is none, or divides text in another way than unigram or BPE.
    pub fn load(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| format!("load {}", path.display()))?;
        let (mut scores, mut kind) = (HashMap::new(), 1);
        for field in Fields(&data) {
            match field {
                (1, Value::Bytes(piece)) => scores.extend(plain(piece)),
                (2, Value::Bytes(trainer)) => kind = model_type(trainer).unwrap_or(kind),
                _ => {}
            }
        }
        ensure!(!scores.is_empty(), "{} is no SentencePiece vocabulary: fetch the model again", path.display());
        let bpe = match kind {
            1 => false,
            2 => true,
            _ => bail!("{} divides text neither as unigram nor as BPE: choose another model", path.display()),
        };
        Ok(Self { vocabulary: SpmVocab::from_bytes(&data), scores, bpe })
    }

    /// The pieces of a text; a run of characters that no piece covers comes as it is, in one.
    pub fn encode(&self, text: &str) -> Vec<String> {
        let (normal, spans) = if self.bpe {
            let normal = self.vocabulary.normalize(text);
            let spans = self.merged(&normal);
            (normal, spans)
        } else {
            let (normal, spans) = self.vocabulary.encode_with_offsets(text);
            (normal, spans.into_iter().map(|(_, span)| span).collect())
        };
        let mut pieces: Vec<String> = Vec::new();
        let mut in_unknown = false;
        for span in spans {
            let unknown = !self.scores.contains_key(&normal[span.clone()]);
            match pieces.last_mut() {
                Some(run) if unknown && in_unknown => run.push_str(&normal[span]),
                _ => pieces.push(normal[span].into()),
            }
            in_unknown = unknown;
        }
        pieces
    }

    /// The text of pieces.
    pub fn decode(&self, pieces: &[String]) -> String {
        let known: String = pieces.iter().filter(|piece| *piece != UNKNOWN).map(String::as_str).collect();
        known.replace(SPACE, " ").trim().into()
    }

    /// Byte pair encoding: of the neighbours that make a piece together, those of the best score become one, the
    /// first of them where several have it, until none is left.
    fn merged(&self, text: &str) -> Vec<Range<usize>> {
        let mut bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        loop {
            let pairs = bounds.windows(3).enumerate();
            let scored = pairs.filter_map(|(nth, pair)| Some((nth, *self.scores.get(&text[pair[0]..pair[2]])?)));
            let best = scored.reduce(|best, next| if next.1 > best.1 { next } else { best });
            let Some((nth, _)) = best else { break };
            bounds.remove(nth + 1);
        }
        bounds.windows(2).map(|span| span[0]..span[1]).collect()
    }
}

/// How a trainer was told to divide text.
fn model_type(message: &[u8]) -> Option<u64> {
    Fields(message).find_map(|field| match field {
        (3, Value::Number(kind)) => Some(kind),
        _ => None,
    })
}

/// A piece of text with its score; none of the other kinds of pieces, as `</s>`.
fn plain(message: &[u8]) -> Option<(String, f32)> {
    const NORMAL: u64 = 1;
    const USER_DEFINED: u64 = 4;
    let (mut piece, mut score, mut kind) = (None, 0.0, NORMAL);
    for field in Fields(message) {
        match field {
            (1, Value::Bytes(text)) => piece = Some(str::from_utf8(text).ok()?.to_owned()),
            (2, Value::Float(value)) => score = value,
            (3, Value::Number(value)) => kind = value,
            _ => {}
        }
    }
    piece.filter(|_| matches!(kind, NORMAL | USER_DEFINED)).map(|piece| (piece, score))
}

/// The fields of a protocol buffer's message, up to its end or to what is none.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length.try_into().ok()?)?)
            }
            5 => Value::Float(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A base 128 varint.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
