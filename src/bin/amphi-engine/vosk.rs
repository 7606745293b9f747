//! Vosk: equal blocks in, so that the same audio gives the same words; a final result at each pause.
//!
//! A file is recognised exactly as libvosk does it alone. A live has three needs more: noise under
//! digital silence ([`noise`]), words that are stable before their utterance ends ([`utterance`]),
//! and utterances that end in time whether or not the speaker pauses.

mod noise;
mod utterance;

use std::{sync::Arc, time::Duration};

use amphi::{
    model::{Hypothesis, MediaTime, Pcm, Word},
    speech::{Load, Recognizer, Tally},
};
use anyhow::{Context as _, Result};
use serde::Deserialize;

use self::utterance::Utterance;
use super::vosk_sys::{Decoder, Model};

/// Samples libvosk gets at a time: 100 ms. Its words depend on how the audio is cut.
const BLOCK: usize = 1_600;
/// After so much audio the decoder is replaced at the next pause: it only ever grows.
const RECYCLE: Duration = Duration::from_secs(600);
/// Samples of silence that bring all earlier audio to the decoder's result.
const FLUSH: usize = 8 * BLOCK;
/// How far the lattice's end falls behind the audio before libvosk has it grow: 60 frames of the decoder
/// (`determinize-max-delay`), which itself is some 300 ms behind. Until then it stays as it was.
const GROWS: Duration = Duration::from_millis(2_100);
/// Blocks between two looks at a lattice that may have grown.
const PATIENCE: u32 = 3;
/// Blocks between two looks at the best path or the lattice under load, at least.
const SHED: u32 = 5;

/// One stream's recogniser.
pub struct Streaming {
    model: Arc<Model>,
    live: bool,
    decoder: Decoder,
    /// When the decoder's first sample sounds; nothing before it got any.
    base: Option<MediaTime>,
    /// Samples the decoder has had.
    fed: usize,
    /// Samples it shall get; after a round less than a block.
    rest: Vec<i16>,
    /// Where the last final word ends.
    said: MediaTime,
    settled: MediaTime,
    utterance: Utterance,
    /// In a live the audio of the utterance, as it came: behind a cut it is heard again.
    audio: Vec<i16>,
    /// The best path, the lattice's words, and how many blocks ago these were looked at.
    path: String,
    lattice: Vec<Word>,
    age: u32,
    load: Load,
}

impl Streaming {
    /// A recogniser for one stream; in one that is not `live` words come when they are final.
    ///
    /// # Errors
    /// libvosk made none.
    pub fn new(model: Arc<Model>, live: bool) -> Result<Self> {
        let decoder = Decoder::new(model.clone())?;
        let never = MediaTime::from_nanos(i64::MIN);
        Ok(Self {
            model,
            live,
            decoder,
            base: None,
            fed: 0,
            rest: Vec::new(),
            said: never,
            settled: never,
            utterance: Utterance::default(),
            audio: Vec::new(),
            path: String::new(),
            lattice: Vec::new(),
            age: 0,
            load: Load::NORMAL,
        })
    }

    fn block(&mut self, mut samples: Vec<i16>, out: &mut Vec<Hypothesis>) -> Result<()> {
        if self.live {
            self.audio.extend_from_slice(&samples);
            let first = self.now().to_ticks(Pcm::RATE);
            noise::add(&mut samples, first as u64);
        }
        let paused = self.decoder.accept(&samples)?;
        self.fed += samples.len();
        if paused {
            let result = self.decoder.result();
            let words = self.final_words(&result)?;
            self.last(words, self.now(), out);
            if Pcm::duration_of(self.fed) >= RECYCLE {
                self.restart(self.now())?;
            }
        } else if self.live {
            self.listen(out)?;
        }
        Ok(())
    }

    /// What is known of the utterance in progress, and its end if it has gone on for too long.
    fn listen(&mut self, out: &mut Vec<Hypothesis>) -> Result<()> {
        self.age += 1;
        if self.load.sheds_partials() && self.age < SHED * self.load.stretch() as u32 {
            return Ok(());
        }
        let now = self.now();
        let partial: Partial = serde_json::from_str(&self.decoder.path()).context("libvosk partial result")?;
        let news = partial.partial != self.path;
        self.path = partial.partial;
        let known = self.lattice.last().map_or(self.settled, |word| word.end);
        // Where every word is stable the lattice has nothing to add.
        let look = self.age >= PATIENCE && now.since(known) >= GROWS && (news || !self.utterance.is_settled());
        if look {
            let lattice: Partial = serde_json::from_str(&self.decoder.lattice()).context("libvosk partial result")?;
            self.lattice = self.words(&lattice.partial_result);
        }
        if look || self.load.sheds_partials() {
            self.age = 0;
        }
        if news || look {
            let path: Vec<&str> = self.path.split_whitespace().collect();
            out.extend(self.utterance.partial(&path, &self.lattice, now));
        }
        if self.utterance.is_long(&self.lattice, now) { self.cut(out) } else { Ok(()) }
    }

    /// Ends the utterance between two words; what follows them is heard again as the next one.
    ///
    /// The decoder is not replaced: one that has to get used to the speaker anew hears worse.
    fn cut(&mut self, out: &mut Vec<Hypothesis>) -> Result<()> {
        let now = self.now();
        // The decoder lies behind the audio; silence pushes the last of it through.
        let mut silence = vec![0; FLUSH];
        noise::add(&mut silence, 0);
        self.decoder.accept(&silence)?;
        let result = self.decoder.result();
        let mut words = self.final_words(&result)?;
        let at = self.utterance.cut(&words, now);
        let boundary = at.map_or(now, |at| words[at - 1].end + words[at].start.since(words[at - 1].end) / 2);
        words.truncate(at.unwrap_or(words.len()));
        let behind = now.to_ticks(Pcm::RATE).abs_diff(boundary.to_ticks(Pcm::RATE)) as usize;
        let again = self.audio.split_off(self.audio.len().saturating_sub(behind));
        self.last(words, boundary, out);
        self.rest.splice(..0, again);
        self.fed += FLUSH;
        self.base = Some(boundary - Pcm::duration_of(self.fed));
        Ok(())
    }

    /// The utterance ends at `end` with these words.
    fn last(&mut self, words: Vec<Word>, end: MediaTime, out: &mut Vec<Hypothesis>) {
        if let Some(word) = words.last() {
            self.said = word.end;
        }
        out.extend(self.utterance.last(words));
        self.settled = end;
        self.audio.clear();
        self.path.clear();
        self.lattice.clear();
        self.age = 0;
    }

    /// A fresh decoder, whose time begins at `base`.
    fn restart(&mut self, base: MediaTime) -> Result<()> {
        self.decoder = Decoder::new(self.model.clone())?;
        self.base = Some(base);
        self.fed = 0;
        Ok(())
    }

    fn now(&self) -> MediaTime {
        self.base.unwrap_or(MediaTime::ZERO) + Pcm::duration_of(self.fed)
    }

    fn final_words(&self, json: &str) -> Result<Vec<Word>> {
        let result: Final = serde_json::from_str(json).context("libvosk result")?;
        Ok(self.words(&result.result))
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
        self.rest.extend_from_slice(&pcm.samples);
        while self.rest.len() >= BLOCK {
            let block = self.rest.drain(..BLOCK).collect();
            self.block(block, &mut out)?;
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<Hypothesis>> {
        let mut out = Vec::new();
        while !self.rest.is_empty() {
            let block: Vec<i16> = self.rest.drain(..self.rest.len().min(BLOCK)).collect();
            self.block(block, &mut out)?;
        }
        if self.fed > 0 {
            let result = self.decoder.finish();
            let words = self.final_words(&result)?;
            self.last(words, self.now(), &mut out);
            self.restart(self.now())?;
        }
        self.base = None;
        Ok(out)
    }

    fn settled(&self) -> MediaTime {
        self.settled
    }

    fn relax(&mut self, load: Load) {
        self.load = load;
    }

    fn tally(&mut self) -> Tally {
        self.utterance.tally()
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
    partial: String,
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
