//! The UDP port of a listener, which libsrt is given: left to itself it has its thread look for packets 125 times a
//! second where none come, and wake another 100 times for every caller's answers to its acknowledgements.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// So long the thread waits for a packet before it looks whether something else is due: acknowledgements are every
/// 10 ms and reports of loss every 20 ms or more, and what they answer are packets, which wake it as well.
const WAIT: Duration = Duration::from_millis(20);
/// The same while nobody is connected: nothing is due, and a handshake is a packet.
const IDLE: Duration = Duration::from_millis(200);

/// A port that libsrt has.
pub(super) struct Port {
    socket: Socket,
    callers: Mutex<usize>,
}

/// A caller's part in a port; dropped, it has left.
pub(super) struct Called(Arc<Port>);

/// Binds the port, to IPv4 as well where the address is one of IPv6, like other servers.
///
/// # Errors
/// The system's, where the port is taken for instance.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let port = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        port.set_only_v6(false)?;
    }
    port.attach_filter(&a_quarter_of_answers())?;
    port.bind(&address.into())?;
    Ok(port)
}

/// A filter (classic BPF) by which the system lets through every packet but three of four ACKACKs, which answer the
/// acknowledgements that libsrt sends every 10 ms (draft-sharabayko-srt §3.2.5): each wakes its thread to measure the
/// round trip, which has not changed since. Where one is missing, the next acknowledges all before it.
fn a_quarter_of_answers() -> [SockFilter; 6] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_ANY: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const UDP_HEADER: u32 = 8;
    [
        // A control packet, and its type. What ends before these is no packet of SRT and not let through.
        SockFilter::new(LOAD_HALF, 0, 0, UDP_HEADER),
        SockFilter::new(JUMP_IF_EQUAL, 0, 2, 0x8006),
        // The number of the acknowledgement that it answers.
        SockFilter::new(LOAD_WORD, 0, 0, UDP_HEADER + 4),
        SockFilter::new(JUMP_IF_ANY, 1, 0, 3),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

impl Port {
    /// Of a socket that libsrt has been given, which has set its own time-out.
    pub fn new(socket: Socket) -> Arc<Self> {
        let port = Self { socket, callers: Mutex::default() };
        port.count(|callers| callers);
        Arc::new(port)
    }

    /// Somebody is connected from now on.
    pub fn call(self: &Arc<Self>) -> Called {
        self.count(|callers| callers + 1);
        Called(self.clone())
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        *callers = change(*callers);
        // Under the lock, so that the last to leave does not have the next to come wait.
        if let Err(error) = self.socket.set_read_timeout(Some(if *callers == 0 { IDLE } else { WAIT })) {
            tracing::debug!(%error, "libsrt's thread waits as it likes");
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.0.count(|callers| callers - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_thread_looks_seldom_while_nobody_is_connected() {
        let port = Port::new(bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let waits = || port.socket.read_timeout().unwrap().unwrap();
        assert_eq!(waits(), IDLE);
        let first = port.call();
        let second = port.call();
        drop(first);
        assert_eq!(waits(), WAIT);
        drop(second);
        assert_eq!(waits(), IDLE);
    }

    #[test]
    fn three_of_four_answers_to_acknowledgements_stay_outside_and_nothing_else_does() {
        let port: UdpSocket = bind("127.0.0.1:0".parse().unwrap()).unwrap().into();
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |kind: u32, number: u32| {
            let mut packet = [0_u8; 20];
            packet[..4].copy_from_slice(&kind.to_be_bytes());
            packet[4..8].copy_from_slice(&number.to_be_bytes());
            caller.send_to(&packet, port.local_addr().unwrap()).unwrap();
        };
        let (data, handshake, acknowledged, shutdown) = (0x0006_8006, 0x8000_0000, 0x8006_0000, 0x8005_0000);
        let sent = (1..=8).flat_map(|number| [data, handshake, acknowledged].map(|kind| (kind, number)));
        for (kind, number) in sent.clone().chain([(shutdown, 3)]) {
            send(kind, number);
        }

        let mut arrived = Vec::new();
        while arrived.last() != Some(&(shutdown, 3)) {
            let mut packet = [0; 64];
            port.recv(&mut packet).unwrap();
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            arrived.push((word(0), word(4)));
        }
        let wanted = sent.filter(|(kind, number)| *kind != acknowledged || number % 4 == 0).chain([(shutdown, 3)]);
        assert_eq!(arrived, wanted.collect::<Vec<_>>());
    }
}
