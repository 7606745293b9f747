//! Metrics: every room counts with the `metrics` macros, this renders them for Prometheus.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting; returns what renders `/metrics`.
///
/// # Errors
/// Another recorder is installed in this process.
pub(super) fn install() -> Result<Arc<dyn Fn() -> String + Send + Sync>> {
    if HANDLE.get().is_none() {
        let handle = PrometheusBuilder::new().install_recorder().context("cannot count metrics")?;
        let _ = HANDLE.set(handle);
    }
    let handle = HANDLE.get().cloned().context("cannot count metrics")?;
    Ok(Arc::new(move || {
        handle.run_upkeep();
        handle.render()
    }))
}
