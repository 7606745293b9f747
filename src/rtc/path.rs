//! Which way a peer is reached. Pure.

use std::net::SocketAddr;

use ::rtc::shared::TransportContext;

use super::stun::{self, Kind, Transaction};

/// The path of one peer. The crate stays with the pair that it has selected first; a client that goes from one network
/// to another nominates another pair of the same session (RFC 8445 §8.1.1), and is followed here.
#[derive(Debug, Default)]
pub struct Path {
    /// The crate's.
    selected: Option<TransportContext>,
    /// Where the client has gone from there.
    moved: Option<TransportContext>,
    /// A nomination that waits for the crate's judgement.
    nomination: Option<(SocketAddr, Transaction)>,
}

impl Path {
    /// The crate has selected a pair; true the first time, which counts.
    pub fn select(&mut self, path: TransportContext) -> bool {
        let first = self.selected.is_none();
        self.selected.get_or_insert(path);
        first
    }

    /// Where the peer is now.
    pub fn current(&self) -> Option<SocketAddr> {
        self.moved.or(self.selected).map(|path| path.peer_addr)
    }

    /// A check came. If its sender has moved there, the crate has to hear it from the selected pair as well: it gives
    /// a peer up when that one falls silent.
    pub fn hear(&mut self, source: SocketAddr, check: &[u8]) -> Option<TransportContext> {
        if let Some(transaction) = stun::nomination(check) {
            self.nomination = Some((source, transaction));
        }
        self.selected.filter(|_| self.moved.is_some_and(|path| path.peer_addr == source))
    }

    /// Where what the crate sends goes; none where it is for nobody: checks of the pair that the peer has left, and,
    /// while `repeating`, answers to what it heard a second time.
    pub fn route(&self, path: TransportContext, message: &[u8], repeating: bool) -> Option<TransportContext> {
        let Some(moved) = self.moved else { return Some(path) };
        if stun::kind(message) == Kind::Other {
            return Some(moved);
        }
        let left = self.selected.is_some_and(|selected| selected.peer_addr == path.peer_addr);
        (!left || !(repeating || stun::is_request(message))).then_some(path)
    }

    /// The crate answers a check. If it accepts a nomination the peer has moved there (§7.3.1.5): the check came with
    /// the session's password, by a path on which the client has answered one of ours.
    pub fn answer(&mut self, path: TransportContext, answer: &[u8]) -> Option<SocketAddr> {
        let transaction = stun::acceptance(answer)?;
        let selected = self.selected?;
        self.nomination.take_if(|nomination| *nomination == (path.peer_addr, transaction))?;
        let before = self.current();
        self.moved = Some(path).filter(|path| path.peer_addr != selected.peer_addr);
        self.current().filter(|now| before != Some(*now))
    }
}

#[cfg(test)]
mod tests {
    use ::rtc::shared::TransportProtocol;

    use super::*;

    const MEDIA: &[u8] = &[0x80, 96];

    fn path(port: u16) -> TransportContext {
        TransportContext { peer_addr: at(port), transport_protocol: TransportProtocol::UDP, ..Default::default() }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn message(kind: u8, transaction: u8, nominates: bool) -> Vec<u8> {
        let attribute: &[u8] = if nominates { &[0, 0x25, 0, 0] } else { &[] };
        [&[kind, u8::from(kind == 0), 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[transaction; 12], attribute].concat()
    }

    #[test]
    fn a_peer_moves_when_its_nomination_is_accepted_and_not_before() {
        let (request, answer) =
            (|n, nominates| message(0, n, nominates), |n| [&[1, 1][..], &message(1, n, false)[2..]].concat());
        let mut peer = Path::default();
        assert!(peer.select(path(1)) && !peer.select(path(2)));
        assert_eq!((peer.current(), peer.route(path(1), MEDIA, false)), (Some(at(1)), Some(path(1))));
        // A check that nominates nothing, one that is not accepted, an answer to another one.
        assert_eq!(peer.hear(at(2), &request(7, false)), None);
        assert_eq!(peer.answer(path(2), &answer(7)), None);
        assert_eq!(peer.hear(at(2), &request(8, true)), None);
        assert_eq!(peer.answer(path(2), &answer(9)), None);
        assert_eq!(peer.answer(path(3), &answer(8)), None);
        assert_eq!(peer.current(), Some(at(1)));
        assert_eq!(peer.answer(path(2), &answer(8)), Some(at(2)));
        // Media follow, and what speaks for it is heard from the selected pair too, without an answer there.
        assert_eq!(peer.route(path(1), MEDIA, false), Some(path(2)));
        assert_eq!(peer.hear(at(2), &request(10, true)), Some(path(1)));
        assert_eq!(peer.route(path(1), &answer(10), true), None);
        assert_eq!(peer.route(path(1), &request(11, false), false), None);
        assert_eq!(peer.route(path(2), &answer(10), false), Some(path(2)));
        assert_eq!(peer.answer(path(2), &answer(10)), None, "it is there already");
        // And back.
        assert_eq!(peer.hear(at(1), &request(12, true)), None);
        assert_eq!(peer.route(path(1), &answer(12), false), Some(path(1)));
        assert_eq!(peer.answer(path(1), &answer(12)), Some(at(1)));
        assert_eq!(peer.route(path(1), MEDIA, false), Some(path(1)));
    }
}
