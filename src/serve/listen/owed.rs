//! What a connection of HTTP/2 owes its client. The socket cannot tell: a client that opens no window is owed bytes
//! which nobody tries to write (RFC 9113 §5.2), and keeps the segments that they lie in.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Bytes that are sent as one piece: small beside what anybody takes in the time that a piece may wait.
pub(super) const PIECE: usize = 64 * 1024;

/// The pieces of a connection's answers that wait to be taken. hyper holds three of an answer at most.
#[derive(Default)]
pub(super) struct Owed(Mutex<Pieces>);

#[derive(Default)]
struct Pieces {
    made: u64,
    /// When each was made, by its number.
    waiting: BTreeMap<u64, Instant>,
}

impl Owed {
    /// Notes how an answer is taken.
    pub(super) fn watch(self: &Arc<Self>, answer: Response) -> Response {
        answer.map(|body| Body::new(Answer { body, rest: Bytes::new(), owed: self.clone() }))
    }

    /// Whether a piece has waited so long.
    pub(super) fn is_stalled(&self, patience: Duration) -> bool {
        self.lock().waiting.first_key_value().is_some_and(|(_, made)| made.elapsed() >= patience)
    }

    fn piece(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut pieces = self.lock();
        let number = pieces.made;
        pieces.made += 1;
        pieces.waiting.insert(number, Instant::now());
        drop(pieces);
        Bytes::from_owner(Piece { bytes, number, owed: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer's body, handed out piece by piece.
struct Answer {
    body: Body,
    /// What the body has given and is not handed out yet.
    rest: Bytes,
    owed: Arc<Owed>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(self.owed.piece(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

/// Bytes of an answer on their way, owed until they are dropped.
struct Piece {
    bytes: Bytes,
    number: u64,
    owed: Arc<Owed>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.owed.lock().waiting.remove(&self.number);
    }
}
