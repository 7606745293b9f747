//! Vosk: equal blocks in, so that the same audio gives the same words; a final result at each pause.

use std::{sync::Arc, time::Duration};

use amphi::{
    model::{Hypothesis, MediaTime, Pcm, Word},
    speech::Recognizer,
};
use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::vosk_sys::{Decoder, Model};

/// Samples libvosk gets at a time: 100 ms. Its words depend on how the audio is cut.
const BLOCK: usize = 1_600;
/// After so much audio the decoder is replaced at the next pause: it only ever grows.
const RECYCLE: Duration = Duration::from_secs(600);

/// One stream's recogniser.
pub struct Streaming {
    model: Arc<Model>,
    decoder: Decoder,
    /// When the decoder's first sample sounds; nothing before it got any.
    base: Option<MediaTime>,
    /// Samples the decoder has had.
    fed: usize,
    /// Less than a block, waiting for the rest of it.
    rest: Vec<i16>,
    /// Where the last final word ends.
    said: MediaTime,
    settled: MediaTime,
    /// The last partial, to say only what is new.
    partial: Vec<Word>,
}

impl Streaming {
    /// A recogniser for one stream.
    ///
    /// # Errors
    /// libvosk made none.
    pub fn new(model: Arc<Model>) -> Result<Self> {
        let decoder = Decoder::new(model.clone())?;
        let never = MediaTime::from_nanos(i64::MIN);
        Ok(Self {
            model,
            decoder,
            base: None,
            fed: 0,
            rest: Vec::new(),
            said: never,
            settled: never,
            partial: Vec::new(),
        })
    }

    fn block(&mut self, samples: &[i16], out: &mut Vec<Hypothesis>) -> Result<()> {
        let paused = self.decoder.accept(samples)?;
        self.fed += samples.len();
        if paused {
            let result = self.decoder.result();
            self.last(&result, out)?;
            if Pcm::duration_of(self.fed) >= RECYCLE {
                self.restart()?;
            }
        } else {
            let heard = self.decoder_partial()?;
            let words = self.words(&heard);
            if words != self.partial && !words.is_empty() {
                self.partial.clone_from(&words);
                out.push(Hypothesis { words, stable: 0, last: false });
            }
        }
        Ok(())
    }

    /// The final words of an utterance.
    fn last(&mut self, json: &str, out: &mut Vec<Hypothesis>) -> Result<()> {
        let result: Final = serde_json::from_str(json).context("libvosk result")?;
        let words = self.words(&result.result);
        self.partial.clear();
        self.settled = self.now();
        if let Some(end) = words.last().map(|word| word.end) {
            self.said = end;
            out.push(Hypothesis { stable: words.len(), words, last: true });
        }
        Ok(())
    }

    fn decoder_partial(&mut self) -> Result<Vec<Heard>> {
        let json = self.decoder.partial();
        let result: Partial = serde_json::from_str(&json).context("libvosk partial result")?;
        Ok(result.partial_result)
    }

    /// A fresh decoder, whose time begins where the old one's ended.
    fn restart(&mut self) -> Result<()> {
        self.decoder = Decoder::new(self.model.clone())?;
        self.base = Some(self.now());
        self.fed = 0;
        Ok(())
    }

    fn now(&self) -> MediaTime {
        self.base.unwrap_or(MediaTime::ZERO) + Pcm::duration_of(self.fed)
    }

    fn words(&self, heard: &[Heard]) -> Vec<Word> {
        let base = self.base.unwrap_or(MediaTime::ZERO);
        let mut after = self.said;
        heard
            .iter()
            .filter(|word| !word.word.trim().is_empty())
            .map(|word| {
                let at = |seconds: f64| base + Duration::try_from_secs_f64(seconds).unwrap_or_default();
                let start = at(word.start).max(after);
                let end = at(word.end).max(start + Duration::from_millis(10));
                after = end;
                Word { text: word.word.clone(), start, end, confidence: word.conf.clamp(0.0, 1.0) }
            })
            .collect()
    }
}

impl Recognizer for Streaming {
    fn accept(&mut self, pcm: &Pcm) -> Result<Vec<Hypothesis>> {
        let mut out = Vec::new();
        let expected = self.base.map(|_| self.now() + Pcm::duration_of(self.rest.len()));
        let apart = |expected: MediaTime| pcm.start.since(expected).max(expected.since(pcm.start));
        if expected.is_some_and(|expected| apart(expected) > Duration::from_millis(50)) {
            out = self.finish()?;
        }
        if self.base.is_none() {
            self.base = Some(pcm.start);
        }
        let mut samples = std::mem::take(&mut self.rest);
        samples.extend_from_slice(&pcm.samples);
        let blocks = samples.chunks_exact(BLOCK);
        self.rest = blocks.remainder().to_vec();
        for block in blocks {
            self.block(block, &mut out)?;
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<Hypothesis>> {
        let mut out = Vec::new();
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.block(&rest, &mut out)?;
        }
        if self.fed > 0 {
            let result = self.decoder.finish();
            self.last(&result, &mut out)?;
            self.restart()?;
        }
        self.base = None;
        Ok(out)
    }

    fn settled(&self) -> MediaTime {
        self.settled
    }
}

#[derive(Deserialize)]
struct Final {
    #[serde(default)]
    result: Vec<Heard>,
}

#[derive(Deserialize)]
struct Partial {
    #[serde(default)]
    partial_result: Vec<Heard>,
}

/// A word as libvosk writes it, in seconds of the decoder's time.
#[derive(Deserialize)]
struct Heard {
    word: String,
    start: f64,
    end: f64,
    #[serde(default)]
    conf: f32,
}
