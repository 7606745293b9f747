use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::oneshot;

use super::{
    Error, Result, at,
    finish::{Finished, finish},
    layout::{Folder, Meta},
    shelf::Written,
    writer::Writer,
};
use crate::{
    hls::Volume,
    model::{Anchor, Chain, Cue, Init, LanguageTag, Part, Source, StreamName},
    store::{Recording, RecordingId, RecordingState, Store},
};

/// Bytes that may wait for a slow disk: half a minute of five renditions at 10 Mbit/s together.
const QUEUE: usize = 64 * 1024 * 1024;
/// What a waiting job weighs beyond its payload.
const JOB: usize = 512;

/// What a recording is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveInfo {
    /// The channel.
    pub channel: StreamName,
    /// For people.
    pub title: String,
    /// The language spoken.
    pub language: LanguageTag,
    /// Wall clock of media time zero.
    pub anchor: Anchor,
}

/// How a recording is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Bytes waiting for the disk.
    pub queued: usize,
    /// Bytes of media on the disk.
    pub written: u64,
    /// Parts lost because the disk was too slow or failed.
    pub dropped: u64,
    /// Why nothing is written any more, if so.
    pub failure: Option<String>,
}

/// Records one live.
///
/// Its methods never wait: a thread of its own writes. When the disk cannot keep up, parts are
/// dropped and counted beyond 64 MiB; when it fails, what was written stays and the rest is
/// dropped. Dropped without [`Recorder::finish`], as by a kill, it leaves the recording to
/// [`super::recover`].
#[derive(Debug)]
pub struct Recorder {
    id: RecordingId,
    store: Store,
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    folder: Folder,
    written: oneshot::Receiver<()>,
}

/// How a [`Recorder`] is doing, for those who only look; it may outlive it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Monitor {
    id: RecordingId,
    shared: Arc<Shared>,
    folder: Folder,
}

#[derive(Debug, Default)]
struct Shared {
    queued: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failure: Mutex<Option<String>>,
    on_disk: Written,
    asides: Asides,
}

/// Files of what stood in: they go when nobody can go back in the live any more.
#[derive(Debug, Default)]
struct Asides(Mutex<Vec<PathBuf>>);

#[derive(Debug)]
enum Job {
    Init(Init),
    Part(Part),
    StandIn(Part),
    Cue(Cue),
}

impl Recorder {
    /// Begins a recording: its folder under [`Store::recordings_dir`] and its row.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Random`] or [`Error::Store`].
    pub async fn start(store: &Store, live: LiveInfo) -> Result<Self> {
        let mut random = [0; 20];
        getrandom::fill(&mut random).map_err(Error::Random)?;
        let id = RecordingId::from_random(random);
        let started_at = live.anchor.wall(crate::model::MediaTime::ZERO);
        let row = Recording {
            id: id.clone(),
            channel: live.channel.clone(),
            title: live.title.clone(),
            state: RecordingState::Recording,
            started_at,
            duration: None,
            reason: None,
            languages: Vec::new(),
        };
        let LiveInfo { channel, title, language, anchor } = live;
        let meta = Meta { version: Meta::VERSION, id: id.clone(), channel, title, language, anchor };
        let dir = store.recordings_dir();
        let writer = blocking(move || Writer::create(&dir, &meta)).await?;
        store.recordings().insert(&row).await?;
        let folder = writer.folder().clone();
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = mpsc::channel();
        let (done, written) = oneshot::channel();
        let worker = Worker { writer, shared: shared.clone(), id: id.clone() };
        let run = move || {
            worker.run(&queue);
            let _ = done.send(());
        };
        thread::Builder::new().name("recorder".into()).spawn(run).map_err(at("start a thread for", folder.path()))?;
        tracing::info!(recording = %id, stream = %row.channel, "recording");
        Ok(Self { id, store: store.clone(), shared, jobs, folder, written })
    }

    /// The recording's id.
    pub fn id(&self) -> &RecordingId {
        &self.id
    }

    /// Takes an initialisation segment. Versions already known are ignored. Never waits.
    pub fn init(&self, init: &Init) {
        // An init is small and everything after it needs it: it may exceed the bound.
        self.send(Job::Init(init.clone()), init.data.len(), 2 * QUEUE);
    }

    /// Takes a part of a media rendition; those of caption renditions are ignored, [`Recorder::cue`]
    /// is for captions. Never waits.
    pub fn part(&self, part: &Part) {
        if !part.rendition.as_str().starts_with("captions-") {
            self.send(Job::Part(part.clone()), part.data.len(), QUEUE);
        }
    }

    /// Takes a part that stands in for the publisher: while the live is on, players may go back to it; the recording
    /// has none of it. Never waits.
    pub fn stand_in(&self, part: &Part) {
        self.send(Job::StandIn(part.clone()), part.data.len(), QUEUE);
    }

    /// Takes a cue if it is final or a person's; a higher revision replaces a lower one. Never waits.
    pub fn cue(&self, cue: &Cue) {
        if cue.is_final || cue.source == Source::Human {
            let size = cue.text.len() + cue.words.len() * 128;
            self.send(Job::Cue(cue.clone()), size, 2 * QUEUE);
        }
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// A window on it that others may keep.
    pub fn monitor(&self) -> Monitor {
        Monitor { id: self.id.clone(), shared: self.shared.clone(), folder: self.folder.clone() }
    }

    /// Writes what waits, makes the recording playable and says what became of it; `None` if there
    /// was nothing to play, and so nothing is kept. Not cancel-safe, but what a cancelled call
    /// leaves undone is done by [`super::recover`].
    ///
    /// # Errors
    /// Those of making it playable, which the list shows as well, as the reason of a failed recording.
    pub async fn finish(self) -> Result<Option<Recording>> {
        let Self { id, store, shared, jobs, folder, written } = self;
        drop(jobs);
        // An error means that the thread panicked; what it wrote is finished all the same.
        let _ = written.await;
        store.recordings().set_state(&id, RecordingState::Processing, None).await?;
        let mut incomplete = Vec::new();
        incomplete.extend(shared.failure());
        let dropped = shared.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            let parts = if dropped == 1 { "part" } else { "parts" };
            incomplete.push(format!("{dropped} {parts} could not be written"));
        }
        settle(&store, &id, folder, incomplete).await
    }

    fn send(&self, job: Job, size: usize, limit: usize) {
        let weight = size + JOB;
        let queued = self.shared.queued.fetch_add(weight, Ordering::Relaxed);
        if queued + weight > limit || self.jobs.send(job).is_err() {
            self.shared.queued.fetch_sub(weight, Ordering::Relaxed);
            if self.shared.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(256) {
                tracing::error!(recording = %self.id, queued, "the disk does not keep up: parts of the recording are lost");
            }
        }
    }
}

/// Makes what a folder holds playable and brings its row up to date.
pub(super) async fn settle(
    store: &Store,
    id: &RecordingId,
    folder: Folder,
    mut incomplete: Vec<String>,
) -> Result<Option<Recording>> {
    let path = folder.path().to_path_buf();
    match blocking(move || finish(&folder)).await {
        Ok(Finished { duration, languages, lacks, .. }) => {
            incomplete.extend(lacks);
            let reason = (!incomplete.is_empty()).then(|| format!("incomplete: {}", incomplete.join("; ")));
            store.recordings().set_ready(id, duration, &languages, reason.as_deref()).await?;
            tracing::info!(recording = %id, seconds = duration.as_secs_f64(), reason, "recording ready");
            Ok(store.recordings().get(id).await?)
        }
        Err(Error::Empty) if incomplete.is_empty() => {
            store.recordings().remove(id).await?;
            blocking(move || std::fs::remove_dir_all(&path).map_err(at("remove", path))).await?;
            tracing::info!(recording = %id, "nothing was recorded");
            Ok(None)
        }
        Err(error) => {
            incomplete.push(Chain(&error).to_string());
            store.recordings().set_state(id, RecordingState::Failed, Some(&incomplete.join("; "))).await?;
            Err(error)
        }
    }
}

/// Runs on a thread where waiting for the disk is allowed.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::Damaged(panic.to_string())),
    }
}

impl Monitor {
    /// The recording's id.
    pub fn id(&self) -> &RecordingId {
        &self.id
    }

    /// How it is doing, or did when it was finished.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    pub(super) fn on_disk(&self) -> &Written {
        &self.shared.on_disk
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl Asides {
    /// What begins at `offset` of a file was written.
    fn note(&self, path: impl FnOnce() -> PathBuf, offset: u64) {
        if offset == 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(path());
        }
    }
}

impl Drop for Asides {
    fn drop(&mut self) {
        for path in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // Gone with the recording, perhaps.
            let _ = fs::remove_file(path);
        }
    }
}

impl Shared {
    fn status(&self) -> Status {
        Status {
            queued: self.queued.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failure: self.failure(),
        }
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The thread that writes.
struct Worker {
    writer: Writer,
    shared: Arc<Shared>,
    id: RecordingId,
}

impl Worker {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        let mut failed = false;
        while let Ok(job) = queue.recv() {
            let (weight, result) = if failed { (job.weight(), Ok(false)) } else { self.write(&job) };
            self.shared.queued.fetch_sub(weight, Ordering::Relaxed);
            match result {
                Ok(true) => {}
                Ok(false) => drop(self.shared.dropped.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    failed = true;
                    self.fail(&error);
                }
            }
        }
        if !failed && let Err(error) = self.writer.sync() {
            self.fail(&error);
        }
        self.writer.folder().make_room();
    }

    /// Whether a job was done, and its weight.
    fn write(&mut self, job: &Job) -> (usize, io::Result<bool>) {
        let result = match job {
            Job::Init(init) => self.writer.init(init).map(|()| {
                self.shared.on_disk.init(init);
                true
            }),
            Job::Cue(cue) => self.writer.cue(cue).map(|()| true),
            Job::Part(part) => self.writer.part(part).map(|at| {
                if let Some(offset) = at {
                    self.shared.written.fetch_add(part.data.len() as u64, Ordering::Relaxed);
                    self.shared.on_disk.part(part, Volume::Recording(part.init), offset);
                }
                at.is_some()
            }),
            Job::StandIn(part) => self.writer.stand_in(part).map(|at| {
                if let Some(offset) = at {
                    self.shared.asides.note(|| self.writer.folder().aside(&part.rendition), offset);
                    self.shared.on_disk.part(part, Volume::Aside, offset);
                }
                true
            }),
        };
        (job.weight(), result)
    }

    /// After a failed write the file's end is unknown: nothing more is appended, so that what is
    /// there stays whole.
    fn fail(&self, error: &io::Error) {
        let what = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
            _ => format!("the disk failed ({error})"),
        };
        self.writer.folder().make_room();
        tracing::error!(recording = %self.id, %error, "recording stopped: what was written is kept");
        *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
}

impl Job {
    fn weight(&self) -> usize {
        JOB + match self {
            Self::Init(init) => init.data.len(),
            Self::Part(part) | Self::StandIn(part) => part.data.len(),
            Self::Cue(cue) => cue.text.len() + cue.words.len() * 128,
        }
    }
}
