//! The command line: what each command takes, and which function does it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use super::{commands, config::Config};
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
    /// Translates a WebVTT file.
    Translate {
        /// The captions.
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
        /// Languages to translate into, separated by commas.
        #[arg(long, value_delimiter = ',')]
        translate: Vec<LanguageTag>,
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
        /// Takes archives whose sum the manifest does not state.
        #[arg(long)]
        accept_unverified: bool,
    },
    /// Compares the installed models with their sums.
    Verify,
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
    let config = Config::load(cli.config.as_deref(), cli.data.as_deref())?;
    match cli.command {
        Command::Serve { demo } => commands::serve::run(config, demo),
        Command::Check { json } => commands::check::run(&config, json),
        Command::Channel(command) => commands::channel::run(&config, command).map(|()| ExitCode::SUCCESS),
        Command::Models(command) => commands::models::run(&config, command).map(|()| ExitCode::SUCCESS),
        Command::Transcribe { file, model, language, format, output } => {
            commands::transcribe::run(&config, &file, model.as_deref(), &language, format, output.as_deref())
                .map(|()| ExitCode::SUCCESS)
        }
        Command::Translate { file, from, to, output } => {
            commands::translate::run(&config, &file, &from, &to, output.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        Command::Demo { channel, server } => commands::demo::run(&config, channel, &server).map(|()| ExitCode::SUCCESS),
    }
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
