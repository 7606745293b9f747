use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Result, at, boxes, layout::Folder};
use crate::model::{Init, Label, RenditionId};

/// No journal or cue line is longer.
pub(super) const LINE_LIMIT: usize = 64 * 1024;
/// More parts than a week of four a second has.
const MOST_PARTS: usize = 4_000_000;

/// One line of a rendition's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    Init(InitEntry),
    Part(PartEntry),
}

/// An initialisation segment: the first `length` bytes of `media-<version>.mp4`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InitEntry {
    pub(super) version: u32,
    pub(super) length: u64,
    pub(super) codecs: String,
    /// Width, height and frame rate; none for sound.
    pub(super) video: Option<Picture>,
    /// Channels; none for pictures.
    pub(super) channels: Option<u16>,
    /// What viewers choose it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<Label>,
}

/// What STREAM-INF says about a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: Option<f64>,
}

/// A part: `length` bytes at `offset` of `media-<init>.mp4`. Times in nanoseconds of media time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartEntry {
    pub(super) msn: u64,
    pub(super) index: u32,
    pub(super) init: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) start: i64,
    pub(super) duration: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) independent: bool,
    /// The segment is complete with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ends: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) discontinuity: bool,
}

/// A rendition as its journal tells it, every byte range of it checked against the media.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    pub(super) rendition: RenditionId,
    pub(super) inits: Vec<InitEntry>,
    pub(super) parts: Vec<PartEntry>,
}

impl InitEntry {
    pub(super) fn new(init: &Init) -> Self {
        let picture = |video: &crate::model::VideoFormat| Picture {
            width: video.width,
            height: video.height,
            frame_rate: video.frame_rate.filter(|rate| rate.is_finite()),
        };
        Self {
            version: init.version,
            length: init.data.len() as u64,
            codecs: init.format.codecs(),
            video: init.format.video().map(picture),
            channels: init.format.audio().map(|audio| audio.channels),
            label: init.label.clone(),
        }
    }
}

impl PartEntry {
    pub(super) fn end(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.duration).unwrap_or(i64::MAX))
    }
}

/// Reads a rendition's journal up to its first torn line or torn part, and cuts journal and media
/// off there, so that what remains is whole. Doing it again changes nothing.
pub(super) fn repair(folder: &Folder, rendition: &RenditionId) -> Result<Track> {
    let path = folder.journal(rendition);
    let mut track = Track { rendition: rendition.clone(), inits: Vec::new(), parts: Vec::new() };
    // The open media file, its version, its length and how much of it is accounted for.
    let mut media: Option<(File, u32, u64)> = None;
    let mut ends: Vec<(u32, u64)> = Vec::new();
    let kept = read_lines(&path, |entry: Entry| {
        let whole = match &entry {
            Entry::Init(init) => {
                let next = track.inits.last().is_none_or(|last| init.version > last.version);
                media = if next { open_init(folder, rendition, init)? } else { None };
                if media.is_some() {
                    ends.push((init.version, init.length));
                    track.inits.push(init.clone());
                }
                media.is_some()
            }
            Entry::Part(part) if track.parts.len() < MOST_PARTS => match (&media, ends.last_mut()) {
                (Some((file, version, length)), Some((_, end))) => {
                    let whole = part.init == *version
                        && part.offset == *end
                        && follows(track.parts.last(), part)
                        && is_whole(file, *length, part)?;
                    if whole {
                        *end += part.length;
                        track.parts.push(part.clone());
                    }
                    whole
                }
                _ => false,
            },
            Entry::Part(_) => false,
        };
        Ok(whole)
    })?;
    cut(&path, kept)?;
    for (version, end) in ends {
        cut(&folder.media(rendition, version), end)?;
    }
    Ok(track)
}

/// Calls `take` with each line's value until it says no, a line is torn or the file ends; returns
/// the length of the lines taken.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T) -> io::Result<bool>) -> Result<u64> {
    let mut lines = BufReader::new(File::open(path).map_err(at("open", path))?);
    let (mut kept, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = Read::take(&mut lines, LINE_LIMIT as u64).read_until(b'\n', &mut line).map_err(at("read", path))?;
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(kept) };
        let Ok(value) = serde_json::from_slice(text) else { return Ok(kept) };
        if !take(value).map_err(at("check the media of", path))? {
            return Ok(kept);
        }
        kept += read as u64;
    }
}

/// Shortens a file that is longer. Not synced: playlists name no byte behind the cut, and recovery
/// would only cut again.
pub(super) fn cut(path: &Path, length: u64) -> Result<()> {
    if fs::metadata(path).map_err(at("look at", path))?.len() > length {
        tracing::warn!(path = %path.display(), length, "cutting off a torn end");
        let file = OpenOptions::new().write(true).open(path).map_err(at("open", path))?;
        file.set_len(length).map_err(at("cut", path))?;
    }
    Ok(())
}

/// The media file of an init, its version and its length, if the init is there.
fn open_init(folder: &Folder, rendition: &RenditionId, init: &InitEntry) -> io::Result<Option<(File, u32, u64)>> {
    const LIMIT: u64 = 1024 * 1024;
    let file = match File::open(folder.media(rendition, init.version)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if init.length > length.min(LIMIT) {
        return Ok(None);
    }
    let mut head = vec![0; usize::try_from(init.length).map_err(io::Error::other)?];
    file.read_exact_at(&mut head, 0)?;
    Ok(boxes::is_init(&head).then_some((file, init.version, length)))
}

/// Whether a part may come after another: garbage that parses must not send time or numbers back.
/// Reordered frames may, by a little: a part of one P frame is shown after the B frames of the next.
fn follows(last: Option<&PartEntry>, part: &PartEntry) -> bool {
    const DAY: u64 = 24 * 3_600 * 1_000_000_000;
    const REORDERING: i64 = 10 * 1_000_000_000;
    let after = |last: &PartEntry| part.msn >= last.msn && part.start >= last.start.saturating_sub(REORDERING);
    (1..DAY).contains(&part.duration) && part.msn < u64::MAX && last.is_none_or(after)
}

fn is_whole(file: &File, length: u64, part: &PartEntry) -> io::Result<bool> {
    if part.offset.checked_add(part.length).is_none_or(|end| end > length) {
        return Ok(false);
    }
    boxes::is_whole_fragment(part.length, |at, buffer| file.read_exact_at(buffer, part.offset + at))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
