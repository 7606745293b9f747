//! Between a reader and the library that serves it: only whole, small messages pass, and nobody who does nothing.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Error,
    message::{Framer, Message},
};

/// Who serves readers. `app` hands it in. Cheap to clone.
#[derive(Clone)]
pub struct Readers {
    serve: Arc<dyn Fn(std::net::TcpStream, SocketAddr) + Send + Sync>,
    places: Arc<Semaphore>,
}

impl Readers {
    /// `serve` serves one at the other end of a socket, who comes from an address; 1,024 may play at a time.
    pub fn new(serve: impl Fn(std::net::TcpStream, SocketAddr) + Send + Sync + 'static) -> Self {
        Self { serve: Arc::new(serve), places: Arc::new(Semaphore::new(READERS)) }
    }
}

/// What a reader may ask.
const METHODS: [&str; 8] =
    ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"];
/// Readers at a time.
const READERS: usize = 1_024;
/// Bytes that one direction carries at a time.
const BUFFER: usize = 32 << 10;
/// A reader that takes nothing for so long is gone. What it misses meanwhile the library drops.
const STALLED: Duration = Duration::from_secs(20);

/// Carries what a reader says to the library and back until either leaves. `first` has been read already, `rest` lies
/// behind it. By `deadline` it has to play; `place` is given back then, and one of the readers' taken.
///
/// # Errors
/// [`Error`] says why it was cut.
pub(super) async fn run(
    mut reader: TcpStream,
    peer: SocketAddr,
    readers: &Readers,
    first: Bytes,
    mut rest: BytesMut,
    deadline: Instant,
    place: Option<OwnedSemaphorePermit>,
) -> Result<(), Error> {
    let (mut library, theirs) = pair(peer.ip().to_canonical().is_ipv6()).await?;
    (readers.serve)(theirs, peer);
    // The first message is judged like the rest.
    rest = [&first[..], &rest[..]].concat()[..].into();
    let (mut from_reader, mut to_reader) = reader.split();
    let (mut from_library, mut to_library) = library.split();

    let questions = async {
        let (mut framer, mut place, mut plays) = (Framer::default(), place, None);
        loop {
            while let Some(raw) = framer.next(&mut rest)? {
                if let Message::Request(request) = Message::parse(raw.clone())? {
                    if !METHODS.contains(&request.method.as_str()) {
                        return Err(Error::Malformed("no reader asks that"));
                    }
                    if request.method == "PLAY" && plays.is_none() {
                        plays = Some(readers.places.clone().try_acquire_owned().map_err(|_| Error::Limit("readers"))?);
                        place = None;
                    }
                }
                timeout(STALLED, to_library.write_all(&raw)).await.map_err(|_| Error::Timeout("server"))??;
            }
            rest.reserve(BUFFER);
            let read = from_reader.read_buf(&mut rest);
            let count = match place {
                Some(_) => timeout_at(deadline, read).await.map_err(|_| Error::Timeout("no PLAY in time"))??,
                // Over UDP a reader may be silent here for as long as its reports come there.
                None => read.await?,
            };
            if count == 0 {
                return Ok(());
            }
        }
    };
    let answers = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = from_library.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let written = timeout(STALLED, to_reader.write_all(&buffer[..count])).await;
            written.map_err(|_| Error::Timeout("reader takes nothing"))??;
        }
    };
    tokio::select! {
        ended = questions => ended,
        ended = answers => ended,
    }
}

/// Two ends of a connection within the machine. The library asks its end for an Internet address, and sends over UDP
/// by the family of that.
async fn pair(ipv6: bool) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let local: IpAddr = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let listener = TcpListener::bind((local, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (theirs, from) = listener.accept().await?;
        // Somebody else on the machine may have found the port in between.
        if from == ours.local_addr()? {
            ours.set_nodelay(true)?;
            return Ok((ours, theirs.into_std()?));
        }
    }
}
