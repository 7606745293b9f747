//! RTMP's chunks, AMF0, and FLV tags up to what viewers get of them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use amphi::{
    cmaf::{Fragment, Output, Packager, Settings, whole},
    ingest::{
        flv::{self, Tags},
        rtmp::{
            amf::{self, Value},
            capabilities,
            chunk::{Limits, Reader, Writer},
            media::Media,
            message::{Command, Message, kind},
        },
    },
    model::StreamName,
    stream::{Claim, Event, Rank, Registry},
};
use bytes::{Bytes, BytesMut};

use super::now;

/// Values that were read can be written, and are then the same.
pub fn amf(data: &[u8]) {
    let Ok(values) = amf::read_all(data) else { return };
    let written = write(&values);
    // Lossy text may be longer than what it was read from, and long text is cut.
    if written.len() < 1 << 16 {
        let again = amf::read_all(&written).expect("what was written can be read");
        assert_eq!(write(&again), written);
    }
}

fn write(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.write(&mut bytes));
    bytes
}

/// Chunks of a stranger: whatever pieces they come in, the same messages, within bounds.
pub fn chunks(data: &[u8]) {
    let whole = read(data.chunks(data.len().max(1)));
    if data.len() <= 16 << 10 {
        let size = 1 + data.last().map_or(0, |last| usize::from(*last) % 97);
        assert_eq!(read(data.chunks(size)), whole);
    }
    let mut written = BytesMut::new();
    for message in &whole {
        assert!(message.payload.len() <= Limits::STRANGER.message);
        let _ = (message.number(), message.values());
        if let Ok(command) = Command::parse(message) {
            let _ = capabilities::answer(&command);
        }
        Writer::new().write(3, message, &mut written);
    }
    let again = read([&written[..]].into_iter());
    assert_eq!(again, whole, "what was written is read the same");
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let (mut reader, mut input, mut messages) = (Reader::new(Limits::STRANGER), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
            assert!(reader.pending() <= Limits::STRANGER.pending);
        }
    }
    messages
}

/// A file of tags, or an aggregate message, through the live to parts.
pub fn flv(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let tags = Tags::of_file(bytes.clone()).unwrap_or_else(|| Tags::of_aggregate(bytes));
    let (registry, _lives) = Registry::new(Duration::from_secs(30));
    let (name, begun) = (StreamName::parse("maths").unwrap(), Instant::now());
    let claim = Claim { rank: Rank::Main, takeover: false, protocol: "rtmp", peer: (Ipv4Addr::LOCALHOST, 1).into() };
    let mut publication = registry.publish(&name, claim, begun).expect("nobody else publishes");
    let mut consumer = registry.get(&name).expect("it is on").producer.consume();
    let (mut media, mut packager, mut out) = (Media::default(), Packager::new(Settings::default()), Vec::new());
    let (mut taken, mut given) = (0, 0);
    for (index, tag) in (0_u32..).zip(tags) {
        taken += tag.body.len();
        check_tag(&tag.body);
        if tag.kind == kind::DATA {
            media.metadata(&amf::read_all(&tag.body).unwrap_or_default());
        }
        let at = begun + Duration::from_millis(20) * index;
        let usable = media.take(tag.kind, tag.timestamp, tag.body, &mut publication, at);
        while let Some(Some(event)) = now(consumer.recv()) {
            match event {
                Event::Track(track) => drop(packager.track(&track, &mut out)),
                Event::Packet(packet) => {
                    given += packet.data.len();
                    packager.push(packet, &mut out);
                }
                Event::Discontinuity => packager.discontinuity(&mut out),
                Event::Away | Event::Lost(_) => {}
            }
        }
        if usable.is_err() {
            break;
        }
    }
    packager.finish(&mut out);
    assert!(given <= 4 * taken, "{given} bytes of {taken}");
    for part in out {
        if let Output::Part(part) = part {
            assert_eq!(whole(&part.data), part.data.len());
            let fragment = Fragment::parse(&part.data).expect("a part is a fragment");
            assert!(fragment.samples > 0 && part.duration > Duration::ZERO && fragment.sync == part.independent);
        }
    }
}

/// What a tag holds lies in it.
fn check_tag(body: &Bytes) {
    let pictures = flv::video(body.clone()).map(|unit| match unit.content {
        flv::Video::Header { config, .. } => config.len(),
        flv::Video::Frame { data, .. } => data.len(),
        _ => 0,
    });
    let sounds = flv::audio(body.clone()).map(|unit| match unit.content {
        flv::Audio::Header(data) | flv::Audio::Frame(data) | flv::Audio::OpusHeader(data) => data.len(),
        flv::Audio::Plain { data, .. } => data.len(),
        _ => 0,
    });
    let (pictures, sounds): (Vec<_>, Vec<_>) = (pictures.collect(), sounds.collect());
    for lengths in [pictures, sounds] {
        assert!(lengths.len() <= 256 && lengths.iter().sum::<usize>() <= body.len());
    }
}
