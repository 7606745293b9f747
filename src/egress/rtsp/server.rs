use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use gstreamer::glib;
use gstreamer_rtsp_server::{
    RTSPMountPoints, RTSPServer, RTSPSession, RTSPSessionPool, gio, gst_rtsp::RTSPStatusCode, prelude::*,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Error, factory::Factory, info};
use crate::{
    model::{MediaTime, StreamName, TrackId},
    stream::{Consumer, Event, Live},
};

/// Sessions at once, one a reader.
const SESSIONS: u32 = 1024;
/// A reader's request has no body worth the name.
const BODY: u32 = 4 << 10;
/// Seconds that a connection may outlive its session.
const POST_SESSION: i32 = 5;
/// How often sessions are looked after: those of readers that vanished end after a minute without a sign.
const SWEEP: Duration = Duration::from_secs(2);
/// A track that has not come this long after the first is none.
const TOGETHER: Duration = Duration::from_secs(1);

/// GStreamer's RTSP server on a thread of its own, without a port. Cheap to clone; the thread ends with the last.
#[derive(Debug, Clone)]
pub struct Readers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: RTSPServer,
    mounts: RTSPMountPoints,
    lives: Lives,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    runtime: Handle,
}

/// What is mounted, by path.
#[derive(Debug, Clone, Default)]
struct Lives(Arc<Mutex<HashMap<String, Arc<Live>>>>);

/// A live that can be read. Dropping it takes it off: who asks then is told that there is no such live.
#[derive(Debug)]
pub struct Mount {
    readers: Readers,
    path: String,
    live: Arc<Live>,
    gone: CancellationToken,
}

/// Who reads a live. It keeps nothing running.
#[derive(Debug, Clone)]
pub struct Readership {
    readers: Weak<Inner>,
    path: String,
}

impl Readership {
    /// Sessions on it. One whose reader vanished without a word is among them for a minute.
    pub fn count(&self) -> usize {
        let sessions = self.readers.upgrade().and_then(|inner| inner.server.session_pool());
        let sessions = sessions.map(|pool| pool.filter(None)).unwrap_or_default();
        let reads =
            |session: &RTSPSession| session.filter(None).iter().any(|media| media.matches(&self.path).is_some());
        sessions.iter().filter(|session| reads(session)).count()
    }
}

impl Readers {
    /// Starts the thread. Call it within a Tokio runtime: it is where lives are read.
    ///
    /// # Errors
    /// What is missing, see [`Error`].
    pub fn start() -> Result<Self, Error> {
        super::check()?;
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (server, mounts) = (RTSPServer::new(), RTSPMountPoints::new());
        server.set_mount_points(Some(&mounts));
        server.set_content_length_limit(BODY);
        let sessions = server.session_pool();
        if let Some(sessions) = &sessions {
            sessions.set_max_sessions(SESSIONS);
        }
        let lives = Lives::default();
        let playing = (lives.clone(), mounts.clone());
        server.connect_client_connected(move |server, client| {
            let (lives, mounts) = playing.clone();
            // One whose session has ended keeps nothing.
            client.set_post_session_timeout(POST_SESSION);
            let leaving = server.session_pool();
            client.connect_closed(move |_| leaving.iter().for_each(wake));
            client.connect_pre_play_request(move |_, context| {
                context.session().iter().for_each(|session| info::before(session));
                RTSPStatusCode::Ok
            });
            client.connect_play_request(move |_, context| {
                context.session().iter().for_each(|session| {
                    wake_streams(session);
                    info::after(session);
                });
                let path = context.uri().and_then(|url| mounts.make_path(url).ok());
                // Whoever comes in the middle of a group of pictures sees nothing before the next.
                if let Some(live) = path.and_then(|path| lives.get(&path)) {
                    live.want_key_frame();
                }
            });
        });
        let looping = main_loop.clone();
        let run = move || {
            let sweep = glib::timeout_source_new(SWEEP, Some("sessions"), glib::Priority::DEFAULT, move || {
                if let Some(sessions) = &sessions {
                    sessions.cleanup();
                    wake(sessions);
                }
                glib::ControlFlow::Continue
            });
            sweep.attach(Some(&context));
            if context.with_thread_default(|| looping.run()).is_err() {
                tracing::error!("the RTSP thread cannot run its loop: nobody can read over RTSP");
            }
        };
        let thread = thread::Builder::new().name("amphi-rtsp".into()).spawn(run).map_err(Error::Thread)?;
        let inner = Inner { server, mounts, lives, main_loop, thread: Some(thread), runtime: Handle::current() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Lets a live be read at `/live/NAME` as soon as its tracks are known: a reader is told of them once.
    pub fn mount(&self, live: Arc<Live>) -> Mount {
        let (path, gone) = (path_of(&live.name), CancellationToken::new());
        let mount = Mount { readers: self.clone(), path: path.clone(), live: live.clone(), gone: gone.clone() };
        let (inner, consumer) = (Arc::downgrade(&self.inner), live.producer.consume());
        self.inner.runtime.spawn(async move {
            let known = gone.run_until_cancelled(known(consumer)).await;
            let (Some(true), Some(inner)) = (known, inner.upgrade()) else { return };
            // Under the lock, so that what is taken off meanwhile does not come back.
            let mut lives = inner.lives.all();
            if !gone.is_cancelled() {
                lives.insert(path.clone(), live.clone());
                inner.mounts.add_factory(&path, Factory::new(live, inner.runtime.clone()));
            }
        });
        mount
    }

    /// Who reads the live of this name.
    pub fn of(&self, live: &StreamName) -> Readership {
        Readership { readers: Arc::downgrade(&self.inner), path: path_of(live) }
    }

    /// Serves the reader at the other end of `socket`, who has sent nothing yet. UDP goes to the address of `peer`.
    pub fn take(&self, socket: TcpStream, peer: SocketAddr) {
        let taken = gio::Socket::from_fd(socket.into()).map_err(|error| error.to_string()).and_then(|socket| {
            let (ip, port) = (peer.ip().to_canonical().to_string(), i32::from(peer.port()));
            self.inner.server.transfer_connection(socket, &ip, port, None).map_err(|error| error.to_string())
        });
        if let Err(error) = taken {
            tracing::warn!(%peer, error, "reader not served");
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let mut lives = self.readers.inner.lives.all();
        self.gone.cancel();
        // The next live of the channel may be there already.
        if lives.get(&self.path).is_some_and(|live| Arc::ptr_eq(live, &self.live)) {
            lives.remove(&self.path);
            self.readers.inner.mounts.remove_factory(&self.path);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // By the loop itself: one that has not begun yet would not hear of it.
        let ending = self.main_loop.clone();
        let end = glib::idle_source_new(Some("end"), glib::Priority::DEFAULT, move || {
            ending.quit();
            glib::ControlFlow::Break
        });
        end.attach(Some(&self.main_loop.context()));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the RTSP thread panicked");
        }
    }
}

impl Lives {
    fn get(&self, path: &str) -> Option<Arc<Live>> {
        self.all().get(path.trim_end_matches('/')).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets streams look again who reads them.
fn wake(sessions: &RTSPSessionPool) {
    sessions.filter(None).iter().for_each(wake_streams);
}

/// A stream looks for readers who can take what it has when something has been sent to one, and never again where the
/// last over TCP has gone, or stalls, before that: nothing would come out of it any more.
fn wake_streams(session: &RTSPSession) {
    let media = session.filter(None).into_iter().filter_map(|reads| reads.media());
    let streams = media.flat_map(|media| (0..media.n_streams()).filter_map(move |index| media.stream(index)));
    streams.flat_map(|stream| stream.transport_filter(None)).for_each(|transport| transport.message_sent());
}

/// Waits until a live has picture and sound, or shows that it has but one of them. False: it ended before that.
async fn known(mut consumer: Consumer) -> bool {
    let (mut kinds, mut first) = ([false; 2], None);
    while let Some(event) = consumer.recv().await {
        let Event::Packet(packet) = event else { continue };
        match packet.track {
            TrackId::VIDEO => kinds[0] = true,
            TrackId::AUDIO => kinds[1] = true,
            _ => continue,
        }
        let since: MediaTime = *first.get_or_insert(packet.dts);
        if kinds == [true; 2] || packet.dts.since(since) >= TOGETHER {
            return true;
        }
    }
    false
}

fn path_of(live: &StreamName) -> String {
    format!("/live/{live}")
}
