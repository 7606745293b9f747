//! WebRTC: what anybody may post or send.

use std::{net::SocketAddr, sync::OnceLock, time::Instant};

use amphi::rtc::{Direction, Port, Settings, sdp, stun};
use tokio::runtime::{Builder, Runtime};

/// An offer, read and answered both ways, as publishers and viewers may post it.
pub fn offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (sdp::fragment_of(&text), sdp::value(&text, "a=ice-ufrag:"));
    let addresses: [SocketAddr; 2] = [([192, 0, 2, 1], 8189).into(), ([0; 16], 8189).into()];
    let candidates = sdp::with_candidates(&text, &addresses, &addresses);
    assert!(candidates.len() <= 2 * text.len() + 600 * (1 + text.matches("m=").count()));
    let Ok(offer) = sdp::Offer::parse(&text) else { return };
    assert!(text.len() <= sdp::MAX_BYTES && !offer.text.lines().any(|line| line.starts_with("a=candidate:")));
    if offer.text.len() <= sdp::MAX_BYTES {
        assert_eq!(sdp::Offer::parse(&offer.text).as_ref(), Ok(&offer), "what was kept is an offer, and the same");
    }
    let (runtime, port) = port();
    let _inside = runtime.enter();
    for direction in [Direction::Receive, Direction::Send] {
        let possible = Port::check(&text, direction);
        let answered = port.answer(&text, direction, std::net::Ipv4Addr::LOCALHOST.into(), Instant::now());
        if let Ok(peer) = &answered {
            assert!(possible.is_ok() && peer.answer().starts_with("v=0") && !peer.streams().is_empty());
        }
    }
}

/// A datagram, before anybody knows whose it is.
pub fn stun(data: &[u8]) {
    let _ = stun::kind(data);
    if let Some(receiver) = stun::receiver(data) {
        assert!(receiver.len() < data.len() && !receiver.contains(':'));
    }
}

/// One for all, as a server has it.
fn port() -> &'static (Runtime, Port) {
    static PORT: OnceLock<(Runtime, Port)> = OnceLock::new();
    PORT.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let port = runtime.block_on(Port::bind(([127, 0, 0, 1], 0).into(), Settings::default())).unwrap();
        (runtime, port)
    })
}
