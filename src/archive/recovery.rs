use std::{collections::HashSet, fs};

use super::{
    Error, Result, at,
    layout::Folder,
    recorder::{blocking, settle},
};
use crate::{
    model::{Chain, MediaTime},
    store::{Recording, RecordingId, RecordingState, Store},
};

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Recordings that play now.
    pub ready: Vec<RecordingId>,
    /// Recordings that held nothing to play and are gone.
    pub removed: Vec<RecordingId>,
    /// Recordings that do not play; the list says why.
    pub failed: Vec<RecordingId>,
}

/// Finishes every recording that a dead server left behind, from what is on disk. Call it when the
/// server starts, before the first publisher is let in: it would finish a running one as well.
///
/// Failed recordings, and ready ones that lost their playlist, are tried again, since the operator may have made room or put files back, and
/// folders without a row come back into the list. Calling it again changes nothing.
///
/// # Errors
/// [`Error::Store`] and [`Error::File`] where the list or the folder of recordings cannot be read; a
/// recording that cannot be recovered is no error but marked as failed.
pub async fn recover(store: &Store) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let rows = store.recordings().list().await?;
    let known: HashSet<_> = rows.iter().map(|row| row.id.clone()).collect();
    let dir = store.recordings_dir();
    let folders = blocking(move || folders(&dir)).await?;
    for id in folders.iter().filter(|id| !known.contains(id)) {
        adopt(store, id).await?;
    }
    for row in store.recordings().list().await? {
        let folder = Folder::new(&store.recordings_dir(), &row.id);
        if row.state == RecordingState::Ready && folder.multivariant().is_file() {
            continue;
        }
        let outcome = recover_one(store, &row, folders.contains(&row.id).then_some(folder)).await;
        match outcome {
            Ok(Some(_)) => recovered.ready.push(row.id),
            Ok(None) => recovered.removed.push(row.id),
            Err(Error::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(recording = %row.id, error = %Chain(&error), "a recording cannot be recovered");
                recovered.failed.push(row.id);
            }
        }
    }
    Ok(recovered)
}

async fn recover_one(store: &Store, row: &Recording, folder: Option<Folder>) -> Result<Option<Recording>> {
    let Some(folder) = folder else {
        let error = Error::Damaged("its files are gone".into());
        store.recordings().set_state(&row.id, RecordingState::Failed, Some(&error.to_string())).await?;
        return Err(error);
    };
    // Nobody goes back in a live whose server died.
    for rendition in folder.renditions().unwrap_or_default() {
        let _ = fs::remove_file(folder.aside(&rendition));
    }
    settle(store, &row.id, folder, Vec::new()).await
}

/// Puts a folder that no row knows back into the list.
async fn adopt(store: &Store, id: &RecordingId) -> Result<()> {
    let folder = Folder::new(&store.recordings_dir(), id);
    let Ok(meta) = blocking(move || folder.read_meta()).await else {
        tracing::warn!(recording = %id, "a folder among the recordings is none");
        return Ok(());
    };
    let row = Recording {
        id: meta.id,
        channel: meta.channel,
        title: meta.title,
        state: RecordingState::Recording,
        started_at: meta.anchor.wall(MediaTime::ZERO),
        duration: None,
        reason: None,
        languages: Vec::new(),
    };
    Ok(store.recordings().insert(&row).await?)
}

fn folders(dir: &std::path::Path) -> Result<HashSet<RecordingId>> {
    fs::create_dir_all(dir).map_err(at("make", dir))?;
    let entries = fs::read_dir(dir).map_err(at("list", dir))?;
    let id = |entry: fs::DirEntry| RecordingId::parse(entry.file_name().to_str()?).ok();
    Ok(entries.filter_map(|entry| id(entry.ok()?)).collect())
}
