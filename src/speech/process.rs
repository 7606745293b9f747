//! One engine process and the streams that share it: started when needed, restarted when it dies.

use std::{
    collections::HashMap,
    io,
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    process::Child,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    ledger::Ledger,
    load::{Factor, Pace, Watch},
    supervisor::{EngineSettings, EngineSpec, EngineStatus, Event, StreamState, lock},
    talk::{Talk, log, read, write},
    wire::{Request, Response, StreamId},
};
use crate::{
    model::{LanguageTag, Pcm},
    pipe::memory::{self, Growth},
};

/// What streams ask of their process.
pub(super) enum Command {
    /// A stream begins.
    Open { id: StreamId, language: LanguageTag, live: bool, state: Arc<StreamState> },
    /// Audio, already counted against the stream's room.
    Audio { id: StreamId, pcm: Pcm },
    /// No more audio.
    Finish { id: StreamId },
    /// Nobody listens any more.
    Close { id: StreamId },
}

/// Supervises one model's process.
pub(super) struct Process {
    settings: EngineSettings,
    spec: EngineSpec,
    commands: mpsc::UnboundedReceiver<Command>,
    status: Arc<Mutex<EngineStatus>>,
    stop: CancellationToken,
    streams: HashMap<StreamId, Member>,
}

struct Member {
    language: LanguageTag,
    live: bool,
    state: Arc<StreamState>,
    ledger: Ledger,
    /// No more audio follows.
    finishing: bool,
    /// The engine knows that.
    finish_sent: bool,
    /// Since when the engine owes an answer.
    waiting: Option<Instant>,
    /// What it was told last.
    pace: Pace,
    watch: Watch,
    factor: Factor,
}

/// How a process ended.
enum End {
    /// The supervisor is told to stop.
    Stopped,
    /// It has had no streams for a while.
    Idle,
    /// It said that it cannot work.
    Refused(String),
    /// It has grown too large.
    Grown { resident: u64 },
    /// Anything else. `blame`: the audio may have caused it.
    Died { reason: String, blame: bool, was_ready: bool },
}

/// A process without streams keeps its model this long.
const LINGER: Duration = Duration::from_secs(60);
/// Loading a model takes at most so long.
const LOADING: Duration = Duration::from_secs(120);
/// Restarts in a row, without the model having been loaded, after which streams fail.
const ATTEMPTS: u32 = 5;
/// The longest pause before a restart.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A process that lived so long counts as healthy.
const HEALTHY: Duration = Duration::from_secs(30);

impl Process {
    pub(super) fn new(
        settings: EngineSettings,
        spec: EngineSpec,
        commands: mpsc::UnboundedReceiver<Command>,
        status: Arc<Mutex<EngineStatus>>,
        stop: CancellationToken,
    ) -> Self {
        Self { settings, spec, commands, status, stop, streams: HashMap::new() }
    }

    /// Runs until stopped, or until nobody can open streams any more.
    pub(super) async fn run(mut self) {
        let mut quick_deaths = 0;
        let mut before_ready = 0;
        loop {
            let begin = Instant::now() + backoff(quick_deaths);
            if !self.wait(begin).await {
                break;
            }
            let started = Instant::now();
            let end = match self.spawn() {
                Ok(child) => self.attend(child).await,
                Err(error) => {
                    let path = self.settings.engine_path.display();
                    End::Refused(format!("the speech engine {path} cannot be started: {error}; run `amphi check`"))
                }
            };
            lock(&self.status).pid = None;
            match end {
                End::Stopped => break,
                End::Idle => (quick_deaths, before_ready) = (0, 0),
                End::Refused(reason) => self.fail(&reason),
                End::Grown { resident } => {
                    let mebibytes = resident >> 20;
                    tracing::info!(
                        engine = self.spec.engine.as_str(),
                        mebibytes,
                        "speech engine is started again before it outgrows its memory"
                    );
                    lock(&self.status).renewals += 1;
                    self.recover(false);
                }
                End::Died { reason, blame, was_ready } => {
                    quick_deaths = if started.elapsed() >= HEALTHY { 1 } else { quick_deaths + 1 };
                    before_ready = if was_ready { 0 } else { before_ready + 1 };
                    tracing::warn!(engine = self.spec.engine.as_str(), %reason, "speech engine died");
                    if before_ready >= ATTEMPTS {
                        before_ready = 0;
                        self.fail(&format!(
                            "the speech engine died {ATTEMPTS} times while loading its model: {reason}"
                        ));
                    } else {
                        lock(&self.status).restarts += 1;
                        self.recover(blame);
                    }
                }
            }
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        self.fail("the speech engines are shutting down");
    }

    /// Waits for a stream, and for `begin`; false: time to end.
    async fn wait(&mut self, begin: Instant) -> bool {
        while self.streams.is_empty() || Instant::now() < begin {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                command = self.commands.recv() => match command {
                    Some(command) => { self.obey(command); }
                    None => return false,
                },
                () = sleep_until(begin), if Instant::now() < begin => {}
            }
        }
        true
    }

    fn spawn(&self) -> io::Result<Child> {
        let engine = &self.settings.engine_path;
        let mut command = if self.settings.in_background {
            // nice(1) becomes the engine, under the same id.
            let mut command = tokio::process::Command::new("nice");
            command.args(["-n", "19"]).arg(engine);
            command
        } else {
            tokio::process::Command::new(engine)
        };
        let child = command
            .args(["--engine", self.spec.engine.as_str()])
            .arg("--model")
            .arg(&self.spec.model_dir)
            .args(["--language", self.spec.language.as_str()])
            .args(["--threads", &self.spec.threads.max(1).to_string()])
            .env("OMP_NUM_THREADS", self.spec.threads.max(1).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        lock(&self.status).pid = child.id();
        Ok(child)
    }

    /// Talks to a process until it ends or must.
    async fn attend(&mut self, mut child: Child) -> End {
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return End::Refused("the speech engine has no pipes".into());
        };
        // What the writer holds is bounded by the ledgers: 10 s of audio a stream.
        let (to_engine, frames) = mpsc::unbounded_channel();
        let (responses, mut from_engine) = mpsc::channel(64);
        // The tasks end with the process's pipes.
        let writer = tokio::spawn(write(stdin, frames));
        let reader = tokio::spawn(read(stdout, responses));
        let logger = tokio::spawn(log(stderr, self.spec.engine.as_str()));
        let mut talk = Talk { to_engine, ready: None, since: Instant::now() };
        let end = self.converse(&mut talk, &mut from_engine).await;
        let was_ready = talk.ready.is_some();
        drop(talk);
        let end = match end {
            End::Stopped | End::Idle | End::Refused(_) => {
                // Its input is closed by now; that is how it is asked to go.
                if timeout(Duration::from_secs(2), child.wait()).await.is_err() {
                    kill(&mut child).await;
                }
                end
            }
            End::Grown { .. } => {
                kill(&mut child).await;
                end
            }
            End::Died { reason, blame, .. } if !reason.is_empty() => {
                kill(&mut child).await;
                End::Died { reason, blame, was_ready }
            }
            End::Died { .. } => match timeout(Duration::from_secs(2), child.wait()).await {
                // Nothing in a stream makes an engine kill itself; an operator or the kernel did.
                Ok(Ok(status)) => {
                    End::Died { reason: status.to_string(), blame: status.signal() != Some(9), was_ready }
                }
                _ => {
                    kill(&mut child).await;
                    End::Died { reason: "its output ended".into(), blame: true, was_ready }
                }
            },
        };
        for task in [writer, reader, logger] {
            task.abort();
        }
        end
    }

    async fn converse(&mut self, talk: &mut Talk, from_engine: &mut mpsc::Receiver<Result<Response, String>>) -> End {
        let mut clock = interval(Duration::from_millis(500));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle_since = None;
        let mut growth = None;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return End::Stopped,
                command = self.commands.recv() => match command {
                    Some(command) => if let Some(id) = self.obey_live(command, talk) { self.pump(id, talk) },
                    None => return End::Stopped,
                },
                response = from_engine.recv() => match response {
                    Some(Ok(Response::Failed { stream: None, reason })) => return End::Refused(reason),
                    Some(Ok(response)) => self.hear(response, talk),
                    Some(Err(reason)) => return End::Died { reason, blame: true, was_ready: false },
                    None => return End::Died { reason: String::new(), blame: true, was_ready: false },
                },
                now = clock.tick() => {
                    if let Some(reason) = self.hangs(now, talk) {
                        return End::Died { reason, blame: true, was_ready: false };
                    }
                    idle_since = if self.streams.is_empty() { idle_since.or(Some(now)) } else { None };
                    if idle_since.is_some_and(|since| now.duration_since(since) >= LINGER) {
                        return End::Idle;
                    }
                    if talk.ready.is_some() {
                        self.watch_pace(now, talk);
                        if let Some(resident) = self.outgrown(&mut growth, now.duration_since(talk.since)) {
                            return End::Grown { resident };
                        }
                    }
                }
            }
        }
    }

    /// Notes a command; returns the stream that may have something to send.
    fn obey(&mut self, command: Command) -> Option<StreamId> {
        let id = match command {
            Command::Open { id, language, live, state } => {
                let ledger = Ledger::default();
                let member = Member {
                    language,
                    live,
                    state,
                    ledger,
                    finishing: false,
                    finish_sent: false,
                    waiting: None,
                    pace: Pace::default(),
                    watch: Watch::new(Instant::now().into_std()),
                    factor: Factor::default(),
                };
                self.streams.insert(id, member);
                id
            }
            Command::Audio { id, pcm } => {
                self.streams.get_mut(&id)?.ledger.push(pcm);
                id
            }
            Command::Finish { id } => {
                self.streams.get_mut(&id)?.finishing = true;
                id
            }
            Command::Close { id } => {
                self.streams.remove(&id)?.state.close();
                id
            }
        };
        lock(&self.status).streams = self.streams.len();
        Some(id)
    }

    /// As [`Process::obey`], and tells a running engine.
    fn obey_live(&mut self, command: Command, talk: &Talk) -> Option<StreamId> {
        let (opens, closes) = (matches!(command, Command::Open { .. }), matches!(command, Command::Close { .. }));
        let id = self.obey(command)?;
        if closes && talk.ready.is_some() {
            talk.say(&Request::Close { stream: id });
        }
        if let (true, Some(model), Some(member)) = (opens, &talk.ready, self.streams.get(&id)) {
            talk.say(&member.open(id));
            member.state.push(Event::Ready { model: model.clone() });
        }
        Some(id)
    }

    fn hear(&mut self, response: Response, talk: &mut Talk) {
        match response {
            Response::Ready { model } => {
                talk.ready = Some(model.clone());
                talk.since = Instant::now();
                for (id, member) in &mut self.streams {
                    talk.say(&member.open(*id));
                    talk.say(&Request::Relax { stream: *id, load: member.pace.load });
                    member.watch.restart(Instant::now().into_std());
                    member.state.push(Event::Ready { model: model.clone() });
                }
                let ids: Vec<StreamId> = self.streams.keys().copied().collect();
                ids.into_iter().for_each(|id| self.pump(id, talk));
            }
            Response::Heard { stream, hypothesis } => {
                if let Some(member) = self.streams.get_mut(&stream)
                    && let Some(hypothesis) = member.ledger.heard(hypothesis)
                {
                    member.state.push(Event::Hypothesis(hypothesis));
                }
            }
            Response::Progress { stream, until, settled, spent } => {
                if let Some(member) = self.streams.get_mut(&stream) {
                    let sound = member.ledger.progress(until, settled);
                    member.factor.add(spent, sound, Instant::now().into_std());
                    member.waiting = None;
                    self.pump(stream, talk);
                }
            }
            Response::Tally { tally, .. } => {
                let total = &mut lock(&self.status).tally;
                total.stable += tally.stable;
                total.overruled += tally.overruled;
            }
            Response::Finished { stream } => self.end(stream, None),
            Response::Failed { stream, reason } => {
                if let Some(stream) = stream {
                    self.end(stream, Some(Event::Failed { reason }));
                }
            }
        }
    }

    /// Sends a stream's audio as far as the engine may have it.
    fn pump(&mut self, id: StreamId, talk: &Talk) {
        let Some(member) = self.streams.get_mut(&id).filter(|_| talk.ready.is_some()) else { return };
        while let Some((pcm, first)) = member.ledger.next() {
            if first {
                member.state.sent(&pcm);
            }
            talk.say(&Request::Audio { stream: id, pcm });
        }
        if member.finishing && !member.finish_sent && member.ledger.is_sent() {
            member.finish_sent = true;
            talk.say(&Request::Finish { stream: id });
        }
        if (member.ledger.is_waiting() || member.finish_sent) && member.waiting.is_none() {
            member.waiting = Some(Instant::now());
        }
    }

    /// Looks how far behind every live is, and has less done where that is too far.
    fn watch_pace(&mut self, now: Instant, talk: &Talk) {
        for (id, member) in self.streams.iter_mut().filter(|(_, member)| member.live) {
            let load = member.watch.look(member.ledger.behind(), now.into_std());
            if load != member.pace.load {
                talk.say(&Request::Relax { stream: *id, load });
            }
            let pace = Pace { load, real_time_factor: member.factor.value() };
            if pace != member.pace {
                member.pace = pace;
                member.state.push(Event::Pace(pace));
            }
        }
    }

    /// How large the process is, if that is too large. The first call sees what it has to begin with.
    /// A young process is only ended in a pause: each has to get the streams further than the last.
    fn outgrown(&self, growth: &mut Option<Growth>, age: Duration) -> Option<u64> {
        let pid = lock(&self.status).pid.filter(|_| !self.streams.is_empty())?;
        if growth.is_none() {
            *growth = Growth::new(pid, &self.spec.model_dir, self.settings.memory);
        }
        let resident = memory::resident(pid)?;
        let pausing = self.streams.values().all(|member| member.ledger.is_pausing());
        let due = growth.as_ref()?.is_due(resident, self.streams.len(), pausing);
        (due && (pausing || age >= HEALTHY)).then_some(resident)
    }

    /// Why the process counts as hung, if it does.
    fn hangs(&self, now: Instant, talk: &Talk) -> Option<String> {
        if talk.ready.is_none() {
            return (now.duration_since(talk.since) > LOADING).then(|| "it did not load its model in time".into());
        }
        let longest = self.streams.values().filter_map(|member| member.waiting).min()?;
        (now.duration_since(longest) > self.settings.hang).then(|| "it stopped answering".into())
    }

    /// Prepares every stream for the next process.
    fn recover(&mut self, blame: bool) {
        for member in self.streams.values_mut() {
            let lost = member.ledger.crashed(blame);
            member.finish_sent = false;
            member.waiting = None;
            if let Some(lost) = lost {
                tracing::error!(from = ?lost.start, to = ?lost.end, "audio crashed the speech engine twice and is skipped");
            }
            member.state.push(Event::Restarted { lost });
        }
    }

    /// Ends every stream.
    fn fail(&mut self, reason: &str) {
        for (_, member) in self.streams.drain() {
            member.state.end(Event::Failed { reason: reason.to_owned() });
        }
        lock(&self.status).streams = 0;
    }

    fn end(&mut self, id: StreamId, event: Option<Event>) {
        if let Some(member) = self.streams.remove(&id) {
            match event {
                Some(event) => member.state.end(event),
                None => member.state.close(),
            }
        }
        lock(&self.status).streams = self.streams.len();
    }
}

impl Member {
    fn open(&self, id: StreamId) -> Request {
        Request::Open { stream: id, language: self.language.clone(), live: self.live }
    }
}

/// Kills and reaps; a process that is gone already is fine.
async fn kill(child: &mut Child) {
    let _ = child.kill().await;
}

/// The first restart is immediate.
fn backoff(quick_deaths: u32) -> Duration {
    match quick_deaths {
        0 | 1 => Duration::ZERO,
        n => (Duration::from_millis(250) * 2_u32.saturating_pow(n.min(10))).min(MAX_BACKOFF),
    }
}
