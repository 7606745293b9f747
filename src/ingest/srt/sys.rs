//! The calls of libsrt 1.5 that Amphi makes. The only file that knows its ABI (`srt.h`).
//!
//! Every call may be made from any thread; a call on a socket that was closed meanwhile fails.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    mem::offset_of,
    net::SocketAddr,
    os::fd::IntoRawFd,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use socket2::{SockAddr, SockAddrStorage};

/// A socket's number.
type Id = i32;
const NONE: Id = -1;
const FAILED: c_int = -1;
/// `AF_INET`.
const INET: u16 = 2;

/// `SRT_SOCKOPT`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum Opt {
    ReceiveBuffer = 6,
    ReceiveTimeout = 14,
    Latency = 23,
    Passphrase = 26,
    ConnectTimeout = 36,
    ReceiveKeyState = 41,
    StreamId = 46,
    Ipv6Only = 54,
}

/// `SRT_ETIMEOUT`, `SRT_EASYNCRCV`: nothing has come.
const NOTHING_YET: [c_int; 2] = [6003, 6002];
/// `SRT_KM_S_SECURED`.
const SECURED: i32 = 2;
/// `SRT_LOGF_DISABLE_TIME`, `_THREADNAME`, `_SEVERITY`, `_EOL`: a log line has these already.
const BARE_LINES: c_int = 1 | 2 | 4 | 8;
/// `LOG_WARNING` of syslog(3).
const WARNING: c_int = 4;

/// `SRT_REJECT_REASON` of the access control guidelines (`access_control.h`): what a caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Rejection {
    /// The stream id makes no sense.
    BadRequest = 1400,
    /// Too many at once.
    Overload = 1402,
    /// There is no such channel.
    NotFound = 1404,
    /// Another mode than publishing.
    BadMode = 1405,
    /// Another kind than a stream.
    NotStream = 1415,
    /// A caller older than SRT 1.3, which sends no stream id.
    Version = 1505,
}

/// What a handshake shows before it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The other end.
    pub peer: SocketAddr,
    /// 5 since SRT 1.3.
    pub version: i32,
    /// Up to 512 bytes; empty where it sends none.
    pub stream_id: &'a str,
}

/// Answers a handshake: the passphrase it must know, if any. Runs on libsrt's receiving thread, which serves every
/// caller of the port: it must not wait.
pub type Hook = dyn Fn(Caller<'_>) -> Result<Option<String>, Rejection> + Send + Sync;

/// What libsrt says of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    code: c_int,
    text: String,
}

/// How packets travel, as libsrt counts since the connection began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Travel {
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that never came, or too late.
    pub dropped: u64,
    /// There and back, smoothed.
    pub round_trip: Duration,
}

/// The library, started; cleaned up when the last of these is gone.
#[derive(Debug)]
struct Library;

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its bytes.
    pub size: usize,
    /// Messages before it that never came.
    pub missing: u32,
}

/// One socket, closed when dropped.
#[derive(Debug)]
pub struct Socket {
    id: Id,
    /// Of the last message.
    sequence: Option<i32>,
    _library: Library,
}

/// A socket that takes callers.
pub struct Listener {
    socket: Socket,
    // Behind the socket, which closes first. A thin pointer to it is what libsrt hands back.
    _hook: Box<Box<Hook>>,
}

impl Library {
    fn start() -> Result<Self, Failure> {
        // SAFETY: the call counts how often it is made, under its own lock.
        check(unsafe { srt_startup() })?;
        // SAFETY: the handler is a function that lives as long as the program and takes any thread's call.
        unsafe {
            srt_setloghandler(std::ptr::null_mut(), Some(log));
            srt_setlogflags(BARE_LINES);
            srt_setloglevel(WARNING);
        }
        Ok(Self)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: one call for each `srt_startup`; the last one ends the library's threads.
        unsafe { srt_cleanup() };
    }
}

/// The version of the library that was found, as `1.5.1`.
pub fn version() -> String {
    // SAFETY: a constant of the library.
    let [_, major, minor, patch] = unsafe { srt_getversion() }.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

impl Socket {
    /// A socket for live streams that keeps up to `buffer` bytes that nobody has read, and is `latency` behind.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(buffer: i32, latency: Duration) -> Result<Self, Failure> {
        let library = Library::start()?;
        // SAFETY: no arguments; the library runs.
        let id = unsafe { srt_create_socket() };
        if id == NONE {
            return Err(last_failure());
        }
        let socket = Self { id, sequence: None, _library: library };
        socket.set_number(Opt::ReceiveBuffer, buffer)?;
        socket.set_number(Opt::Latency, i32::try_from(latency.as_millis()).unwrap_or(i32::MAX))?;
        Ok(socket)
    }

    /// How long [`Socket::receive`] waits.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn set_receive_timeout(&self, timeout: Duration) -> Result<(), Failure> {
        self.set_number(Opt::ReceiveTimeout, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
    }

    /// Takes callers on a port that is bound; each is shown to `hook` first.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn listen(self, port: socket2::Socket, backlog: i32, hook: Box<Hook>) -> Result<Listener, Failure> {
        // libsrt wants to be told whether one of IPv6 takes IPv4 as well.
        self.set_number(Opt::Ipv6Only, 0)?;
        // SAFETY: an open socket, which is the library's from here on.
        check(unsafe { srt_bind_acquire(self.id, port.into_raw_fd()) })?;
        let hook = Box::new(hook);
        // SAFETY: the hook lives as long as the listener, in a place of its own that does not move. Closing the
        // listener takes the lock under which libsrt calls the hook, so no call is made or still running behind it.
        check(unsafe { srt_listen_callback(self.id, Some(knock), (&raw const *hook).cast_mut().cast()) })?;
        // SAFETY: numbers alone.
        check(unsafe { srt_listen(self.id, backlog) })?;
        Ok(Listener { socket: self, _hook: hook })
    }

    /// Calls a listener; waits until it answers, `timeout` at most.
    ///
    /// # Errors
    /// [`Failure`] with the reason the other end gives.
    pub fn connect(
        &self,
        address: SocketAddr,
        stream_id: Option<&str>,
        passphrase: Option<&str>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        self.set_number(Opt::ConnectTimeout, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))?;
        for (opt, text) in [(Opt::StreamId, stream_id), (Opt::Passphrase, passphrase)] {
            text.map_or(Ok(()), |text| set(self.id, opt, text.as_bytes()))?;
        }
        let name = SockAddr::from(address);
        // SAFETY: an address of the length that is stated with it.
        check(unsafe { srt_connect(self.id, name.as_ptr().cast(), length(&name)) }).map_err(|failure| {
            // SAFETY: a number, and a text that is a constant of the library.
            let (reason, text) = unsafe {
                let reason = srt_getrejectreason(self.id);
                (reason, CStr::from_ptr(srt_rejectreason_str(reason)))
            };
            Failure { text: format!("{}: {} ({reason})", failure.text, text.to_string_lossy()), ..failure }
        })
    }

    /// The next message into `buffer`, which must hold any message (1,456 bytes); `None` if none came in time.
    ///
    /// # Errors
    /// [`Failure`]: the connection is over.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Message>, Failure> {
        let (size, mut control) = (c_int::try_from(buffer.len()).unwrap_or(c_int::MAX), Control::default());
        // SAFETY: writable for as many bytes as stated, and a structure as `srt.h` declares it.
        let size = unsafe { srt_recvmsg2(self.id, buffer.as_mut_ptr().cast(), size, &raw mut control) };
        let Ok(size) = usize::try_from(size) else {
            let failure = last_failure();
            return if NOTHING_YET.contains(&failure.code) { Ok(None) } else { Err(failure) };
        };
        // Numbers have 31 bits.
        let expected = self.sequence.map_or(control.sequence, |last| last.wrapping_add(1) & i32::MAX);
        self.sequence = Some(control.sequence);
        Ok(Some(Message { size, missing: (control.sequence.wrapping_sub(expected) & i32::MAX) as u32 }))
    }

    /// What the caller asked for.
    pub fn stream_id(&self) -> String {
        let mut text = [0; 513];
        let size = self.get(Opt::StreamId, &mut text).unwrap_or(0);
        String::from_utf8_lossy(&text[..size]).into_owned()
    }

    /// What comes in was encrypted with the passphrase.
    pub fn is_encrypted(&self) -> bool {
        let mut state = [0; 4];
        self.get(Opt::ReceiveKeyState, &mut state).is_some() && i32::from_ne_bytes(state) == SECURED
    }

    /// How packets have travelled so far; `None` once the connection is over.
    pub fn travel(&self) -> Option<Travel> {
        let mut figures = Figures::default();
        // SAFETY: a structure as `srt.h` declares it; the library fills in what it knows of it.
        check(unsafe { srt_bistats(self.id, &raw mut figures, 0, 1) }).ok()?;
        Some(Travel {
            received: u64::try_from(figures.received_unique_total).unwrap_or(0),
            dropped: u64::try_from(figures.receive_dropped_total).unwrap_or(0),
            round_trip: Duration::from_secs_f64((figures.round_trip_ms / 1000.0).clamp(0.0, 1000.0)),
        })
    }

    fn set_number(&self, opt: Opt, number: i32) -> Result<(), Failure> {
        set(self.id, opt, &number.to_ne_bytes())
    }

    fn get(&self, opt: Opt, buffer: &mut [u8]) -> Option<usize> {
        let mut size = c_int::try_from(buffer.len()).ok()?;
        // SAFETY: writable for as many bytes as stated; the size comes back as what was written.
        check(unsafe { srt_getsockflag(self.id, opt as c_int, buffer.as_mut_ptr().cast(), &raw mut size) }).ok()?;
        usize::try_from(size).ok().filter(|size| *size <= buffer.len())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: a number; the library knows whether it still stands for a socket.
        unsafe { srt_close(self.id) };
    }
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn local_addr(&self) -> Result<SocketAddr, Failure> {
        let (id, mut result) = (self.socket.id, Ok(()));
        address(|name, size| {
            // SAFETY: writable for as many bytes as stated; the size comes back as what was written.
            result = check(unsafe { srt_getsockname(id, name, size) });
            result.is_ok()
        })
        .ok_or_else(|| result.err().unwrap_or_else(last_failure))
    }

    /// Waits for the next caller that the hook let through.
    ///
    /// # Errors
    /// [`Failure`], also once it is closed.
    pub fn accept(&self) -> Result<(Socket, SocketAddr), Failure> {
        let (mut id, library) = (NONE, Library::start()?);
        let peer = address(|name, size| {
            // SAFETY: writable for as many bytes as stated; the size comes back as what was written.
            id = unsafe { srt_accept(self.socket.id, name, size) };
            id != NONE
        });
        let failure = (id == NONE).then(last_failure);
        match (failure, peer) {
            (Some(failure), _) => Err(failure),
            (None, Some(peer)) => Ok((Socket { id, sequence: None, _library: library }, peer)),
            (None, None) => {
                drop(Socket { id, sequence: None, _library: library });
                Err(Failure { code: 0, text: "a caller without an address".into() })
            }
        }
    }

    /// Takes no callers any more; whoever waits for one gets an error.
    pub fn close(&self) {
        // SAFETY: a number; closing it again when dropped fails without harm.
        unsafe { srt_close(self.socket.id) };
    }
}

fn check(result: c_int) -> Result<(), Failure> {
    if result == FAILED { Err(last_failure()) } else { Ok(()) }
}

fn last_failure() -> Failure {
    // SAFETY: both read this thread's last error; the text is valid until this thread's next call.
    let (code, text) = unsafe { (srt_getlasterror(std::ptr::null_mut()), CStr::from_ptr(srt_getlasterror_str())) };
    Failure { code, text: text.to_string_lossy().trim().to_owned() }
}

fn set(id: Id, opt: Opt, value: &[u8]) -> Result<(), Failure> {
    let size = c_int::try_from(value.len()).unwrap_or(c_int::MAX);
    // SAFETY: readable for as many bytes as stated; numbers have the four bytes that the options want.
    check(unsafe { srt_setsockflag(id, opt as c_int, value.as_ptr().cast(), size) })
}

fn length(name: &SockAddr) -> c_int {
    c_int::try_from(name.len()).unwrap_or(0)
}

/// An address that a call writes.
fn address(write: impl FnOnce(*mut c_void, *mut c_int) -> bool) -> Option<SocketAddr> {
    let mut storage = SockAddrStorage::zeroed();
    let mut size = c_int::try_from(size_of::<SockAddrStorage>()).ok()?;
    if !write((&raw mut storage).cast(), &raw mut size) {
        return None;
    }
    // SAFETY: as many bytes as the call has written, at most the storage's, of an address it knows.
    unsafe { SockAddr::new(storage, size.try_into().ok()?) }.as_socket()
}

/// `srt_listen_callback_fn`.
extern "C" fn knock(
    opaque: *mut c_void,
    id: Id,
    version: c_int,
    peer: *const c_void,
    stream_id: *const c_char,
) -> c_int {
    if opaque.is_null() || peer.is_null() || stream_id.is_null() {
        return FAILED;
    }
    // SAFETY: what `Socket::listen` handed in, which outlives the listener.
    let hook = unsafe { &*opaque.cast::<Box<Hook>>() };
    // SAFETY: libsrt passes a text that ends with a zero and lives as long as this call.
    let stream_id = unsafe { CStr::from_ptr(stream_id) }.to_string_lossy();
    let peer = address(|storage, size| {
        // SAFETY: every address begins with its family.
        let family = unsafe { peer.cast::<u16>().read_unaligned() };
        let length = if family == INET { 16 } else { 28 };
        // SAFETY: `sockaddr_in` has 16 bytes, `sockaddr_in6` 28, and the storage room for either.
        unsafe {
            std::ptr::copy_nonoverlapping(peer.cast::<u8>(), storage.cast::<u8>(), length);
            *size = length as c_int;
        }
        true
    });
    let Some(peer) = peer else { return FAILED };
    let caller = Caller { peer, version, stream_id: &stream_id };
    // A panic must not run into C++.
    match panic::catch_unwind(AssertUnwindSafe(|| hook(caller))) {
        Ok(Ok(passphrase)) => match passphrase.map_or(Ok(()), |text| set(id, Opt::Passphrase, text.as_bytes())) {
            Ok(()) => 0,
            Err(_) => FAILED,
        },
        Ok(Err(rejection)) => {
            // SAFETY: numbers alone, on the socket that the handshake made.
            unsafe { srt_setrejectreason(id, rejection as c_int) };
            FAILED
        }
        Err(_) => FAILED,
    }
}

/// `SRT_LOG_HANDLER_FN`.
extern "C" fn log(_: *mut c_void, _: c_int, _: *const c_char, _: c_int, area: *const c_char, message: *const c_char) {
    if area.is_null() || message.is_null() {
        return;
    }
    // SAFETY: libsrt passes texts that end with a zero and live as long as this call.
    let (area, message) = unsafe { (CStr::from_ptr(area), CStr::from_ptr(message)) };
    // What matters comes back from calls as well.
    tracing::debug!(area = %area.to_string_lossy(), "libsrt: {}", message.to_string_lossy().trim());
}

/// `CBytePerfMon`, of which three figures are read; the library fills in all of it.
#[repr(C)]
#[derive(Default)]
struct Figures {
    _before_dropped: [i64; 8],
    _sent_dropped: c_int,
    receive_dropped_total: c_int,
    _undecrypted: c_int,
    _bytes: [u64; 7],
    _local: [u64; 24],
    round_trip_ms: f64,
    _bandwidth: f64,
    _buffers: [c_int; 2],
    _ceiling: f64,
    _details: [c_int; 18],
    _sent_unique_total: i64,
    received_unique_total: i64,
    _rest: [u64; 6],
}

/// `SRT_MSGCTRL`, of which the number of the packet is read.
#[repr(C)]
struct Control {
    flags: c_int,
    time_to_live: c_int,
    in_order: c_int,
    boundary: c_int,
    source_time: i64,
    sequence: i32,
    number: i32,
    group: *mut c_void,
    group_size: usize,
}

impl Default for Control {
    /// `srt_msgctrl_default`.
    fn default() -> Self {
        let (flags, time_to_live, in_order, boundary, source_time) = (0, -1, 0, 0, 0);
        let (sequence, number, group, group_size) = (-1, -1, std::ptr::null_mut(), 0);
        Self { flags, time_to_live, in_order, boundary, source_time, sequence, number, group, group_size }
    }
}

const _: () = {
    assert!(offset_of!(Figures, receive_dropped_total) == 68 && offset_of!(Figures, round_trip_ms) == 328);
    assert!(offset_of!(Figures, received_unique_total) == 440 && size_of::<Figures>() == 496);
};

/// `srt_listen_callback_fn`.
type AcceptHook = extern "C" fn(*mut c_void, Id, c_int, *const c_void, *const c_char) -> c_int;
/// `SRT_LOG_HANDLER_FN`.
type LogHandler = extern "C" fn(*mut c_void, c_int, *const c_char, c_int, *const c_char, *const c_char);

// Linked by `build.rs`, which asks pkg-config for the library's name: Debian has one for each crypto library.
unsafe extern "C" {
    fn srt_startup() -> c_int;
    fn srt_cleanup() -> c_int;
    fn srt_getversion() -> u32;
    fn srt_setloghandler(opaque: *mut c_void, handler: Option<LogHandler>);
    fn srt_setlogflags(flags: c_int);
    fn srt_setloglevel(level: c_int);
    fn srt_create_socket() -> Id;
    fn srt_bind_acquire(socket: Id, port: c_int) -> c_int;
    fn srt_listen(socket: Id, backlog: c_int) -> c_int;
    fn srt_listen_callback(socket: Id, hook: Option<AcceptHook>, opaque: *mut c_void) -> c_int;
    fn srt_accept(socket: Id, name: *mut c_void, length: *mut c_int) -> Id;
    fn srt_connect(socket: Id, name: *const c_void, length: c_int) -> c_int;
    fn srt_close(socket: Id) -> c_int;
    fn srt_getsockname(socket: Id, name: *mut c_void, length: *mut c_int) -> c_int;
    fn srt_getsockflag(socket: Id, opt: c_int, value: *mut c_void, length: *mut c_int) -> c_int;
    fn srt_setsockflag(socket: Id, opt: c_int, value: *const c_void, length: c_int) -> c_int;
    fn srt_recvmsg2(socket: Id, buffer: *mut c_char, length: c_int, control: *mut Control) -> c_int;
    fn srt_bistats(socket: Id, figures: *mut Figures, clear: c_int, instantaneous: c_int) -> c_int;
    fn srt_getlasterror(errno: *mut c_int) -> c_int;
    fn srt_getlasterror_str() -> *const c_char;
    fn srt_getrejectreason(socket: Id) -> c_int;
    fn srt_setrejectreason(socket: Id, reason: c_int) -> c_int;
    fn srt_rejectreason_str(reason: c_int) -> *const c_char;
}
