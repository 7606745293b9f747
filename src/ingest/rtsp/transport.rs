//! How packets travel (RFC 2326 §12.39): among the messages, or over UDP.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::{io::ReadBuf, net::UdpSocket};

/// The largest datagram taken.
const DATAGRAM: usize = 9 << 10;
/// Datagrams share blocks of this size.
const BLOCK: usize = 64 << 10;
/// Pairs of ports tried before giving up.
const ATTEMPTS: usize = 32;

/// A `Transport` header as far as it says anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `RTP/AVP/TCP`: the channels of packets and reports.
    Interleaved(u8, u8),
    /// `RTP/AVP;unicast`: the two ports of either side, 0 where they are not told.
    Udp {
        /// The client's ports.
        client: (u16, u16),
        /// The server's ports.
        server: (u16, u16),
    },
}

impl Transport {
    /// The first of those a header offers that can be used. `channels` are taken where it names none.
    pub fn parse(header: &str, channels: (u8, u8)) -> Option<Self> {
        header.split(',').find_map(|offer| {
            let mut fields = offer.split(';').map(str::trim);
            let profile = fields.next()?.to_ascii_uppercase();
            let fields: Vec<_> = fields.collect();
            let get = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            match profile.as_str() {
                "RTP/AVP/TCP" => match get("interleaved") {
                    Some(text) => pair(text).map(|(rtp, rtcp)| Self::Interleaved(rtp, rtcp)),
                    None => Some(Self::Interleaved(channels.0, channels.1)),
                },
                "RTP/AVP" | "RTP/AVP/UDP" if !fields.contains(&"multicast") => {
                    let ports = |name| get(name).and_then(pair).unwrap_or((0, 0));
                    Some(Self::Udp { client: ports("client_port"), server: ports("server_port") })
                }
                _ => None,
            }
        })
    }
}

fn pair<T: std::str::FromStr>(text: &str) -> Option<(T, T)> {
    let (first, second) = text.split_once('-')?;
    Some((first.trim().parse().ok()?, second.trim().parse().ok()?))
}

/// What a datagram belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Media.
    Rtp,
    /// Reports.
    Rtcp,
}

/// One track's pair of UDP ports. Only the peer's address is listened to, and of it the port that was announced, or, up
/// to when that speaks, as behind a NAT it never does, the first that sends packets; reports are taken from the port
/// announced for them and from whoever names the source of those packets.
#[derive(Debug)]
pub struct Udp {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    peer: IpAddr,
    /// Where packets and reports last came from.
    from: [Option<SocketAddr>; 2],
    /// Where the peer says that they come from.
    announced: [Option<SocketAddr>; 2],
    /// The source of the last packet.
    source: Option<u32>,
    buffer: BytesMut,
}

impl Udp {
    /// Two neighbouring free ports (RFC 3550 §11) at `local`, for packets of `peer`.
    ///
    /// # Errors
    /// Whatever binding reports.
    pub async fn bind(local: IpAddr, peer: IpAddr) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let rtp = UdpSocket::bind((local, 0)).await?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 || port == u16::MAX {
                continue;
            }
            match UdpSocket::bind((local, port + 1)).await {
                Ok(rtcp) => {
                    let (from, announced) = ([None; 2], [None; 2]);
                    return Ok(Self { rtp, rtcp, peer, from, announced, source: None, buffer: BytesMut::new() });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Its ports.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.rtp.local_addr()?.port(), self.rtcp.local_addr()?.port()))
    }

    /// Opens the way in through a firewall of ours, and says where reports go until some came from elsewhere.
    pub async fn expect(&mut self, ports: (u16, u16)) {
        if ports.1 == 0 {
            return;
        }
        self.announced = [ports.0, ports.1].map(|port| Some(SocketAddr::new(self.peer, port)));
        for (socket, port) in [(&self.rtp, ports.0), (&self.rtcp, ports.1)] {
            // What cannot be sent may still be received.
            let _ = socket.send_to(&[], (self.peer, port)).await;
        }
    }

    /// Sends a report.
    pub async fn report(&self, data: &[u8]) {
        if let Some(to) = self.from[1].or(self.announced[1]) {
            // Lost like any datagram.
            let _ = self.rtcp.send_to(data, to).await;
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Port, Bytes)>> {
        for (index, port) in [Port::Rtp, Port::Rtcp].into_iter().enumerate() {
            let socket = if port == Port::Rtp { &self.rtp } else { &self.rtcp };
            loop {
                if self.buffer.capacity() < DATAGRAM {
                    self.buffer.reserve(BLOCK);
                }
                self.buffer.resize(DATAGRAM, 0);
                let mut read = ReadBuf::new(&mut self.buffer);
                let from = match socket.poll_recv_from(context, &mut read) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(from)) => from,
                    // An earlier datagram of ours found nobody there.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                };
                let length = read.filled().len();
                let source = source(port, &self.buffer[..length]).filter(|source| self.hears(port, from, *source));
                let Some(source) = source else {
                    metrics::counter!("amphi_rtsp_strangers_total").increment(1);
                    continue;
                };
                if port == Port::Rtp {
                    self.source = Some(source);
                }
                self.from[index] = Some(from);
                self.buffer.truncate(length);
                return Poll::Ready(Ok((port, self.buffer.split().freeze())));
            }
        }
        Poll::Pending
    }

    fn hears(&self, port: Port, from: SocketAddr, source: u32) -> bool {
        let [packets, reports] = self.announced;
        from.ip() == self.peer
            && match port {
                Port::Rtp => packets == Some(from) || self.from[0].is_none_or(|known| known == from),
                Port::Rtcp => reports == Some(from) || self.source == Some(source),
            }
    }
}

/// Who sent what looks like a packet (RFC 3550 §5.1) or like reports (§6.4), which differ in their second byte
/// (RFC 5761 §4). None for anything else, such as what opens a way through a firewall.
fn source(port: Port, data: &[u8]) -> Option<u32> {
    // What is registered for reports; a packet of payload type 72 to 79 with a marker would look the same.
    let is_report = (200..=207).contains(data.get(1)?);
    let at = match port {
        Port::Rtp if !is_report => 8,
        Port::Rtcp if is_report => 4,
        _ => return None,
    };
    let source = data.get(at..at + 4)?.try_into().ok()?;
    (data[0] >> 6 == 2).then(|| u32::from_be_bytes(source))
}

/// The next datagram of any track, with the track's index. Never without tracks. Cancel-safe.
///
/// # Errors
/// Whatever receiving reports.
pub async fn receive(tracks: &mut [Option<Udp>]) -> io::Result<(usize, Port, Bytes)> {
    poll_fn(|context| {
        for (index, track) in tracks.iter_mut().enumerate() {
            if let Some(udp) = track
                && let Poll::Ready(received) = udp.poll(context)
            {
                return Poll::Ready(received.map(|(port, data)| (index, port, data)));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_offer_is_taken() {
        let parse = |header| Transport::parse(header, (4, 5));
        assert_eq!(parse("RTP/AVP/TCP;unicast;interleaved=2-3;mode=record"), Some(Transport::Interleaved(2, 3)));
        assert_eq!(parse("RTP/AVP/TCP;unicast"), Some(Transport::Interleaved(4, 5)));
        let udp = Some(Transport::Udp { client: (5000, 5001), server: (0, 0) });
        assert_eq!(parse("RTP/SAVP;unicast, RTP/AVP;unicast;client_port=5000-5001"), udp);
        for none in ["", "RTP/AVP;multicast;port=1-2", "RAW/RAW/UDP", "RTP/AVP/TCP;interleaved=300-301"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
