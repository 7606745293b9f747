use std::{panic::AssertUnwindSafe, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use super::{Text, Translator};

/// A translator on a thread of its own, shared by all lives that need its pair. Cheap to clone;
/// the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct Worker {
    jobs: mpsc::Sender<Job>,
    name: Arc<str>,
}

/// Why there is no translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// Too many requests wait already; trying again later may help.
    #[error("translator {0} has too many requests waiting")]
    Full(Arc<str>),
    /// The model could not be loaded, or could not translate this.
    #[error("translator {name}: {message}")]
    Failed {
        /// The worker's name.
        name: Arc<str>,
        /// What the model says.
        message: String,
    },
}

#[derive(Debug)]
struct Job {
    texts: Vec<Text>,
    answer: oneshot::Sender<Result<Vec<String>, String>>,
}

/// Requests that may wait; a live has one out at a time.
const QUEUE: usize = 64;

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
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new().name(name.into()).spawn(move || work(load, queue))?;
        Ok(Self { jobs, name: name.into() })
    }

    /// Translates texts, in order. Cancel-safe: an answer nobody waits for is not computed if its
    /// turn has not come.
    ///
    /// # Errors
    /// [`WorkerError`]; the next request may succeed.
    pub async fn translate(&self, texts: Vec<Text>) -> Result<Vec<String>, WorkerError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { texts, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WorkerError::Full(self.name.clone()),
            mpsc::error::TrySendError::Closed(_) => self.failed("its thread is gone".into()),
        })?;
        match answered.await {
            Ok(Ok(texts)) => Ok(texts),
            Ok(Err(message)) => Err(self.failed(message)),
            Err(_) => Err(self.failed("its thread is gone".into())),
        }
    }

    fn failed(&self, message: String) -> WorkerError {
        WorkerError::Failed { name: self.name.clone(), message }
    }
}

fn work(load: impl FnOnce() -> anyhow::Result<Box<dyn Translator>>, mut queue: mpsc::Receiver<Job>) {
    let mut loaded = guarded(load);
    if let Err(error) = &loaded {
        tracing::error!(%error, "translation model unusable");
    }
    while let Some(Job { texts, answer }) = queue.blocking_recv() {
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
