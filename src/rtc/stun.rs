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
/// Types of a binding request and of the answer to one that is accepted (§5).
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
/// Type of the attribute USERNAME (§14.3).
const USERNAME: u16 = 0x0006;
/// Type of the attribute USE-CANDIDATE (RFC 8445 §16.1).
const USE_CANDIDATE: u16 = 0x0025;
/// Type of the attribute ICE-CONTROLLED (RFC 8445 §16.1).
const ICE_CONTROLLED: u16 = 0x8029;

/// What ties an answer to its request.
pub type Transaction = [u8; 12];

/// Tells STUN from what travels beside it.
pub fn kind(datagram: &[u8]) -> Kind {
    if matches!(datagram.first(), Some(0..=3)) { Kind::Stun } else { Kind::Other }
}

/// The receiver's user fragment in a connectivity check: USERNAME is `RECEIVER:SENDER` (RFC 8445 §7.2.2).
/// Answers carry none.
pub fn receiver(datagram: &[u8]) -> Option<&str> {
    let name = attribute(datagram, USERNAME)?;
    std::str::from_utf8(name).ok()?.split_once(':').map(|(receiver, _)| receiver)
}

/// The transaction of a request for an answer.
pub fn request(datagram: &[u8]) -> Option<Transaction> {
    transaction(datagram).filter(|_| datagram.starts_with(&REQUEST))
}

/// The transaction of a check that this accepts.
pub fn acceptance(datagram: &[u8]) -> Option<Transaction> {
    transaction(datagram).filter(|_| datagram.starts_with(&SUCCESS))
}

/// What ties a message to its request or its answer.
pub fn transaction(datagram: &[u8]) -> Option<Transaction> {
    datagram.get(8..HEADER)?.try_into().ok()
}

/// A check nominates the path it came by (RFC 8445 §7.2.2, USE-CANDIDATE). Whether its sender may say so its
/// receiver's answer tells.
pub fn nominates(check: &[u8]) -> bool {
    attribute(check, USE_CANDIDATE).is_some()
}

/// Its sender says that it leaves nominating to the other side (RFC 8445 §7.1.3, ICE-CONTROLLED).
pub fn is_controlled(check: &[u8]) -> bool {
    attribute(check, ICE_CONTROLLED).is_some()
}

/// The first attribute of a type.
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = datagram.get(HEADER..)?;
    loop {
        let (kind, tail) = rest.split_first_chunk()?;
        let (length, tail) = tail.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let value = tail.get(..length)?;
        if u16::from_be_bytes(*kind) == wanted {
            return Some(value);
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
    fn a_request_and_its_acceptance_share_a_transaction() {
        let mut asking = check(&[(USERNAME, b"a:b"), (USE_CANDIDATE, b"")]);
        asking[1] = 1;
        asking[8..HEADER].copy_from_slice(b"transaction!");
        assert_eq!((request(&asking), acceptance(&asking)), (Some(*b"transaction!"), None));
        let mut answer = check(&[]);
        answer[..2].copy_from_slice(&SUCCESS);
        answer[8..HEADER].copy_from_slice(b"transaction!");
        assert_eq!((request(&answer), acceptance(&answer)), (None, Some(*b"transaction!")));
        assert_eq!(acceptance(&answer[..HEADER - 1]), None);
    }

    #[test]
    fn what_a_check_says_of_its_sender_is_told() {
        let said = |attributes: &[(u16, &[u8])]| {
            let bytes = check(attributes);
            (nominates(&bytes), is_controlled(&bytes))
        };
        assert_eq!(said(&[(USERNAME, b"a:b")]), (false, false));
        assert_eq!(said(&[(USERNAME, b"a:b"), (USE_CANDIDATE, b"")]), (true, false));
        assert_eq!(said(&[(USERNAME, b"a:b"), (ICE_CONTROLLED, &[0; 8]), (USE_CANDIDATE, b"")]), (true, true));
        // Of whatever length: the crate looks for the attribute before it looks at its value.
        assert_eq!(said(&[(ICE_CONTROLLED, b"")]), (false, true));
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
