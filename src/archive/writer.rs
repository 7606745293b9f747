use std::{
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Result, at,
    journal::{Entry, InitEntry, PartEntry},
    layout::{Folder, Meta, replace},
};
use crate::model::{Cue, Init, LanguageTag, Part, RenditionId};

/// How often what was written is forced onto the disk.
///
/// `kill -9` loses nothing that was written, synced or not: the kernel has it. Only a power cut
/// does, and then at most this much. Syncing each part would cost a disk with many lives more
/// seeks than it has; the journal is synced after the media it names, and recovery checks each
/// part, so that whatever order the disk chose, the recording is cut at the first part that is torn.
const SYNC: Duration = Duration::from_secs(5);

/// Room kept from the start, so that on a full disk playlists, captions and the database can still
/// be written: what those of ten hours take.
const BALLAST: usize = 8 * 1024 * 1024;

/// Writes one recording's files. Blocking: it lives on a thread of its own.
#[derive(Debug)]
pub(super) struct Writer {
    folder: Folder,
    tracks: HashMap<RenditionId, Track>,
    captions: HashMap<LanguageTag, File>,
    /// Files of what stands in, and their lengths.
    asides: HashMap<RenditionId, (File, u64)>,
    synced: Instant,
}

#[derive(Debug)]
struct Track {
    journal: File,
    media: File,
    init: u32,
    offset: u64,
}

impl Writer {
    /// Makes a recording's folder.
    pub(super) fn create(recordings: &Path, meta: &Meta) -> Result<Self> {
        let folder = Folder::new(recordings, &meta.id);
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(folder.path()).map_err(at("make", folder.path()))?;
        let json = serde_json::to_vec_pretty(meta).map_err(|error| at("write", folder.meta())(error.into()))?;
        replace(&folder.meta(), &json)?;
        fs::write(folder.ballast(), vec![0; BALLAST]).map_err(|error| {
            folder.make_room();
            at("keep room in", folder.path())(error)
        })?;
        sync_dir(folder.path()).and_then(|()| sync_dir(recordings)).map_err(at("sync", folder.path()))?;
        Ok(Self {
            folder,
            tracks: HashMap::new(),
            captions: HashMap::new(),
            asides: HashMap::new(),
            synced: Instant::now(),
        })
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Begins a rendition or, with a higher version, its next media file. A version already begun
    /// is ignored.
    pub(super) fn init(&mut self, init: &Init) -> io::Result<()> {
        if self.tracks.get(&init.rendition).is_some_and(|track| track.init >= init.version) {
            return Ok(());
        }
        let path = self.folder.rendition(&init.rendition);
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let media = self.folder.media(&init.rendition, init.version);
        let mut media = OpenOptions::new().append(true).create_new(true).open(media)?;
        media.write_all(&init.data)?;
        let mut journal = OpenOptions::new().append(true).create(true).open(self.folder.journal(&init.rendition))?;
        let length = init.data.len() as u64;
        write_line(&mut journal, &Entry::Init(InitEntry::new(init)))?;
        media.sync_data()?;
        journal.sync_data()?;
        sync_dir(&path)?;
        sync_dir(self.folder.path())?;
        let track = Track { journal, media, init: init.version, offset: length };
        if let Some(old) = self.tracks.insert(init.rendition.clone(), track) {
            old.media.sync_data()?;
        }
        Ok(())
    }

    /// Appends a part. Where in its file it begins; `None`: one without its init cannot be played and is not taken.
    pub(super) fn part(&mut self, part: &Part) -> io::Result<Option<u64>> {
        let Some(track) = self.tracks.get_mut(&part.rendition).filter(|track| track.init == part.init) else {
            return Ok(None);
        };
        track.media.write_all(&part.data)?;
        let entry = PartEntry {
            msn: part.msn,
            index: part.index,
            init: part.init,
            offset: track.offset,
            length: part.data.len() as u64,
            start: part.start.as_nanos(),
            duration: u64::try_from(part.duration.as_nanos()).unwrap_or(u64::MAX),
            independent: part.independent,
            ends: part.ends_segment,
            discontinuity: part.discontinuity,
        };
        let offset = track.offset;
        track.offset += entry.length;
        write_line(&mut track.journal, &Entry::Part(entry))?;
        if self.synced.elapsed() >= SYNC {
            self.sync()?;
        }
        Ok(Some(offset))
    }

    /// Appends a part that stands in for the publisher to a file that is not the recording's. Where it begins; `None`:
    /// its rendition has not begun.
    pub(super) fn stand_in(&mut self, part: &Part) -> io::Result<Option<u64>> {
        if !self.tracks.contains_key(&part.rendition) {
            return Ok(None);
        }
        let (file, length) = match self.asides.entry(part.rendition.clone()) {
            Occupied(known) => known.into_mut(),
            Vacant(new) => {
                let path = self.folder.aside(&part.rendition);
                new.insert((OpenOptions::new().append(true).create_new(true).open(path)?, 0))
            }
        };
        file.write_all(&part.data)?;
        let offset = *length;
        *length += part.data.len() as u64;
        Ok(Some(offset))
    }

    /// Appends a cue.
    pub(super) fn cue(&mut self, cue: &Cue) -> io::Result<()> {
        if !self.captions.contains_key(&cue.lang) {
            let log = OpenOptions::new().append(true).create(true).open(self.folder.captions(&cue.lang))?;
            self.captions.insert(cue.lang.clone(), log);
        }
        match self.captions.get_mut(&cue.lang) {
            Some(log) => write_line(log, cue),
            None => Ok(()),
        }
    }

    /// Forces everything written onto the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        for track in self.tracks.values() {
            track.media.sync_data()?;
            track.journal.sync_data()?;
        }
        self.captions.values().try_for_each(File::sync_data)?;
        self.synced = Instant::now();
        Ok(())
    }
}

/// One write a line, so that a kill leaves at most one torn one.
fn write_line(file: &mut File, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
