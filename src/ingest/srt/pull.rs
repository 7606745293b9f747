//! Calls to listeners elsewhere, which then send.

use std::{net::SocketAddr, thread, time::Duration};

use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{BUFFER, Error, Passphrase, Settings, session, sys::Socket};
use crate::stream::Publication;

/// How long the other end may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest stream id that SRT carries.
const STREAM_ID: usize = 512;

/// Where to pull from: `srt://HOST:PORT?streamid=…&passphrase=…&latency=MILLISECONDS`, as libsrt's own tools write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A name or an address, without brackets.
    pub host: String,
    /// UDP.
    pub port: u16,
    stream_id: Option<StreamId>,
    passphrase: Option<Passphrase>,
    latency: Duration,
}

/// It may hold a key.
#[derive(Clone, PartialEq, Eq)]
struct StreamId(String);

/// Why a URL is no source; says nothing of what was written, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// Not of the form.
    #[error("an SRT source is written srt://HOST:PORT?streamid=…&passphrase=…&latency=MILLISECONDS")]
    Form,
    /// It asks to be called, or to meet half-way.
    #[error("an SRT source is called: leave out mode, or write mode=caller")]
    Mode,
    /// A passphrase of another length.
    #[error("an SRT passphrase has 10 to 79 bytes")]
    Passphrase,
}

impl Source {
    /// Reads a URL. Options that it does not know are passed over.
    ///
    /// # Errors
    /// [`InvalidSource`].
    pub fn parse(url: &str) -> Result<Self, InvalidSource> {
        let rest = url.strip_prefix("srt://").ok_or(InvalidSource::Form)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or(InvalidSource::Form)?;
        let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'));
        let host = host.filter(|host| !host.is_empty() && !host.contains(['/', '@'])).ok_or(InvalidSource::Form)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(InvalidSource::Form)?;
        let latency = Settings::default().latency;
        let mut source = Self { host: host.into(), port, stream_id: None, passphrase: None, latency };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_decode_str(value).decode_utf8().map_err(|_| InvalidSource::Form)?;
            match name {
                "streamid" if value.len() <= STREAM_ID => source.stream_id = Some(StreamId(value.into())),
                "streamid" => return Err(InvalidSource::Form),
                "passphrase" => {
                    source.passphrase = Some(Passphrase::parse(&value).map_err(|_| InvalidSource::Passphrase)?);
                }
                "latency" => {
                    let millis = value.parse::<u16>().map_err(|_| InvalidSource::Form)?;
                    source.latency = Duration::from_millis(millis.into());
                }
                "mode" if value != "caller" => return Err(InvalidSource::Mode),
                _ => {}
            }
        }
        Ok(source)
    }
}

impl std::fmt::Debug for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamId(…)")
    }
}

/// A connection to a source, which sends.
pub struct Connection {
    socket: Socket,
}

impl Connection {
    /// Calls `source` at `address`, which its host stands for: who may call where is for the caller to say. Dropping
    /// the future leaves the call to end by itself, within five seconds.
    ///
    /// # Errors
    /// [`Error::Library`] with the other end's reason.
    pub async fn open(address: SocketAddr, source: &Source) -> Result<Self, Error> {
        let source = source.clone();
        let call = move || {
            let socket = Socket::new(BUFFER, source.latency)?;
            let stream_id = source.stream_id.as_ref().map(|StreamId(text)| text.as_str());
            let passphrase = source.passphrase.as_ref().map(|Passphrase(text)| text.as_str());
            socket.connect(address, stream_id, passphrase, ANSWER)?;
            Ok(socket)
        };
        let socket = tokio::task::spawn_blocking(call).await.map_err(|panic| Error::Thread(panic.into()))?;
        Ok(Self { socket: socket.map_err(|source| Error::Library("call the source", source))? })
    }

    /// Publishes what the source sends until it ends or `cancel` fires. Not cancel-safe: use the token; dropping the
    /// future fires it as well.
    ///
    /// # Errors
    /// [`Error`], unless the other end left or `cancel` fired.
    pub async fn publish(self, publication: Publication, cancel: CancellationToken) -> Result<(), Error> {
        let (cancel, silence) = (cancel.child_token(), Settings::default().silence);
        let _dropped = cancel.clone().drop_guard();
        let (done, ended) = oneshot::channel();
        let span = tracing::info_span!("srt pull", channel = %publication.name());
        let work = move || {
            let _in_span = span.entered();
            let _ = done.send(session::publish(self.socket, publication, silence, &cancel));
        };
        thread::Builder::new().name("srt-pull".into()).spawn(work).map_err(Error::Thread)?;
        ended.await.unwrap_or_else(|_| Err(Error::Thread(std::io::Error::other("the thread has panicked"))))
    }
}

/// Pulls from `source`, found at `address`, until it ends or `cancel` fires.
///
/// # Errors
/// As [`Connection::open`] and [`Connection::publish`].
pub async fn pull(
    address: SocketAddr,
    source: &Source,
    publication: Publication,
    cancel: CancellationToken,
) -> Result<(), Error> {
    match cancel.run_until_cancelled(Connection::open(address, source)).await {
        Some(connection) => connection?.publish(publication, cancel).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_libsrts_tools_write_them() {
        let source = Source::parse(
            "srt://camera.example:9000?streamid=%23!::r=hall,m=request&passphrase=0123456789&latency=500",
        )
        .unwrap();
        assert_eq!(
            (source.host.as_str(), source.port, source.latency),
            ("camera.example", 9000, Duration::from_millis(500))
        );
        assert_eq!(source.stream_id, Some(StreamId("#!::r=hall,m=request".into())));
        assert_eq!(source.passphrase, Passphrase::parse("0123456789").ok());
        let source = Source::parse("srt://[2001:db8::1]:9000/?mode=caller&x=y").unwrap();
        assert_eq!((source.host.as_str(), source.port), ("2001:db8::1", 9000));
        let secret = Source::parse("srt://h:1?streamid=s3cret&passphrase=0123456789").unwrap();
        assert!(!format!("{secret:?}").contains("s3cret") && !format!("{secret:?}").contains("0123456789"));
    }

    #[test]
    fn what_is_no_source_says_why() {
        for url in [
            "",
            "srt://",
            "srt://h",
            "srt://h:0",
            "srt://h:x",
            "srt://:1",
            "srt://a/b:1",
            "http://h:1",
            "srt://h:1?latency=long",
        ] {
            assert_eq!(Source::parse(url), Err(InvalidSource::Form), "{url}");
        }
        assert_eq!(Source::parse("srt://h:1?mode=listener"), Err(InvalidSource::Mode));
        assert_eq!(Source::parse("srt://h:1?passphrase=short"), Err(InvalidSource::Passphrase));
    }
}
