use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Result, at};
use crate::{
    model::{Anchor, LanguageTag, RenditionId, StreamName},
    store::RecordingId,
};

/// No meta file is longer.
const META_LIMIT: u64 = 64 * 1024;

/// `recording.json`: what a recording is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Of this file; others are refused.
    pub(super) version: u32,
    pub(super) id: RecordingId,
    pub(super) channel: StreamName,
    pub(super) title: String,
    /// The language spoken.
    pub(super) language: LanguageTag,
    /// Wall clock of media time zero.
    pub(super) anchor: Anchor,
}

/// The files of one recording.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Meta {
    pub(super) const VERSION: u32 = 1;
}

impl Folder {
    pub(super) fn new(recordings: &Path, id: &RecordingId) -> Self {
        Self { path: recordings.join(id.as_str()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn meta(&self) -> PathBuf {
        self.path.join("recording.json")
    }

    pub(super) fn rendition(&self, rendition: &RenditionId) -> PathBuf {
        self.path.join(rendition.as_str())
    }

    pub(super) fn journal(&self, rendition: &RenditionId) -> PathBuf {
        self.rendition(rendition).join("index.jsonl")
    }

    pub(super) fn media(&self, rendition: &RenditionId, init: u32) -> PathBuf {
        self.rendition(rendition).join(media_name(init))
    }

    /// What stood in for the publisher, for those who go back while the live is on.
    pub(super) fn aside(&self, rendition: &RenditionId) -> PathBuf {
        self.rendition(rendition).join("aside.mp4")
    }

    pub(super) fn captions(&self, language: &LanguageTag) -> PathBuf {
        self.path.join(format!("captions-{language}.jsonl"))
    }

    /// Room kept for finishing; see [`Folder::make_room`].
    pub(super) fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Gives back the room that was kept, if it still is.
    pub(super) fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    pub(super) fn multivariant(&self) -> PathBuf {
        self.path.join("index.m3u8")
    }

    /// Every rendition that has a journal, in no order.
    pub(super) fn renditions(&self) -> Result<Vec<RenditionId>> {
        let entries = fs::read_dir(&self.path).map_err(at("list", &self.path))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| RenditionId::parse(&name).ok()).filter(|id| self.journal(id).is_file()).collect())
    }

    /// Every language that has a cue log, by tag.
    pub(super) fn languages(&self) -> Result<Vec<LanguageTag>> {
        let entries = fs::read_dir(&self.path).map_err(at("list", &self.path))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let tag = |name: String| LanguageTag::parse(name.strip_prefix("captions-")?.strip_suffix(".jsonl")?).ok();
        let mut languages: Vec<_> = names.filter_map(tag).collect();
        languages.sort();
        Ok(languages)
    }

    pub(super) fn read_meta(&self) -> Result<Meta> {
        let path = self.meta();
        let file = File::open(&path).map_err(at("open", &path))?;
        let meta: Meta = serde_json::from_reader(io::Read::take(file, META_LIMIT))
            .map_err(|error| super::Error::Damaged(format!("recording.json: {error}")))?;
        if meta.version != Meta::VERSION {
            return Err(super::Error::Damaged(format!("recording.json has version {}", meta.version)));
        }
        if self.path.file_name().and_then(|name| name.to_str()) != Some(meta.id.as_str()) {
            return Err(super::Error::Damaged("recording.json names another recording".into()));
        }
        Ok(meta)
    }
}

/// A media file's name within its rendition's folder.
pub(super) fn media_name(init: u32) -> String {
    format!("media-{init}.mp4")
}

/// Puts a whole file in place at once: readers see the old or the new one.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&fresh);
        at("write", path)(error)
    })
}
