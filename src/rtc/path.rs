//! Which way a peer is reached. Pure.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::rtc::shared::TransportContext;

use super::stun::{self, Kind, Transaction};

/// Pairs of addresses that a peer's packets may come by: both families, both transports, two networks.
const PAIRS: usize = 8;
/// A peer that nominates another pair has gone there if it has said nothing for so long where it was. One that is
/// there still speaks: media, or reports on pictures every second.
const QUIET: Duration = Duration::from_secs(1);
/// The same for one that only checks another pair: clients look after those that they keep in reserve.
const SILENCE: Duration = Duration::from_secs(5);
/// Checks of ours of which the answers may be on their way.
const ASKED: usize = 64;
/// Round trips that the shortest is told from: some ten seconds.
const ROUND_TRIPS: usize = 5;

/// The path of one peer. The crate stays with the pair that was nominated first. Clients nominate several, as each
/// proves to work, before they choose one (RFC 8445 §8.1.1, and as RFC 5245 had it), and others when they go from one
/// network to another. So a peer is where it speaks from: by media that came with the session's keys, or by checks
/// that came with its password while it says nothing where it was.
#[derive(Debug, Default)]
pub struct Path {
    /// The crate's.
    selected: Option<TransportContext>,
    /// Where the peer speaks from; one of the next.
    current: Option<TransportContext>,
    /// Pairs that ICE has validated and the client has nominated. The last one proved to be in use last.
    pairs: Vec<TransportContext>,
    /// When the peer was last heard by the current one.
    spoke: Option<Instant>,
    /// What the crate is to judge.
    check: Option<Check>,
    /// Our own checks, the newest last.
    asked: VecDeque<Asked>,
    /// Of the current pair, the newest last.
    round_trips: VecDeque<Duration>,
}

/// A check that came.
#[derive(Debug, Clone, Copy)]
struct Check {
    source: SocketAddr,
    transaction: Transaction,
    nominates: bool,
}

/// A check that went out.
#[derive(Debug)]
struct Asked {
    transaction: Transaction,
    at: Instant,
    /// Where to.
    to: SocketAddr,
    /// The pair that the crate checks by it.
    pair: TransportContext,
}

impl Path {
    /// The crate has selected a pair; true the first time, which counts.
    pub fn select(&mut self, pair: TransportContext) -> bool {
        if self.selected.is_some() {
            return false;
        }
        (self.selected, self.current, self.pairs) = (Some(pair), Some(pair), vec![pair]);
        true
    }

    /// Where the peer is now.
    pub fn current(&self) -> Option<SocketAddr> {
        self.current.map(|pair| pair.peer_addr)
    }

    /// ICE has validated this address, and the client has nominated it. What is no check from elsewhere is nobody's.
    pub fn holds(&self, source: SocketAddr) -> bool {
        self.pairs.iter().any(|pair| pair.peer_addr == source)
    }

    /// A check or an answer came from there. The pair by which the crate is to hear it; and the one by which it has to
    /// hear it once more, if any: it gives a peer up that falls silent on the pair that it has selected.
    pub fn hear(
        &mut self,
        from: TransportContext,
        message: &[u8],
        at: Instant,
    ) -> (TransportContext, Option<TransportContext>) {
        if let Some(transaction) = stun::acceptance(message) {
            return (self.answered(from, transaction, at), None);
        }
        let (source, nominates) = (from.peer_addr, stun::nominates(message));
        self.check = stun::request(message).map(|transaction| Check { source, transaction, nominates });
        let is_here = self.check.is_some() && self.current() == Some(source);
        (from, self.selected.filter(|selected| is_here && selected.peer_addr != source))
    }

    /// Where what the crate sends goes; none where it is for nobody: the answer to what it heard once more. Its checks
    /// of the pair that it has selected go where the peer is, and so does what is no check.
    pub fn route(&mut self, to: TransportContext, message: &[u8], at: Instant) -> Option<TransportContext> {
        let current = self.current.unwrap_or(to);
        if stun::kind(message) == Kind::Other {
            return Some(current);
        }
        if let Some(transaction) = stun::request(message) {
            let is_selected = self.selected.is_some_and(|selected| selected.peer_addr == to.peer_addr);
            let towards = if is_selected { current } else { to };
            if self.asked.len() == ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back(Asked { transaction, at, to: towards.peer_addr, pair: to });
            return Some(towards);
        }
        let strays =
            |check: Check| Some(check.transaction) == stun::transaction(message) && check.source != to.peer_addr;
        (!self.check.is_some_and(strays)).then_some(to)
    }

    /// The crate answers a check. If it accepts it, that came with the session's password; a nomination by a path on
    /// which the client has answered one of ours (§7.3.1.5), which counts from now on: then it is true.
    pub fn accepts(&mut self, pair: TransportContext, answer: &[u8], at: Instant) -> bool {
        let accepted = stun::acceptance(answer);
        let of = |check: &Check| accepted == Some(check.transaction) && check.source == pair.peer_addr;
        let (Some(check), Some(_)) = (self.check.filter(of), self.selected) else { return false };
        if check.nominates {
            self.admit(pair);
        }
        let patience = if check.nominates { QUIET } else { SILENCE };
        let is_quiet = self.spoke.is_none_or(|spoke| at.saturating_duration_since(spoke) >= patience);
        if is_quiet || self.current() == Some(pair.peer_addr) {
            self.speaks(pair.peer_addr, at);
        }
        check.nominates
    }

    /// The peer itself spoke from there, as only it can; if it is one of its pairs, that is where it is.
    pub fn speaks(&mut self, source: SocketAddr, at: Instant) {
        let Some(pair) = self.pairs.iter().copied().find(|pair| pair.peer_addr == source) else { return };
        self.spoke = Some(at);
        let left = self.current();
        if left != Some(source) {
            self.current = Some(pair);
            self.round_trips.clear();
            // Packets are still on their way from where it was.
            let place = |pair: &TransportContext| (pair.peer_addr == source, left == Some(pair.peer_addr));
            self.pairs.sort_by_key(place);
        }
    }

    /// There and back, as the last check of where the peer is measured it.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trips.back().copied()
    }

    /// The shortest of late: nothing that is asked for now is there sooner.
    pub fn shortest_round_trip(&self) -> Option<Duration> {
        self.round_trips.iter().min().copied()
    }

    /// The pair that the crate has asked by what is answered from there. Others than the current one say nothing of how
    /// far the peer is.
    fn answered(&mut self, from: TransportContext, transaction: Transaction, at: Instant) -> TransportContext {
        let is_it = |asked: &Asked| asked.transaction == transaction && asked.to == from.peer_addr;
        let place = self.asked.iter().position(is_it);
        let Some(asked) = place.and_then(|place| self.asked.remove(place)) else { return from };
        if self.current().is_none_or(|current| current == from.peer_addr) {
            if self.round_trips.len() == ROUND_TRIPS {
                self.round_trips.pop_front();
            }
            self.round_trips.push_back(at.saturating_duration_since(asked.at));
        }
        asked.pair
    }

    /// One more pair, in place of the one that has been of no use for longest.
    fn admit(&mut self, pair: TransportContext) {
        self.pairs.retain(|known| known.peer_addr != pair.peer_addr);
        self.pairs.push(pair);
        let current = self.current();
        if self.pairs.len() > PAIRS
            && let Some(oldest) = self.pairs.iter().position(|pair| Some(pair.peer_addr) != current)
        {
            self.pairs.remove(oldest);
        }
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
