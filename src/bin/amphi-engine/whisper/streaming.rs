//! LocalAgreement-2, and trust in what lies well behind the end, over a growing stretch of audio, cut at the ends of sentences and at pauses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amphi::{
    model::{Hypothesis, LanguageTag, MediaTime, Pcm, Word},
    speech::{Load, Recognizer},
};
use anyhow::Result;

use super::{
    decode::{Decoded, Task, Timed},
    guard,
    mel::{Frames, Mel},
    vad::{FRAME, Vad, loudness},
};

/// What [`Streaming`] needs of a model.
pub trait Decode: Send {
    /// How to make features.
    fn mel(&self) -> &Mel;
    /// Decodes once.
    ///
    /// # Errors
    /// The model refused.
    fn decode(&self, task: &Task<'_>) -> Result<Decoded>;
}

impl Decode for Arc<super::Model> {
    fn mel(&self) -> &Mel {
        super::Model::mel(self)
    }

    fn decode(&self, task: &Task<'_>) -> Result<Decoded> {
        super::Model::decode(self, task)
    }
}

/// When audio is decoded, in frames of 10 ms.
struct Pace {
    /// New audio between two decodings …
    step: usize,
    /// … or so many times what they took lately, their turn's wait included, if that is longer: who shares a busy
    /// machine asks less of it, and sooner than anything has to be left out.
    rest: u32,
    /// Silence after which what was said is decoded at once and taken as it is.
    pause: usize,
    /// Words that two decodings agree on are stable.
    agree: bool,
    /// One decoding is enough for words that have this much audio behind them: attention that does
    /// not lie on the last frames does not wait for more (AlignAtt, arXiv 2305.11408) …
    trust: usize,
    /// … and that are as probable as this.
    sure: f32,
    /// Samples taken between two looks at the above.
    stride: usize,
}

/// Captions: early and often; audio that has piled up is taken in one go.
const LIVE: Pace =
    Pace { step: 70, rest: 2, pause: 30, agree: true, trust: 30, sure: 0.9, stride: 2 * Pcm::RATE as usize };
/// Files: as much context and as little work as possible.
const FILE: Pace =
    Pace { step: 1_000, rest: 0, pause: SILENCE, agree: false, trust: 100, sure: 0.0, stride: Pcm::RATE as usize / 10 };
/// Frames of silence that end an utterance.
const SILENCE: usize = 60;
/// Frames kept from before speech begins.
const LEAD: usize = 30;
/// Frames of silence that no word has inside.
const GAP: usize = 15;
/// Frames after which an utterance is closed at a stable word, sentence or not.
const LONG: usize = 800;
/// Frames after which it is closed whatever is stable.
const TOO_LONG: usize = 1_200;
/// Frames of new audio that a decoding takes at most: an utterance as long as can be, these and [`PADDING`] fit the
/// longest window there is. What lies behind a window's end is not heard.
const MOST: usize = 1_000;
/// The shortest window the encoder gets, and the silence behind the speech. Windows padded more
/// tightly make Whisper loop.
const WINDOW: usize = 1_500;
const PADDING: usize = 700;
/// Tokens of earlier text given as context.
const CONTEXT: usize = 40;

/// One stream's recogniser.
pub struct Streaming<D> {
    model: D,
    language: String,
    pace: Pace,
    load: Load,
    vad: Vad,
    /// Time of the first sample of `audio`; nothing before the first samples.
    base: Option<MediaTime>,
    /// The open utterance, beginning up to [`LEAD`] before it.
    audio: Vec<i16>,
    /// Loudness of each whole frame of `audio`.
    levels: Vec<f32>,
    frames: Frames,
    /// Frames up to the last one with speech; zero: nobody has spoken.
    spoken: usize,
    /// Frames decoded last time.
    decoded: usize,
    /// How long the last two decodings took.
    took: [Duration; 2],
    stable: Vec<Timed>,
    /// What the last decoding gave beyond `stable`.
    open: Vec<Timed>,
    /// The utterance has been shown, as far as it goes.
    shown: bool,
    context: Vec<usize>,
    /// Where the last word returned ends.
    said: MediaTime,
}

impl<D: Decode> Streaming<D> {
    /// A recogniser for one stream. `live`: rather take much audio at once than fall behind.
    pub fn new(model: D, language: &LanguageTag, live: bool) -> Self {
        Self {
            model,
            language: language.primary().to_owned(),
            pace: if live { LIVE } else { FILE },
            load: Load::NORMAL,
            vad: Vad::new(),
            base: None,
            audio: Vec::new(),
            levels: Vec::new(),
            frames: Frames::default(),
            spoken: 0,
            decoded: 0,
            took: [Duration::ZERO; 2],
            stable: Vec::new(),
            open: Vec::new(),
            shown: false,
            context: Vec::new(),
            said: MediaTime::from_nanos(i64::MIN),
        }
    }

    fn take(&mut self, samples: &[i16], out: &mut Vec<Hypothesis>) -> Result<()> {
        self.audio.extend_from_slice(samples);
        let (whole, _) = self.audio[self.levels.len() * FRAME..].as_chunks::<FRAME>();
        for frame in whole {
            let level = loudness(frame);
            self.levels.push(level);
            if self.vad.push(level) {
                self.spoken = self.levels.len();
            }
        }
        if self.spoken == 0 {
            self.cut(self.levels.len().saturating_sub(LEAD));
            return Ok(());
        }
        let silence = self.levels.len() - self.spoken;
        if silence >= SILENCE {
            return self.close(out);
        }
        if silence >= self.pace.pause && self.decoded < self.spoken {
            self.step(true, out)?;
        } else if self.levels.len() >= self.decoded + self.awaited() && self.decoded < self.spoken {
            self.step(false, out)?;
        }
        Ok(())
    }

    /// How many frames of new audio the next decoding waits for.
    fn awaited(&self) -> usize {
        // One that took long alone is a hiccup.
        let lately = self.took[0].min(self.took[1]) * self.pace.rest;
        (self.pace.step.max(lately.as_millis() as usize / 10) * self.load.stretch()).min(MOST)
    }

    /// Decodes, and returns what changed. `settled`: the audio is complete, so the text is.
    fn step(&mut self, settled: bool, out: &mut Vec<Hypothesis>) -> Result<()> {
        let heard = self.decode()?;
        let stable = if settled { heard.len() } else { self.trusted(&heard) };
        self.open = heard;
        self.stable.extend(self.open.drain(..stable));
        let before = self.stable.len();
        self.close_sentence(out);
        if before == self.stable.len() {
            self.close_long(out);
        }
        let count = self.stable.len() + self.open.len();
        if count > 0 {
            out.push(self.hypothesis(count, false));
            self.shown = true;
        } else {
            self.take_back(out);
        }
        Ok(())
    }

    /// How many of the words just decoded are stable.
    fn trusted(&self, heard: &[Timed]) -> usize {
        let agreed = if self.pace.agree { agreed(&self.open, heard) } else { 0 };
        let edge = self.levels.len().saturating_sub(self.pace.trust) as f64 / 100.0;
        let sure = |word: &&Timed| word.end < edge && word.confidence >= self.pace.sure;
        agreed + heard[agreed..].iter().take_while(sure).count()
    }

    /// The words beyond the stable ones.
    fn decode(&mut self) -> Result<Vec<Timed>> {
        let heard = self.levels.len();
        let window = (heard + PADDING).next_multiple_of(2).clamp(WINDOW, 3_000);
        let features = self.frames.features(self.model.mel(), &self.audio, window);
        let prefix: Vec<usize> = self.stable.iter().flat_map(|word| word.tokens.iter().copied()).collect();
        let task = Task { features, window, heard, language: &self.language, context: &self.context, prefix: &prefix };
        let began = Instant::now();
        let decoded = self.model.decode(&task)?;
        self.took = [self.took[1], began.elapsed()];
        self.decoded = heard;
        let mut words = decoded.words;
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let nobody = decoded.no_speech > 0.6 && decoded.log_prob < -1.0;
        if nobody || guard::is_loop(&texts, heard as f64 / 100.0) {
            // Whatever led the model astray shall not do so again.
            self.context.clear();
            return Ok(Vec::new());
        }
        let known = prefix.len();
        let mut tokens = 0;
        words.retain(|word| {
            let first = tokens;
            tokens += word.tokens.len();
            first >= known
        });
        words.truncate(guard::said(&words.iter().map(|word| word.start).collect::<Vec<_>>()));
        for word in &mut words {
            self.fit(word);
        }
        Ok(words)
    }

    /// Pulls a word's edges in to where its sound begins and ends. Attention is often vague about
    /// a pause: of several stretches of sound with [`GAP`] between them the longest is the word.
    fn fit(&self, word: &mut Timed) {
        let frame = |seconds: f64| ((seconds * 100.0) as usize).min(self.levels.len());
        let mut stretches: Vec<(usize, usize, usize)> = Vec::new();
        for index in frame(word.start)..frame(word.end) {
            if !self.vad.is_loud(self.levels[index]) {
                continue;
            }
            match stretches.last_mut() {
                Some((_, end, loud)) if index < *end + GAP => (*end, *loud) = (index + 1, *loud + 1),
                _ => stretches.push((index, index + 1, 1)),
            }
        }
        if let Some((first, end, _)) = stretches.into_iter().max_by_key(|(_, _, loud)| *loud) {
            word.start = word.start.max(first as f64 / 100.0);
            word.end = word.end.min(end as f64 / 100.0);
        }
    }

    /// Closes the utterance behind the last stable word that ends a sentence.
    fn close_sentence(&mut self, out: &mut Vec<Hypothesis>) {
        let ends = |word: &Timed| word.text.ends_with(['.', '?', '!', '\u{3002}', '\u{ff1f}', '\u{ff01}', '\u{061f}']);
        let Some(last) = self.stable.iter().rposition(ends) else { return };
        // A full stop at the very end may yet turn into a comma.
        if last + 1 < self.stable.len() + self.open.len() {
            self.close_at(last + 1, out);
        }
    }

    /// Closes an utterance that has no end in sight.
    fn close_long(&mut self, out: &mut Vec<Hypothesis>) {
        if self.levels.len() < LONG {
            return;
        }
        if self.levels.len() >= TOO_LONG {
            self.stable.append(&mut self.open);
            self.close_at(self.stable.len(), out);
        } else if !self.stable.is_empty() {
            self.close_at(self.stable.len(), out);
        }
    }

    /// What was shown of an utterance was nobody's words.
    fn take_back(&mut self, out: &mut Vec<Hypothesis>) {
        if std::mem::take(&mut self.shown) {
            out.push(self.hypothesis(0, true));
        }
    }

    /// The first `count` stable words are an utterance; the rest begins the next.
    fn close_at(&mut self, count: usize, out: &mut Vec<Hypothesis>) {
        if count == 0 {
            self.take_back(out);
            let all = self.levels.len();
            return self.cut(all.saturating_sub(LEAD));
        }
        self.shown = false;
        let end = self.stable[count - 1].end;
        let next = self.stable.get(count).or(self.open.first()).map(|word| word.start);
        out.push(self.hypothesis(count, true));
        self.context.extend(self.stable.drain(..count).flat_map(|word| word.tokens));
        let excess = self.context.len().saturating_sub(CONTEXT);
        self.context.drain(..excess);
        self.cut(self.quietest(end, next));
    }

    /// The quietest frame between two words: the times of both are a little uncertain.
    fn quietest(&self, end: f64, next: Option<f64>) -> usize {
        let frame = |seconds: f64| (seconds.max(0.0) * 100.0) as usize;
        let to = next.map_or(self.levels.len(), |next| frame(next + 0.1)).min(self.levels.len());
        let from = frame(end - 0.1).min(to);
        let smooth =
            |at: usize| -> f32 { self.levels[at.saturating_sub(2)..(at + 3).min(self.levels.len())].iter().sum() };
        (from..to).min_by(|a, b| smooth(*a).total_cmp(&smooth(*b))).unwrap_or(to)
    }

    /// The speaker is silent: everything is said.
    fn close(&mut self, out: &mut Vec<Hypothesis>) -> Result<()> {
        if self.decoded < self.spoken {
            self.open = self.decode()?;
        }
        self.stable.append(&mut self.open);
        self.close_at(self.stable.len(), out);
        self.cut(self.levels.len().saturating_sub(LEAD));
        self.spoken = 0;
        Ok(())
    }

    /// Forgets so many frames of audio from the front.
    fn cut(&mut self, frames: usize) {
        self.frames.skip(self.model.mel(), frames);
        self.levels.drain(..frames);
        self.audio.drain(..frames * FRAME);
        self.base = self.base.map(|base| base + Duration::from_millis(10) * frames as u32);
        self.spoken = self.spoken.saturating_sub(frames);
        self.decoded = self.decoded.saturating_sub(frames);
        for word in self.stable.iter_mut().chain(&mut self.open) {
            word.start = (word.start - frames as f64 / 100.0).max(0.0);
            word.end = (word.end - frames as f64 / 100.0).max(word.start);
        }
    }

    /// The first `count` words as the rest of the system knows them.
    fn hypothesis(&mut self, count: usize, last: bool) -> Hypothesis {
        let base = self.base.unwrap_or(MediaTime::ZERO);
        let mut after = self.said;
        let words: Vec<Word> = self
            .stable
            .iter()
            .chain(&self.open)
            .take(count)
            .map(|word| {
                let start = (base + Duration::from_secs_f64(word.start.max(0.0))).max(after);
                let end = (base + Duration::from_secs_f64(word.end.max(0.0))).max(start + Duration::from_millis(20));
                after = end;
                Word { text: word.text.clone(), start, end, confidence: word.confidence }
            })
            .collect();
        if last {
            self.said = after;
        }
        Hypothesis { stable: self.stable.len().min(words.len()), last, words }
    }
}

impl<D: Decode> Recognizer for Streaming<D> {
    fn accept(&mut self, pcm: &Pcm) -> Result<Vec<Hypothesis>> {
        let mut out = Vec::new();
        let expected = self.base.map(|base| base + Pcm::duration_of(self.audio.len()));
        let gap = expected.is_some_and(|expected| {
            pcm.start.since(expected).max(expected.since(pcm.start)) > Duration::from_millis(50)
        });
        if gap {
            out = self.finish()?;
        }
        if self.base.is_none() {
            self.base = Some(pcm.start);
        }
        for samples in pcm.samples.chunks(self.pace.stride) {
            self.take(samples, &mut out)?;
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<Hypothesis>> {
        let mut out = Vec::new();
        if self.spoken > 0 {
            self.close(&mut out)?;
        }
        self.cut(self.levels.len());
        self.audio.clear();
        self.frames = Frames::default();
        self.base = None;
        Ok(out)
    }

    fn settled(&self) -> MediaTime {
        self.base.unwrap_or(MediaTime::from_nanos(i64::MIN))
    }

    fn relax(&mut self, load: Load) {
        self.load = load;
    }
}

/// How many leading words both hypotheses have.
fn agreed(before: &[Timed], now: &[Timed]) -> usize {
    before.iter().zip(now).take_while(|(before, now)| before.text == now.text).count()
}

#[cfg(test)]
mod tests;
