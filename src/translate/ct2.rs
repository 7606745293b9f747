//! Adapter for CTranslate2 models (OPUS-MT, NLLB, M2M100 and others), which run in a child process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    Text, Translator,
    wire::{Request, Response},
};
use crate::pipe::{
    self,
    memory::{self, Growth},
};

/// What the process needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `amphi-engine` binary.
    pub engine: PathBuf,
    /// The model's folder: `model.bin` and its vocabularies, with `source.spm` and `target.spm`, or
    /// `sentencepiece.bpe.model`, or `tokenizer.json`, or neither where text comes as tokens between spaces.
    pub model: PathBuf,
    /// Threads a translation may use.
    pub threads: usize,
    /// Bytes that the process may take: it is started again before it does, between two requests. None: what its
    /// model's size allows for.
    pub memory: Option<u64>,
}

/// One model in a process of its own. A process that dies fails the request in hand; the next
/// request starts another.
pub struct Ct2 {
    settings: Settings,
    process: Option<Process>,
}

struct Process {
    child: Child,
    responses: mpsc::Receiver<Result<Response, String>>,
    /// When its model was loaded, and how long that took.
    ready: Instant,
    loading: Duration,
    growth: Option<Growth>,
}

/// Loading a model takes at most so long.
const LOADING: Duration = Duration::from_secs(120);
/// A request takes at most so long.
const HANG: Duration = Duration::from_secs(30);
/// A process works for so many times as long as its model took to load, however low its ceiling: one that is
/// started again behind every request would do little else.
const WORTH: u32 = 10;

impl Ct2 {
    /// Starts a process and waits until its model is loaded.
    ///
    /// # Errors
    /// The engine cannot be started or the model not be loaded; says what to do.
    pub fn load(settings: Settings) -> Result<Self> {
        let process = Process::start(&settings)?;
        Ok(Self { settings, process: Some(process) })
    }
}

impl Translator for Ct2 {
    fn translate(&mut self, texts: &[Text]) -> Result<Vec<String>> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.settings)?,
        };
        match process.ask(&Request { texts: texts.to_vec() })? {
            Response::Translated { texts } => {
                self.process = Some(process);
                Ok(texts)
            }
            Response::Failed { reason } => {
                self.process = Some(process);
                Err(anyhow!(reason))
            }
            Response::Ready => bail!("the translation engine loaded its model twice"),
        }
    }

    fn refresh(&mut self) -> Result<()> {
        let process = self.process.take().context("the translation engine is gone")?;
        let Some(resident) = process.outgrown() else {
            self.process = Some(process);
            return Ok(());
        };
        let mebibytes = resident >> 20;
        tracing::info!(mebibytes, "translation engine is started again before it outgrows its memory");
        // Not both at once: that would take twice the memory.
        drop(process);
        self.process = Some(Process::start(&self.settings)?);
        Ok(())
    }
}

impl Process {
    fn start(settings: &Settings) -> Result<Self> {
        let begun = Instant::now();
        let mut command = Command::new(&settings.engine);
        command.args(["--engine", "ct2", "--threads", &settings.threads.max(1).to_string()]);
        command.arg("--model").arg(&settings.model);
        let mut child = command
            .env("OMP_NUM_THREADS", settings.threads.max(1).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("the engine {} cannot be started; run `amphi check`", settings.engine.display())
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, responses) = mpsc::sync_channel(1);
        let mut process = Self { child, responses, ready: begun, loading: Duration::ZERO, growth: None };
        // Both threads end with the process's pipes.
        let (stdout, stderr) = stdout.zip(stderr).context("the engine has no pipes")?;
        thread::Builder::new().name("ct2-read".into()).spawn(move || listen(stdout, &sender))?;
        thread::Builder::new().name("ct2-log".into()).spawn(move || log(stderr))?;
        match process.answer(LOADING)? {
            Response::Ready => {
                (process.ready, process.loading) = (Instant::now(), begun.elapsed());
                process.growth = Growth::new(process.child.id(), &settings.model, settings.memory);
                Ok(process)
            }
            Response::Failed { reason } => Err(anyhow!(reason)),
            Response::Translated { .. } => bail!("the translation engine answered before it was asked"),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Response> {
        let frame = pipe::json(request)?;
        let stdin = self.child.stdin.as_mut().context("the engine has no input")?;
        // A broken pipe shows in the answer, with the process's end.
        let _ = stdin.write_all(&frame).and_then(|()| stdin.flush());
        self.answer(HANG)
    }

    /// How large it is, if that is too large.
    fn outgrown(&self) -> Option<u64> {
        let resident = memory::resident(self.child.id())?;
        let due = self.growth.as_ref()?.is_due(resident, 0, true);
        (due && self.ready.elapsed() >= WORTH * self.loading).then_some(resident)
    }

    fn answer(&mut self, limit: Duration) -> Result<Response> {
        match self.responses.recv_timeout(limit) {
            Ok(response) => response.map_err(|reason| anyhow!(reason)),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the translation engine stopped answering"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().context("the translation engine")?;
                bail!("the translation engine died: {status}")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut stdout: ChildStdout, responses: &mpsc::SyncSender<Result<Response, String>>) {
    loop {
        let response = match pipe::read(&mut stdout) {
            Ok(Some(body)) => pipe::parse(&body).map_err(|error| error.to_string()),
            Ok(None) | Err(pipe::PipeError::Io(_)) => return,
            Err(error) => Err(error.to_string()),
        };
        let broken = response.is_err();
        if responses.send(response).is_err() || broken {
            return;
        }
    }
}

/// Engines write lines; one without an end is cut.
fn log(stderr: ChildStderr) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut stderr).take(4_096).read_until(b'\n', &mut line) {
        tracing::debug!(engine = "ct2", line = %String::from_utf8_lossy(&line).trim_end(), "translation engine says");
        line.clear();
    }
}
