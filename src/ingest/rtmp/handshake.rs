//! The simple handshake (RTMP 1.0 §5.2), both sides. Pure; encoders fall back to it from the
//! digest variant when the other side's version field is zero.

use super::Error;

/// Bytes of C1, S1, C2 and S2.
pub const PACKET: usize = 1536;
/// Bytes of C0 and C1, or of S0 and S1.
pub const HELLO: usize = 1 + PACKET;

/// The protocol version (§5.2.2).
const VERSION: u8 = 3;

/// C0 and C1, or S0 and S1: version, time zero, zero, and random bytes (§5.2.3).
///
/// # Errors
/// [`Error::Io`] if the system has no random bytes.
pub fn hello() -> Result<[u8; HELLO], Error> {
    let mut bytes = [0; HELLO];
    bytes[0] = VERSION;
    getrandom::fill(&mut bytes[9..]).map_err(|error| Error::Io(error.into()))?;
    Ok(bytes)
}

/// Checks the other side's hello and returns what answers it, S2 or C2: an echo (§5.2.4).
///
/// # Errors
/// [`Error::Malformed`] for another version: encrypted RTMP, or no RTMP at all.
pub fn answer(hello: &[u8; HELLO]) -> Result<&[u8], Error> {
    match hello {
        [VERSION, packet @ ..] => Ok(packet),
        _ => Err(Error::Malformed("handshake: not plain RTMP")),
    }
}
