//! One peer connection, driven by its session's task.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ::rtc::{
    interceptor::{Packet, TaggedPacket},
    peer_connection::{
        RTCPeerConnection,
        event::RTCPeerConnectionEvent,
        message::{RTCMessage, TaggedRTCMessage},
        state::{RTCIceConnectionState, RTCPeerConnectionState},
    },
    rtcp::{
        self,
        payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
        receiver_report::ReceiverReport,
        sender_report::SenderReport,
    },
    rtp,
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol},
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Codec, Direction,
    connection::Answered,
    guard::Guard,
    media::{Event, Incoming, Outgoing, Stream},
    path::Path,
    port::{Datagram, Place},
    shared::Shared,
    stun::{self, Kind},
};

/// From the answer to the first media that may flow; a client that has not come by then does not.
const CONNECTING: Duration = Duration::from_secs(15);
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// One peer. It lives while [`Peer::recv`] is polled, and leaves when dropped.
pub struct Peer {
    connection: RTCPeerConnection,
    place: Place,
    answer: String,
    streams: Vec<Stream>,
    datagrams: mpsc::Receiver<Datagram>,
    arrivals: mpsc::Receiver<TaggedPacket>,
    events: VecDeque<Event>,
    handle: Handle,
    path: Path,
    guard: Guard,
    shared: Arc<Shared>,
    connections: HashMap<SocketAddr, mpsc::Sender<Bytes>>,
    /// Until then it must be connected; none: it is.
    deadline: Option<Instant>,
    over: bool,
    /// Of its pictures.
    source: Option<u32>,
    /// Packets and bytes sent, by stream.
    sent: HashMap<u32, (u32, u32)>,
}

/// What others may do to a peer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    closing: CancellationToken,
    /// Of this server and of the client.
    fragments: Arc<(String, String)>,
}

impl Handle {
    pub(super) fn new(fragment: String, client: String) -> Self {
        Self { closing: CancellationToken::new(), fragments: Arc::new((fragment, client)) }
    }

    /// Ends the peer.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Names its ICE session: another one would have another.
    pub fn session(&self) -> &str {
        &self.fragments.0
    }

    /// The client's user fragment.
    pub fn client(&self) -> &str {
        &self.fragments.1
    }
}

impl Peer {
    pub(super) fn new(
        answered: Answered,
        direction: Direction,
        place: Place,
        handle: Handle,
        datagrams: mpsc::Receiver<Datagram>,
        now: Instant,
    ) -> Self {
        let Answered { connection, answer, streams, arrivals, shared } = answered;
        Self {
            connection,
            place,
            answer,
            streams,
            datagrams,
            arrivals,
            events: VecDeque::new(),
            handle,
            path: Path::default(),
            guard: Guard::new(direction),
            shared,
            connections: HashMap::new(),
            deadline: Some(now + CONNECTING),
            over: false,
            source: None,
            sent: HashMap::new(),
        }
    }

    /// The answer for the client, addresses included.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// What was agreed on, in the client's order of preference.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// For whoever ends it from outside.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The next event, or `None` when the peer is gone: it said goodbye, fell silent for ten seconds, was never
    /// there, or was ended. Drives the connection meanwhile. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let timeout = self.connection.poll_timeout().into_iter().chain(self.deadline).min();
            // Some timer always runs; a day stands for none.
            let timeout = timeout.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
            tokio::select! {
                Some(datagram) = self.datagrams.recv() => self.take(datagram),
                () = tokio::time::sleep_until(timeout.into()) => self.tick(Instant::now()),
                () = self.handle.closing.cancelled() => self.leave(),
            }
            self.turn();
        }
    }

    /// Sends a packet of a stream; does nothing where the codec was not agreed on or nobody is there yet. Never waits.
    pub fn send(&mut self, codec: Codec, packet: Outgoing, now: Instant) {
        let Some(stream) = self.streams.iter().find(|stream| stream.codec == codec) else { return };
        let header = rtp::header::Header {
            version: 2,
            marker: packet.marker,
            payload_type: stream.payload_type,
            sequence_number: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: stream.ssrc,
            ..Default::default()
        };
        let (packets, bytes) = self.sent.entry(stream.ssrc).or_default();
        *packets = packets.wrapping_add(1);
        *bytes = bytes.wrapping_add(packet.payload.len() as u32);
        self.write(RTCMessage::RtpPacket(String::new(), rtp::Packet { header, payload: packet.payload }), now);
    }

    /// Tells the peer which RTP time of a stream is which time of day, so that it keeps streams in step
    /// (RFC 3550 §6.4.1). Once a second or so.
    pub fn report(&mut self, codec: Codec, rtp_time: u32, at: SystemTime, now: Instant) {
        let Some(stream) = self.streams.iter().find(|stream| stream.codec == codec) else { return };
        let (packet_count, octet_count) = self.sent.get(&stream.ssrc).copied().unwrap_or_default();
        let report = SenderReport {
            ssrc: stream.ssrc,
            ntp_time: ntp(at),
            rtp_time,
            packet_count,
            octet_count,
            ..Default::default()
        };
        self.write(RTCMessage::RtcpPacket(String::new(), vec![Box::new(report)]), now);
    }

    /// Asks the peer for a key frame (RFC 4585 §6.3.1), once its pictures come.
    pub fn want_key_frame(&mut self, now: Instant) {
        let Some(media_ssrc) = self.source else { return };
        let request: Box<dyn rtcp::Packet> = Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc });
        self.write(RTCMessage::RtcpPacket(String::new(), vec![request]), now);
    }

    /// There and back, as the last check of the path measured it.
    pub fn round_trip(&self) -> Option<Duration> {
        self.path.round_trip()
    }

    fn take(&mut self, datagram: Datagram) {
        let Datagram { at, source, reply, bytes } = datagram;
        let is_check = stun::kind(&bytes) == Kind::Stun;
        if !is_check && !self.path.holds(source) {
            metrics::counter!("amphi_rtc_datagrams_of_strangers_total").increment(1);
            return;
        }
        if !is_check && !self.guard.admits(&bytes) {
            metrics::counter!("amphi_rtc_packets_refused_total").increment(1);
            return;
        }
        // Who answers an offer is the controlled side (RFC 8445 §6.1.1), and so the other one never is. The crate would
        // change sides before it has looked for the session's password.
        if is_check && stun::is_controlled(&bytes) {
            metrics::counter!("amphi_rtc_checks_refused_total").increment(1);
            return;
        }
        if is_check && !self.guard.hears(source) {
            metrics::counter!("amphi_rtc_sources_refused_total").increment(1);
            return;
        }
        self.connections.retain(|_, reply| !reply.is_closed());
        let transport_protocol = if reply.is_some() { TransportProtocol::TCP } else { TransportProtocol::UDP };
        if let Some(reply) = reply {
            self.connections.insert(source, reply);
        }
        let local_addr = self.place.port.reached(source);
        let transport = TransportContext { local_addr, peer_addr: source, transport_protocol, ecn: None };
        let datagram = TaggedBytesMut { now: at, transport, message: bytes };
        if is_check { self.take_check(datagram) } else { self.take_speech(datagram) }
    }

    fn take_check(&mut self, TaggedBytesMut { now, transport, message }: TaggedBytesMut) {
        let (transport, again) = self.path.hear(transport, &message, now);
        if let Some(shortest) = self.path.shortest_round_trip() {
            self.shared.measure(shortest);
        }
        let copy = again.map(|transport| TaggedBytesMut { now, transport, message: message.clone() });
        self.read(TaggedBytesMut { now, transport, message });
        if let Some(copy) = copy {
            self.read(copy);
        }
    }

    /// Media, from an address that ICE has validated. What came with the session's keys comes from where the peer is,
    /// and so does the handshake, before there are any.
    fn take_speech(&mut self, datagram: TaggedBytesMut) {
        let (source, at, genuine) = (datagram.transport.peer_addr, datagram.now, self.shared.genuine());
        // RFC 7983 §7.
        let is_handshake = self.deadline.is_some() && matches!(datagram.message.first(), Some(20..=63));
        self.read(datagram);
        if is_handshake || self.shared.genuine() != genuine {
            self.follow(|path| path.speaks(source, at));
        }
    }

    /// Lets something happen to the path, and notes where that has brought the peer.
    fn follow<T>(&mut self, happen: impl FnOnce(&mut Path) -> T) -> T {
        let before = self.path.current();
        let outcome = happen(&mut self.path);
        if let (Some(before), Some(address)) = (before, self.path.current())
            && before != address
        {
            tracing::debug!(%before, %address, "peer has moved");
            metrics::counter!("amphi_rtc_moves_total").increment(1);
        }
        outcome
    }

    fn read(&mut self, datagram: TaggedBytesMut) {
        if let Err(error) = self.connection.handle_read(datagram) {
            tracing::debug!(%error, "datagram not understood");
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            tracing::debug!("no connection in time");
            self.leave();
        } else if let Err(error) = self.connection.handle_timeout(now) {
            tracing::debug!(%error, "timer failed");
        }
    }

    /// Says goodbye, as far as somebody hears it.
    fn leave(&mut self) {
        self.over = true;
        let _ = self.connection.close();
    }

    fn write(&mut self, message: RTCMessage, now: Instant) {
        if self.deadline.is_some() || self.over {
            return;
        }
        if let Err(error) = self.connection.handle_write(TaggedRTCMessage { now, message }) {
            tracing::debug!(%error, "packet not sent");
        }
        self.flush();
    }

    /// Hands over what has become of the input.
    fn turn(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.happened(&event);
        }
        // All that matters comes as arrivals; the crate has to be rid of the rest.
        while self.connection.poll_read().is_some() {}
        while let Ok(packet) = self.arrivals.try_recv() {
            self.arrived(packet);
        }
        self.flush();
    }

    /// Sends what there is.
    fn flush(&mut self) {
        while let Some(TaggedBytesMut { now, transport, message }) = self.connection.poll_write() {
            if stun::acceptance(&message).is_some() {
                self.guard.answered(transport.peer_addr);
            }
            let Some(transport) = self.path.route(transport, &message, now) else { continue };
            if self.follow(|path| path.accepts(transport, &message, now)) {
                self.place.validated(transport.peer_addr, |address| self.path.holds(address));
            }
            if transport.transport_protocol == TransportProtocol::UDP {
                if stun::kind(&message) == Kind::Stun {
                    self.place.asks(transport.peer_addr);
                }
                self.place.port.send(&message, transport.peer_addr);
            } else if let Some(connection) = self.connections.get(&transport.peer_addr) {
                // One that is full or gone loses it, as a path would.
                if let Err(mpsc::error::TrySendError::Closed(_)) = connection.try_send(message.freeze()) {
                    self.connections.remove(&transport.peer_addr);
                }
            }
        }
    }

    fn happened(&mut self, event: &RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnIceConnectionStateChangeEvent(
                RTCIceConnectionState::Connected | RTCIceConnectionState::Completed,
            ) => {
                if let Some(path) = self.selected().filter(|path| self.path.select(*path)) {
                    self.place.validated(path.peer_addr, |address| self.path.holds(address));
                }
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) => {
                self.place.connected();
                if let (Some(_), Some(address)) = (self.deadline.take(), self.path.current()) {
                    self.events.push_back(Event::Connected(address));
                }
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
            ) => {
                tracing::debug!(?event, "peer is gone");
                self.over = true;
            }
            _ => {}
        }
    }

    /// The pair that the crate has selected.
    fn selected(&mut self) -> Option<TransportContext> {
        let receiver = self.connection.get_receivers().next();
        let sender = self.connection.get_senders().next();
        let pair = match (receiver, sender) {
            (Some(id), _) => {
                self.connection.rtp_receiver(id)?.transport()?.ice_transport().get_selected_candidate_pair()
            }
            (None, Some(id)) => {
                self.connection.rtp_sender(id)?.transport()?.ice_transport().get_selected_candidate_pair()
            }
            (None, None) => None,
        }?;
        let remote = pair.remote();
        let peer_addr = SocketAddr::new(remote.address.parse().ok()?, remote.port);
        let is_tcp = self.connections.contains_key(&peer_addr);
        let transport_protocol = if is_tcp { TransportProtocol::TCP } else { TransportProtocol::UDP };
        let local_addr = self.place.port.reached(peer_addr);
        Some(TransportContext { local_addr, peer_addr, transport_protocol, ecn: None })
    }

    fn arrived(&mut self, packet: TaggedPacket) {
        match packet.message.packet {
            Packet::Rtp(rtp::Packet { header, payload }) => {
                let stream = self.streams.iter().find(|stream| stream.payload_type == header.payload_type);
                let Some(codec) = stream.map(|stream| stream.codec) else { return };
                if codec.is_video() {
                    self.source = Some(header.ssrc);
                }
                self.events.push_back(Event::Rtp(Incoming {
                    codec,
                    ssrc: header.ssrc,
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    payload,
                    at: packet.now,
                }));
            }
            Packet::Rtcp(reports) => {
                for report in &reports {
                    self.reported(report.as_ref());
                }
            }
            _ => {}
        }
    }

    fn reported(&mut self, report: &dyn rtcp::Packet) {
        let report = report.as_any();
        if let Some(SenderReport { ssrc, ntp_time, rtp_time, .. }) = report.downcast_ref() {
            self.events.push_back(Event::SenderReport { ssrc: *ssrc, rtp_time: *rtp_time, ntp: *ntp_time });
        } else if let Some(ReceiverReport { reports, .. }) = report.downcast_ref() {
            self.events.extend(reports.iter().map(|report| Event::ReceiverReport {
                ssrc: report.ssrc,
                loss: f64::from(report.fraction_lost) / 256.0,
                jitter: report.jitter,
            }));
        } else if report.is::<PictureLossIndication>() || report.is::<FullIntraRequest>() {
            self.events.push_back(Event::KeyFrameWanted);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.over {
            self.leave();
            self.flush();
        }
    }
}

fn ntp(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + NTP_EPOCH) << 32 | fraction
}
