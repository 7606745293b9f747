use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::app::{config::Config, logs, server};

/// `amphi serve`: configure, build, run, drain.
pub(in crate::app) fn run(config: Config, demo: bool) -> Result<ExitCode> {
    logs::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let server = server::build(config.clone()).await?;
        server.announce();
        if demo {
            super::demo::start(&config, server.rtmp_address(), server.http_address(), server.cancel()).await?;
        }
        server.run().await
    })?;
    Ok(ExitCode::SUCCESS)
}
