//! The command line: what each command takes, and which function does it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{commands, config::Config, pipelines};
use crate::model::{LanguageTag, StreamName};

/// Live streaming and real-time subtitling media server.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// Configuration file; config/amphi.toml of the source is its reference.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory: recordings, database, secrets.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything until SIGTERM or Ctrl-C.
    Serve {
        /// Makes the demo channels and streams the bundled lectures into them.
        #[arg(long)]
        demo: bool,
    },
    /// Says what is missing for `serve`, and how to get it.
    Check {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Manages channels; works while the server runs and when it does not.
    #[command(subcommand)]
    Channel(Channel),
    /// Manages speech and translation models.
    #[command(subcommand)]
    Models(Models),
    /// Writes down what is said in a file.
    Transcribe {
        /// Any audio or video file.
        file: PathBuf,
        /// Model id; by default the language's.
        #[arg(long)]
        model: Option<String>,
        /// Language spoken.
        #[arg(long, default_value = "en")]
        language: LanguageTag,
        /// Form of the result.
        #[arg(long, value_enum, default_value_t = Format::Vtt)]
        format: Format,
        /// Where to; by default standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Translates a WebVTT file, or a text file line by line.
    Translate {
        /// The captions, or a text ending in .txt.
        file: PathBuf,
        /// Their language.
        #[arg(long)]
        from: LanguageTag,
        /// The language wanted.
        #[arg(long)]
        to: LanguageTag,
        /// Where to; by default standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Says how good captions, transcripts and translations are.
    Evaluate(Evaluate),
    /// Tries the pipelines out and says what `serve` has to know, which asks in a process of its own.
    #[command(hide = true)]
    Pipelines {
        /// Those of the operator.
        folder: Option<PathBuf>,
    },
    /// Streams the bundled lecture into a running server, over RTMP, until Ctrl-C.
    Demo {
        /// The channel; it is made if need be. By default both demo channels.
        #[arg(long)]
        channel: Option<StreamName>,
        /// The server's RTMP address.
        #[arg(long, default_value = "127.0.0.1:1935")]
        server: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Channel {
    /// Makes a channel and prints its stream key.
    Add {
        /// 1 to 64 characters of a-z, 0-9, - and _.
        name: StreamName,
        /// For people; the name if left out.
        #[arg(long)]
        title: Option<String>,
        /// Language spoken; the configuration's if left out.
        #[arg(long)]
        language: Option<LanguageTag>,
        /// The speech model that hears it, by id; the manifest's choice if left out.
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// Languages to translate into, separated by commas.
        #[arg(long, value_delimiter = ',')]
        translate: Vec<LanguageTag>,
        /// Viewers stay 3 s behind, so that captions are there before their picture.
        #[arg(long)]
        accurate: bool,
        /// Where the server fetches it from: rtsp://USER:PASSWORD@HOST/PATH; - reads that from standard input, so that
        /// no process title shows the password.
        #[arg(long, value_name = "URL")]
        source: Option<String>,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Changes a channel. Language, model and translations take effect in its live within two seconds.
    Change {
        /// Which.
        name: StreamName,
        /// For people.
        #[arg(long)]
        title: Option<String>,
        /// Language spoken.
        #[arg(long)]
        language: Option<LanguageTag>,
        /// The speech model that hears it, by id; "" for the manifest's choice.
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// Languages to translate into, separated by commas; "" for none.
        #[arg(long)]
        translate: Option<String>,
        /// Whether viewers stay 3 s behind, so that captions are there before their picture; from the next live on.
        #[arg(long, value_name = "true|false")]
        accurate: Option<bool>,
        /// Whether another publisher with the stream key replaces the one that is live, instead of being refused.
        #[arg(long, value_name = "true|false")]
        takeover: Option<bool>,
        /// Where the server fetches it from: rtsp://USER:PASSWORD@HOST/PATH; - reads that from standard input, so that
        /// no process title shows the password; "" for nowhere. Takes effect within three seconds.
        #[arg(long, value_name = "URL")]
        source: Option<String>,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Lists channels.
    List {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Shows a channel with its stream key.
    Show {
        /// Which.
        name: StreamName,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Makes a new stream key; the old one stops working.
    RotateKey {
        /// Which.
        name: StreamName,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Makes a key for a second encoder, which stands by and goes on the air when the first stops; or another one.
    BackupKey {
        /// Which.
        name: StreamName,
        /// Takes the key away instead.
        #[arg(long)]
        remove: bool,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Puts the main or the backup publisher of a live on the air; asks the server that runs here.
    OnAir {
        /// Which.
        name: StreamName,
        /// Whom.
        #[arg(value_parser = ["main", "backup"])]
        publisher: String,
    },
    /// Removes a channel; its recordings stay.
    Remove {
        /// Which.
        name: StreamName,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// Lists the manifest.
    List {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Fetches models; goes on where it stopped.
    Fetch {
        /// Ids of the manifest.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Takes files whose sum the manifest does not state.
        #[arg(long)]
        accept_unverified: bool,
    },
    /// Compares the installed models with their sums.
    Verify,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Evaluate {
    #[command(subcommand)]
    pub what: Option<EvaluateWhat>,
    #[command(flatten)]
    pub texts: Option<EvaluateTexts>,
}

#[derive(Debug, Args)]
pub(super) struct EvaluateTexts {
    /// What it should say: .txt (a segment a line), .vtt, .srt, .json or .jsonl (an event log).
    #[arg(long, value_name = "FILE")]
    pub reference: PathBuf,
    /// What it says: the same kinds of file.
    #[arg(long, value_name = "FILE")]
    pub hypothesis: PathBuf,
    /// Figures wanted, separated by commas; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub metric: Vec<Metric>,
    /// What makes two words the same, for wer and cer.
    #[arg(long, alias = "normalize", value_enum, default_value_t = Normalisation::Words)]
    pub normalise: Normalisation,
    /// How BLEU divides a text.
    #[arg(long, value_enum, default_value_t = Tokenize::V13a)]
    pub tokenize: Tokenize,
    /// How segments of both find each other; by default `lines` for files of lines, `aligned` for captions.
    #[arg(long, value_enum)]
    pub pair: Option<Pair>,
    /// The track wanted, of files that hold several.
    #[arg(long)]
    pub language: Option<LanguageTag>,
    /// Shows every word error in its segment.
    #[arg(long)]
    pub errors: bool,
    /// For scripts.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum EvaluateWhat {
    /// Lag, flicker and reading speed of a live's captions, from their event log.
    Log {
        /// What `amphi evaluate record` wrote.
        events: PathBuf,
        /// What was truly said and when: a JSON list of sentences with `start`, `end` and `text`, where known
        /// with `words` of `text` and `end`.
        #[arg(long, value_name = "FILE")]
        reference_times: Option<PathBuf>,
        /// Seconds of the live before the reference begins.
        #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, requires = "reference_times")]
        offset: f64,
        /// One track alone.
        #[arg(long)]
        language: Option<LanguageTag>,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Writes down what a running server's captions say, and when, until the live ends or Ctrl-C.
    Record {
        /// A channel, or the address of its watch page or of its caption events.
        channel: String,
        /// The server of a channel.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        server: String,
        /// One track alone.
        #[arg(long)]
        language: Option<LanguageTag>,
        /// Where to: JSON lines, each with the time it was received.
        #[arg(short, long)]
        output: PathBuf,
    },
}

/// A figure of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Metric {
    /// Word error rate.
    Wer,
    /// Character error rate.
    Cer,
    /// chrF2.
    Chrf,
    /// chrF2++: chrF2 with words.
    #[value(name = "chrf++")]
    ChrfWords,
    /// Corpus BLEU.
    Bleu,
    /// Whether the hypothesis can be read in its time; needs times.
    Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Normalisation {
    /// As written; jiwer's default.
    None,
    /// Lower case, without punctuation.
    Words,
    /// As words, and numbers in English words.
    English,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tokenize {
    /// mteval-v13a; sacrebleu's default.
    #[value(name = "13a")]
    V13a,
    /// Punctuation of every script.
    Intl,
    /// Characters: Chinese, Japanese, Thai.
    Char,
    /// At spaces.
    None,
}

/// How segments of two texts find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pair {
    /// The first with the first, and so on.
    Lines,
    /// The hypothesis is cut where it fits the reference's segments best.
    Aligned,
    /// Each text is one segment.
    Whole,
}

/// Form of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Vtt,
    Srt,
    Json,
    Txt,
}

/// Parses the command line and does what it says. Errors go to standard error, with what to do next.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let config = || Config::load(cli.config.as_deref(), cli.data.as_deref());
    match cli.command {
        Command::Serve { demo } => commands::serve::run(config()?, demo),
        Command::Check { json } => commands::check::run(&config()?, json),
        Command::Channel(command) => commands::channel::run(&config()?, command).map(|()| ExitCode::SUCCESS),
        Command::Models(command) => commands::models::run(&config()?, command).map(|()| ExitCode::SUCCESS),
        Command::Transcribe { file, model, language, format, output } => {
            commands::transcribe::run(&config()?, &file, model.as_deref(), &language, format, output.as_deref())
                .map(|()| ExitCode::SUCCESS)
        }
        Command::Translate { file, from, to, output } => {
            commands::translate::run(&config()?, &file, &from, &to, output.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        Command::Evaluate(evaluate) => commands::evaluate::run(evaluate).map(|()| ExitCode::SUCCESS),
        Command::Pipelines { folder } => pipelines::answer(folder.as_deref()).map(|()| ExitCode::SUCCESS),
        Command::Demo { channel, server } => {
            commands::demo::run(&config()?, channel, &server).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// An address that listens everywhere is reached at home.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// A runtime for commands that wait a little.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?.block_on(work)
}

/// Writes a result to a file, whole or not at all, or to standard output.
pub(super) fn write(output: Option<&Path>, text: &str) -> Result<()> {
    use std::io::Write;
    let Some(path) = output else {
        return std::io::stdout().write_all(text.as_bytes()).context("cannot write");
    };
    let draft = path.with_extension("part");
    std::fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}
