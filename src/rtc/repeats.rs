//! How much a viewer may have sent again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

use ::rtc::{
    interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack},
    sansio::Protocol,
    shared::error::Error,
};

/// Packets of a stream that are sent for each one that may be sent again: pictures rest where more than one in seven
/// is lost, and some are lost twice.
const PRICE: u32 = 2;
/// Repeats that a stream saves up at most: half a second of pictures at any rate that passes.
const SAVINGS: u32 = 512;

/// Stands between a viewer's requests for lost packets (RFC 4585 §6.2.1) and the crate, which answers each as often
/// as it is asked: a report may ask for thousands of packets.
#[derive(Default)]
pub struct Repeats {
    /// By source, in packets that were sent for the first time.
    savings: HashMap<u32, u32>,
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl Repeats {
    /// What of a request is answered: each packet once a datagram, as far as savings go.
    fn granted(&mut self, request: &TransportLayerNack, asked: &mut HashSet<(u32, u16)>) -> Vec<NackPair> {
        let Some(savings) = self.savings.get_mut(&request.media_ssrc) else { return Vec::new() };
        let mut granted = Vec::new();
        for number in request.nacks.iter().flat_map(|pair| *pair) {
            if *savings < PRICE {
                metrics::counter!("amphi_rtc_repeats_refused_total").increment(1);
                break;
            }
            if asked.insert((request.media_ssrc, number)) {
                *savings -= PRICE;
                granted.push(NackPair::new(number));
            }
        }
        granted
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Repeats {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(reports) = &mut packet.message.packet {
            let mut asked = HashSet::new();
            for report in reports {
                if let Some(request) = report.as_any().downcast_ref::<TransportLayerNack>() {
                    let nacks = self.granted(request, &mut asked);
                    *report = Box::new(TransportLayerNack { nacks, ..request.clone() });
                }
            }
        }
        self.incoming.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(sent) = &packet.message.packet
            && !packet.message.has(&Attribute::Retransmission)
            && let Some(savings) = self.savings.get_mut(&sent.header.ssrc)
        {
            *savings = (*savings + 1).min(SAVINGS * PRICE);
        }
        self.outgoing.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for Repeats {
    fn bind_local_stream(&mut self, stream: &StreamInfo) {
        self.savings.insert(stream.ssrc, 0);
    }

    fn unbind_local_stream(&mut self, stream: &StreamInfo) {
        self.savings.remove(&stream.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use ::rtc::{
        interceptor::{NackResponderBuilder, RTCPFeedback, Registry, Slot},
        rtp,
        shared::TransportContext,
    };

    use super::*;

    const STREAM: u32 = 7;

    fn tagged(packet: Packet) -> TaggedPacket {
        TaggedPacket { now: Instant::now(), transport: TransportContext::default(), message: packet.into() }
    }

    /// As a connection to a viewer has them.
    fn chain() -> impl Interceptor {
        let responder = NackResponderBuilder::new().build();
        let mut chain =
            Registry::new().with(Slot::from(3_500), Repeats::default()).with(Slot::NackResponder, responder).build();
        let rtcp_feedback = vec![RTCPFeedback { typ: "nack".into(), parameter: String::new() }];
        chain.bind_local_stream(&StreamInfo { ssrc: STREAM, rtcp_feedback, ..StreamInfo::default() });
        chain
    }

    fn send(chain: &mut impl Interceptor, numbers: impl Iterator<Item = u16>) {
        for sequence_number in numbers {
            let header = rtp::Header { version: 2, ssrc: STREAM, sequence_number, ..rtp::Header::default() };
            chain.handle_write(tagged(Packet::Rtp(rtp::Packet { header, payload: vec![0; 1_200].into() }))).unwrap();
        }
        while chain.poll_write().is_some() {}
    }

    /// What is sent again when so many reports of one datagram ask for all of `nacks`.
    fn repeated(chain: &mut impl Interceptor, media_ssrc: u32, nacks: &[NackPair], reports: usize) -> Vec<u16> {
        let report = TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks: nacks.to_vec() };
        let reports = (0..reports).map(|_| Box::new(report.clone()) as _).collect();
        chain.handle_read(tagged(Packet::Rtcp(reports))).unwrap();
        let packets = std::iter::from_fn(|| chain.poll_write());
        packets
            .filter_map(|packet| match packet.message.packet {
                Packet::Rtp(packet) => Some(packet.header.sequence_number),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_lost_is_sent_again_once_however_often_a_report_asks() {
        let mut chain = chain();
        send(&mut chain, 0..100);
        let lost = [NackPair { packet_id: 10, lost_packets: 0b101 }, NackPair::new(11), NackPair::new(90)];
        assert_eq!(repeated(&mut chain, STREAM, &lost, 8), [10, 11, 13, 90]);
        assert_eq!(repeated(&mut chain, STREAM, &lost, 1), [10, 11, 13, 90], "lost again");
        assert!(repeated(&mut chain, 8, &lost, 1).is_empty(), "no stream of its");
    }

    #[test]
    fn repeats_are_at_most_half_of_what_is_sent() {
        let mut chain = chain();
        send(&mut chain, 0..300);
        let all: Vec<_> = (0..300).step_by(17).map(|packet_id| NackPair { packet_id, lost_packets: 0xffff }).collect();
        let first: Vec<_> = (0..20).flat_map(|_| repeated(&mut chain, STREAM, &all, 30)).collect();
        assert_eq!(first.len(), 150);
        send(&mut chain, 300..310);
        assert_eq!(repeated(&mut chain, STREAM, &all, 30).len(), 5);
        // A long time without loss is no licence for a flood.
        send(&mut chain, 310..5_000);
        let newest: Vec<_> =
            (3_980..4_980).step_by(17).map(|packet_id| NackPair { packet_id, lost_packets: 0xffff }).collect();
        let flood: usize = (0..20).map(|_| repeated(&mut chain, STREAM, &newest, 30).len()).sum();
        assert_eq!(flood, SAVINGS as usize);
    }
}
