//! `amphi-engine`: one model and those who use it, in a process that may crash alone.
//!
//! Requests come on standard input, responses leave on standard output (`amphi::speech::wire`,
//! `amphi::translate::wire`),
//! logs on standard error. The process ends when its input does.

mod ct2;
mod vosk;
mod vosk_sys;
mod whisper;

use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Instant,
};

use amphi::{
    model::{Hypothesis, LanguageTag, Pcm},
    pipe,
    speech::{
        Load, Recognizer, Tally,
        wire::{Request, Response, StreamId},
    },
    translate,
};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use rustix::thread::disable_transparent_huge_pages;

/// A speech or translation engine, started by `amphi`.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Which engine reads the model.
    #[arg(long)]
    engine: Kind,
    /// The model's folder.
    #[arg(long)]
    model: PathBuf,
    /// The language it hears.
    #[arg(long, default_value = "en")]
    language: LanguageTag,
    /// Threads a decoding may use.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Times single calls of a Whisper model instead of serving.
    #[arg(long, hide = true)]
    calls: bool,
}

/// Kaldi makes and frees lattice nodes by the million: with the system's allocator recognition costs a tenth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Vosk,
    Whisper,
    Ct2,
}

/// A loaded model makes a recogniser for every stream.
type Factory = Box<dyn Fn(&LanguageTag, bool) -> Result<Box<dyn Recognizer>>>;

/// Streams that a process serves.
const MAX_STREAMS: usize = 256;
/// Messages that wait for a stream; the server sends no more than 10 s of audio ahead.
const MAX_WAITING: usize = 2_048;

fn main() -> ExitCode {
    let args = Args::parse();
    // What CTranslate2 frees between two decodings would stay resident in huge pages, at twice the memory and no gain
    // in speed. Kaldi keeps what it has: to its lives they make no measured difference.
    if !matches!(args.engine, Kind::Vosk)
        && let Err(error) = disable_transparent_huge_pages(true)
    {
        eprintln!("huge pages stay on, which costs memory: {error}");
    }
    if args.calls {
        return match whisper::calls(&args.model, args.threads) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let out = Output(Arc::new(Mutex::new(io::stdout())));
    let served = match args.engine {
        Kind::Ct2 => ct2::serve(&args, &out),
        Kind::Vosk | Kind::Whisper => serve(&args, &out),
    };
    let Err(error) = served else { return ExitCode::SUCCESS };
    let reason = format!("{error:#}");
    eprintln!("{reason}");
    let last = match args.engine {
        Kind::Ct2 => pipe::json(&translate::wire::Response::Failed { reason }),
        Kind::Vosk | Kind::Whisper => Response::Failed { stream: None, reason }.to_frame(),
    };
    // The server may be gone; there is nobody else to tell.
    let _ = last.map(|frame| out.frame(&frame));
    ExitCode::from(2)
}

fn serve(args: &Args, out: &Output) -> Result<()> {
    let factory = load(args)?;
    let model = args.model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    out.send(&Response::Ready { model })?;
    let mut input = io::stdin().lock();
    let mut streams: HashMap<StreamId, Open> = HashMap::new();
    while let Some(body) = pipe::read(&mut input)? {
        match Request::parse(&body)? {
            Request::Open { stream, language, live } => {
                // The server closes none that failed.
                streams.retain(|_, open| !open.thread.is_finished());
                let begun = if streams.len() < MAX_STREAMS {
                    factory(&language, live).and_then(|recognizer| Open::begin(stream, recognizer, live, out))
                } else {
                    Err(anyhow!("this model hears {MAX_STREAMS} streams already: end one, or choose another model"))
                };
                match begun {
                    Ok(open) => drop(streams.insert(stream, open)),
                    Err(error) => out.send(&Response::Failed { stream: Some(stream), reason: format!("{error:#}") })?,
                }
            }
            Request::Audio { stream, pcm } => give(&streams, stream, Work::Audio(pcm)),
            Request::Finish { stream } => {
                give(&streams, stream, Work::Finish);
                // Nothing follows, not even that it is closed: its thread ends with what it has.
                streams.remove(&stream);
            }
            Request::Close { stream } => drop(streams.remove(&stream)),
            Request::Relax { stream, load } => give(&streams, stream, Work::Relax(load)),
        }
    }
    Ok(())
}

/// A stream and the thread that hears it.
struct Open {
    work: mpsc::SyncSender<Work>,
    thread: JoinHandle<()>,
}

impl Open {
    fn begin(stream: StreamId, recognizer: Box<dyn Recognizer>, live: bool, out: &Output) -> Result<Self> {
        let (work, waiting) = mpsc::sync_channel(MAX_WAITING);
        let out = out.clone();
        let thread = thread::Builder::new().name(format!("stream-{stream}"));
        let thread = thread.spawn(move || run(stream, recognizer, live, &waiting, &out));
        Ok(Self { work, thread: thread.context("start a stream's thread")? })
    }
}

enum Work {
    Audio(Pcm),
    Finish,
    Relax(Load),
}

/// A stream that failed has no thread any more; what is still under way to it is of no use.
fn give(streams: &HashMap<StreamId, Open>, stream: StreamId, work: Work) {
    if let Some(open) = streams.get(&stream) {
        let _ = open.work.send(work);
    }
}

/// A stream's thread: ends when the stream is finished, closed or fails.
fn run(stream: StreamId, mut recognizer: Box<dyn Recognizer>, live: bool, work: &mpsc::Receiver<Work>, out: &Output) {
    let mut pending = None;
    while let Some(next) = pending.take().or_else(|| work.recv().ok()) {
        let done = match next {
            Work::Audio(mut pcm) => {
                if live {
                    pending = gather(&mut pcm, work);
                }
                heard(stream, &mut *recognizer, &pcm, out)
            }
            Work::Relax(load) => {
                recognizer.relax(load);
                Ok(())
            }
            Work::Finish => recognizer.finish().and_then(|heard| {
                out.heard(stream, heard)?;
                out.tally(stream, recognizer.tally())?;
                out.send(&Response::Finished { stream })
            }),
        };
        if let Err(error) = done {
            let _ = out.send(&Response::Failed { stream: Some(stream), reason: format!("{error:#}") });
            return;
        }
    }
}

fn heard(stream: StreamId, recognizer: &mut dyn Recognizer, pcm: &Pcm, out: &Output) -> Result<()> {
    let began = Instant::now();
    let heard = recognizer.accept(pcm)?;
    let spent = began.elapsed();
    out.heard(stream, heard)?;
    out.tally(stream, recognizer.tally())?;
    out.send(&Response::Progress { stream, until: pcm.end(), settled: recognizer.settled(), spent })
}

/// The most sound taken in at once: what has piled up while a model loads is worked off where the server sees it.
const AT_ONCE: usize = 2 * Pcm::RATE as usize;

/// Adds what has piled up and continues `pcm` without a gap; returns what does not.
fn gather(pcm: &mut Pcm, work: &mpsc::Receiver<Work>) -> Option<Work> {
    let mut samples = Vec::new();
    let mut end = pcm.end();
    let mut rest = None;
    while pcm.samples.len().max(samples.len()) < AT_ONCE
        && let Ok(next) = work.try_recv()
    {
        match next {
            Work::Audio(more) if more.start.since(end).max(end.since(more.start)).as_millis() <= 1 => {
                if samples.is_empty() {
                    samples.extend_from_slice(&pcm.samples);
                }
                samples.extend_from_slice(&more.samples);
                end = more.end();
            }
            other => {
                rest = Some(other);
                break;
            }
        }
    }
    if !samples.is_empty() {
        pcm.samples = samples.into();
    }
    rest
}

/// Standard output, one frame at a time.
#[derive(Clone)]
struct Output(Arc<Mutex<io::Stdout>>);

impl Output {
    fn send(&self, response: &Response) -> Result<()> {
        self.frame(&response.to_frame()?)
    }

    fn frame(&self, frame: &[u8]) -> Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(frame)?;
        Ok(out.flush()?)
    }

    fn heard(&self, stream: StreamId, heard: Vec<Hypothesis>) -> Result<()> {
        heard.into_iter().try_for_each(|hypothesis| self.send(&Response::Heard { stream, hypothesis }))
    }

    fn tally(&self, stream: StreamId, tally: Tally) -> Result<()> {
        if tally.stable > 0 { self.send(&Response::Tally { stream, tally }) } else { Ok(()) }
    }
}

fn load(args: &Args) -> Result<Factory> {
    if !args.model.is_dir() {
        bail!("speech model folder {} is missing: fetch it with `amphi models fetch`", args.model.display());
    }
    match args.engine {
        Kind::Ct2 => bail!("this engine translates"),
        Kind::Vosk => {
            let model = Arc::new(vosk_sys::Model::open(&args.model)?);
            Ok(Box::new(move |_, live| Ok(Box::new(vosk::Streaming::new(model.clone(), live)?))))
        }
        Kind::Whisper => {
            let model = Arc::new(whisper::Model::open(&args.model, args.threads)?);
            let speaks = |model: &whisper::Model, language: &LanguageTag| {
                if model.speaks(language.primary()) {
                    Ok(())
                } else {
                    bail!("this whisper model does not know {language}")
                }
            };
            speaks(&model, &args.language)?;
            Ok(Box::new(move |language, live| {
                speaks(&model, language)?;
                Ok(Box::new(whisper::Streaming::new(model.clone(), language, live)))
            }))
        }
    }
}
