//! The ports that publishers and readers come to, bound and wired as the configuration says.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::config::Config;
use crate::{
    access::{Door, Keys},
    egress,
    ingest::rtsp,
    stream::Registry,
};

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
    let hand_over: rtsp::Readers = Arc::new(move |socket, peer| serving.take(socket, peer));
    let server = rtsp::Server::bind(address, door, hand_over, rtsp::Settings::default()).await;
    let server = server.with_context(|| format!("cannot listen on {address} (rtsp.listen)"))?;
    Ok(Some((server, readers)))
}
