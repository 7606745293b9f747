//! As much of STUN (RFC 8489) as tells one peer's datagrams from another's. Pure.

/// What the first bytes of a datagram say it is (RFC 7983 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connectivity check or its answer.
    Stun,
    /// DTLS, SRTP or SRTCP.
    Other,
}

/// Length of a STUN header (§5).
const HEADER: usize = 20;
/// Type of the attribute USERNAME (§14.3).
const USERNAME: u16 = 0x0006;

/// Tells STUN from what travels beside it.
pub fn kind(datagram: &[u8]) -> Kind {
    if matches!(datagram.first(), Some(0..=3)) { Kind::Stun } else { Kind::Other }
}

/// The receiver's user fragment in a connectivity check: USERNAME is `RECEIVER:SENDER` (RFC 8445 §7.2.2).
/// Answers carry none.
pub fn receiver(datagram: &[u8]) -> Option<&str> {
    let mut rest = datagram.get(HEADER..)?;
    loop {
        let (kind, tail) = rest.split_first_chunk()?;
        let (length, tail) = tail.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let value = tail.get(..length)?;
        if u16::from_be_bytes(*kind) == USERNAME {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(receiver, _)| receiver);
        }
        // Attributes begin at multiples of four bytes (RFC 8489 §14).
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        for (kind, value) in attributes {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn the_receiver_is_named_first() {
        let bytes = check(&[(0x8022, b"libjingle"), (USERNAME, b"serverfragment:clientfragment")]);
        assert_eq!(kind(&bytes), Kind::Stun);
        assert_eq!(receiver(&bytes), Some("serverfragment"));
    }

    #[test]
    fn lengths_that_lie_name_nobody() {
        assert_eq!(receiver(&[]), None);
        assert_eq!(receiver(&check(&[])), None);
        assert_eq!(receiver(&check(&[(USERNAME, b"no colon")])), None);
        let mut bytes = check(&[(USERNAME, b"a:b")]);
        bytes[HEADER + 2..HEADER + 4].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(receiver(&bytes), None);
        assert_eq!(receiver(&check(&[(USERNAME, b"\xff:b")])), None);
    }
}
