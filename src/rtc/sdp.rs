//! Session descriptions (RFC 8866, RFC 9429): what is taken from an offer, and what is put into an answer. Pure.

use std::{fmt::Write as _, net::SocketAddr};

use super::{Codec, Refused};

/// The longest description that is read; browsers write some 8 KiB.
pub const MAX_BYTES: usize = 64 << 10;
/// Media sections an offer may have: one picture, one sound.
const MAX_SECTIONS: usize = 2;
/// Payload types a media section may list; browsers list some forty.
const MAX_PAYLOAD_TYPES: usize = 128;

/// The header extension that counts packets of all streams, for congestion control
/// (draft-holmer-rmcat-transport-wide-cc-extensions).
pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Lines that are not for the connection.
const DROPPED: [&str; 7] =
    ["a=candidate:", "a=end-of-candidates", "a=simulcast:", "a=rid:", "a=ssrc:", "a=ssrc-group:", "a=msid:"];
/// Begins the session's groups of sections (RFC 5888 §5), and the group that travels together (RFC 9143 §7.1).
const GROUP: &str = "a=group:";
const BUNDLE: &str = "a=group:BUNDLE ";
/// Which way media goes, as a client says it: whether it sends and whether it receives (RFC 8866 §6.7).
const FLOWS: [(&str, Flow); 4] = [
    ("sendrecv", (true, true)),
    ("sendonly", (true, false)),
    ("recvonly", (false, true)),
    ("inactive", (false, false)),
];
/// To a client that sends no checks: the server sends none of its own accord either.
const LITE: &str = "its client waits for the server's connectivity checks (a=ice-lite): set it to full ICE";
/// To one whose sections would need an address each.
const APART: &str =
    "its picture and sound are not bundled: let the client offer a=group:BUNDLE with the a=mid of each of them";

type Flow = (bool, bool);

/// What an offer says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The offer without what is not for the connection: candidates, since addresses are learnt from the checks
    /// that come in and the server sends none of its own accord; simulcast, so that a client whose answer knows none
    /// of it sends one layer; sources, since payload types tell streams; and groups other than the bundle, since the
    /// crate takes the first one for that. Sections that leave open which way their media goes say it.
    pub text: String,
    /// The id of [`TRANSPORT_CC`], if it has that.
    pub counter: Option<u16>,
    /// What its client wants to send and to receive.
    pub media: Vec<Media>,
    /// Codecs of both sides, as its sections list them.
    pub payloads: Vec<Payload>,
    /// Its client begins the DTLS handshake, whatever the answer says (`a=setup:active`, RFC 8842 §5).
    pub is_active: bool,
}

/// A media section, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// Pictures, not sound.
    pub is_video: bool,
    /// The client has them.
    pub sends: bool,
    /// The client wants them.
    pub receives: bool,
}

/// One payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its codec.
    pub codec: Codec,
    /// Its number.
    pub number: u8,
    /// Its parameters: `packetization-mode=1;profile-level-id=42e01f`.
    pub parameters: String,
    /// Lost packets of it are sent again when asked for (RFC 4585 §4.2, `nack`).
    pub repeats: bool,
    /// The payload type that repeats them (RFC 4588).
    pub repair: Option<u8>,
}

impl Payload {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Refused::Malformed`] where something is missing without which no peer can connect, or where it is longer
    /// than any client makes it; [`Refused::Unacceptable`] where it has other media than a picture and a sound, where
    /// these are not bundled, and where its client waits for checks that a server does not send (ICE lite).
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let malformed = |why: &str| Err(Refused::Malformed(why.into()));
        if text.len() > MAX_BYTES {
            return malformed("it is longer than 64 KiB");
        }
        if !text.starts_with("v=0") {
            return malformed("it does not begin with v=0");
        }
        let (mut kept, mut sections) = (String::with_capacity(text.len()), Vec::<Section>::new());
        let mut flow = (true, true);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some(media) = line.strip_prefix("m=") {
                if sections.len() == MAX_SECTIONS {
                    return malformed("it has more than one picture and one sound");
                }
                if let Some(section) = sections.last() {
                    section.end(&mut kept);
                }
                sections.push(Section::begin(media, flow)?);
            } else if let Some(attribute) = line.strip_prefix("a=") {
                match sections.last_mut() {
                    Some(section) => section.attribute(attribute),
                    None if is_lite(attribute) => return Err(Refused::Unacceptable(LITE)),
                    None => flow = self::flow(attribute).unwrap_or(flow),
                }
            }
            let is_bundle = sections.is_empty() && line.starts_with(BUNDLE);
            let is_other_group = line.starts_with(GROUP) && !is_bundle;
            if !is_other_group && !DROPPED.iter().any(|start| line.starts_with(start)) {
                kept.push_str(line);
                kept.push_str("\r\n");
            }
        }
        if let Some(section) = sections.last() {
            section.end(&mut kept);
        }
        for (needed, why) in [
            ("a=ice-ufrag:", "it has no ICE credentials (a=ice-ufrag)"),
            ("a=ice-pwd:", "it has no ICE credentials (a=ice-pwd)"),
            ("a=fingerprint:", "it has no DTLS fingerprint (a=fingerprint)"),
        ] {
            if !kept.lines().any(|line| line.starts_with(needed)) {
                return malformed(why);
            }
        }
        match &sections[..] {
            [] => malformed("it has no media (m=)"),
            [one, other] if one.media.is_video == other.media.is_video => {
                malformed("it has more than one picture or sound")
            }
            sections => {
                bundled(value(&kept, BUNDLE).unwrap_or_default(), sections)?;
                let payloads = sections.iter().flat_map(Section::payloads).collect();
                let media = sections.iter().map(|section| section.media).collect();
                let is_active = value(&kept, "a=setup:") == Some("active");
                Ok(Self { counter: counter(&kept), text: kept, media, payloads, is_active })
            }
        }
    }
}

/// From `a=extmap:3 URI` or `a=extmap:3/recvonly URI` (RFC 8285 §8).
fn counter(text: &str) -> Option<u16> {
    let mut extensions = text.lines().filter_map(|line| line.strip_prefix("a=extmap:")?.split_once(' '));
    let (id, _) = extensions.find(|(_, uri)| uri.split(' ').next() == Some(TRANSPORT_CC))?;
    id.split('/').next()?.parse().ok()
}

fn flow(attribute: &str) -> Option<Flow> {
    FLOWS.iter().find(|(name, _)| *name == attribute).map(|(_, flow)| *flow)
}

fn is_lite(attribute: &str) -> bool {
    attribute.split(':').next().is_some_and(|name| name.trim() == "ice-lite")
}

/// Whether one group holds all sections, by their names (RFC 9725 §4.4.1): what is outside of it would need an address
/// of its own.
fn bundled(group: &str, sections: &[Section]) -> Result<(), Refused> {
    let malformed = |why: &str| Err(Refused::Malformed(why.into()));
    let named = |section: &Section| group.split_whitespace().any(|name| name == section.name);
    match sections {
        _ if sections.iter().any(|section| section.name.is_empty()) => malformed("a media section has no name (a=mid)"),
        [one, other] if one.name == other.name => malformed("two media sections have the same name (a=mid)"),
        _ if sections.iter().all(named) => Ok(()),
        _ => Err(Refused::Unacceptable(APART)),
    }
}

/// Whether a text may be a `trickle-ice-sdpfrag` (RFC 8840 §9): attributes, and media that they belong to.
pub fn is_fragment(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with("a=") || line.starts_with("m="))
}

/// The user fragment of a `trickle-ice-sdpfrag` (RFC 8840 §9), if it states one.
pub fn fragment_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
}

/// Adds the addresses where a server listens to each media section of its answer: UDP first, TCP as the way out
/// where UDP is blocked (RFC 6544 §4.5, passive).
pub fn with_candidates(answer: &str, udp: &[SocketAddr], tcp: &[SocketAddr]) -> String {
    let mut lines = String::new();
    for (place, address) in udp.iter().enumerate() {
        let priority = priority(126, place);
        let _ = write!(
            lines,
            "a=candidate:{} 1 udp {priority} {} {} typ host\r\n",
            place + 1,
            address.ip(),
            address.port()
        );
    }
    for (place, address) in tcp.iter().enumerate() {
        let (foundation, priority) = (udp.len() + place + 1, priority(90, place));
        let (ip, port) = (address.ip(), address.port());
        let _ = write!(lines, "a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive\r\n");
    }
    lines.push_str("a=end-of-candidates\r\n");
    let (mut text, mut inside) = (String::with_capacity(answer.len() + 2 * lines.len()), false);
    for line in answer.lines().filter(|line| !is_candidate(line)) {
        if line.starts_with("m=") && std::mem::replace(&mut inside, true) {
            text.push_str(&lines);
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&lines);
    text
}

/// The value of the first line that begins so.
pub fn value<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(start))
}

/// RFC 8445 §5.1.2.1, component 1.
fn priority(preference: u32, place: usize) -> u32 {
    let local = 65_535_u32.saturating_sub(u32::try_from(place).unwrap_or(u32::MAX));
    preference << 24 | local << 8 | 255
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates")
}

/// A media section.
struct Section {
    media: Media,
    /// Its `a=mid`; empty where it has none.
    name: String,
    /// It says itself which way its media goes. Where it does not the session does; both ways if neither does.
    is_directed: bool,
    numbers: Vec<u8>,
    maps: Vec<(u8, String)>,
    parameters: Vec<(u8, String)>,
    /// Payload types, or `*`, of which lost packets are sent again.
    repeated: Vec<String>,
}

impl Section {
    /// From `video 9 UDP/TLS/RTP/SAVPF 96 97`.
    fn begin(media: &str, (sends, receives): Flow) -> Result<Self, Refused> {
        let mut words = media.split_ascii_whitespace();
        let is_video = match words.next() {
            Some("video") => true,
            Some("audio") => false,
            _ => return Err(Refused::Unacceptable("the server takes pictures and sound, no data channels")),
        };
        let numbers: Vec<_> = words.skip(2).map_while(|word| word.parse().ok()).take(MAX_PAYLOAD_TYPES).collect();
        let media = Media { is_video, sends, receives };
        let (name, maps, parameters, repeated) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { media, name, is_directed: false, numbers, maps, parameters, repeated })
    }

    /// Says which way its media goes, where it has not: the crate passes over sections that do not.
    fn end(&self, text: &mut String) {
        let flow = (self.media.sends, self.media.receives);
        if let Some((name, _)) = FLOWS.iter().find(|(_, own)| !self.is_directed && *own == flow) {
            let _ = write!(text, "a={name}\r\n");
        }
    }

    fn attribute(&mut self, attribute: &str) {
        let numbered = |text: &str| -> Option<(u8, String)> {
            let (number, value) = text.split_once(' ')?;
            Some((number.parse().ok()?, value.trim().to_owned()))
        };
        if let Some(map) = attribute.strip_prefix("rtpmap:").and_then(numbered) {
            self.maps.push(map);
        } else if let Some(parameters) = attribute.strip_prefix("fmtp:").and_then(numbered) {
            self.parameters.push(parameters);
        } else if let Some(number) = attribute.strip_prefix("rtcp-fb:").and_then(|rest| rest.strip_suffix(" nack")) {
            self.repeated.push(number.to_owned());
        } else if let Some(name) = attribute.strip_prefix("mid:").filter(|_| self.name.is_empty()) {
            name.clone_into(&mut self.name);
        } else if let Some((sends, receives)) = flow(attribute).filter(|_| !self.is_directed) {
            self.media = Media { sends, receives, ..self.media };
            self.is_directed = true;
        }
    }

    fn payloads(&self) -> impl Iterator<Item = Payload> {
        self.numbers.iter().filter_map(|number| {
            let name = of(&self.maps, *number)?;
            let codec = match (self.media.is_video, name.to_ascii_lowercase().as_str()) {
                (true, "h264/90000") => Codec::H264,
                (true, "vp8/90000") => Codec::Vp8,
                (false, "opus/48000/2") => Codec::Opus,
                _ => return None,
            };
            let parameters = of(&self.parameters, *number).unwrap_or_default().to_owned();
            let repeats = self.repeated.iter().any(|which| which == "*" || which.parse() == Ok(*number));
            Some(Payload { codec, number: *number, parameters, repeats, repair: self.repair(*number) })
        })
    }

    fn repair(&self, of_number: u8) -> Option<u8> {
        let apt = format!("apt={of_number}");
        let repairs = self.maps.iter().filter(|(_, name)| name.eq_ignore_ascii_case("rtx/90000"));
        repairs.map(|(number, _)| *number).find(|number| {
            of(&self.parameters, *number).is_some_and(|text| text.split(';').any(|pair| pair.trim() == apt))
        })
    }
}

fn of(list: &[(u8, String)], number: u8) -> Option<&str> {
    list.iter().find(|(candidate, _)| *candidate == number).map(|(_, value)| value.as_str())
}

#[cfg(test)]
#[path = "sdp_tests.rs"]
mod tests;
