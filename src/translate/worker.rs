use std::{panic::AssertUnwindSafe, sync::Arc, thread};

use rustix::process::setpriority_process;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{Memo, Text, Translator};

/// A translator on a thread of its own, shared by all lives that need its pair. Cheap to clone;
/// the thread ends with the last clone.
///
/// Sentences come before beginnings of them, and who asks again for what was translated lately, as
/// all do that go through the same language, is not kept waiting. The thread gives way to others
/// where the processor is short: late text costs less than late pictures.
#[derive(Debug, Clone)]
pub struct Worker {
    sentences: mpsc::Sender<Job>,
    unfinished: mpsc::Sender<Job>,
    name: Arc<str>,
}

/// Why there is no translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// Too many requests wait already; trying again later may help.
    #[error("translator {0} has too many requests waiting")]
    Full(Arc<str>),
    /// Sentences are more urgent just now than a beginning of one.
    #[error("there is no time for unfinished sentences")]
    Busy,
    /// The model could not be loaded, or could not translate this.
    #[error("translator {name}: {message}")]
    Failed {
        /// The worker's name.
        name: Arc<str>,
        /// What the model says.
        message: String,
    },
}

type Answer = Result<Vec<String>, String>;

#[derive(Debug)]
struct Job {
    texts: Vec<Text>,
    answer: oneshot::Sender<Answer>,
}

struct Queue {
    sentences: mpsc::Receiver<Job>,
    unfinished: mpsc::Receiver<Job>,
    waiting: runtime::Runtime,
}

/// Sentences that may wait; a live has one out at a time.
const SENTENCES: usize = 64;
/// Beginnings that may wait. They come again, longer, so that more would only be later.
const UNFINISHED: usize = 4;
/// By how much the thread gives way (`nice`).
const YIELDING: i32 = 5;

impl Worker {
    /// Starts a thread called `name` that first loads its model. A model that cannot be loaded
    /// answers every request with the reason.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<L>(name: &str, load: L) -> std::io::Result<Self>
    where
        L: FnOnce() -> anyhow::Result<Box<dyn Translator>> + Send + 'static,
    {
        let (sentences, finished) = mpsc::channel(SENTENCES);
        let (unfinished, begun) = mpsc::channel(UNFINISHED);
        let waiting = runtime::Builder::new_current_thread().build()?;
        let queue = Queue { sentences: finished, unfinished: begun, waiting };
        thread::Builder::new().name(name.into()).spawn(move || work(load, queue))?;
        Ok(Self { sentences, unfinished, name: name.into() })
    }

    /// Translates texts, in order. Cancel-safe: an answer nobody waits for is not computed if its
    /// turn has not come.
    ///
    /// # Errors
    /// [`WorkerError`]; the next request may succeed.
    pub async fn translate(&self, texts: Vec<Text>) -> Result<Vec<String>, WorkerError> {
        self.answer(self.ask(&self.sentences, texts)?.await)
    }

    /// As [`Worker::translate`], for beginnings of sentences: behind all sentences, and not at all
    /// where it would have to wait long.
    ///
    /// # Errors
    /// [`WorkerError::Busy`], or what else may happen.
    pub async fn translate_unfinished(&self, texts: Vec<Text>) -> Result<Vec<String>, WorkerError> {
        let asked = self.ask(&self.unfinished, texts).map_err(|error| match error {
            WorkerError::Full(_) => WorkerError::Busy,
            error => error,
        });
        self.answer(asked?.await)
    }

    fn ask(&self, jobs: &mpsc::Sender<Job>, texts: Vec<Text>) -> Result<oneshot::Receiver<Answer>, WorkerError> {
        let (answer, answered) = oneshot::channel();
        jobs.try_send(Job { texts, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WorkerError::Full(self.name.clone()),
            mpsc::error::TrySendError::Closed(_) => self.failed("its thread is gone".into()),
        })?;
        Ok(answered)
    }

    fn answer(&self, answered: Result<Answer, oneshot::error::RecvError>) -> Result<Vec<String>, WorkerError> {
        answered.unwrap_or_else(|_| Err("its thread is gone".into())).map_err(|message| self.failed(message))
    }

    fn failed(&self, message: String) -> WorkerError {
        WorkerError::Failed { name: self.name.clone(), message }
    }
}

/// Another worker may translate through this one, on its own thread. Blocking.
impl Translator for Worker {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        let asked = self.ask(&self.sentences, texts.to_vec())?;
        Ok(self.answer(asked.blocking_recv())?)
    }
}

impl Queue {
    /// The most urgent job; none when nobody can ask any more.
    fn next(&mut self) -> Option<Job> {
        let Self { sentences, unfinished, waiting } = self;
        waiting.block_on(async {
            tokio::select! {
                biased;
                Some(job) = sentences.recv() => Some(job),
                Some(job) = unfinished.recv() => Some(job),
                else => None,
            }
        })
    }
}

fn work(load: impl FnOnce() -> anyhow::Result<Box<dyn Translator>>, mut queue: Queue) {
    // On Linux it is this thread alone that gives way, and the processes it starts.
    if let Err(error) = setpriority_process(None, YIELDING) {
        tracing::debug!(%error, "translation does not give way");
    }
    let mut loaded = guarded(load).map(Memo::new);
    if let Err(error) = &loaded {
        tracing::error!(%error, "translation model unusable");
    }
    while let Some(Job { texts, answer }) = queue.next() {
        if answer.is_closed() {
            continue;
        }
        let result = match &mut loaded {
            Ok(translator) => guarded(|| {
                let translated = translator.translate(&texts)?;
                anyhow::ensure!(translated.len() == texts.len(), "the model lost a text");
                Ok(translated)
            }),
            Err(message) => Err(message.clone()),
        };
        // Whoever asked may have gone meanwhile.
        let _ = answer.send(result);
    }
}

/// A model that panics on one text must not take the others' translations with it.
fn guarded<T>(call: impl FnOnce() -> anyhow::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(_) => Err("the model panicked".into()),
    }
}
