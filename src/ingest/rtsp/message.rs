//! RTSP 1.0 messages (RFC 2326 §4–§7, §10.12), framed under limits. Pure.

use bytes::{Buf, Bytes, BytesMut};

use super::Error;

/// Bytes before a message's body.
const HEAD: usize = 16 << 10;
/// Header lines of a message.
const LINES: usize = 64;
/// Bytes of a body: a session description, or parameters.
const BODY: usize = 64 << 10;
/// Bytes before the payload of interleaved data.
const PREFIX: usize = 4;

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// The answer to one.
    Response(Response),
    /// A packet among messages (§10.12).
    Data {
        /// Which of the session's channels.
        channel: u8,
        /// The packet.
        payload: Bytes,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// `ANNOUNCE`, …
    pub method: String,
    /// An absolute URL, or `*`.
    pub uri: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// §11.
    pub status: u16,
    /// What people read behind it; by default the standard's.
    pub reason: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// Header fields in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

/// Takes messages off a buffer. Remembers how far it has looked, so that bytes that come one by one cost no more.
#[derive(Debug, Default)]
pub struct Framer {
    looked: usize,
}

impl Framer {
    /// The next whole message, as it came.
    ///
    /// # Errors
    /// [`Error::Malformed`] where no message can begin, [`Error::Limit`] for one that is too large.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        if self.looked == 0 {
            // §4.1 of RFC 2068: empty lines before a message are overlooked.
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            input.advance(blank);
        }
        let Some(length) = self.length(input)? else { return Ok(None) };
        if input.len() < length {
            return Ok(None);
        }
        self.looked = 0;
        Ok(Some(input.split_to(length).freeze()))
    }

    fn length(&mut self, input: &[u8]) -> Result<Option<usize>, Error> {
        match input.first() {
            None => return Ok(None),
            Some(b'$') => {
                let Some(prefix) = input.first_chunk::<PREFIX>() else { return Ok(None) };
                return Ok(Some(PREFIX + usize::from(u16::from_be_bytes([prefix[2], prefix[3]]))));
            }
            Some(byte) if byte.is_ascii_uppercase() => {}
            Some(_) => return Err(Error::Malformed("neither a message nor data")),
        }
        let from = self.looked.saturating_sub(3);
        let end = input.get(from..).unwrap_or_default().windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.map(|at| from + at + 4) else {
            self.looked = input.len();
            return if input.len() > HEAD { Err(Error::Limit("header bytes")) } else { Ok(None) };
        };
        if end > HEAD {
            return Err(Error::Limit("header bytes"));
        }
        // Found again, at no cost, while the body is on its way.
        self.looked = end - 1;
        let head = std::str::from_utf8(&input[..end]).map_err(|_| Error::Malformed("header is no text"))?;
        Ok(Some(end + body_length(head)?))
    }
}

impl Message {
    /// Reads one message that [`Framer::next`] gave.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::Limit`].
    pub fn parse(raw: Bytes) -> Result<Self, Error> {
        if let [b'$', channel, _, _, ..] = raw[..] {
            return Ok(Self::Data { channel, payload: raw.slice(PREFIX..) });
        }
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Error::Malformed("no end of header"))?;
        let head = std::str::from_utf8(&raw[..end]).map_err(|_| Error::Malformed("header is no text"))?;
        let body = raw.slice(end + 4..);
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let headers = Headers::parse(rest)?;
        let mut words = first.split(' ').filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next()) {
            (Some(version), Some(status), _) if version.starts_with("RTSP/") => {
                let status = status.parse().map_err(|_| Error::Malformed("status"))?;
                Ok(Self::Response(Response { status, reason: None, headers, body }))
            }
            (Some(method), Some(uri), Some("RTSP/1.0")) => {
                Ok(Self::Request(Request { method: method.into(), uri: uri.into(), headers, body }))
            }
            _ => Err(Error::Malformed("request line: RTSP 1.0 is spoken here")),
        }
    }
}

impl Request {
    /// The path of its URL, without the slashes at its ends: `publish/NAME`.
    pub fn path(&self) -> &str {
        let after = self.uri.split_once("://").map_or(self.uri.as_str(), |(_, after)| after);
        let path = after.split_once('/').map_or("", |(_, path)| path);
        path.split(['?', '#']).next().unwrap_or_default().trim_matches('/')
    }

    /// As it goes out.
    pub fn write(&self, to: &mut BytesMut) {
        to.extend_from_slice(format!("{} {} RTSP/1.0\r\n", self.method, self.uri).as_bytes());
        self.headers.write(&self.body, to);
    }
}

impl Response {
    /// An answer to `request`, which carries its number back (§12.17).
    pub fn to(request: &Request, status: u16) -> Self {
        let mut headers = Headers::default();
        if let Some(number) = request.headers.get("CSeq") {
            headers.add("CSeq", number);
        }
        Self { status, reason: None, headers, body: Bytes::new() }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// As it goes out.
    pub fn write(&self, to: &mut BytesMut) {
        let reason = self.reason.as_deref().unwrap_or(reason(self.status));
        to.extend_from_slice(format!("RTSP/1.0 {} {reason}\r\n", self.status).as_bytes());
        self.headers.write(&self.body, to);
    }
}

impl Headers {
    /// The first field of a name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every field of a name, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// One more field. Line breaks, which would begin another, go.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let value: String = value.into();
        self.0.push((name.into(), value.replace(['\r', '\n'], " ")));
    }

    fn parse(lines: &str) -> Result<Self, Error> {
        let mut headers = Self::default();
        for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
            if headers.0.len() >= LINES {
                return Err(Error::Limit("header lines"));
            }
            let (name, value) = line.split_once(':').ok_or(Error::Malformed("header line"))?;
            headers.0.push((name.trim().into(), value.trim().into()));
        }
        Ok(headers)
    }

    fn write(&self, body: &[u8], to: &mut BytesMut) {
        for (name, value) in &self.0 {
            to.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() {
            to.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        to.extend_from_slice(b"\r\n");
        to.extend_from_slice(body);
    }
}

/// Interleaved data as it goes out; `packet` is below 64 KiB.
pub fn write_data(channel: u8, packet: &[u8], to: &mut BytesMut) {
    let Ok(length) = u16::try_from(packet.len()) else { return };
    to.extend_from_slice(&[b'$', channel]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(packet);
}

fn body_length(head: &str) -> Result<usize, Error> {
    let mut lengths = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let Some((_, length)) = lengths.find(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Length")) else {
        return Ok(0);
    };
    let length = length.trim().parse::<usize>().map_err(|_| Error::Malformed("content length"))?;
    if length > BODY { Err(Error::Limit("body")) } else { Ok(length) }
}

/// §7.1.1.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        463 => "Busy",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Message>, Error> {
        let (mut framer, mut input, mut out) = (Framer::default(), BytesMut::from(text), Vec::new());
        while let Some(raw) = framer.next(&mut input)? {
            out.push(Message::parse(raw)?);
        }
        Ok(out)
    }

    #[test]
    fn messages_and_data_follow_each_other() {
        let text = b"\r\nANNOUNCE rtsp://h/publish/maths?x RTSP/1.0\r\nCSeq: 2\r\ncontent-length:4\r\n\r\nv=0\n$\x01\x00\x03abc\
            RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n";
        let [Message::Request(request), data, Message::Response(response)] = &all(text).unwrap()[..] else {
            panic!("{:?}", all(text))
        };
        assert_eq!(
            (request.method.as_str(), request.path(), &request.body[..]),
            ("ANNOUNCE", "publish/maths", &b"v=0\n"[..])
        );
        assert_eq!(request.headers.get("cseq"), Some("2"));
        assert_eq!(*data, Message::Data { channel: 1, payload: Bytes::from_static(b"abc") });
        assert_eq!((response.status, response.headers.get("CSeq")), (200, Some("3")));
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        let text = b"SETUP rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nhi$\x00\x00\x01x";
        let (mut framer, mut input, mut count) = (Framer::default(), BytesMut::new(), 0);
        for byte in text {
            input.extend_from_slice(&[*byte]);
            count += usize::from(framer.next(&mut input).unwrap().is_some());
        }
        assert_eq!((count, input.len()), (2, 0));
    }

    #[test]
    fn what_was_written_is_read() {
        let mut out = BytesMut::new();
        let request = Request { method: "PLAY".into(), uri: "rtsp://h/a/".into(), ..Request::default() };
        request.write(&mut out);
        let response = Response::to(&request, 200).with("Session", "a\r\nX-Evil: 1");
        response.write(&mut out);
        write_data(3, b"abc", &mut out);
        let [Message::Request(read), Message::Response(answer), Message::Data { channel: 3, .. }] =
            &all(&out).unwrap()[..]
        else {
            panic!("{out:?}")
        };
        assert_eq!((read, request.path()), (&request, "a"));
        assert_eq!(answer.headers.get("X-Evil"), None);
    }

    #[test]
    fn floods_and_nonsense_are_cut() {
        let lines = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(65));
        let long = format!("OPTIONS * RTSP/1.0\r\nA: {}", "b".repeat(17 << 10));
        let body = b"ANNOUNCE * RTSP/1.0\r\nContent-Length: 10000000\r\n\r\n";
        for flood in [lines.as_bytes(), long.as_bytes(), body] {
            assert!(matches!(all(flood), Err(Error::Limit(_))));
        }
        for nonsense in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01",
            b"OPTIONS\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nnothing\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nA: \xff\r\n\r\n",
        ] {
            assert!(matches!(all(nonsense), Err(Error::Malformed(_))), "{nonsense:?}");
        }
    }
}
