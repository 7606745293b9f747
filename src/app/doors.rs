//! The ports that publishers come to, bound and wired as the configuration says.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use crate::{
    access::{Door, Keys},
    ingest::srt,
    model::Chain,
    stream::Registry,
};

/// How often doors learn the keys that protocols encrypt with: `amphi channel` writes to the database and speaks to no
/// server.
const REFRESH: Duration = Duration::from_millis(500);

/// The SRT port and its door.
pub(super) struct Srt {
    pub server: srt::Server,
    door: Arc<Door>,
}

/// Binds the SRT port; `None` where it is off.
///
/// # Errors
/// Says what to do.
pub(super) async fn srt(config: &Config, keys: &Keys, registry: &Registry) -> Result<Option<Srt>> {
    let Some(address) = config.srt.listen else { return Ok(None) };
    let door = Arc::new(Door::new(keys.clone(), registry.clone()));
    door.refresh().await.context("cannot read the channels' keys")?;
    let settings =
        srt::Settings { latency: config.srt.latency, passphrase: config.srt.passphrase.clone(), ..Default::default() };
    let server = srt::Server::bind(address, door.clone(), settings);
    let server = server.with_context(|| format!("cannot listen on {address}/udp (srt.listen)"))?;
    Ok(Some(Srt { server, door }))
}

impl Srt {
    /// Serves until cancelled.
    pub async fn serve(self, cancel: CancellationToken) {
        let Self { server, door } = self;
        let learning = async {
            let mut failing = false;
            loop {
                tokio::time::sleep(REFRESH).await;
                match door.refresh().await {
                    Ok(()) => failing = false,
                    // Once: the database is asked again and again.
                    Err(error) if !failing => {
                        failing = true;
                        tracing::error!(error = %Chain(&error), "cannot read the channels' keys");
                    }
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = server.serve(cancel) => {}
            () = learning => {}
        }
    }
}
