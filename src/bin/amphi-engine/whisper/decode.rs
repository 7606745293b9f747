//! One decoding: features in, timed words out, through CTranslate2.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use ct2rs::sys::{ComputeType, Config, Device, StorageView, Whisper, WhisperOptions};
use tokenizers::Tokenizer;

use super::{
    mel::{HOP, Mel},
    turns::Turns,
};

/// A loaded model. Shared by all streams, which take turns in order of arrival, as many at a time as there are
/// cores for: each copy of the model has its own memory, and the next is loaded when a stream would wait.
///
/// A turn is a whole decoding: with the library's own queue, of single calls, streams that come
/// at the same time would all end with the last. Its own replicas are of no use either: those of an
/// INT8 model on a CPU give nonsense.
pub struct Model {
    copies: Turns<Whisper>,
    dir: PathBuf,
    threads: usize,
    multilingual: bool,
    tokenizer: Tokenizer,
    mel: Mel,
}

/// What to decode and how to go about it.
pub struct Task<'a> {
    /// Bands × `window` log-mel features.
    pub features: Vec<f32>,
    /// Frames in `features`; even.
    pub window: usize,
    /// How much of it is audio, in frames.
    pub heard: usize,
    /// What a language other than English is asked for by: `fr`. Ignored by English-only models.
    pub language: &'a str,
    /// Tokens of what was said before this audio.
    pub context: &'a [usize],
    /// Tokens of how this audio begins; the text continues them.
    pub prefix: &'a [usize],
}

/// What a decoding gave.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The words, those of the prefix included.
    pub words: Vec<Timed>,
    /// Probability that nobody speaks.
    pub no_speech: f32,
    /// Mean log probability of the tokens.
    pub log_prob: f32,
}

/// A word within the audio decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Without the space before it.
    pub text: String,
    /// What it was made of.
    pub tokens: Vec<usize>,
    /// Seconds from the beginning of the audio.
    pub start: f64,
    /// Seconds; not before `start`.
    pub end: f64,
    /// 0 to 1.
    pub confidence: f32,
}

/// Encoder frames a second.
const FRAMES_PER_SECOND: f64 = 50.0;

impl Model {
    /// Loads the folder of a model converted for CTranslate2.
    ///
    /// # Errors
    /// A file is missing or unreadable; says which.
    pub fn open(dir: &Path, threads: usize) -> Result<Self> {
        for file in ["model.bin", "config.json", "tokenizer.json"] {
            let path = dir.join(file);
            if !path.is_file() {
                bail!(
                    "speech model file {} is missing: fetch the model again with `amphi models fetch`",
                    path.display()
                );
            }
        }
        let whisper = load(dir, threads)?;
        let tokenizer = Tokenizer::from_file(dir.join("tokenizer.json"))
            .map_err(|error| anyhow!("load tokenizer of {}: {error}", dir.display()))?;
        let (mel, multilingual) = (Mel::new(whisper.n_mels()), whisper.is_multilingual());
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let copies = Turns::new(whisper, cores / threads.max(1));
        Ok(Self { copies, dir: dir.to_owned(), threads, multilingual, tokenizer, mel })
    }

    /// How to make its features.
    pub fn mel(&self) -> &Mel {
        &self.mel
    }

    /// Whether it can be asked for this language (primary subtag).
    pub fn speaks(&self, language: &str) -> bool {
        if self.multilingual { self.id(&format!("<|{language}|>")).is_ok() } else { language == "en" }
    }

    /// Decodes once, greedily.
    ///
    /// # Errors
    /// The library refused; the next call may succeed.
    pub fn decode(&self, task: &Task<'_>) -> Result<Decoded> {
        let whisper = self.copies.take(|| load(&self.dir, self.threads));
        let mut features = task.features.clone();
        let shape = [1, self.mel.bands(), task.window];
        let features = StorageView::new(&shape, &mut features, Device::CPU)?;
        let encoded = whisper.encode(&features, false)?;
        let start = self.start(task.language)?;
        let prompt = self.prompt(task, &start)?;
        let seconds = (task.heard * HOP) as f64 / 16_000.0;
        let budget = 16 + (seconds * 12.0) as usize;
        let options = WhisperOptions {
            beam_size: 1,
            // The library generates at most half of it, and no more than it leaves after the prompt.
            max_length: (2 * budget).max(budget + prompt.len()).min(448),
            return_scores: true,
            return_no_speech_prob: true,
            ..WhisperOptions::default()
        };
        let results = whisper.generate(&encoded, &[prompt], &options)?;
        let result = results.into_iter().next().ok_or_else(|| anyhow!("whisper gave no result"))?;
        let generated = result.sequences_ids.into_iter().next().unwrap_or_default();
        let end = self.id("<|endoftext|>")?;
        // What follows <|notimestamps|> in the prompt comes back as the beginning of the result.
        let tokens: Vec<usize> = generated.into_iter().filter(|id| *id < end).collect();
        let words = if tokens.is_empty() { Vec::new() } else { self.align(&whisper, &encoded, &start, &tokens, task)? };
        Ok(Decoded { words, no_speech: result.no_speech_prob, log_prob: result.scores.first().copied().unwrap_or(0.0) })
    }

    fn start(&self, language: &str) -> Result<Vec<String>> {
        let mut start = vec!["<|startoftranscript|>".to_owned()];
        if self.multilingual {
            start.push(format!("<|{language}|>"));
            start.push("<|transcribe|>".to_owned());
        }
        Ok(start)
    }

    fn prompt(&self, task: &Task<'_>, start: &[String]) -> Result<Vec<String>> {
        let text = |ids: &[usize]| -> Result<Vec<String>> { ids.iter().map(|id| self.token(*id)).collect() };
        let mut prompt = Vec::new();
        if !task.context.is_empty() {
            prompt.push("<|startofprev|>".to_owned());
            prompt.extend(text(task.context)?);
        }
        prompt.extend_from_slice(start);
        prompt.push("<|notimestamps|>".to_owned());
        prompt.extend(text(task.prefix)?);
        Ok(prompt)
    }

    /// Word times from the cross attention (dynamic time warping over the model's alignment heads).
    fn align(
        &self,
        whisper: &Whisper,
        encoded: &StorageView<'_>,
        start: &[String],
        tokens: &[usize],
        task: &Task<'_>,
    ) -> Result<Vec<Timed>> {
        let start: Vec<usize> = start.iter().map(|token| self.id(token)).collect::<Result<_>>()?;
        let frames = task.heard.clamp(2, task.window);
        let aligned = whisper.align(encoded, &start, &[tokens.to_vec()], &[frames], 7)?;
        let aligned = aligned.into_iter().next().ok_or_else(|| anyhow!("whisper gave no alignment"))?;
        // When each token begins; one more than there are tokens, for the end of the last.
        let mut begins = vec![f64::NAN; tokens.len() + 1];
        for step in &aligned.alignments {
            let slot = usize::try_from(step.token_x).ok().and_then(|token| begins.get_mut(token));
            if let Some(slot) = slot.filter(|slot| slot.is_nan()) {
                *slot = step.frame_x as f64 / FRAMES_PER_SECOND;
            }
        }
        let mut last = frames as f64 / 100.0;
        for begin in begins.iter_mut().rev() {
            *begin = if begin.is_nan() { last } else { begin.min(last) };
            last = *begin;
        }
        let spaced = !matches!(task.language, "zh" | "ja" | "th" | "lo" | "my" | "yue" | "km");
        let mut words = Vec::new();
        let mut from = 0;
        while from < tokens.len() {
            let to = self.word_end(tokens, from, spaced)?;
            let text = self.text(&tokens[from..to])?.trim().to_owned();
            if let Some(last) = words.last_mut().filter(|_: &&mut Timed| is_mark(&text)) {
                // French writes a space before `?` and `!`, where a line must not break.
                if task.language == "fr" && !text.starts_with(['.', ',', '…']) {
                    last.text.push('\u{202f}');
                }
                last.text.push_str(&text);
                last.tokens.extend_from_slice(&tokens[from..to]);
            } else if !text.is_empty() {
                let sum: f32 = aligned.text_token_probs.get(from..to).map_or(0.0, |probs| probs.iter().sum());
                let confidence = sum / (to - from) as f32;
                let confidence = if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 };
                let tokens = tokens[from..to].to_vec();
                words.push(Timed { text, tokens, start: begins[from], end: begins[to], confidence });
            }
            from = to;
        }
        Ok(words)
    }

    /// Where the word that begins at `from` ends: before the next space, or in scripts without
    /// spaces after the next whole character.
    fn word_end(&self, tokens: &[usize], from: usize, spaced: bool) -> Result<usize> {
        let mut to = from + 1;
        while to < tokens.len() {
            let done = if spaced {
                self.token(tokens[to])?.starts_with('\u{120}')
            } else {
                !self.text(&tokens[from..to])?.contains('\u{fffd}')
            };
            if done {
                break;
            }
            to += 1;
        }
        Ok(to)
    }

    fn text(&self, tokens: &[usize]) -> Result<String> {
        let ids: Vec<u32> = tokens.iter().map(|id| *id as u32).collect();
        self.tokenizer.decode(&ids, true).map_err(|error| anyhow!("decode tokens: {error}"))
    }

    fn token(&self, id: usize) -> Result<String> {
        self.tokenizer.id_to_token(id as u32).ok_or_else(|| anyhow!("token {id} is not in the vocabulary"))
    }

    fn id(&self, token: &str) -> Result<usize> {
        let id = self.tokenizer.token_to_id(token).ok_or_else(|| anyhow!("{token} is not in the vocabulary"))?;
        Ok(id as usize)
    }
}

fn load(dir: &Path, threads: usize) -> Result<Whisper> {
    // Half the time of 32-bit floats at the same word error rate.
    let config = Config {
        device: Device::CPU,
        compute_type: ComputeType::INT8,
        num_threads_per_replica: threads,
        ..Config::default()
    };
    Whisper::new(dir, config).with_context(|| format!("load whisper model {}", dir.display()))
}

/// Whether a piece only closes what is before it.
fn is_mark(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|mark| "?!:;.,…»%".contains(mark))
}
