//! RTSP's messages and descriptions.

use amphi::ingest::rtsp::{
    auth::{Challenge, Credentials},
    message::{Framer, Message},
    sdp::Description,
    transport::Transport,
};
use bytes::BytesMut;

/// Messages and data: whatever pieces they come in, the same ones; what is written is read the same.
pub fn messages(data: &[u8]) {
    let whole = read(data.chunks(data.len().max(1)));
    if data.len() <= 16 << 10 {
        let size = 1 + data.last().map_or(0, |last| usize::from(*last) % 97);
        assert_eq!(read(data.chunks(size)), whole);
    }
    for message in whole {
        let mut written = BytesMut::new();
        match &message {
            Message::Request(request) => request.write(&mut written),
            Message::Response(response) => response.write(&mut written),
            Message::Data { .. } => continue,
        }
        // A body gets one more line, and lines a space: what was just allowed may be too much then.
        let lines = written.windows(2).filter(|two| two == b"\r\n").count();
        if lines > 60 || written.len() > 8 << 10 {
            continue;
        }
        let again = read([&written[..]].into_iter());
        let [again] = &again[..] else { panic!("{written:?} is not one message") };
        match (&message, again) {
            (Message::Request(request), Message::Request(again)) => {
                assert_eq!((&request.method, &request.uri, &request.body), (&again.method, &again.uri, &again.body));
                assert!(!request.path().starts_with('/'));
                check_headers(|name| request.headers.get(name));
            }
            (Message::Response(response), Message::Response(again)) => {
                assert_eq!((response.status, &response.body), (again.status, &again.body));
                check_headers(|name| response.headers.get(name));
                let _ = Challenge::parse(response.headers.all("WWW-Authenticate"));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn check_headers<'a>(get: impl Fn(&str) -> Option<&'a str>) {
    let _ = get("Transport").and_then(|header| Transport::parse(header, (0, 1)));
    if let Some(Credentials::Digest(digest)) = get("Authorization").and_then(Credentials::parse) {
        assert_eq!(digest.expected("ANNOUNCE", "password").len(), 32);
    }
    let _ = get("WWW-Authenticate").map(|header| Challenge::parse([header].into_iter()));
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let (mut framer, mut input, mut messages) = (Framer::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.next(&mut input).map(|raw| raw.map(Message::parse)) {
                Ok(Some(Ok(message))) => messages.push(message),
                Ok(None) => break,
                Ok(Some(Err(_))) | Err(_) => return messages,
            }
        }
    }
    messages
}

/// What an encoder announces.
pub fn description(data: &[u8]) {
    let Ok(description) = Description::parse(data) else { return };
    assert!((1..=16).contains(&description.media.len()));
    for medium in description.media {
        assert!(medium.payload_type < 128 && (1..=1_000_000).contains(&medium.clock_rate));
        match medium.content {
            Ok(content) => drop(content.codec()),
            // It is told to the encoder in a line of its own.
            Err(name) => assert!(name.len() < 100 && !name.contains(['\r', '\n']), "{name:?}"),
        }
    }
}
