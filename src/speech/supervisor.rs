//! The server's side of the engines: streams in and out, and one supervised process a model.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Tally,
    ledger::Lost,
    load::Pace,
    process::{Command, Process},
    wire::{MAX_SAMPLES, StreamId},
};
use crate::{
    model::{Hypothesis, LanguageTag, Pcm},
    pipe::memory,
};

/// How engines are run.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The binary `amphi-engine`.
    pub engine_path: PathBuf,
    /// An engine that owes an answer for longer is killed and started again.
    pub hang: Duration,
    /// Its work can wait for everything else on the machine.
    pub in_background: bool,
    /// Bytes that an engine may take: it is started again before it does. None: what its model's size allows for.
    pub memory: Option<u64>,
}

impl EngineSettings {
    /// With the binary there, 20 s of patience, in the foreground, and as much memory as the model's size
    /// allows for.
    pub fn new(engine_path: impl Into<PathBuf>) -> Self {
        Self { engine_path: engine_path.into(), hang: Duration::from_secs(20), memory: None, in_background: false }
    }
}

/// Which engine reads a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Kaldi models through libvosk.
    Vosk,
    /// Whisper models through CTranslate2.
    Whisper,
}

impl EngineKind {
    /// As commands and status write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vosk => "vosk",
            Self::Whisper => "whisper",
        }
    }
}

/// What a stream is to be recognised with. Streams of the same engine, folder and threads share a process.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Which engine.
    pub engine: EngineKind,
    /// The model's folder.
    pub model_dir: PathBuf,
    /// What is spoken.
    pub language: LanguageTag,
    /// Threads one decoding may use; at least one.
    pub threads: usize,
    /// Rather skip intermediate results than fall behind. Files say false: the same file then
    /// gives the same words.
    pub live: bool,
}

/// What a stream hears back.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The model is loaded; again after each restart.
    Ready {
        /// Its folder's name.
        model: String,
    },
    /// The open utterance.
    Hypothesis(Hypothesis),
    /// How recognition keeps up has changed; only lives are told.
    Pace(Pace),
    /// The engine crashed, hung or grew too large and is being started again; its unsettled audio is replayed.
    Restarted {
        /// Audio that crashed it twice and is skipped.
        lost: Option<Lost>,
    },
    /// The end: this stream cannot be recognised.
    Failed {
        /// What was wrong and what to do.
        reason: String,
    },
}

/// One engine process as status shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineStatus {
    /// Which engine.
    pub engine: EngineKind,
    /// The model's folder.
    pub model_dir: PathBuf,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// Unplanned restarts so far.
    pub restarts: u64,
    /// Times it was started again before it outgrew its memory.
    pub renewals: u64,
    /// Streams it serves.
    pub streams: usize,
    /// What became of words called stable early, in all its streams.
    pub tally: Tally,
    /// Resident memory in bytes, while it can be read.
    pub rss: Option<u64>,
}

/// All engines. Cloning shares them; dropping the last clone ends them.
#[derive(Clone)]
pub struct Engines(Arc<Shared>);

struct Shared {
    settings: EngineSettings,
    processes: Mutex<HashMap<(EngineKind, PathBuf, usize), Handle>>,
    next: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    status: Arc<Mutex<EngineStatus>>,
}

impl Engines {
    /// No process is started before the first stream.
    pub fn new(settings: EngineSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            processes: Mutex::default(),
            next: AtomicU64::new(1),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Begins a stream; what goes wrong comes as [`Event::Failed`]. Call it within a Tokio runtime.
    pub fn open(&self, spec: EngineSpec) -> Stream {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) as StreamId;
        let shared = Arc::new(StreamState::new());
        let key = (spec.engine, spec.model_dir.clone(), spec.threads.max(1));
        let commands = {
            let mut processes = lock(&self.0.processes);
            processes.entry(key).or_insert_with(|| self.start(&spec)).commands.clone()
        };
        let open = Command::Open { id, language: spec.language, live: spec.live, state: shared.clone() };
        if commands.send(open).is_err() {
            shared.end(Event::Failed { reason: "the speech engines are shutting down".into() });
        }
        Stream { id, commands, state: shared }
    }

    /// Every engine there is, running or waiting for streams.
    pub fn status(&self) -> Vec<EngineStatus> {
        let mut all: Vec<EngineStatus> =
            lock(&self.0.processes).values().map(|handle| lock(&handle.status).clone()).collect();
        all.sort_by(|a, b| a.model_dir.cmp(&b.model_dir));
        for status in &mut all {
            status.rss = status.pid.and_then(memory::resident);
        }
        all
    }

    /// Ends all processes: their input is closed, and who has not ended in 2 s is killed. Not cancel-safe.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn start(&self, spec: &EngineSpec) -> Handle {
        let (commands, receiver) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(EngineStatus {
            engine: spec.engine,
            model_dir: spec.model_dir.clone(),
            pid: None,
            restarts: 0,
            renewals: 0,
            streams: 0,
            tally: Tally::default(),
            rss: None,
        }));
        let process =
            Process::new(self.0.settings.clone(), spec.clone(), receiver, status.clone(), self.0.stop.clone());
        self.0.tasks.spawn(process.run());
        Handle { commands, status }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One stream through an engine. Dropping it forgets what is pending.
pub struct Stream {
    id: StreamId,
    commands: mpsc::UnboundedSender<Command>,
    state: Arc<StreamState>,
}

impl Stream {
    /// Takes audio without ever blocking. With 30 s waiting it is dropped and counted: false.
    pub fn send(&self, pcm: Pcm) -> bool {
        let mut taken = true;
        for piece in pieces(&pcm) {
            match self.state.room.try_acquire_many(cost(&piece)) {
                Ok(permits) => {
                    permits.forget();
                    taken &= self.commands.send(Command::Audio { id: self.id, pcm: piece }).is_ok();
                }
                Err(_) => {
                    self.state.dropped.fetch_add(piece.samples.len() as u64, Ordering::Relaxed);
                    taken = false;
                }
            }
        }
        taken
    }

    /// Takes audio when there is room; for files. Returns at once when the stream has ended.
    /// Cancelled, a part of `pcm` may have been taken.
    pub async fn send_wait(&self, pcm: Pcm) {
        for piece in pieces(&pcm) {
            let Ok(permits) = self.state.room.acquire_many(cost(&piece)).await else { return };
            permits.forget();
            // A process that is gone has ended the stream already.
            let _ = self.commands.send(Command::Audio { id: self.id, pcm: piece });
        }
    }

    /// No more audio follows; [`Stream::recv`] gives what is left and then nothing.
    pub fn finish(&self) {
        let _ = self.commands.send(Command::Finish { id: self.id });
    }

    /// The next event; nothing once the stream is finished or has failed. Cancel-safe; one caller at a time.
    pub async fn recv(&self) -> Option<Event> {
        loop {
            let wake = self.state.wake.notified();
            {
                let mut inbox = lock(&self.state.inbox);
                if let Some(event) = inbox.events.pop_front() {
                    return Some(event);
                }
                if inbox.ended {
                    return None;
                }
            }
            wake.await;
        }
    }

    /// How much audio [`Stream::send`] has dropped.
    pub fn dropped(&self) -> Duration {
        Pcm::duration_of(self.state.dropped.load(Ordering::Relaxed) as usize)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Close { id: self.id });
    }
}

/// What a stream's two sides share.
pub(super) struct StreamState {
    /// Samples that may still wait to be sent. It bounds the command channel as well.
    room: Semaphore,
    dropped: AtomicU64,
    inbox: Mutex<Inbox>,
    wake: Notify,
}

#[derive(Default)]
struct Inbox {
    events: VecDeque<Event>,
    ended: bool,
}

impl StreamState {
    /// 30 s of samples.
    const ROOM: usize = 30 * Pcm::RATE as usize;
    /// Events that wait for a reader: hours of final utterances.
    const EVENTS: usize = 2_048;

    fn new() -> Self {
        Self {
            room: Semaphore::new(Self::ROOM),
            dropped: AtomicU64::new(0),
            inbox: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Audio has left for the engine.
    pub(super) fn sent(&self, pcm: &Pcm) {
        self.room.add_permits(cost(pcm) as usize);
    }

    /// Adds an event. A hypothesis restates its utterance, so a newer one replaces one that waits.
    pub(super) fn push(&self, event: Event) {
        {
            let mut inbox = lock(&self.inbox);
            let replaces = matches!(event, Event::Hypothesis(_))
                && matches!(inbox.events.back(), Some(Event::Hypothesis(waiting)) if !waiting.last);
            if replaces || inbox.events.len() >= Self::EVENTS {
                inbox.events.pop_back();
            }
            inbox.events.push_back(event);
        }
        self.wake.notify_one();
    }

    /// Nothing follows after `event`.
    pub(super) fn end(&self, event: Event) {
        self.push(event);
        self.close();
    }

    /// Nothing follows.
    pub(super) fn close(&self) {
        lock(&self.inbox).ended = true;
        self.room.close();
        self.wake.notify_one();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At least 10 ms, so that tiny pieces cannot pile up.
fn cost(pcm: &Pcm) -> u32 {
    pcm.samples.len().max(160) as u32
}

fn pieces(pcm: &Pcm) -> impl Iterator<Item = Pcm> + '_ {
    let whole = pcm.samples.len() <= MAX_SAMPLES;
    pcm.samples.chunks(MAX_SAMPLES).enumerate().map(move |(n, samples)| {
        let samples = if whole { pcm.samples.clone() } else { samples.into() };
        Pcm { start: pcm.start + Pcm::duration_of(n * MAX_SAMPLES), samples }
    })
}
