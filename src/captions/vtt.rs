//! WebVTT (W3C WebVTT §4): writing tracks, joining parts, reading files.

use std::{collections::HashSet, fmt::Write, time::Duration};

use bytes::Bytes;

use super::{builder::reading_time, join, text};
use crate::{
    model::{Cue, MediaTime},
    translate::{Text, Translator},
};

/// Head of every document in a live rendition; maps cue times to media time one to one
/// (rfc8216bis §3.1.4).
///
/// The point it maps is not zero: hls.js takes a difference of exactly zero between this map and
/// its own base for a missing map and then places cues behind a discontinuity wrongly.
pub const LIVE_HEAD: &str = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:630,LOCAL:00:00:00.007\n\n";

/// No cue is shown for longer.
pub(super) const AROUND: Duration = Duration::from_secs(30);

/// Cues [`parse`] takes from one file.
const MOST_CUES: usize = 100_000;
/// Characters [`parse`] takes from one cue.
const LONGEST_TEXT: usize = 10_000;

/// One cue of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The identifier line, where there is one.
    pub id: Option<String>,
    /// When it appears.
    pub start: MediaTime,
    /// When it goes; `start < end`.
    pub end: MediaTime,
    /// Cue settings as they stand in the file: `line:0 align:start`.
    pub settings: String,
    /// Plain text, lines divided by `\n`; tags are gone, escapes undone.
    pub text: String,
}

/// Text as cue text holds it: `&`, `<` and `>` escaped, so that neither a tag nor `-->` can
/// arise; blank lines, which would end the cue, closed up.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.trim_matches(['\n', '\r', ' ']).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' if out.ends_with('\n') => {}
            '\n' | '\r' => out.push('\n'),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A time as WebVTT writes it, `HH:MM:SS.mmm`; what lies before zero is zero.
pub fn timestamp(time: MediaTime) -> String {
    let millis = time.as_nanos().max(0) / 1_000_000;
    let (s, ms) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

/// The whole track with true times: its cues [`join()`]ed, not overlapping, in balanced lines of at most
/// 42 characters, each long enough to read where the next one leaves room.
pub fn document<'a>(cues: impl IntoIterator<Item = &'a Cue>) -> String {
    let cues = join(cues);
    let mut out = String::from("WEBVTT\n\n");
    for (nth, cue) in cues.iter().enumerate() {
        let end = shown_until(cue, cues.get(nth + 1));
        block(&mut out, &cue.id.to_string(), cue.start, end, "", &text::lines(&cue.text));
    }
    out
}

/// What of a track is shown between two times, with its true times, as a segment of a live rendition. `cues` are those
/// of that time, and [`AROUND`] before and after it, in order. A cue that is shown longer stands in each segment alike.
pub(super) fn segment(cues: &[Cue], start: MediaTime, end: MediaTime) -> Bytes {
    let mut out = String::from(LIVE_HEAD);
    for (nth, cue) in cues.iter().enumerate() {
        let until = shown_until(cue, cues.get(nth + 1));
        if cue.start < end && until > start {
            block(&mut out, &cue.id.to_string(), cue.start, until, "", &text::lines(&cue.text));
        }
    }
    out.into()
}

/// When a cue goes: once it has been said and can have been read, or the next one comes.
fn shown_until(cue: &Cue, next: Option<&Cue>) -> MediaTime {
    let next = next.map_or(MediaTime::from_nanos(i64::MAX), |next| next.start);
    let wanted = cue.end.max(cue.start + reading_time(&cue.text));
    // Two cues that begin at the same instant keep a millisecond each.
    wanted.min(next).max(cue.start + Duration::from_millis(1))
}

/// Entries as a file.
pub fn write(entries: &[Entry]) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for entry in entries {
        let id = entry.id.as_deref().unwrap_or_default();
        block(&mut out, id, entry.start, entry.end, &entry.settings, &entry.text);
    }
    out
}

/// Appends one cue block.
pub(super) fn block(out: &mut String, id: &str, start: MediaTime, end: MediaTime, settings: &str, text: &str) {
    let id = id.replace("-->", "--").replace(['\n', '\r'], " ");
    if !id.is_empty() {
        let _ = writeln!(out, "{id}");
    }
    let gap = if settings.is_empty() { "" } else { " " };
    let _ = write!(out, "{} --> {}{gap}{settings}\n{}\n\n", timestamp(start), timestamp(end), escape(text));
}

/// The parts of a caption segment as the segment: one head, every cue once by its id.
///
/// Parts are documents of their own, so a segment is not their concatenation. Takes what
/// [`Lane`](super::Lane) makes; each part is bounded, and so is the result.
pub fn merge(parts: &[Bytes]) -> Bytes {
    let mut seen = HashSet::new();
    let mut out = String::from(LIVE_HEAD);
    for part in parts {
        let part = String::from_utf8_lossy(part);
        for cue in part.split("\n\n").skip(1) {
            let cue = cue.trim_matches('\n');
            let id = cue.lines().next().unwrap_or_default();
            if !cue.is_empty() && seen.insert(id.to_owned()) {
                out.push_str(cue);
                out.push_str("\n\n");
            }
        }
    }
    out.into()
}

/// Reads a WebVTT file as far as it can be read: notes, styles, regions and blocks without
/// a valid timing line are skipped. Takes at most 100,000 cues of 10,000 characters.
pub fn parse(file: &str) -> Vec<Entry> {
    let file = file.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut entries = Vec::new();
    let mut lines = file.lines().peekable();
    let mut before: Option<&str> = None;
    while let Some(line) = lines.next() {
        let Some((start, end, settings)) = timing(line) else {
            before = if line.trim().is_empty() { None } else { Some(line) };
            continue;
        };
        let id = before.take().filter(|id| !id.contains("-->") && !id.starts_with("WEBVTT")).map(Into::into);
        let mut text = String::new();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty() && !line.contains("-->")) {
            if text.len() < LONGEST_TEXT {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.extend(line.chars().take(LONGEST_TEXT));
            }
        }
        if start < end && entries.len() < MOST_CUES {
            entries.push(Entry { id, start, end, settings: settings.into(), text: untagged(&text) });
        }
    }
    entries
}

/// Translates a file's text, sentence by sentence across cue borders, and keeps the cues' times.
/// A sentence that spans several cues is divided among them by the length of their text.
///
/// # Errors
/// What the translator says; nothing is translated by halves.
pub fn translate(entries: &[Entry], translator: &mut dyn Translator) -> anyhow::Result<Vec<Entry>> {
    let sentences = sentences(entries);
    let mut outputs = Vec::with_capacity(sentences.len());
    for batch in sentences.chunks(16) {
        let texts: Vec<Text> = batch.iter().map(|sentence| sentence.text.as_str().into()).collect();
        let translated = translator.translate(&texts)?;
        anyhow::ensure!(translated.len() == texts.len(), "the translator lost a sentence");
        outputs.extend(translated);
        translator.refresh()?;
    }
    let mut result: Vec<Entry> = entries.iter().map(|entry| Entry { text: String::new(), ..entry.clone() }).collect();
    for (sentence, output) in sentences.iter().zip(outputs) {
        let weights: Vec<usize> = sentence.shares.iter().map(|(_, weight)| *weight).collect();
        for ((entry, _), piece) in sentence.shares.iter().zip(divide(&output, &weights)) {
            let text = &mut result[*entry].text;
            if !text.is_empty() && !piece.is_empty() {
                text.push(' ');
            }
            text.push_str(&piece);
        }
    }
    for entry in &mut result {
        entry.text = text::lines(&entry.text);
    }
    Ok(result)
}

struct Sentence {
    text: String,
    /// Which entries it runs through, with how many characters.
    shares: Vec<(usize, usize)>,
}

/// Longest run of words that is translated at once.
const LONGEST_SENTENCE: usize = 400;

fn sentences(entries: &[Entry]) -> Vec<Sentence> {
    let mut out: Vec<Sentence> = Vec::new();
    let mut open = Sentence { text: String::new(), shares: Vec::new() };
    let mut last_end: Option<MediaTime> = None;
    for (nth, entry) in entries.iter().enumerate() {
        if last_end.is_some_and(|end| entry.start.since(end) >= Duration::from_secs(2)) && !open.text.is_empty() {
            out.push(std::mem::replace(&mut open, Sentence { text: String::new(), shares: Vec::new() }));
        }
        last_end = Some(entry.end);
        for word in text::words(&entry.text) {
            if !open.text.is_empty() {
                open.text.push(' ');
            }
            open.text.push_str(word);
            let weight = text::chars(word) + 1;
            match open.shares.last_mut() {
                Some((entry, sum)) if *entry == nth => *sum += weight,
                _ => open.shares.push((nth, weight)),
            }
            if text::ends_sentence(word) || open.text.len() >= LONGEST_SENTENCE {
                out.push(std::mem::replace(&mut open, Sentence { text: String::new(), shares: Vec::new() }));
            }
        }
    }
    if !open.text.is_empty() {
        out.push(open);
    }
    out
}

/// Divides a text between words into as many pieces as there are weights, about in proportion.
pub(super) fn divide(text: &str, weights: &[usize]) -> Vec<String> {
    let total: usize = weights.iter().sum::<usize>().max(1);
    let length: usize = text::words(text).map(|word| text::chars(word) + 1).sum();
    let mut out = vec![String::new(); weights.len()];
    let (mut piece, mut until, mut position) = (0, weights.first().copied().unwrap_or(0), 0);
    for word in text::words(text) {
        let middle = position + text::chars(word).div_ceil(2);
        while piece + 1 < weights.len() && middle * total >= until * length {
            piece += 1;
            until += weights[piece];
        }
        if let Some(out) = out.get_mut(piece) {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
        position += text::chars(word) + 1;
    }
    out
}

/// A timing line: start, end, settings.
fn timing(line: &str) -> Option<(MediaTime, MediaTime, &str)> {
    let (start, rest) = line.split_once("-->")?;
    let rest = rest.trim();
    let (end, settings) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    Some((time(start.trim())?, time(end)?, settings.trim()))
}

/// `[HH:]MM:SS.mmm`; SubRip's comma passes too.
fn time(text: &str) -> Option<MediaTime> {
    let (clock, millis) = text.split_once(['.', ','])?;
    let mut seconds = 0_i64;
    let fields: Vec<&str> = clock.split(':').collect();
    let digits = |field: &str| !field.is_empty() && field.len() <= 6 && field.bytes().all(|b| b.is_ascii_digit());
    if !(2..=3).contains(&fields.len()) || !fields.iter().all(|field| digits(field)) || !digits(millis) {
        return None;
    }
    for field in fields {
        seconds = seconds * 60 + field.parse::<i64>().ok()?;
    }
    let millis: i64 = format!("{millis:0<3}").get(..3)?.parse().ok()?;
    Some(MediaTime::from_millis(seconds * 1_000 + millis))
}

/// Cue text without tags and escapes (W3C WebVTT §4.2.2).
fn untagged(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut tag = false;
    for c in text.chars() {
        match c {
            '<' => tag = true,
            '>' if tag => tag = false,
            _ if tag => {}
            c => out.push(c),
        }
    }
    for (escaped, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", "\u{a0}"),
        ("&lrm;", "\u{200e}"),
        ("&rlm;", "\u{200f}"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        out = out.replace(escaped, plain);
    }
    out
}
