//! The ports that publishers and readers come to, bound and wired as the configuration says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use crate::{
    access::{Door, Keys},
    egress,
    ingest::{
        pull::{Source, Supervisor},
        rtsp, srt,
    },
    model::Chain,
    store::Store,
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

/// How often channels are looked at for the sources they have: whoever sets one, by API or command, tells no server.
const LOOK: Duration = Duration::from_secs(2);

/// The RTSP port, and who serves its readers; `None` where it is off.
///
/// # Errors
/// Says what is missing and what to do.
pub(super) async fn rtsp(
    config: &Config,
    keys: &Keys,
    registry: &Registry,
) -> Result<Option<(rtsp::Server, egress::rtsp::Readers)>> {
    let Some(address) = config.rtsp.listen else { return Ok(None) };
    let readers = egress::rtsp::Readers::start().context("RTSP readers cannot be served (rtsp.listen)")?;
    let door = Arc::new(Door::new(keys.clone(), registry.clone()));
    let serving = readers.clone();
    let hand_over = rtsp::Readers::new(move |socket, peer| serving.take(socket, peer));
    let server = rtsp::Server::bind(address, door, hand_over, rtsp::Settings::default()).await;
    let server = server.with_context(|| format!("cannot listen on {address} (rtsp.listen)"))?;
    Ok(Some((server, readers)))
}

/// Keeps the sources of all channels pulled.
pub(super) struct Pulls {
    store: Store,
    keys: Keys,
    supervisor: Supervisor,
}

impl Pulls {
    /// Pulls nothing yet.
    pub(super) fn new(config: &Config, store: &Store, keys: &Keys, registry: &Registry) -> Self {
        let door = Arc::new(Door::new(keys.clone(), registry.clone()).patient());
        let supervisor = Supervisor::new(door, config.pull.rule());
        Self { store: store.clone(), keys: keys.clone(), supervisor }
    }

    /// Pulls until cancelled.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        while cancel.run_until_cancelled(look.tick()).await.is_some() {
            match self.store.channels().list().await {
                Ok(channels) => {
                    let source = |channel| {
                        let url = self.keys.source(channel).inspect_err(|error| {
                            tracing::debug!(error = %Chain(error), "a channel's source cannot be opened");
                        });
                        Source::parse(&url.ok().flatten()?).ok()
                    };
                    let wanted: BTreeMap<_, _> =
                        channels.iter().filter_map(|channel| Some((channel.name.clone(), source(channel)?))).collect();
                    self.supervisor.want(&wanted);
                }
                Err(error) => tracing::warn!(error = %Chain(&error), "cannot look for sources"),
            }
        }
        self.supervisor.stop().await;
    }
}
