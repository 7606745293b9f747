//! What the server and a translating engine process say to each other: JSON in frames of a
//! [`pipe`](crate::pipe). Every [`Request`] has one [`Response`]; [`Response::Ready`] or a failure
//! comes before the first.

use serde::{Deserialize, Serialize};

use super::Text;

/// Server to engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What to translate, in one batch.
    pub texts: Vec<Text>,
}

/// Engine to server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// The model is loaded.
    Ready,
    /// As many texts as were asked for.
    Translated {
        /// In the order of the request.
        texts: Vec<String>,
    },
    /// The request, or loading the model, failed.
    Failed {
        /// What was wrong and what to do.
        reason: String,
    },
}
