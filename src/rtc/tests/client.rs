//! A client of several addresses: the crate itself, whose datagrams go by whichever of them a test likes.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::rtc::{
    ice::candidate::{CandidateConfig, candidate_host::CandidateHostConfig},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::media_engine::MediaEngine,
        event::RTCPeerConnectionEvent,
        message::{RTCMessage, TaggedRTCMessage},
        sdp::RTCSessionDescription,
        state::RTCPeerConnectionState,
        transport::RTCIceCandidate,
    },
    rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication,
    rtp,
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind},
    },
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol},
};
use tokio::net::UdpSocket;

use super::{
    super::{
        Direction, Peer, Port, sdp,
        stun::{self, Kind, Transaction},
    },
    AttrControlling, SITE, UseCandidateAttr, check,
};

/// How often a client looks for what has come.
const TICK: Duration = Duration::from_millis(2);
/// From one thing that it says to the next.
const PACE: Duration = Duration::from_millis(20);
/// What it publishes.
const SOURCE: u32 = 7;
const OPUS: u8 = 111;

pub struct Client {
    connection: RTCPeerConnection,
    direction: Direction,
    /// It is known to itself by the first one.
    sockets: [UdpSocket; 4],
    /// Nothing comes or goes by this one any more.
    closed: Option<usize>,
    server: SocketAddr,
    /// The server's user fragment, its own, and the server's password.
    credentials: [String; 3],
    /// By which one all but checks go out.
    pub speaks: usize,
    said: (u16, Instant),
    /// By which ones the server's checks came: answers go back there.
    asked: HashMap<Transaction, usize>,
    accepted: HashSet<Transaction>,
    /// Packets of media, and reports, that came by each.
    pub heard: [usize; 4],
    is_connected: bool,
}

impl Client {
    /// With an offer that the port has answered, and the peer that came of that. `direction` is the server's.
    pub async fn new(port: &Port, direction: Direction) -> (Self, Peer) {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let sockets = [bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap()];
        let (mut connection, now) = (connection(direction), Instant::now());
        let own = sockets[0].local_addr().unwrap();
        let base_config = CandidateConfig {
            network: "udp".into(),
            address: own.ip().to_string(),
            port: own.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host().unwrap();
        connection.add_local_candidate(RTCIceCandidate::from(&candidate).to_json().unwrap()).unwrap();
        let offer = connection.create_offer(None).unwrap();
        connection.set_local_description(now, offer.clone()).unwrap();
        let peer = port.answer(&offer.sdp, direction, SITE, now).unwrap();
        let answer = RTCSessionDescription::answer(peer.answer().to_owned()).unwrap();
        connection.set_remote_description(now, answer).unwrap();
        let password = sdp::value(peer.answer(), "a=ice-pwd:").unwrap().to_owned();
        let handle = peer.handle();
        let client = Self {
            connection,
            direction,
            sockets,
            closed: None,
            server: port.local_addr(),
            credentials: [handle.session().to_owned(), handle.client().to_owned(), password],
            speaks: 0,
            said: (0, now),
            asked: HashMap::new(),
            accepted: HashSet::new(),
            heard: [0; 4],
            is_connected: false,
        };
        (client, peer)
    }

    /// Goes on until something is so, ten seconds at most. Meanwhile it speaks all the time.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let (begun, mut tick) = (Instant::now(), tokio::time::interval(TICK));
        while !done(self) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?} heard", self.heard);
            tick.tick().await;
            if self.is_connected && self.said.1.elapsed() >= PACE {
                self.say();
            }
            self.turn(Instant::now());
        }
    }

    /// Nominates the pair of one of its addresses, until that is accepted.
    pub async fn nominate(&mut self, by: usize) {
        let (mut sent, mut last) = (HashSet::new(), None::<Instant>);
        self.until("the nomination is accepted", |client| {
            if last.is_none_or(|last| last.elapsed() >= PACE) {
                let [server, own, password] = &client.credentials;
                let nomination = check(server, own, password, Nomination);
                let _ = client.sockets[by].try_send_to(&nomination, client.server);
                sent.extend(stun::transaction(&nomination));
                last = Some(Instant::now());
            }
            client.accepted.iter().any(|transaction| sent.contains(transaction))
        })
        .await;
    }

    /// It has left the network of one of its addresses.
    pub fn close(&mut self, by: usize) {
        self.closed = Some(by);
    }

    /// Says something that only it can say: media, or what viewers report. Gives the number of what it published.
    pub fn say(&mut self) -> u16 {
        let now = Instant::now();
        let sequence_number = self.said.0.wrapping_add(1);
        self.said = (sequence_number, now);
        let message = match self.direction {
            Direction::Receive => {
                let header = rtp::header::Header {
                    version: 2,
                    payload_type: OPUS,
                    ssrc: SOURCE,
                    sequence_number,
                    timestamp: u32::from(sequence_number) * 960,
                    ..Default::default()
                };
                RTCMessage::RtpPacket(String::new(), rtp::Packet { header, payload: vec![0; 40].into() })
            }
            Direction::Send => {
                let wish = PictureLossIndication { sender_ssrc: 1, media_ssrc: 1 };
                RTCMessage::RtcpPacket(String::new(), vec![Box::new(wish)])
            }
        };
        self.connection.handle_write(TaggedRTCMessage { now, message }).unwrap();
        self.flush();
        sequence_number
    }

    fn turn(&mut self, now: Instant) {
        if self.connection.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.connection.handle_timeout(now).unwrap();
        }
        let mut buffer = [0; 2_048];
        for by in 0..self.sockets.len() {
            while let Ok((length, _)) = self.sockets[by].try_recv_from(&mut buffer) {
                if self.closed != Some(by) {
                    self.take(by, &buffer[..length], now);
                }
            }
        }
        while let Some(event) = self.connection.poll_event() {
            self.is_connected |= matches!(
                event,
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected)
            );
        }
        while self.connection.poll_read().is_some() {}
        self.flush();
    }

    fn take(&mut self, by: usize, bytes: &[u8], now: Instant) {
        if let Some(transaction) = stun::request(bytes) {
            self.asked.insert(transaction, by);
        }
        self.accepted.extend(stun::acceptance(bytes));
        self.heard[by] += usize::from(matches!(bytes[0], 128..=191));
        let transport = TransportContext {
            local_addr: self.sockets[0].local_addr().unwrap(),
            peer_addr: self.server,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        let _ = self.connection.handle_read(TaggedBytesMut { now, transport, message: bytes.into() });
    }

    fn flush(&mut self) {
        while let Some(TaggedBytesMut { message, .. }) = self.connection.poll_write() {
            let by = match stun::kind(&message) {
                Kind::Other => self.speaks,
                // Its own checks go by the address that it knows.
                Kind::Stun => stun::transaction(&message).and_then(|asked| self.asked.remove(&asked)).unwrap_or(0),
            };
            if self.closed != Some(by) {
                let _ = self.sockets[by].try_send_to(&message, self.server);
            }
        }
    }
}

/// What a check says that nominates.
struct Nomination;

impl super::Setter for Nomination {
    fn add_to(&self, message: &mut super::Message) -> ::rtc::shared::error::Result<()> {
        UseCandidateAttr.add_to(message)?;
        AttrControlling(1).add_to(message)
    }
}

/// Sound alone, one way.
fn connection(direction: Direction) -> RTCPeerConnection {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    let mut connection = RTCPeerConnectionBuilder::new().with_media_engine(engine).build(Instant::now()).unwrap();
    match direction {
        Direction::Receive => {
            let codec = RTCRtpCodec {
                mime_type: "audio/opus".into(),
                clock_rate: 48_000,
                channels: 2,
                sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
                rtcp_feedback: vec![],
            };
            let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(SOURCE), ..Default::default() };
            let encoding =
                RTCRtpEncodingParameters { rtp_coding_parameters, active: true, codec, ..Default::default() };
            let name = || "sound".to_owned();
            let track = MediaStreamTrack::new(name(), name(), name(), RtpCodecKind::Audio, vec![encoding]);
            connection.add_track(track).unwrap();
        }
        Direction::Send => {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: vec![],
                send_encodings: vec![],
            };
            connection.add_transceiver_from_kind(RtpCodecKind::Audio, Some(init)).unwrap();
        }
    }
    connection
}
