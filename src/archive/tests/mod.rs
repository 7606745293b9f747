mod crash;
pub(crate) mod media;
mod vod;

use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    model::{Anchor, Cue, LanguageTag, MediaTime, RenditionId, Source, StreamName, Word},
    store::{Recording, Store},
};
use media::Clip;

/// 2026-11-21T09:30:00Z
pub(crate) fn live() -> LiveInfo {
    LiveInfo {
        channel: StreamName::parse("maths").unwrap(),
        title: "Algebra".into(),
        language: lang("en"),
        anchor: Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_253_400)),
    }
}

pub(crate) fn lang(tag: &str) -> LanguageTag {
    LanguageTag::parse(tag).unwrap()
}

pub(crate) fn cue(id: u64, rev: u32, tag: &str, start: i64, end: i64, text: &str) -> Cue {
    let (start, end) = (MediaTime::from_millis(start), MediaTime::from_millis(end));
    Cue {
        id,
        rev,
        lang: lang(tag),
        start,
        end,
        text: text.into(),
        stable_len: 0,
        is_final: true,
        words: vec![Word { text: text.into(), start, end, confidence: 0.5 }],
        source: Source::Asr,
    }
}

/// Records a whole clip with cues.
pub(crate) async fn record(store: &Store, clip: &Clip, cues: &[Cue]) -> Recording {
    let recorder = Recorder::start(store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    clip.parts.iter().for_each(|part| recorder.part(part));
    cues.iter().for_each(|cue| recorder.cue(cue));
    recorder.finish().await.unwrap().unwrap()
}

pub(crate) fn folder(store: &Store, recording: &Recording) -> PathBuf {
    store.recordings_dir().join(recording.id.as_str())
}

/// Decodes everything with ffmpeg, which must not complain; video frames and audio seconds decoded.
pub(crate) fn play(url: &str) -> (u64, f64) {
    let decode = |map: &str| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i", url, "-map", map, "-f", "framecrc", "-"])
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{url} {map}: {complaints}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let frames = decode("0:v:0").len() as u64;
    let samples: u64 =
        decode("0:a:0").iter().map(|line| line.split(',').nth(3).unwrap().trim().parse::<u64>().unwrap()).sum();
    (frames, samples as f64 / 48_000.0)
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

pub(crate) fn media_playlist(path: impl AsRef<Path>) -> m3u8_rs::MediaPlaylist {
    let text = std::fs::read(path).unwrap();
    m3u8_rs::parse_media_playlist_res(&text).unwrap()
}

pub(crate) fn seconds(playlist: &m3u8_rs::MediaPlaylist) -> f64 {
    playlist.segments.iter().map(|segment| f64::from(segment.duration)).sum()
}

fn rung() -> RenditionId {
    RenditionId::rung(120)
}
