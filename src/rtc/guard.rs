//! What a peer may have the crate remember. Pure.

use std::net::SocketAddr;

use super::Direction;

/// Addresses that a peer may check from: several at once, and a few for each network that it goes to. ICE keeps a
/// candidate for each that it has answered until the peer leaves, and sends checks of its own there: whoever knows a
/// session's password must neither grow it without end nor have it send to everybody.
const SOURCES: usize = 64;
/// Sources of RTP and RTCP that a peer may name: picture and sound, what repeats either, and some for clients that
/// begin anew. The crate keeps state for each before it knows whether a packet is genuine, and until the peer leaves.
const SSRCS: usize = 16;

/// Lets in what one peer has reason to send.
#[derive(Debug)]
pub struct Guard {
    direction: Direction,
    ssrcs: Vec<u32>,
    sources: Vec<SocketAddr>,
}

impl Guard {
    /// Of a peer that media goes to, or comes from.
    pub fn new(direction: Direction) -> Self {
        Self { direction, ssrcs: Vec::new(), sources: Vec::new() }
    }

    /// Whether the crate may see a check from there.
    pub fn hears(&self, source: SocketAddr) -> bool {
        self.sources.len() < SOURCES || self.sources.contains(&source)
    }

    /// The crate has found a check from there to be genuine: others take no place.
    pub fn answered(&mut self, source: SocketAddr) {
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
    }

    /// Whether the crate may see a datagram that is no check: DTLS, and RTP and RTCP of a few sources. Viewers send
    /// RTCP alone.
    pub fn admits(&mut self, datagram: &[u8]) -> bool {
        // RFC 7983 §7.
        if !matches!(datagram.first(), Some(128..=191)) {
            return true;
        }
        // RFC 5761 §4.
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        if !is_rtcp && self.direction == Direction::Send {
            return false;
        }
        // The sender's stands in the clear in both (RFC 3711 §3.1, §3.4).
        let start = if is_rtcp { 4 } else { 8 };
        let Some(ssrc) = datagram.get(start..).and_then(|rest| rest.first_chunk()) else { return false };
        let ssrc = u32::from_be_bytes(*ssrc);
        if self.ssrcs.contains(&ssrc) {
            return true;
        }
        if self.ssrcs.len() == SSRCS {
            return false;
        }
        self.ssrcs.push(ssrc);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(ssrc: u32) -> Vec<u8> {
        [&[0x80, 96, 0, 1, 0, 0, 0, 1][..], &ssrc.to_be_bytes(), &[0; 40]].concat()
    }

    fn rtcp(ssrc: u32) -> Vec<u8> {
        [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes(), &[0; 14]].concat()
    }

    #[test]
    fn a_hundred_thousand_sources_are_sixteen() {
        for direction in [Direction::Receive, Direction::Send] {
            let mut guard = Guard::new(direction);
            let admitted =
                (0..100_000).filter(|n| guard.admits(&rtcp(*n)) | guard.admits(&rtp(n ^ 0xffff_0000))).count();
            assert!(admitted <= SSRCS && guard.ssrcs.len() == SSRCS, "{admitted}");
            assert!(guard.admits(&rtcp(0)), "those that it knows go on");
        }
    }

    #[test]
    fn addresses_that_were_answered_are_sixty_four() {
        let mut guard = Guard::new(Direction::Receive);
        let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        for port in 1..=1_000 {
            assert!(guard.hears(at(port)), "none of them was answered");
        }
        for port in (1..=1_000).filter(|port| port % 2 == 0) {
            if guard.hears(at(port)) {
                guard.answered(at(port));
                guard.answered(at(port));
            }
        }
        assert_eq!(guard.sources.len(), SOURCES);
        assert!(guard.hears(at(2)) && guard.hears(at(128)) && !guard.hears(at(1)) && !guard.hears(at(130)));
    }

    #[test]
    fn viewers_send_no_media_and_publishers_do() {
        let (mut viewer, mut publisher) = (Guard::new(Direction::Send), Guard::new(Direction::Receive));
        assert_eq!((viewer.admits(&rtp(1)), publisher.admits(&rtp(1))), (false, true));
        assert_eq!((viewer.admits(&rtcp(1)), publisher.admits(&rtcp(1))), (true, true));
        assert_eq!((viewer.ssrcs.len(), publisher.ssrcs.len()), (1, 1));
        let dtls = [22, 254, 253, 0];
        assert!(viewer.admits(&dtls) && publisher.admits(&dtls));
        for cut in [&rtp(1)[..11], &rtcp(1)[..7], &[0x80]] {
            assert!(!publisher.admits(cut), "{cut:?}");
        }
    }
}
