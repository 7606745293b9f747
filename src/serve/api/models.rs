//! `/models`: what can be heard and translated here.

use axum::{Json, extract::State};
use serde::Serialize;

use super::List;
use crate::serve::Server;

/// A model of the manifest.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// `speech` or `translation`.
    pub task: String,
    /// `whisper`, `vosk`, `fx` or `ct2`.
    pub engine: String,
    /// Languages it hears; for translation, from and to, or more than two: from any of them to any other.
    pub languages: Vec<String>,
    /// SPDX expression.
    pub licence: String,
    /// Whether it is on this machine.
    pub installed: bool,
    /// What was measured of it.
    pub quality: Vec<Quality>,
}

/// A figure of a model.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Quality {
    /// `WER` and `CER` in percent, less is better; `chrF2` and `BLEU` of 100, more is better; `RTF`, processor seconds
    /// that a second of a live's sound takes; `words/s` that a core translates.
    pub metric: String,
    /// In that unit.
    pub value: f64,
    /// What was heard or translated: a file of Amphi's source.
    pub of: String,
    /// What it was compared with: a file of Amphi's source. None for speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
}

/// Every model of the manifest.
#[utoipa::path(get, path = "/models", responses((status = 200, body = List<Item>)))]
pub async fn list(State(server): State<Server>) -> Json<List<Item>> {
    Json(List { items: (server.models)() })
}
