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
    /// Languages it hears; for translation, from and to.
    pub languages: Vec<String>,
    /// SPDX expression.
    pub licence: String,
    /// Whether it is on this machine.
    pub installed: bool,
}

/// Every model of the manifest.
#[utoipa::path(get, path = "/models", responses((status = 200, body = List<Item>)))]
pub async fn list(State(server): State<Server>) -> Json<List<Item>> {
    Json(List { items: (server.models)() })
}
