//! What a live's event log says of its captions.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::{figure, file, percent, table, texts::read_as};
use crate::{
    captions::vtt,
    model::{Cue, LanguageTag, MediaTime, Source},
    quality::{self, Against, Arrivals, Distances, Lags, Log, Reading, Sentence, TrackLog},
};

/// Prints the figures of every track, or of `language`. `truth` is a file of timed sentences and where in the
/// live it begins; it belongs to the tracks whose words have times, which are those of recognised speech.
pub(super) fn run(
    events: &Path,
    truth: Option<(&Path, f64)>,
    language: Option<&LanguageTag>,
    json: bool,
) -> Result<()> {
    let mut log = Log::parse(&file::text(events)?).with_context(|| events.display().to_string())?;
    let truth = truth.map(|(path, offset)| Ok::<_, anyhow::Error>((sentences(path)?, offset))).transpose()?;
    if let Some(language) = language {
        let there = log.tracks.keys().cloned().collect::<Vec<_>>().join(", ");
        log.tracks.retain(|lang, _| *lang == language.to_string());
        ensure!(!log.tracks.is_empty(), "the log has no track {language}; it has {there}");
    }
    let mut tracks = Map::new();
    for (lang, track) in &log.tracks {
        let reading = reading(&LanguageTag::parse(lang)?, track);
        let heard = track.cues.values().any(|cue| !cue.words.is_empty());
        let truth = truth.as_ref().filter(|_| heard);
        let known = truth.map(|(truth, offset)| track.against(truth, *offset)).transpose()?;
        if json {
            tracks.insert(lang.clone(), value(track, known.as_ref(), &reading));
        } else {
            print(lang, track, known.as_ref(), &reading);
        }
    }
    if json {
        println!("{:#}", json!({ "tracks": tracks }));
    }
    Ok(())
}

fn sentences(path: &Path) -> Result<Vec<Sentence>> {
    let sentences: Vec<Sentence> = serde_json::from_str(&file::text(path)?)
        .with_context(|| format!("{}: expected a list of sentences with start, end and text", path.display()))?;
    ensure!(!sentences.is_empty(), "{} holds no sentences", path.display());
    Ok(sentences)
}

/// How a track reads in its WebVTT document, which gives cues time where there is room.
fn reading(lang: &LanguageTag, track: &TrackLog) -> Reading {
    let cue = |cue: &quality::Cue| Cue {
        id: cue.id,
        rev: cue.rev,
        lang: lang.clone(),
        start: MediaTime::from_secs_f64(cue.start),
        end: MediaTime::from_secs_f64(cue.end),
        text: cue.text.clone(),
        stable_len: 0,
        is_final: cue.is_final,
        words: Vec::new(),
        source: Source::Asr,
    };
    let cues: Vec<Cue> = track.in_order().map(cue).collect();
    let blocks: Vec<_> = vtt::parse(&vtt::document(&cues)).into_iter().map(file::block).collect();
    Reading::of(&blocks)
}

fn value(track: &TrackLog, known: Option<&Against>, reading: &Reading) -> Value {
    let mut value = json!({
        "cues": track.cues.len(),
        "words": track.words(),
        "revisions": track.revisions,
        "erased": track.erased,
        "normalized_erasure": track.erasure(),
        "confidence": track.confidence(),
        "dropped": track.dropped,
        "reading": reading,
        "lag": track.arrivals(),
    });
    if let Some(known) = known {
        value["reference"] = json!(known);
    }
    value
}

fn print(lang: &str, track: &TrackLog, known: Option<&Against>, reading: &Reading) {
    println!("{lang}: {} words in {} cues, {} revisions", track.words(), track.cues.len(), track.revisions);
    let mut rows = vec![vec![
        "flicker".into(),
        track.erasure().map_or("–".into(), figure),
        format!("normalized erasure: {} words were taken back", track.erased),
    ]];
    if let Some(confidence) = track.confidence() {
        rows.push(vec!["confidence".into(), figure(confidence), "the engine's, on average".into()]);
    }
    rows.push(vec!["dropped".into(), track.dropped.to_string(), "pieces of audio or text the server lost".into()]);
    rows.push(vec!["reading".into(), String::new(), format!("{}, as WebVTT", read_as(reading))]);
    println!("{}", table(&rows));

    let own = track.arrivals();
    let mut rows = vec![["end of a word → its text", "words", "p50", "p95", "max", "≤ 2 s"].map(Into::into).to_vec()];
    lags(&mut rows, "the engine's times", &own);
    if let Some(known) = known {
        lags(&mut rows, "the reference's times", &known.words);
        lags(&mut rows, "ends of sentences", &known.sentences);
    }
    if rows.len() > 1 {
        println!("{}", table(&rows));
    } else {
        println!("no lags: the log has no arrivals; `amphi evaluate record` writes them\n");
    }
    let Some(known) = known else { return };
    let mut rows = vec![["how far off times are", "words", "p50", "p95", "max"].map(Into::into).to_vec()];
    for (what, off) in [("starts of sentences", known.starts), ("ends of sentences", known.ends)] {
        let Some(Distances { words, p50, p95, max }) = off else { continue };
        let times = [p50, p95, max].map(|value| format!("{value:.2} s"));
        rows.push([what.into(), words.to_string()].into_iter().chain(times).collect());
    }
    println!("{}", table(&rows));
}

fn lags(rows: &mut Vec<Vec<String>>, against: &str, arrivals: &Arrivals) {
    let kinds = [("shown", arrivals.shown), ("stable", arrivals.stable), ("last revision", arrivals.last)];
    for (kind, lags) in kinds.into_iter().filter_map(|(kind, lags)| Some((kind, lags?))) {
        let Lags { words, p50, p95, max, within_2s } = lags;
        let seconds = |value: f64| format!("{value:.2} s");
        rows.push(vec![
            format!("{kind}; {against}"),
            words.to_string(),
            seconds(p50),
            seconds(p95),
            seconds(max),
            percent(within_2s),
        ]);
    }
}
