use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use crate::app::{config::Config, logs, server};

/// What still runs behind the drain, writes above all, gets so long.
const LAST: Duration = Duration::from_secs(1);
/// Signals closer together are one: `timeout` and shells may send theirs twice.
const ECHO: Duration = Duration::from_secs(1);

/// `amphi serve`: configure, build, run, drain.
pub(in crate::app) fn run(config: Config, demo: bool) -> Result<ExitCode> {
    logs::start(&config.log)?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let served = runtime.block_on(async {
        let server = server::build(config.clone()).await?;
        server.announce();
        if demo {
            super::demo::start(&config, server.rtmp_address(), server.http_address(), server.cancel()).await?;
        }
        tokio::select! {
            biased;
            served = server.run() => served.map(|()| true),
            impatience = second_signal() => impatience.map(|()| false),
        }
    });
    match served {
        Ok(false) => {
            runtime.shutdown_background();
            bail!("stopped at once by a second signal; the next start finishes the recordings");
        }
        served => {
            // Blocking work cannot be cancelled, and a disk that hangs must not keep the process.
            runtime.shutdown_timeout(LAST);
            served.map(|_| ExitCode::SUCCESS)
        }
    }
}

/// Every connection is an open file, and shells hand out 1,024: take what the hard limit allows.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays low: many viewers may be refused");
    }
}

/// Returns with the second SIGTERM or Ctrl-C.
async fn second_signal() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut first: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        match first {
            None => first = Some(Instant::now()),
            Some(first) if first.elapsed() >= ECHO => return Ok(()),
            Some(_) => {}
        }
    }
}
