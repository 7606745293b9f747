use ::rtc::shared::TransportProtocol;

use super::*;

const MEDIA: &[u8] = &[0x80, 96];

fn pair(port: u16) -> TransportContext {
    TransportContext { peer_addr: at(port), transport_protocol: TransportProtocol::UDP, ..Default::default() }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn message(kind: [u8; 2], transaction: u8, attribute: &[u8]) -> Vec<u8> {
    [&kind, &[0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[transaction; 12], attribute].concat()
}

fn check(transaction: u8) -> Vec<u8> {
    message([0, 1], transaction, &[])
}

fn nomination(transaction: u8) -> Vec<u8> {
    message([0, 1], transaction, &[0, 0x25, 0, 0])
}

fn answer(transaction: u8) -> Vec<u8> {
    message([1, 1], transaction, &[])
}

/// A peer, and a clock that the tests move on.
struct Peer {
    path: Path,
    now: Instant,
}

impl Peer {
    /// It has nominated the first pair.
    fn new() -> Self {
        let mut peer = Self { path: Path::default(), now: Instant::now() };
        peer.path.hear(pair(1), &nomination(1), peer.now);
        assert!(peer.path.select(pair(1)) && !peer.path.select(pair(2)));
        assert!(peer.path.accepts(pair(1), &answer(1), peer.now));
        peer
    }

    fn waits(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// It nominates a pair, and the crate accepts that.
    fn nominates(&mut self, port: u16) -> &mut Self {
        self.path.hear(pair(port), &nomination(7), self.now);
        assert!(self.path.accepts(pair(port), &answer(7), self.now));
        self
    }

    /// It checks a pair, and the crate answers.
    fn checks(&mut self, port: u16) -> &mut Self {
        self.path.hear(pair(port), &check(8), self.now);
        assert!(!self.path.accepts(pair(port), &answer(8), self.now));
        self
    }

    fn speaks(&mut self, port: u16) -> &mut Self {
        self.path.speaks(at(port), self.now);
        self
    }

    /// Where media goes.
    fn is_at(&mut self) -> u16 {
        let towards = self.path.route(pair(1), MEDIA, self.now).unwrap();
        assert_eq!(Some(towards.peer_addr), self.path.current());
        towards.peer_addr.port()
    }
}

#[test]
fn of_the_pairs_that_a_client_nominates_the_one_that_it_speaks_from_counts() {
    let mut peer = Peer::new();
    // As it finds out that they work, within moments.
    assert_eq!(peer.waits(QUIET / 10).nominates(2).nominates(3).is_at(), 1);
    assert_eq!(peer.speaks(2).is_at(), 2);
    assert_eq!(peer.waits(QUIET / 2).nominates(3).nominates(1).is_at(), 2);
    assert_eq!(peer.speaks(4).is_at(), 2, "a pair that nobody has nominated");
    assert_eq!(peer.speaks(3).is_at(), 3);
    assert!(peer.path.holds(at(1)) && peer.path.holds(at(2)) && !peer.path.holds(at(4)));
}

#[test]
fn a_nomination_or_a_check_counts_where_the_peer_says_nothing_any_more() {
    let mut peer = Peer::new();
    assert_eq!(peer.waits(QUIET * 9 / 10).nominates(2).is_at(), 1);
    assert_eq!(peer.waits(QUIET / 10).nominates(2).is_at(), 2, "it has gone to another network");
    assert_eq!(peer.waits(SILENCE * 9 / 10).checks(1).is_at(), 2, "it keeps the other in reserve");
    assert_eq!(peer.waits(SILENCE / 10).checks(3).is_at(), 2, "a pair that nobody has nominated");
    assert_eq!(peer.checks(1).is_at(), 1);
    // Its checks say that it is there still.
    for _ in 0..10 {
        assert_eq!(peer.waits(QUIET * 9 / 10).checks(1).nominates(2).is_at(), 1);
    }
}

#[test]
fn a_nomination_counts_when_it_is_accepted_and_not_before() {
    let mut peer = Peer::new();
    peer.waits(QUIET);
    let Peer { path, now } = &mut peer;
    assert_eq!(path.hear(pair(2), &nomination(9), *now), (pair(2), None));
    assert!(!path.accepts(pair(2), &answer(10), *now), "of another check");
    assert!(!path.accepts(pair(3), &answer(9), *now), "of another address");
    assert!(!path.holds(at(2)) && path.current() == Some(at(1)));
    assert!(path.accepts(pair(2), &answer(9), *now));
    assert!(path.holds(at(2)) && path.current() == Some(at(2)));
    let mut nobody = Path::default();
    nobody.hear(pair(2), &nomination(9), *now);
    assert!(!nobody.accepts(pair(2), &answer(9), *now), "the crate has selected none");
}

#[test]
fn a_client_that_nominates_without_end_has_eight_pairs_and_the_one_it_is_at() {
    let mut peer = Peer::new();
    peer.nominates(2).speaks(2);
    for port in 3..1_000 {
        peer.nominates(port);
    }
    let held: Vec<_> = (0..2_000).filter(|port| peer.path.holds(at(*port))).collect();
    assert_eq!(held, [2, 993, 994, 995, 996, 997, 998, 999]);
    // Where it was is not the first to go.
    peer.speaks(995).nominates(1_000);
    let held: Vec<_> = (0..2_000).filter(|port| peer.path.holds(at(*port))).collect();
    assert_eq!(held, [2, 994, 995, 996, 997, 998, 999, 1_000]);
}

#[test]
fn the_pair_that_the_crate_has_selected_lives_where_the_peer_is() {
    let mut peer = Peer::new();
    let now = peer.nominates(2).speaks(2).now;
    let path = &mut peer.path;
    // What the crate asks there, and what it is answered.
    assert_eq!(path.route(pair(1), &check(20), now), Some(pair(2)));
    assert_eq!(path.hear(pair(2), &answer(20), now), (pair(1), None));
    assert_eq!(path.hear(pair(2), &answer(20), now), (pair(2), None), "once");
    assert_eq!(path.hear(pair(2), &answer(21), now), (pair(2), None), "nobody asked");
    // What it asks elsewhere.
    assert_eq!(path.route(pair(3), &check(22), now), Some(pair(3)));
    assert_eq!(path.hear(pair(2), &answer(22), now), (pair(2), None));
    assert_eq!(path.hear(pair(3), &answer(22), now), (pair(3), None));
    // What it is asked, from where the peer is, it hears as from there too, without an answer there.
    assert_eq!(path.hear(pair(2), &check(23), now), (pair(2), Some(pair(1))));
    assert_eq!(path.route(pair(2), &answer(23), now), Some(pair(2)));
    assert_eq!(path.route(pair(1), &answer(23), now), None);
    assert_eq!(path.hear(pair(3), &check(24), now), (pair(3), None));
    assert_eq!(path.route(pair(3), &answer(24), now), Some(pair(3)));
    // And back.
    path.speaks(at(1), now);
    assert_eq!(path.hear(pair(1), &check(25), now), (pair(1), None));
    assert_eq!(path.route(pair(1), &answer(25), now), Some(pair(1)));
}

#[test]
fn round_trips_are_of_where_the_peer_is() {
    let mut peer = Peer::new();
    let milliseconds = Duration::from_millis;
    let measure = |peer: &mut Peer, port: u16, time: Duration| {
        peer.path.route(pair(port), &check(30), peer.now);
        let now = peer.waits(time).now;
        peer.path.hear(pair(port), &answer(30), now);
        (peer.path.round_trip(), peer.path.shortest_round_trip())
    };
    let both = |last: u64, shortest: u64| (Some(milliseconds(last)), Some(milliseconds(shortest)));
    assert_eq!(peer.path.round_trip(), None);
    assert_eq!(measure(&mut peer, 1, milliseconds(50)), both(50, 50));
    assert_eq!(measure(&mut peer, 1, milliseconds(90)), both(90, 50));
    peer.nominates(2);
    assert_eq!(measure(&mut peer, 2, milliseconds(10)), both(90, 50), "it is not there");
    for last in 91..95 {
        measure(&mut peer, 1, milliseconds(last));
    }
    assert_eq!(measure(&mut peer, 1, milliseconds(95)), both(95, 91), "what was is forgotten");
    peer.speaks(2);
    assert_eq!(measure(&mut peer, 2, milliseconds(10)), both(10, 10));
    // Without answers nothing grows.
    for _ in 0..1_000 {
        peer.path.route(pair(2), &check(31), peer.now);
    }
    assert_eq!((peer.path.asked.len(), peer.path.round_trips.len()), (ASKED, 1));
}
