//! A peer connection of the `rtc` crate, set up for one offer.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::rtc::{
    ice::{
        candidate::{CandidateConfig, candidate_host::CandidateHostConfig},
        tcp_type::TcpType,
    },
    interceptor::{NackResponderBuilder, ReceiverReportBuilder, Registry, Slot, TaggedPacket},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        certificate::RTCCertificate,
        configuration::{
            RTCConfigurationBuilder, interceptor_registry::configure_twcc_receiver_only, media_engine::MediaEngine,
            setting_engine::SettingEngineBuilder,
        },
        sdp::RTCSessionDescription,
        transport::{RTCDtlsRole, RTCIceCandidate},
    },
    rtp_transceiver::rtp_sender::{
        RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RTCRtpRtxParameters, RtpCodecKind,
    },
    shared::error::Error,
};

use tokio::sync::mpsc;

use super::{
    Codec, Direction, Refused, Stream,
    feedback::Feedback,
    inbound::Inbound,
    repeats::Repeats,
    sdp::{Offer, Payload},
    shared::Shared,
};

/// A peer that has sent no sign of life for so long is away (RFC 7675 §5.1 allows 30 s); it is given up
/// [`PATIENCE`] later. Both sides send one every two seconds.
const SILENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Packets that wait for their peer; each datagram is one at most, and is waited for.
const ARRIVALS: usize = 16;
/// Behind the crate's own interceptors, which see everything first.
const LAST: usize = 11_500;
/// It hears of losses first, and sees all that is sent.
const BEFORE_RESPONDER: usize = 3_500;

/// An offer that was answered.
pub struct Answered {
    pub connection: RTCPeerConnection,
    /// The answer, without addresses.
    pub answer: String,
    /// What was agreed on.
    pub streams: Vec<Stream>,
    /// What arrives, once it has keys: RTP of the streams, and RTCP that matters.
    pub arrivals: mpsc::Receiver<TaggedPacket>,
    /// What its interceptors tell, and what they are to know.
    pub shared: Arc<Shared>,
}

/// Answers an offer. `locals` are the addresses that connectivity checks are said to reach, one a family and
/// transport.
pub fn answer(
    offer: &Offer,
    direction: Direction,
    locals: &[(SocketAddr, bool)],
    certificate: RTCCertificate,
    now: Instant,
) -> Result<Answered, Refused> {
    let payloads = chosen(offer, direction)?;
    let (sender, arrivals) = mpsc::channel(ARRIVALS);
    let shared = Arc::<Shared>::default();
    let own = shared.clone();
    let registry = |engine: &mut _| interceptors(&payloads, offer.counter, direction, (own, sender), engine);
    // A client that begins whatever it is answered is let (RFC 9725 §4.4.4).
    let role = if offer.is_active { RTCDtlsRole::Server } else { RTCDtlsRole::Client };
    let (mut connection, streams) = set_up(&payloads, direction, role, certificate, registry, now)
        .map_err(|error| Refused::Malformed(error.to_string()))?;
    let answer =
        negotiate(&mut connection, offer, locals, now).map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(Answered { connection, answer, streams, arrivals, shared })
}

/// The payload types to agree on, at least one; [`Refused::Unacceptable`] where there is none, or none for something
/// that is to be sent: half a session misleads people (RFC 9725 §4.4.3).
pub fn chosen(offer: &Offer, direction: Direction) -> Result<Vec<Payload>, Refused> {
    let single = |payload: &&Payload| payload.parameter("packetization-mode").is_none_or(|mode| mode != "2");
    let of = |codec: Codec| offer.payloads.iter().filter(move |payload| payload.codec == codec).filter(single);
    let mut chosen: Vec<_> = match direction {
        // What passes through costs nothing, and no generation of quality.
        Direction::Receive if of(Codec::H264).next().is_some() => of(Codec::H264).cloned().collect(),
        Direction::Receive => of(Codec::Vp8).cloned().collect(),
        // Mode 1 alone takes NAL units that are larger than a packet (RFC 6184 §6.3).
        Direction::Send => {
            let fragments = |payload: &&Payload| payload.parameter("packetization-mode") == Some("1");
            of(Codec::H264).filter(fragments).cloned().collect()
        }
    };
    chosen.extend(of(Codec::Opus).take(1).cloned());
    if chosen.is_empty() {
        return Err(Refused::Unacceptable("it has no H.264, VP8 or Opus to agree on"));
    }
    let agreed = |is_video| chosen.iter().any(|payload| payload.codec.is_video() == is_video);
    for media in &offer.media {
        match direction {
            _ if agreed(media.is_video) => {}
            Direction::Receive if media.sends => return Err(Refused::Unacceptable(of_publisher(media.is_video))),
            Direction::Send if media.receives => return Err(Refused::Unacceptable(of_viewer(media.is_video))),
            _ => {}
        }
    }
    Ok(chosen)
}

fn of_publisher(is_video: bool) -> &'static str {
    if is_video {
        "its picture is neither H.264 nor VP8: set the encoder to H.264"
    } else {
        "its sound is not Opus: set the encoder to Opus"
    }
}

fn of_viewer(is_video: bool) -> &'static str {
    if is_video {
        "pictures are sent as H.264 with packetization-mode=1: let the player offer that, or watch by HLS"
    } else {
        "sound is sent as Opus: let the player offer that, or watch by HLS"
    }
}

fn set_up(
    payloads: &[Payload],
    direction: Direction,
    role: RTCDtlsRole,
    certificate: RTCCertificate,
    registry: impl FnOnce(&mut MediaEngine) -> Result<Registry, Error>,
    now: Instant,
) -> Result<(RTCPeerConnection, Vec<Stream>), Error> {
    let mut engine = MediaEngine::default();
    for payload in payloads {
        let kind = kind(payload.codec);
        engine.register_codec(codec(payload), kind)?;
        if let Some(repair) = payload.repair {
            engine.register_codec(repair_codec(repair, payload.number), kind)?;
        }
    }
    let registry = registry(&mut engine)?;
    let settings = SettingEngineBuilder::new()
        .with_answering_dtls_role(role)
        .with_ice_timeouts(Some(SILENCE), Some(PATIENCE), Some(KEEP_ALIVE))
        .build();
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().with_certificates(vec![certificate]).build())
        .with_setting_engine(settings)
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .build(now)?;
    let mut streams: Vec<Stream> = Vec::new();
    for payload in payloads {
        // Of several H.264 payload types to send, the first one the viewer prefers.
        let again = streams.iter().any(|stream| stream.codec == payload.codec);
        let ssrc = if direction == Direction::Send && !again {
            let (ssrc, repair) = (random()?, payload.repair.map(|_| random()).transpose()?);
            connection.add_track(track(payload, ssrc, repair))?;
            ssrc
        } else {
            0
        };
        if direction == Direction::Receive || !again {
            let Payload { codec, number, parameters, .. } = payload.clone();
            streams.push(Stream { codec, payload_type: number, parameters, ssrc });
        }
    }
    Ok((connection, streams))
}

/// What packets pass on their way in and out.
fn interceptors(
    payloads: &[Payload],
    counter: Option<u16>,
    direction: Direction,
    (shared, arrivals): (Arc<Shared>, mpsc::Sender<TaggedPacket>),
    engine: &mut MediaEngine,
) -> Result<Registry, Error> {
    let registry = Registry::new().with(Slot::from(LAST), Feedback::new(shared.clone(), arrivals.clone()));
    if direction == Direction::Send {
        return Ok(registry
            .with(Slot::from(BEFORE_RESPONDER), Repeats::default())
            .with(Slot::NackResponder, NackResponderBuilder::new().build()));
    }
    let reports = configure_twcc_receiver_only(registry, engine)?
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .build();
    let inbound = Inbound::new(payloads.to_vec(), counter, reports, random()?, shared, arrivals);
    Ok(Registry::new().with(Slot::from(LAST), inbound))
}

fn negotiate(
    connection: &mut RTCPeerConnection,
    offer: &Offer,
    locals: &[(SocketAddr, bool)],
    now: Instant,
) -> Result<String, Error> {
    connection.set_remote_description(now, RTCSessionDescription::offer(offer.text.clone())?)?;
    for (address, is_tcp) in locals {
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: if *is_tcp { "tcp" } else { "udp" }.into(),
                address: address.ip().to_string(),
                port: address.port(),
                component: 1,
                ..Default::default()
            },
            tcp_type: if *is_tcp { TcpType::Passive } else { TcpType::Unspecified },
        };
        connection.add_local_candidate(RTCIceCandidate::from(&candidate.new_candidate_host()?).to_json()?)?;
    }
    let answer = connection.create_answer(None)?;
    connection.set_local_description(now, answer.clone())?;
    Ok(answer.sdp)
}

fn kind(codec: Codec) -> RtpCodecKind {
    if codec.is_video() { RtpCodecKind::Video } else { RtpCodecKind::Audio }
}

/// The codec as the offer states it, so that profile and packetization mode match.
fn codec(payload: &Payload) -> RTCRtpCodecParameters {
    let (mime, channels) = match payload.codec {
        Codec::H264 => ("video/H264", 0),
        Codec::Vp8 => ("video/VP8", 0),
        Codec::Opus => ("audio/opus", 2),
    };
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    let rtcp_feedback = match payload.codec {
        Codec::Opus => vec![feedback("nack", "")],
        _ => vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")],
    };
    let rtp_codec = RTCRtpCodec {
        mime_type: mime.into(),
        clock_rate: payload.codec.clock_rate(),
        channels,
        sdp_fmtp_line: payload.parameters.clone(),
        rtcp_feedback,
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: payload.number }
}

fn repair_codec(number: u8, of: u8) -> RTCRtpCodecParameters {
    let rtp_codec = RTCRtpCodec {
        mime_type: "video/rtx".into(),
        clock_rate: 90_000,
        sdp_fmtp_line: format!("apt={of}"),
        ..Default::default()
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: number }
}

fn track(payload: &Payload, ssrc: u32, repair: Option<u32>) -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: repair.map(|ssrc| RTCRtpRtxParameters { ssrc }),
            ..Default::default()
        },
        active: true,
        codec: codec(payload).rtp_codec,
        ..Default::default()
    };
    let name = if payload.codec.is_video() { "video" } else { "audio" };
    // One stream for both, so that players keep them in step (RFC 8830).
    MediaStreamTrack::new("amphi".into(), name.into(), name.into(), kind(payload.codec), vec![encoding])
}

/// Not zero, which stands for none.
fn random() -> Result<u32, Error> {
    getrandom::u32().map(|number| number.max(1)).map_err(|error| Error::Other(error.to_string()))
}
