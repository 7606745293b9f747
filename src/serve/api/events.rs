//! `/events`: every state change, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;

use crate::serve::Server;

/// State changes of channels and recordings from now on.
#[utoipa::path(get, path = "/events", responses((status = 200, content_type = "text/event-stream")))]
pub async fn events(State(server): State<Server>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // A listener that fell behind lost changes, not the truth: it reads the lists again.
    let changes = BroadcastStream::new(server.board.changes())
        .filter_map(async |change| Event::default().json_data(change.ok()?).ok().map(Ok));
    Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
