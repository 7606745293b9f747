//! Logs go to standard error; standard output belongs to results.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use super::config::{Log, LogFormat};

/// Starts logging as configured.
///
/// # Errors
/// The filter cannot be parsed.
pub(super) fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter is wrong")?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
