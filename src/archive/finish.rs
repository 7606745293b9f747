//! What is on disk → what plays. Blocking, and the same whether the live ended or the server died.

use std::{fs, time::Duration};

use super::{
    Error, Result, at, captions, journal,
    layout::{Folder, Meta, replace},
    playlist,
    timeline::Timeline,
};
use crate::{captions::join, model::LanguageTag};

/// A recording that plays.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finished {
    pub(super) meta: Meta,
    pub(super) duration: Duration,
    pub(super) languages: Vec<LanguageTag>,
    /// What it lacks, for people.
    pub(super) lacks: Option<String>,
}

/// Cuts off what is torn and writes captions, transcript and playlists; the multivariant playlist,
/// which makes it playable, comes last. Doing it again gives the same files.
///
/// # Errors
/// [`Error::Empty`], [`Error::Damaged`] or [`Error::File`]; nothing that can be played is lost by any.
pub(super) fn finish(folder: &Folder) -> Result<Finished> {
    let meta = folder.read_meta()?;
    folder.make_room();
    let mut tracks = Vec::new();
    for rendition in folder.renditions()? {
        tracks.push(journal::repair(folder, &rendition)?);
    }
    let timeline = Timeline::new(tracks).ok_or(Error::Empty)?;
    let languages = write_captions(folder, &meta, &timeline)?;
    let target = playlist::target(&timeline);
    for (track, segments) in &timeline.renditions {
        let text = playlist::media(track, segments, target, meta.anchor);
        replace(&folder.rendition(&track.rendition).join("stream.m3u8"), text.as_bytes())?;
    }
    replace(&folder.multivariant(), &playlist::multivariant(&timeline, &languages, &meta.language))?;
    let lacks = lacks(&timeline);
    Ok(Finished { meta, duration: timeline.duration(), languages, lacks })
}

fn write_captions(folder: &Folder, meta: &Meta, timeline: &Timeline) -> Result<Vec<LanguageTag>> {
    let into = folder.path().join("captions");
    fs::create_dir_all(&into).map_err(at("make", &into))?;
    let mut tracks = Vec::new();
    for language in folder.languages()? {
        let cues = captions::place(&join(&captions::read(&folder.captions(&language))?), timeline);
        let vtt = captions::vtt(&cues, &language, timeline);
        replace(&into.join(format!("{language}.vtt")), vtt.as_bytes())?;
        let list = playlist::captions(&language, timeline.duration());
        replace(&into.join(format!("{language}.m3u8")), list.as_bytes())?;
        tracks.push((language, cues));
    }
    let transcript = captions::transcript(meta, timeline, &tracks).to_string();
    replace(&folder.path().join("transcript.json"), transcript.as_bytes())?;
    Ok(tracks.into_iter().map(|(language, _)| language).collect())
}

fn lacks(timeline: &Timeline) -> Option<String> {
    let mut lacks = Vec::new();
    if timeline.missing > 0 {
        let segments = if timeline.missing == 1 { "segment is" } else { "segments are" };
        lacks.push(format!("{} {segments} missing", timeline.missing));
    }
    if !timeline.left_out.is_empty() {
        let names: Vec<_> = timeline.left_out.iter().map(ToString::to_string).collect();
        lacks.push(format!("{} covers too little and is left out", names.join(", ")));
    }
    (!lacks.is_empty()).then(|| lacks.join("; "))
}
