//! Logs go to standard error; standard output belongs to results.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use super::config::{Log, LogFormat};

/// Starts logging as configured.
///
/// # Errors
/// The filter cannot be parsed.
pub(super) fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter is wrong")?;
    let ansi = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi);
    match log.format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
