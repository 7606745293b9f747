use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use super::{Memo, Text, Translator};

/// A translator on a thread of its own, shared by all lives that need its model. Cheap to clone; the
/// thread and its model stay for [`Patience::linger`] when the last clone is gone.
///
/// Sentences come before beginnings of them, and who asks again for what was translated lately, as
/// all do that go through the same language, is not kept waiting. The thread gives way to others
/// where the processor is short: late text costs less than late pictures.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    tokens: Option<[String; 2]>,
}

/// Finds a worker again without keeping it.
#[derive(Debug)]
pub struct WeakWorker(Arc<Shared>);

/// How long a worker waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Before a model that could not be loaded is tried again: at first, and at the longest, up to which
    /// the pauses double. One that worked for the longest begins with the first again.
    pub first: Duration,
    /// See `first`.
    pub longest: Duration,
    /// For somebody to use it again, before its model is let go.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(5), longest: seconds(30), linger: seconds(60) }
    }
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

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sentences: VecDeque<Job>,
    unfinished: VecDeque<Job>,
    users: usize,
    /// Since when there are none.
    unused: Option<Instant>,
    failing: bool,
    /// The thread takes nothing any more.
    gone: bool,
}

/// What the thread does next.
enum Turn {
    Load,
    Answer(Job),
    Stop,
}

/// Sentences that may wait; a live has one out at a time.
const SENTENCES: usize = 64;
/// Beginnings that may wait. They come again, longer, so that more would only be later.
const UNFINISHED: usize = 4;
/// By how much the thread gives way (`nice`).
const YIELDING: i32 = 5;

impl Worker {
    /// Starts a thread called `name` that first loads its model. A model that cannot be loaded, or can
    /// translate nothing any more, is loaded again behind a pause; requests are answered with the reason
    /// meanwhile.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<L>(name: &str, patience: Patience, load: L) -> std::io::Result<Self>
    where
        L: FnMut() -> anyhow::Result<Box<dyn Translator>> + Send + 'static,
    {
        let state = State { users: 1, ..State::default() };
        let shared = Arc::new(Shared { name: name.into(), state: Mutex::new(state), wake: Condvar::new() });
        let worker = Self { shared: shared.clone(), tokens: None };
        thread::Builder::new().name(name.into()).spawn(move || work(load, &shared, patience))?;
        Ok(worker)
    }

    /// The same worker, whose model of many languages is told those of these tokens with every text: what it reads,
    /// what it writes.
    pub fn between(&self, tokens: [String; 2]) -> Self {
        let mut worker = self.clone();
        worker.tokens = Some(tokens);
        worker
    }

    /// Translates texts, in order. Cancel-safe: an answer nobody waits for is not computed if its
    /// turn has not come.
    ///
    /// # Errors
    /// [`WorkerError`]; the next request may succeed.
    pub async fn translate(&self, texts: Vec<Text>) -> Result<Vec<String>, WorkerError> {
        let answered = self.ask(texts, true)?;
        self.answer(answered.await)
    }

    /// As [`Worker::translate`], for beginnings of sentences: behind all sentences, and not at all
    /// where it would have to wait long.
    ///
    /// # Errors
    /// [`WorkerError::Busy`], or what else may happen.
    pub async fn translate_unfinished(&self, texts: Vec<Text>) -> Result<Vec<String>, WorkerError> {
        let answered = self.ask(texts, false)?;
        self.answer(answered.await)
    }

    /// Whether it failed when it last loaded its model or translated something.
    pub fn is_failing(&self) -> bool {
        self.shared.lock().failing
    }

    /// Does not keep it; found again, it is as it was started.
    pub fn downgrade(&self) -> WeakWorker {
        WeakWorker(self.shared.clone())
    }

    fn ask(&self, mut texts: Vec<Text>, last: bool) -> Result<oneshot::Receiver<Answer>, WorkerError> {
        if self.tokens.is_some() {
            texts.iter_mut().for_each(|text| text.tokens.clone_from(&self.tokens));
        }
        let (answer, answered) = oneshot::channel();
        let state = &mut *self.shared.lock();
        if state.gone {
            return Err(self.failed("its thread is gone".into()));
        }
        if last && state.sentences.len() >= SENTENCES {
            return Err(WorkerError::Full(self.shared.name.clone()));
        }
        if !last && state.unfinished.len() >= UNFINISHED {
            return Err(WorkerError::Busy);
        }
        let queue = if last { &mut state.sentences } else { &mut state.unfinished };
        queue.push_back(Job { texts, answer });
        self.shared.wake.notify_one();
        Ok(answered)
    }

    fn answer(&self, answered: Result<Answer, oneshot::error::RecvError>) -> Result<Vec<String>, WorkerError> {
        answered.unwrap_or_else(|_| Err("its thread is gone".into())).map_err(|message| self.failed(message))
    }

    fn failed(&self, message: String) -> WorkerError {
        WorkerError::Failed { name: self.shared.name.clone(), message }
    }
}

impl Clone for Worker {
    fn clone(&self) -> Self {
        self.shared.lock().users += 1;
        Self { shared: self.shared.clone(), tokens: self.tokens.clone() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let state = &mut *self.shared.lock();
        state.users -= 1;
        if state.users == 0 {
            state.unused = Some(Instant::now());
            self.shared.wake.notify_one();
        }
    }
}

impl WeakWorker {
    /// The worker, unless it has ended.
    pub fn upgrade(&self) -> Option<Worker> {
        let state = &mut *self.0.lock();
        if state.gone {
            return None;
        }
        state.users += 1;
        state.unused = None;
        Some(Worker { shared: self.0.clone(), tokens: None })
    }
}

/// Another worker may translate through this one, on its own thread. Blocking.
impl Translator for Worker {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        let answered = self.ask(texts.to_vec(), true)?;
        Ok(self.answer(answered.blocking_recv())?)
    }
}

impl Shared {
    /// Waits for something to do: the most urgent job, a model to load at `load`, or the end when nobody has
    /// used it for `linger`.
    fn next(&self, load: Option<Instant>, linger: Duration) -> Turn {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let end = state.unused.map(|since| since + linger);
            if end.is_some_and(|end| end <= now) {
                state.gone = true;
                return Turn::Stop;
            }
            if load.is_some_and(|load| load <= now) {
                return Turn::Load;
            }
            if let Some(job) = state.sentences.pop_front().or_else(|| state.unfinished.pop_front()) {
                return Turn::Answer(job);
            }
            state = match load.into_iter().chain(end).min() {
                Some(until) => self.wake.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn set_failing(&self, failing: bool) {
        self.lock().failing = failing;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model, or why there is none.
struct Model<L> {
    load: L,
    patience: Patience,
    /// Before it is tried again when it fails next.
    pause: Duration,
    loaded: Result<Memo, String>,
    /// When it was loaded, or is to be.
    at: Instant,
}

impl<L: FnMut() -> anyhow::Result<Box<dyn Translator>>> Model<L> {
    fn load(&mut self) {
        match guarded(&mut self.load) {
            Ok(translator) => (self.loaded, self.at) = (Ok(Memo::new(translator)), Instant::now()),
            Err(reason) => self.lose(reason),
        }
    }

    fn translate(&mut self, texts: &[Text]) -> Answer {
        let translator = self.loaded.as_mut().map_err(|reason| reason.clone())?;
        guarded(|| {
            let translated = translator.translate(texts)?;
            anyhow::ensure!(translated.len() == texts.len(), "the model lost a text");
            Ok(translated)
        })
    }

    fn refresh(&mut self) {
        let Ok(translator) = &mut self.loaded else { return };
        if let Err(reason) = guarded(|| translator.refresh()) {
            self.lose(reason);
        }
    }

    fn lose(&mut self, reason: String) {
        tracing::error!(error = %reason, "translation model unusable");
        let worked = self.loaded.is_ok() && self.at.elapsed() >= self.patience.longest;
        let pause = if worked { Duration::ZERO } else { self.pause };
        self.pause = if worked { self.patience.first } else { (self.pause * 2).min(self.patience.longest) };
        (self.loaded, self.at) = (Err(reason), Instant::now() + pause);
    }
}

/// Whatever ends the thread, nobody waits for it in vain.
struct Presence<'a>(&'a Shared);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let state = &mut *self.0.lock();
        state.gone = true;
        state.sentences.clear();
        state.unfinished.clear();
    }
}

fn work(load: impl FnMut() -> anyhow::Result<Box<dyn Translator>>, shared: &Shared, patience: Patience) {
    let _presence = Presence(shared);
    // On Linux it is this thread alone that gives way, and the processes it starts.
    if let Err(error) = setpriority_process(None, YIELDING) {
        tracing::debug!(%error, "translation does not give way");
    }
    let (loaded, at) = (Err("its model is not loaded yet".into()), Instant::now());
    let mut model = Model { load, patience, pause: patience.first, loaded, at };
    loop {
        let missing = model.loaded.is_err().then_some(model.at);
        match shared.next(missing, patience.linger) {
            Turn::Load => {
                model.load();
                shared.set_failing(model.loaded.is_err());
            }
            Turn::Answer(Job { answer, .. }) if answer.is_closed() => {}
            Turn::Answer(Job { texts, answer }) => {
                let translated = model.translate(&texts);
                shared.set_failing(translated.is_err());
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(translated);
                model.refresh();
            }
            Turn::Stop => return,
        }
    }
}

/// A model that panics on one text must not take the others' translations with it.
fn guarded<T>(call: impl FnOnce() -> anyhow::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(_) => Err("the model panicked".into()),
    }
}
