//! The UDP port of a listener, which libsrt is given: it would have its thread look for packets 125 times a second
//! where none come.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

/// So long the thread waits for a packet before it looks whether something else is due: acknowledgements are every
/// 10 ms and reports of loss every 20 ms or more, and what they answer are packets, which wake it as well.
const WAIT: Duration = Duration::from_millis(20);

/// Binds the port, to IPv4 as well where the address is one of IPv6, like other servers.
///
/// # Errors
/// The system's, where the port is taken for instance.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let port = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        port.set_only_v6(false)?;
    }
    port.bind(&address.into())?;
    Ok(port)
}

/// Has the thread wait, once libsrt has set how long itself.
///
/// # Errors
/// The system's.
pub(super) fn calm(port: &Socket) -> io::Result<()> {
    port.set_read_timeout(Some(WAIT))
}
