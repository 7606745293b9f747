use std::{collections::VecDeque, sync::Arc, time::Instant};

use ::rtc::{
    interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
        receiver_report::ReceiverReport,
        sender_report::SenderReport,
    },
    sansio::Protocol,
    shared::error::Error,
};
use tokio::sync::mpsc;

use super::shared::Shared;

/// Hands RTCP that a session acts on to its peer; the crate keeps all of it for itself otherwise, or for the sources
/// that it knows. Notes that something has come.
pub struct Feedback {
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<TaggedPacket>,
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl Feedback {
    pub fn new(shared: Arc<Shared>, arrivals: mpsc::Sender<TaggedPacket>) -> Self {
        Self { shared, arrivals, incoming: VecDeque::new(), outgoing: VecDeque::new() }
    }
}

/// Gives a peer what has arrived for it.
pub fn hand_over(arrivals: &mpsc::Sender<TaggedPacket>, packet: TaggedPacket) {
    if arrivals.try_send(packet).is_err() {
        metrics::counter!("amphi_rtc_packets_dropped_total").increment(1);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.shared.hear();
        let Packet::Rtcp(reports) = &packet.message.packet else {
            self.incoming.push_back(packet);
            return Ok(());
        };
        let matters = reports.iter().map(|report| report.as_any()).any(|report| {
            report.is::<SenderReport>()
                || report.is::<ReceiverReport>()
                || report.is::<PictureLossIndication>()
                || report.is::<FullIntraRequest>()
        });
        if matters {
            hand_over(&self.arrivals, packet);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outgoing.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
