//! What a connection of HTTP/2 owes its client. The socket cannot tell: a client that opens no window is owed bytes
//! which nobody tries to write (RFC 9113 §5.2), and keeps the segments that they lie in.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::FLOOR;

/// The answers of a connection that are ready to be taken.
pub(super) struct Owed {
    /// Bytes that its socket has taken.
    written: Arc<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    debts: usize,
    /// From when on there was always one.
    since: Instant,
    /// What had been written by then.
    written: u64,
}

impl Owed {
    pub(super) fn new(written: Arc<AtomicU64>) -> Arc<Self> {
        let state = Mutex::new(State { debts: 0, since: Instant::now(), written: 0 });
        Arc::new(Self { written, state })
    }

    /// Notes how an answer is taken.
    pub(super) fn watch(self: &Arc<Self>, answer: Response) -> Response {
        answer.map(|body| {
            let debt = (!body.is_end_stream()).then(|| Debt::of(self));
            Body::new(Answer { body, owed: self.clone(), debt })
        })
    }

    /// Whether for `patience` less was taken than anybody who watches takes. Ask several times in that time.
    pub(super) fn is_stalled(&self, patience: Duration) -> bool {
        let (now, written) = (Instant::now(), self.written.load(Ordering::Relaxed));
        let mut state = self.lock();
        let waited = now.saturating_duration_since(state.since);
        if state.debts == 0 || waited < patience {
            return false;
        }
        let too_little = ((written - state.written) as f64) < FLOOR * waited.as_secs_f64();
        (state.since, state.written) = (now, written);
        too_little
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that the client could take.
struct Debt(Arc<Owed>);

impl Debt {
    fn of(owed: &Arc<Owed>) -> Self {
        let written = owed.written.load(Ordering::Relaxed);
        let mut state = owed.lock();
        if state.debts == 0 {
            (state.since, state.written) = (Instant::now(), written);
        }
        state.debts += 1;
        drop(state);
        Self(owed.clone())
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.0.lock().debts -= 1;
    }
}

/// An answer's body. It is owed unless it waits for more of itself.
struct Answer {
    body: Body,
    owed: Arc<Owed>,
    debt: Option<Debt>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = polled else {
            self.debt = None;
            return polled;
        };
        if self.debt.is_none() {
            self.debt = Some(Debt::of(&self.owed));
        }
        let chunk = |bytes| Bytes::from_owner(Chunk { bytes, _debt: Debt::of(&self.owed) });
        Poll::Ready(Some(Ok(frame.map_data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer on their way, owed until they are dropped.
struct Chunk {
    bytes: Bytes,
    _debt: Debt,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
