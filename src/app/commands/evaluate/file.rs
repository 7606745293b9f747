//! Files of text, with times where the format has them.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    captions::vtt,
    model::LanguageTag,
    quality::{self, Block},
};

/// A file's segments.
pub(super) struct Text {
    /// In order.
    pub segments: Vec<String>,
    /// With their times, of captions.
    pub blocks: Option<Vec<Block>>,
    /// Its segments are its author's sentences or lines, not an engine's captions.
    pub is_lines: bool,
}

/// What JSON files hold: sentences, `amphi transcribe`'s cues, or a recording's transcript.
#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    Sentences(Vec<Timed>),
    Cues { cues: Vec<Timed> },
    Tracks { tracks: Vec<Track> },
}

#[derive(Deserialize)]
struct Track {
    lang: String,
    cues: Vec<Timed>,
}

#[derive(Deserialize)]
struct Timed {
    start: f64,
    end: f64,
    text: String,
}

/// A caption of a file.
pub(super) fn block(entry: vtt::Entry) -> Block {
    Block { start: entry.start.as_secs_f64(), end: entry.end.as_secs_f64(), text: entry.text }
}

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).ok().with_context(|| format!("{} is not UTF-8: convert it", path.display()))?;
    Ok(text.strip_prefix('\u{feff}').map(Into::into).unwrap_or(text))
}

impl Text {
    /// Reads a file by its ending; `language` chooses the track where there are several.
    pub fn read(path: &Path, language: Option<&LanguageTag>) -> Result<Self> {
        let content = text(path)?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        let text = match ending.as_str() {
            "vtt" | "srt" => {
                let entries = vtt::parse(&content);
                ensure!(!entries.is_empty(), "{} holds no captions", path.display());
                Self::of(entries.into_iter().map(block).collect(), false)
            }
            "json" => Self::json(&content, language).with_context(|| path.display().to_string())?,
            "jsonl" => {
                let log = quality::Log::parse(&content).with_context(|| path.display().to_string())?;
                let lang = choose(log.tracks.keys().map(String::as_str), language)?;
                let cues = log.tracks.get(&lang).into_iter().flat_map(|track| track.cues.values());
                let block = |cue: &quality::Cue| Block { start: cue.start, end: cue.end, text: cue.text.clone() };
                Self::of(cues.map(block).filter(|cue| !cue.text.is_empty()).collect(), false)
            }
            "txt" | "" => Self { segments: content.lines().map(Into::into).collect(), blocks: None, is_lines: true },
            other => bail!(
                "{}: .{other} is no kind of text known here: give .txt, .vtt, .srt, .json or .jsonl",
                path.display()
            ),
        };
        Ok(text)
    }

    fn json(content: &str, language: Option<&LanguageTag>) -> Result<Self> {
        let found = serde_json::from_str(content)
            .context("expected a list of sentences with start, end and text, or `amphi transcribe --format json`")?;
        Ok(match found {
            Json::Sentences(sentences) => Self::of(sentences.into_iter().map(Timed::block).collect(), true),
            Json::Cues { cues } => Self::of(cues.into_iter().map(Timed::block).collect(), false),
            Json::Tracks { mut tracks } => {
                let lang = choose(tracks.iter().map(|track| track.lang.as_str()), language)?;
                tracks.retain(|track| track.lang == lang);
                Self::of(tracks.into_iter().flat_map(|track| track.cues).map(Timed::block).collect(), false)
            }
        })
    }

    fn of(blocks: Vec<Block>, is_lines: bool) -> Self {
        let segments = blocks.iter().map(|block| block.text.replace('\n', " ")).collect();
        Self { segments, blocks: Some(blocks), is_lines }
    }
}

impl Timed {
    fn block(self) -> Block {
        Block { start: self.start, end: self.end, text: self.text }
    }
}

/// The track asked for, or the only one.
fn choose<'a>(tracks: impl Iterator<Item = &'a str>, language: Option<&LanguageTag>) -> Result<String> {
    let tracks: Vec<&str> = tracks.collect();
    let there = tracks.join(", ");
    match (language.map(ToString::to_string), &tracks[..]) {
        (Some(wanted), _) if tracks.contains(&wanted.as_str()) => Ok(wanted),
        (Some(wanted), _) => bail!("there is no track {wanted}; there are {there}"),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => bail!("choose a track with --language: there are {there}"),
    }
}
