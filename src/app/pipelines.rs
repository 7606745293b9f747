//! The pipelines that this machine can run, tried out by a process that ends: trying them loads every library of every
//! codec, more than all else that an idle server holds.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, anyhow};
use tokio::process::Command;

use crate::media::{Templates, Verdict};

/// What the process says: the verdict, or what is missing.
type Answer = Result<Verdict, String>;

/// The templates, as a process of this program found them. Cancelled, it ends that.
///
/// # Errors
/// Says what is missing, or how the process ended.
pub(super) async fn ask(folder: Option<&Path>) -> Result<Templates> {
    let program = std::env::current_exe().context("this program is not to be found")?;
    let mut command = Command::new(&program);
    command.args(["pipelines", "--"]).args(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let output = child.wait_with_output().await.context("the process that tries the pipelines is lost")?;
    let answer = read(&output.stdout)
        .ok_or_else(|| anyhow!("the process that tries the pipelines gave no answer ({})", output.status))?;
    Ok(Templates::tried(folder, answer.map_err(anyhow::Error::msg)?)?)
}

/// That process: its answer is the last line it prints, since libraries that it loads print as well.
///
/// # Errors
/// Only where an answer cannot be written.
pub(super) fn answer(folder: Option<&Path>) -> Result<()> {
    let answer: Answer =
        Templates::load(folder).map(|found| found.verdict()).map_err(|err| format!("{:#}", anyhow!(err)));
    println!("\n{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn read(printed: &[u8]) -> Option<Answer> {
    serde_json::from_slice(printed.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_last_line() {
        let printed = "libva info: VA-API version 1.17.0\n\n{\"Err\":\"no x264enc\"}\n";
        assert_eq!(read(printed.as_bytes()), Some(Err("no x264enc".into())));
        assert_eq!(read(b"libva info: VA-API version 1.17.0\n"), None);
        assert_eq!(read(b""), None);
    }
}
