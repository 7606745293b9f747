//! A recording's captions: the log of final cues → WebVTT and a transcript, in playing time.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use serde::Serialize;

use super::{
    Result,
    journal::{cut, read_lines},
    layout::Meta,
    timeline::Timeline,
};
use crate::{
    captions::words,
    model::{Cue, LanguageTag, Source},
};

/// No track has more cues: a day of one a second.
const MOST: usize = 100_000;
/// Characters of a caption line.
const LINE: usize = 42;

/// A cue in playing time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Placed {
    id: u64,
    /// Seconds of playing time.
    start: f64,
    end: f64,
    text: String,
    words: Vec<PlacedWord>,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PlacedWord {
    text: String,
    start: f64,
    end: f64,
    confidence: f32,
}

/// The newest revision of every cue of a log, by start. A torn end is cut off.
pub(super) fn read(path: &Path) -> Result<Vec<Cue>> {
    let mut cues: BTreeMap<u64, Cue> = BTreeMap::new();
    let kept = read_lines(path, |cue: Cue| {
        let newer = cues.get(&cue.id).is_none_or(|old| cue.rev >= old.rev);
        if newer && (cues.len() < MOST || cues.contains_key(&cue.id)) {
            cues.insert(cue.id, cue);
        }
        Ok(true)
    })?;
    cut(path, kept)?;
    let mut cues: Vec<_> = cues.into_values().collect();
    cues.sort_by_key(|cue| (cue.start, cue.id));
    Ok(cues)
}

/// Cues in playing time; those of which nothing was recorded are left out.
pub(super) fn place(cues: &[Cue], timeline: &Timeline) -> Vec<Placed> {
    let seconds = |time: Duration| (time.as_secs_f64() * 1e3).round() / 1e3;
    let place = |cue: &Cue| {
        let (start, end) = timeline.locate(cue.start, cue.end)?;
        let text = clean(&cue.text);
        let words = cue.words.iter().filter_map(|word| {
            let (start, end) = timeline.locate(word.start, word.end)?;
            let (start, end) = (seconds(start), seconds(end));
            Some(PlacedWord { text: word.text.clone(), start, end, confidence: word.confidence })
        });
        let words = words.collect();
        (!text.is_empty()).then(|| Placed {
            id: cue.id,
            start: seconds(start),
            end: seconds(end),
            text,
            words,
            source: cue.source,
        })
    };
    cues.iter().filter_map(place).collect()
}

/// A whole WebVTT track (W3C WebVTT §4). Its zero is the video's first frame: said to HLS players
/// by X-TIMESTAMP-MAP (rfc8216bis §3.1.4), true as it stands for a `<track>`.
pub(super) fn vtt(cues: &[Placed], language: &LanguageTag, timeline: &Timeline) -> String {
    // The map's clock has 33 bits, as in MPEG-TS.
    let origin = timeline.start().to_ticks(90_000).rem_euclid(1 << 33);
    let mut text = format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{origin},LOCAL:00:00:00.000\nLanguage: {language}\n");
    for cue in cues {
        let (start, end) = (stamp(cue.start), stamp(cue.end.max(cue.start + 0.001)));
        let _ = write!(text, "\n{}\n{start} --> {end}\n{}\n", cue.id, escape(&lines(&cue.text)));
    }
    text
}

/// `transcript.json`: every track, in playing time.
pub(super) fn transcript(meta: &Meta, timeline: &Timeline, tracks: &[(LanguageTag, Vec<Placed>)]) -> serde_json::Value {
    let started = jiff::Timestamp::try_from(meta.anchor.wall(timeline.start()));
    serde_json::json!({
        "id": meta.id,
        "channel": meta.channel,
        "title": meta.title,
        "language": meta.language,
        "started_at": started.map(|wall| format!("{wall:.3}")).ok(),
        "duration": timeline.duration().as_secs_f64(),
        "tracks": tracks.iter().map(|(lang, cues)| serde_json::json!({"lang": lang, "cues": cues})).collect::<Vec<_>>(),
    })
}

/// One line of text: a line break or other control character would end the cue.
fn clean(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// Breaks a text into as few lines of at most [`LINE`] characters as hold it, even in length.
fn lines(text: &str) -> String {
    let length = text.chars().count();
    let wanted = length.div_ceil(length.div_ceil(LINE).max(1));
    let (mut broken, mut line) = (String::with_capacity(text.len()), 0);
    for word in text.split(' ') {
        let word_length = word.chars().count();
        // The word may stick out where half of it or more still belongs to the line.
        let fits = line + 1 + word_length <= LINE && line + 1 + word_length / 2 <= wanted;
        if line > 0 && !fits {
            broken.push('\n');
            line = 0;
        } else if line > 0 {
            broken.push(' ');
            line += 1;
        }
        broken.push_str(word);
        line += word_length;
    }
    broken
}

/// Cue text escapes (WebVTT §4.2.2); with `>` escaped no `-->` can stand in a text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn stamp(seconds: f64) -> String {
    let millis = (seconds * 1e3).round() as u64;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", millis / 1_000 % 60, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_breaks_out_of_its_cue() {
        assert_eq!(escape("a --> b <script> &amp;"), "a --&gt; b &lt;script&gt; &amp;amp;");
        assert_eq!(clean("  one\r\n\n\u{85}two\0 three "), "one two three");
    }

    #[test]
    fn lines_are_few_even_and_lose_no_word() {
        let text = "the eigenvalues of a symmetric matrix are real and its eigenvectors are orthogonal";
        let broken = lines(text);
        assert_eq!(broken.replace('\n', " "), text);
        assert_eq!(broken.lines().count(), 2, "{broken}");
        assert!(broken.lines().all(|line| line.chars().count() <= LINE), "{broken}");
        assert_eq!(lines("short"), "short");
        assert_eq!(lines(&"x".repeat(100)), "x".repeat(100));
    }

    #[test]
    fn stamps() {
        assert_eq!(stamp(0.0), "00:00:00.000");
        assert_eq!(stamp(3_725.062_5), "01:02:05.063");
        assert_eq!(stamp(360_000.0), "100:00:00.000");
    }
}
