//! The pipelines that this machine can run, tried out by a process that ends: trying them loads every library of every
//! codec, more than all else that an idle server holds.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::media::Templates;

/// The templates, as a process of this program found them. Cancelled, it ends that.
///
/// # Errors
/// Says what is missing.
pub(super) async fn ask(folder: Option<&Path>) -> Result<Templates> {
    let program = std::env::current_exe().context("this program is not to be found")?;
    let mut command = Command::new(&program);
    command.arg("pipelines").args(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("cannot start {}", program.display()))?;
    let Output { status, stdout, stderr } = output;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    let verdict = serde_json::from_slice(&stdout).context("what the pipelines were found to be is not readable")?;
    Ok(Templates::tried(folder, verdict)?)
}

/// That process.
///
/// # Errors
/// As [`Templates::load`].
pub(super) fn answer(folder: Option<&Path>) -> Result<()> {
    let verdict = Templates::load(folder)?.verdict();
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(())
}
