//! One connection, from where it stands to its end.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    Error,
    address::Address,
    meter::Meter,
    server::Shared,
    sys::{Message, Socket},
};
use crate::{
    ingest::{
        Knock, Refusal,
        ts::{Demuxer, Output},
    },
    stream::{Publication, Replaced},
};

/// How long a look for data lasts; between two, a session looks whether it has to end.
const LOOK: Duration = Duration::from_millis(250);
/// What comes in is left to gather for so long once some has come: libsrt gives away packets of 1,316 bytes, each at
/// its time, and waking two threads for each costs more than all else. Short beside the 120 ms that they are held
/// back for anyway.
const GATHER: Duration = Duration::from_millis(10);
/// What takes longer to be given was not there yet.
const AT_ONCE: Duration = Duration::from_millis(1);
/// How often the state of the link is taken.
const READING: Duration = Duration::from_secs(1);
/// More than any message has (1,456 bytes).
const MESSAGE: usize = 2048;
/// Transport packets in a message, as every encoder fills it.
const PACKETS: usize = 7;

/// A caller that was not let in yet.
pub(super) struct Stranger {
    pub socket: Socket,
    pub peer: SocketAddr,
    pub shared: Arc<Shared>,
    pub runtime: Handle,
    pub cancel: CancellationToken,
    pub place: OwnedSemaphorePermit,
}

impl Stranger {
    /// Asks the door and publishes until the caller leaves or `cancel` fires. Blocks.
    ///
    /// # Errors
    /// [`Error`] says why the connection ended, unless it was closed or cancelled in order.
    pub fn run(self) -> Result<(), Error> {
        let Some(publication) = self.admit()? else { return Ok(()) };
        let Self { socket, shared, cancel, place, .. } = self;
        drop(place);
        publish(socket, publication, shared.settings.silence, &cancel)
    }

    /// `None` where the server stops meanwhile.
    fn admit(&self) -> Result<Option<Publication>, Error> {
        let Address { channel, key, rank } = Address::parse(&self.socket.stream_id())?;
        tracing::Span::current().record("channel", channel.as_str());
        let key = match key {
            Some(key) => key,
            // It has proved to know the key by encrypting with it; a key that was changed meanwhile is looked up anew.
            None if self.socket.is_encrypted() => {
                self.shared.door.key(&channel, rank).ok_or(Error::Refused(Refusal::Unknown))?
            }
            None => return Err(Error::Refused(Refusal::WrongKey(channel))),
        };
        let knock = Knock { protocol: "srt", peer: self.peer, channel: Some(channel), key };
        let patience = self.shared.settings.authenticate;
        let door = async { tokio::time::timeout(patience, self.shared.door.admit(knock)).await };
        match self.runtime.block_on(self.cancel.run_until_cancelled(door)) {
            None => Ok(None),
            Some(Err(_)) => Err(Error::Timeout("no answer from the door")),
            Some(Ok(admitted)) => admitted.map(Some).map_err(Error::Refused),
        }
    }
}

/// Publishes what a connection brings until it ends or `cancel` fires. Blocks.
///
/// # Errors
/// [`Error`], unless the other end left or `cancel` fired.
pub(super) fn publish(
    mut socket: Socket,
    publication: Publication,
    silence: Duration,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    socket.set_receive_timeout(LOOK).map_err(|source| Error::Library("set a time-out", source))?;
    tracing::info!(channel = %publication.name(), "publishing");
    let mut session = Session { demuxer: Demuxer::default(), publication, heard: Instant::now(), bytes: 0 };
    let ended = session.receive(&mut socket, silence, cancel);
    tracing::info!(bytes = session.bytes, damaged = session.demuxer.damaged(), "unpublished");
    metrics::counter!("amphi_srt_damaged_packets_total").increment(session.demuxer.damaged());
    ended
}

struct Session {
    demuxer: Demuxer,
    publication: Publication,
    /// When the last picture or sound came.
    heard: Instant,
    bytes: u64,
}

impl Session {
    fn receive(&mut self, socket: &mut Socket, silence: Duration, cancel: &CancellationToken) -> Result<(), Error> {
        let (mut buffer, mut meter, mut read, mut asked) = ([0; MESSAGE], Meter::default(), self.heard, self.heard);
        while !cancel.is_cancelled() {
            match socket.receive(&mut buffer) {
                Ok(Some(Message { size, missing })) => {
                    if asked.elapsed() > AT_ONCE {
                        thread::sleep(GATHER);
                    }
                    self.bytes += size as u64;
                    if missing > 0 {
                        self.demuxer.lost(missing as usize * PACKETS);
                    }
                    self.demuxer.push(&buffer[..size])?;
                }
                Ok(None) => {}
                // A goodbye and a cut look the same.
                Err(_) => {
                    self.demuxer.finish()?;
                    self.write(Instant::now())?;
                    return Ok(());
                }
            }
            let now = Instant::now();
            asked = now;
            self.write(now)?;
            if now.duration_since(self.heard) > silence {
                return Err(Error::Timeout("no picture and no sound"));
            }
            if now.duration_since(read) >= READING
                && let Some(travel) = socket.travel()
            {
                read = now;
                self.publication.report(meter.read(travel));
            }
        }
        Ok(())
    }

    /// Hands on what has come out of the demuxer.
    fn write(&mut self, now: Instant) -> Result<(), Replaced> {
        while let Some(output) = self.demuxer.take() {
            match output {
                Output::Video(format) => {
                    tracing::info!(codec = format.codecs(), width = format.width, height = format.height, "video");
                    self.publication.video(format, None);
                }
                Output::Audio(format) => {
                    let (rate, channels) = (format.sample_rate, format.channels);
                    tracing::info!(codec = format.codecs(), rate, channels, "audio");
                    self.publication.audio(format, None);
                }
                Output::Frame(frame) => {
                    self.heard = now;
                    self.publication.write(frame, now)?;
                }
            }
        }
        Ok(())
    }
}
