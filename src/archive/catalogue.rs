use std::path::PathBuf;

use super::{
    Result, at,
    layout::{Folder, media_name},
    recorder::blocking,
};
use crate::{
    model::{LanguageTag, RenditionId},
    store::{Recording, RecordingId, Store},
};

/// The recordings there are and the files they are served from.
#[derive(Debug, Clone)]
pub struct Catalogue {
    store: Store,
}

/// A file of a recording that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Where it is, if it is there.
    pub path: PathBuf,
    /// Its media type.
    pub mime: &'static str,
    /// It never changes; others may, when captions are corrected.
    pub immutable: bool,
}

impl Catalogue {
    /// The catalogue of a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Every recording, the newest first.
    ///
    /// # Errors
    /// [`super::Error::Store`].
    pub async fn list(&self) -> Result<Vec<Recording>> {
        Ok(self.store.recordings().list().await?)
    }

    /// One recording.
    ///
    /// # Errors
    /// [`super::Error::Store`].
    pub async fn get(&self, id: &RecordingId) -> Result<Option<Recording>> {
        Ok(self.store.recordings().get(id).await?)
    }

    /// Removes a recording and its files.
    ///
    /// # Errors
    /// [`super::Error::Store`], also if there is none, and [`super::Error::File`].
    pub async fn remove(&self, id: &RecordingId) -> Result<()> {
        // The row goes last: a removal that is cut off can be asked for again.
        let path = Folder::new(&self.store.recordings_dir(), id).path().to_path_buf();
        blocking(move || match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
            _ => Ok(()),
        })
        .await?;
        Ok(self.store.recordings().remove(id).await?)
    }

    /// The file behind `/vod/ID/<path>`: `index.m3u8`, `transcript.json`, `<rendition>/stream.m3u8`,
    /// `<rendition>/media-N.mp4`, `captions/<lang>.m3u8` or `.vtt`. None for every other path, and
    /// while the recording does not play. Blocking, by one look at the file system.
    pub fn asset(&self, id: &RecordingId, path: &str) -> Option<Asset> {
        const PLAYLIST: &str = "application/vnd.apple.mpegurl";
        let folder = Folder::new(&self.store.recordings_dir(), id);
        let asset = |path, mime| Asset { path, mime, immutable: mime == "video/mp4" };
        let asset = match path.split_once('/') {
            None if path == "index.m3u8" => asset(folder.multivariant(), PLAYLIST),
            None if path == "transcript.json" => asset(folder.path().join(path), "application/json"),
            None => return None,
            Some(("captions", file)) => {
                let (stem, kind) = file.rsplit_once('.')?;
                let language = LanguageTag::parse(stem).ok()?;
                let mime = match kind {
                    "m3u8" => PLAYLIST,
                    "vtt" => "text/vtt; charset=utf-8",
                    _ => return None,
                };
                asset(folder.path().join("captions").join(format!("{language}.{kind}")), mime)
            }
            Some((rendition, file)) => {
                let rendition = RenditionId::parse(rendition).ok()?;
                if file == "stream.m3u8" {
                    asset(folder.rendition(&rendition).join(file), PLAYLIST)
                } else {
                    let version: u32 = file.strip_prefix("media-")?.strip_suffix(".mp4")?.parse().ok()?;
                    // Not another spelling of the same number, such as +1 or 01.
                    (file == media_name(version)).then(|| asset(folder.media(&rendition, version), "video/mp4"))?
                }
            }
        };
        folder.multivariant().is_file().then_some(asset)
    }
}
