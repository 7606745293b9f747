//! What passes between the server and its engine processes: frames on their pipes; and how large those
//! processes grow ([`memory`]).
//!
//! A frame is its length (`u32`, little endian, 1 to [`MAX_FRAME`]) and so many bytes.

pub mod memory;

use std::io::{self, Read};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest body of a frame either side takes, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The pipe broke, or ended within a frame.
    #[error("engine pipe")]
    Io(#[from] io::Error),
    /// The other side says something that is no message.
    #[error("malformed engine message: {0}")]
    Malformed(&'static str),
}

/// Reads the body of the next frame, blocking; nothing at a clean end.
///
/// # Errors
/// See [`PipeError`]; the pipe is unusable from then on.
pub fn read(from: &mut impl Read) -> Result<Option<Vec<u8>>, PipeError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Reads the body of the next frame; nothing at a clean end. Not cancel-safe.
///
/// # Errors
/// As [`read`].
pub async fn read_async(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, PipeError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match from.read(&mut head[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            read => filled += read,
        }
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// A message in JSON as a whole frame.
///
/// # Errors
/// [`PipeError::Malformed`] if it outgrows [`MAX_FRAME`].
pub fn json(message: &impl Serialize) -> Result<Vec<u8>, PipeError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(io::Error::from)?;
    if frame.len() - 4 > MAX_FRAME {
        return Err(PipeError::Malformed("message too long"));
    }
    Ok(seal(frame))
}

/// Reads the body of a frame made by [`json`].
///
/// # Errors
/// [`PipeError::Malformed`] for anything else.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, PipeError> {
    serde_json::from_slice(body).map_err(|_| PipeError::Malformed("unknown message"))
}

/// Makes a frame of a body that has four bytes of room before it.
///
/// # Panics
/// If the body is longer than [`MAX_FRAME`].
pub fn seal(mut frame: Vec<u8>) -> Vec<u8> {
    let body = frame.len() - 4;
    assert!(body <= MAX_FRAME, "frame of {body} bytes");
    frame[..4].copy_from_slice(&(body as u32).to_le_bytes());
    frame
}

fn length(head: [u8; 4]) -> Result<usize, PipeError> {
    match u32::from_le_bytes(head) as usize {
        length @ 1..=MAX_FRAME => Ok(length),
        _ => Err(PipeError::Malformed("frame of no or too many bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_bound_takes_no_memory_and_a_cut_frame_is_an_error() {
        assert!(matches!(read(&mut &[0xff; 8][..]), Err(PipeError::Malformed(_))));
        assert!(matches!(read(&mut &[0; 4][..]), Err(PipeError::Malformed(_))));
        assert!(matches!(read(&mut &[9, 0, 0, 0, 1][..]), Err(PipeError::Io(_))));
        assert!(matches!(read(&mut &[9, 0][..]), Err(PipeError::Io(_))));
    }
}
