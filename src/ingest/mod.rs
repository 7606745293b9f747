//! Ways in: one folder a protocol. Each turns a connection into a [`stream::Publication`](crate::stream::Publication).

pub mod rtmp;
pub mod whip;
pub mod srt;
pub mod rtsp;
pub mod pull;
pub mod rtp;
pub mod ts;
pub mod flv;
pub mod avc;
pub mod hevc;
pub mod av1;
pub mod annexb;
pub mod parameter_sets;
pub mod aac;
mod mp3;
mod opus;
mod grid;
pub mod bits;

use std::{
    future::Future,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
};

use crate::{
    model::StreamName,
    stream::{Publication, Rank},
};

/// What a publisher shows at the door.
#[derive(Clone)]
pub struct Knock {
    /// The protocol as status and logs name it: `rtmp`, `srt`.
    pub protocol: &'static str,
    /// The other end.
    pub peer: SocketAddr,
    /// The channel, where the URL names it; otherwise the key alone tells.
    pub channel: Option<StreamName>,
    /// The stream key. Never logged.
    pub key: String,
}

/// Why a publisher was turned away; the message is for its screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such channel, or the key opens none.
    #[error("no channel takes this stream key: check server and stream key in the encoder")]
    Unknown,
    /// The channel exists and the key is not its key.
    #[error("wrong stream key for channel {0}: copy it again from the channel's page")]
    WrongKey(StreamName),
    /// Someone else is publishing.
    #[error("channel {0} is already live from another publisher: stop that one first")]
    Busy(StreamName),
    /// The server cannot take it now.
    #[error("the server cannot take this stream now: {0}")]
    Unavailable(String),
}

/// Whether a key is the one that a publisher proved to know without showing it.
pub type Proof = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Authorises publishers. `access` implements it and `app` hands it in.
pub trait Door: Send + Sync + 'static {
    /// Lets a publisher in or says why not.
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>>;

    /// Whether the channel is there and this is its key: what [`Self::admit`] would refuse for that it refuses, and
    /// nothing begins. For protocols in which a publisher costs something before it is let in; a door that only
    /// admits lets them find out then.
    fn knows(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        let _ = knock;
        Box::pin(async { Ok(()) })
    }

    /// A stream key of a channel, for protocols that encrypt with it instead of sending it. Answers at once, by what
    /// the door last heard of its channels; `None` where it knows none of this name, or none of this rank.
    fn key(&self, channel: &StreamName, rank: Rank) -> Option<String> {
        let _ = (channel, rank);
        None
    }

    /// The same as [`Self::admit`] for a publisher whose `proof` knows the key of the channel it names, where `knock`
    /// holds none. A door that cannot tell keys lets nobody in this way.
    fn admit_by_proof(
        &self,
        _knock: Knock,
        _proof: Proof,
    ) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(async { Err(Refusal::Unknown) })
    }
}

/// The network that an address stands for where knocks are counted: whoever holds an IPv6 address usually holds its
/// whole /64.
pub fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}
