//! Between a reader and the library that serves it: only whole, small messages pass, and nobody who does nothing.

use std::{
    collections::VecDeque,
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
    time::{Instant, sleep_until, timeout},
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
/// Requests of a stranger that may wait for their answers.
const ASKED: usize = 16;
/// Readers at a time.
const READERS: usize = 1_024;
/// Bytes that one direction carries at a time.
const BUFFER: usize = 32 << 10;
/// A reader that takes nothing for so long is gone. What it misses meanwhile the library drops.
const STALLED: Duration = Duration::from_secs(20);

/// Carries what a reader says to the library and back until either leaves. `first` has been read already, `rest` lies
/// behind it. By `deadline` the library has to let it play; `place` is given back then, and one of the readers' kept.
///
/// # Errors
/// [`Error`] says why it was cut.
pub(super) async fn run(
    mut reader: TcpStream,
    peer: SocketAddr,
    readers: &Readers,
    first: Bytes,
    rest: BytesMut,
    deadline: Instant,
    place: Option<OwnedSemaphorePermit>,
) -> Result<(), Error> {
    let (mut library, theirs) = pair(peer.ip().to_canonical().is_ipv6()).await?;
    (readers.serve)(theirs, peer);
    let mut standing =
        Standing { places: readers.places.clone(), stranger: place, asked: VecDeque::new(), reader: None };
    // The first message is judged like the rest.
    let (mut questions, mut answers) = (BytesMut::from(&[&first[..], &rest[..]].concat()[..]), BytesMut::new());
    let (mut asking, mut answering) = (Framer::default(), Framer::default());
    loop {
        while let Some(raw) = asking.next(&mut questions)? {
            standing.asks(&raw)?;
            timeout(STALLED, library.write_all(&raw)).await.map_err(|_| Error::Timeout("server"))??;
        }
        while standing.is_stranger()
            && let Some(raw) = answering.next(&mut answers)?
        {
            standing.hears(&raw)?;
            pass(&mut reader, &raw).await?;
        }
        if !standing.is_stranger() {
            pass(&mut reader, &answers.split()).await?;
        }
        questions.reserve(BUFFER);
        answers.reserve(BUFFER);
        let count = tokio::select! {
            read = reader.read_buf(&mut questions) => read?,
            read = library.read_buf(&mut answers) => read?,
            // Over UDP a reader may be silent here for as long as its reports come there.
            () = sleep_until(deadline), if standing.is_stranger() => return Err(Error::Timeout("no PLAY in time")),
        };
        if count == 0 {
            return Ok(());
        }
    }
}

/// What a connection is held to: a stranger's place until the library lets it play, a reader's from then on.
struct Standing {
    places: Arc<Semaphore>,
    stranger: Option<OwnedSemaphorePermit>,
    /// Of each request that has no answer yet: the place that it is for, if it is a PLAY. Answers come in their order.
    asked: VecDeque<Option<OwnedSemaphorePermit>>,
    reader: Option<OwnedSemaphorePermit>,
}

impl Standing {
    fn is_stranger(&self) -> bool {
        self.reader.is_none()
    }

    /// Looks at what somebody says.
    fn asks(&mut self, raw: &Bytes) -> Result<(), Error> {
        let Message::Request(request) = Message::parse(raw.clone())? else { return Ok(()) };
        if !METHODS.contains(&request.method.as_str()) {
            return Err(Error::Malformed("no reader asks that"));
        }
        if self.is_stranger() {
            if self.asked.len() == ASKED {
                return Err(Error::Limit("requests at a time"));
            }
            let place = (request.method == "PLAY").then(|| self.places.clone().try_acquire_owned()).transpose();
            self.asked.push_back(place.map_err(|_| Error::Limit("readers"))?);
        }
        Ok(())
    }

    /// Looks at what the library says. A PLAY that is refused makes no reader.
    fn hears(&mut self, raw: &Bytes) -> Result<(), Error> {
        let Message::Response(response) = Message::parse(raw.clone())? else { return Ok(()) };
        if let Some(Some(place)) = self.asked.pop_front()
            && response.status == 200
        {
            (self.reader, self.stranger) = (Some(place), None);
            self.asked.clear();
        }
        Ok(())
    }
}

async fn pass(reader: &mut TcpStream, bytes: &[u8]) -> Result<(), Error> {
    let written = timeout(STALLED, reader.write_all(bytes)).await;
    Ok(written.map_err(|_| Error::Timeout("reader takes nothing"))??)
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
