//! What publishers send, told by its payload type.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use ::rtc::{
    interceptor::{Interceptor, Packet, RTPHeaderExtension, StreamInfo, TaggedPacket},
    rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers},
    rtp,
    sansio::Protocol,
    shared::{TransportContext, error::Error},
};
use tokio::sync::mpsc;

use super::{
    Codec,
    asks::Asks,
    sdp::{Payload, TRANSPORT_CC},
    shared::Shared,
};

/// Hands a publisher's packets to its peer. The crate tells streams by the sources that an offer names and drops the
/// others, while a publisher need not name any, and may go over to another one. There is one stream of a codec here:
/// the payload type tells it (RFC 9143 §9.2), and what repeats its packets.
pub struct Inbound {
    payloads: Vec<Payload>,
    /// The id of the header extension that counts packets of all streams, if that was agreed on.
    counter: Option<u16>,
    /// The newest source of each stream.
    sources: HashMap<Codec, u32>,
    /// What tells the publisher how packets arrive; as they are.
    reports: Box<dyn Interceptor>,
    /// What is missing; with repeats in their place, so that none is asked for that has come.
    asks: Asks,
    /// Who asks: any source that is not zero.
    own: u32,
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl Inbound {
    /// Of a publisher that agreed on these payload types. `own` is the source of what is said to it.
    pub fn new(
        payloads: Vec<Payload>,
        counter: Option<u16>,
        reports: impl Interceptor + 'static,
        own: u32,
        shared: Arc<Shared>,
        arrivals: mpsc::Sender<TaggedPacket>,
    ) -> Self {
        let (sources, asks, outgoing) = (HashMap::new(), Asks::default(), VecDeque::new());
        Self { payloads, counter, sources, reports: Box::new(reports), asks, own, shared, arrivals, outgoing }
    }

    /// Follows a stream to the source that it comes from now.
    fn follow(&mut self, header: &rtp::Header) {
        let payload = self.payloads.iter().find(|payload| payload.number == header.payload_type);
        let Some(payload) = payload.filter(|payload| self.sources.get(&payload.codec) != Some(&header.ssrc)) else {
            return;
        };
        let stream = stream(payload, self.counter, header.ssrc);
        let before = self.sources.insert(payload.codec, header.ssrc);
        self.reports.bind_remote_stream(&stream);
        if payload.repeats {
            self.asks.begin(header.ssrc);
        }
        if let Some(ssrc) = before {
            self.reports.unbind_remote_stream(&StreamInfo { ssrc, ..stream });
            self.asks.end(ssrc);
        }
    }

    /// Asks for what is missing (RFC 4585 §6.2.1).
    fn ask(&mut self, now: Instant) {
        for (media_ssrc, numbers) in self.asks.due(now, self.shared.round_trip()) {
            let nacks = nack_pairs_from_sequence_numbers(&numbers);
            let request = TransportLayerNack { sender_ssrc: self.own, media_ssrc, nacks };
            let message = Packet::Rtcp(vec![Box::new(request)]).into();
            self.outgoing.push_back(TaggedPacket { now, transport: TransportContext::default(), message });
        }
    }

    /// Makes what repeats a packet into that packet (RFC 4588 §4); false if it is of no stream, or repeats none.
    fn recover(&self, packet: &mut rtp::Packet) -> bool {
        let rtp::Packet { header, payload } = packet;
        if self.payloads.iter().any(|stream| stream.number == header.payload_type) {
            return true;
        }
        let stream = self.payloads.iter().find(|stream| stream.repair == Some(header.payload_type));
        let Some((stream, ssrc)) = stream.and_then(|stream| Some((stream, *self.sources.get(&stream.codec)?))) else {
            return false;
        };
        let Some(number) = payload.first_chunk() else { return false };
        header.sequence_number = u16::from_be_bytes(*number);
        (header.ssrc, header.payload_type) = (ssrc, stream.number);
        *payload = payload.slice(2..);
        true
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Inbound {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &packet.message.packet {
            self.follow(&rtp.header);
        }
        self.reports.handle_read(packet)?;
        while let Some(mut packet) = self.reports.poll_read() {
            if let Packet::Rtp(rtp) = &mut packet.message.packet
                && self.recover(rtp)
            {
                self.asks.arrived(rtp.header.ssrc, rtp.header.sequence_number, packet.now);
                super::feedback::hand_over(&self.arrivals, packet);
            }
        }
        Ok(())
    }

    /// Nothing is left for the crate.
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outgoing.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front().or_else(|| self.reports.poll_write())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.ask(now);
        self.reports.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.reports.poll_timeout().into_iter().chain(self.asks.deadline()).min()
    }
}

/// What the crate binds are the sources that it knows of.
impl Interceptor for Inbound {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

fn stream(payload: &Payload, counter: Option<u16>, ssrc: u32) -> StreamInfo {
    let extension = counter.map(|id| RTPHeaderExtension { uri: TRANSPORT_CC.into(), id });
    StreamInfo {
        ssrc,
        payload_type: payload.number,
        clock_rate: payload.codec.clock_rate(),
        rtp_header_extensions: extension.into_iter().collect(),
        ..StreamInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::rtc::{
        interceptor::{ReceiverReportBuilder, Registry, Slot},
        rtcp::receiver_report::ReceiverReport,
    };

    use super::*;

    /// From one report to the next. What is missing is asked for in each, and given up after some.
    const INTERVAL: Duration = Duration::from_millis(50);

    struct Publisher {
        inbound: Inbound,
        arrivals: mpsc::Receiver<TaggedPacket>,
        now: Instant,
    }

    impl Publisher {
        fn new() -> Self {
            let payload = |codec, number, repair: Option<u8>| {
                let (parameters, repeats) = (String::new(), repair.is_some());
                Payload { codec, number, parameters, repeats, repair }
            };
            let payloads = vec![payload(Codec::Opus, 111, None), payload(Codec::H264, 102, Some(103))];
            let (sender, arrivals) = mpsc::channel(16);
            let reports = ReceiverReportBuilder::new().with_interval(INTERVAL).build();
            let reports = Registry::new().with(Slot::ReceiverReport, reports).build();
            let inbound = Inbound::new(payloads, None, reports, 1, Arc::default(), sender);
            Self { inbound, arrivals, now: Instant::now() }
        }

        /// What its peer gets of a packet.
        fn sends(&mut self, payload_type: u8, ssrc: u32, number: u16, payload: &[u8]) -> Option<(u32, u16, Vec<u8>)> {
            let header =
                rtp::Header { version: 2, payload_type, ssrc, sequence_number: number, ..rtp::Header::default() };
            let packet = Packet::Rtp(rtp::Packet { header, payload: payload.to_vec().into() });
            let (transport, message) = (TransportContext::default(), packet.into());
            self.inbound.handle_read(TaggedPacket { now: self.now, transport, message }).unwrap();
            assert!(self.inbound.poll_read().is_none());
            let Packet::Rtp(rtp::Packet { header, payload }) = self.arrivals.try_recv().ok()?.message.packet else {
                panic!("no RTP")
            };
            Some((header.ssrc, header.sequence_number, payload.to_vec()))
        }

        /// The sources that are reported on after a while, and what is asked for.
        fn hears(&mut self) -> (Vec<u32>, Vec<(u32, Vec<u16>)>) {
            self.now += INTERVAL;
            self.inbound.handle_timeout(self.now).unwrap();
            let (mut reported, mut asked) = (Vec::new(), Vec::new());
            while let Some(packet) = self.inbound.poll_write() {
                let Packet::Rtcp(reports) = packet.message.packet else { panic!("no RTCP") };
                for report in reports.iter().map(|report| report.as_any()) {
                    if let Some(ReceiverReport { reports, .. }) = report.downcast_ref() {
                        reported.extend(reports.iter().map(|report| report.ssrc));
                    } else if let Some(TransportLayerNack { media_ssrc, nacks, .. }) = report.downcast_ref() {
                        asked.push((*media_ssrc, nacks.iter().flat_map(|pair| *pair).collect()));
                    }
                }
            }
            reported.sort_unstable();
            (reported, asked)
        }
    }

    #[test]
    fn payload_types_tell_streams_whatever_sources_they_come_from() {
        let mut publisher = Publisher::new();
        assert_eq!(publisher.sends(111, 1, 7, b"sound"), Some((1, 7, b"sound".to_vec())));
        assert_eq!(publisher.sends(102, 2, 8, b"picture"), Some((2, 8, b"picture".to_vec())));
        assert_eq!(publisher.sends(100, 3, 9, b"neither"), None);
        assert_eq!(publisher.hears(), (vec![1, 2], vec![]));
        // It goes over to another source: what was missing from the one before is not asked for any more.
        publisher.sends(102, 2, 10, b"");
        assert_eq!(publisher.hears(), (vec![1, 2], vec![(2, vec![9])]));
        assert_eq!(publisher.sends(102, 4, 500, b"more"), Some((4, 500, b"more".to_vec())));
        assert_eq!(publisher.hears(), (vec![1, 4], vec![]));
    }

    #[test]
    fn what_repeats_a_packet_is_that_packet_and_is_asked_for_no_more() {
        let mut publisher = Publisher::new();
        assert_eq!(publisher.sends(103, 9, 1, b"\x00\x07early"), None, "nothing is known that it could repeat");
        publisher.sends(102, 2, 7, b"first");
        publisher.sends(102, 2, 10, b"last");
        assert_eq!(publisher.hears().1, [(2, vec![8, 9])]);
        assert_eq!(publisher.hears().1, [(2, vec![8, 9])]);
        assert_eq!(publisher.sends(103, 9, 2, b"\x00\x08lost"), Some((2, 8, b"lost".to_vec())));
        assert_eq!(publisher.hears().1, [(2, vec![9])]);
        assert_eq!(publisher.sends(103, 9, 3, b""), None, "it probes the path");
        assert_eq!(publisher.sends(103, 9, 4, b"\x00\x09"), Some((2, 9, vec![])));
        assert!(publisher.hears().1.is_empty());
    }
}
