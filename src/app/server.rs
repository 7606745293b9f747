//! The life cycle: build, run, drain.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::{FutureExt, future::join_all};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::{self, Config},
    doors,
    live::{self, Rooms},
    pipelines,
    second_pass::{self, SecondPass},
    speech::{self, Speech},
};
use crate::{
    access::{Door, Keys, Secrets},
    archive::{self, Catalogue},
    captions::Phase,
    egress::whep,
    ingest::{rtmp, rtsp, whip},
    media, rtc,
    serve::{
        self,
        api::models::{Item, Quality},
        board::{Board, state_of},
    },
    store::Store,
    stream::{self, Registry},
    tls::Certificate,
};

/// How often lives are looked after: graces run out, states are announced.
const PULSE: Duration = Duration::from_millis(500);

/// A server with its ports bound and everything in place.
pub(super) struct Server {
    /// Held as long as the server runs.
    _lock: File,
    config: Config,
    rooms: Arc<Rooms>,
    registry: Registry,
    started: mpsc::Receiver<Arc<stream::Live>>,
    second_pass: SecondPass,
    http: TcpListener,
    https: Option<serve::Secure>,
    rtmp: Option<rtmp::Server>,
    rtmps: Option<rtmp::Server>,
    certificate: Option<Arc<Certificate>>,
    webrtc: Option<rtc::Port>,
    srt: Option<doors::Srt>,
    rtsp: Option<rtsp::Server>,
    pulls: doors::Pulls,
    shared: serve::Server,
    ready: watch::Sender<bool>,
    /// Publishers and requests stop with it; lives drain first.
    cancel: CancellationToken,
}

/// Binds every port and opens every room, recordings that a crash left behind included.
///
/// # Errors
/// Says what is missing and what to do.
pub(super) async fn build(config: Config) -> Result<Server> {
    let lock = alone(&config.data_dir)?;
    let store = Store::open(&config.data_dir).await?;
    let secrets = Secrets::open(&config.data_dir)?;
    let keys = Keys::new(store.clone(), secrets.clone());
    media::init()?;
    let templates = pipelines::ask(config.ladder.pipelines_dir.as_deref())
        .await
        .context("GStreamer is not complete: `amphi check` says what is missing")?;
    let recovered = archive::recover(&store).await.context("recordings of an earlier run cannot be read")?;
    if recovered != archive::Recovered::default() {
        tracing::warn!(
            ready = recovered.ready.len(),
            removed = recovered.removed.len(),
            failed = recovered.failed.len(),
            "finished recordings that an earlier run left behind"
        );
    }

    let (registry, started) = Registry::new(config.reconnect_grace);
    let board = Board::default();
    let address = config.http.listen.context("http.listen is empty: without it nobody can watch")?;
    let http = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (http.listen)"))?;
    let certificate = certificate(&config.tls)?;
    let https = match (&certificate, config.http.tls_listen) {
        (Some(certificate), Some(address)) => {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("cannot listen on {address} (http.tls_listen)"))?;
            Some(serve::Secure { listener, tls: certificate.acceptor(serve::ALPN) })
        }
        _ => None,
    };
    let rtmp = match config.rtmp.listen {
        Some(address) => {
            let door = Arc::new(Door::new(keys.clone(), registry.clone()));
            let server = rtmp::Server::bind(address, door, rtmp::Settings::default()).await;
            Some(server.with_context(|| format!("cannot listen on {address} (rtmp.listen)"))?)
        }
        None => None,
    };
    let rtmps = match (&certificate, config.rtmp.tls_listen) {
        (Some(certificate), Some(address)) => {
            let door = Arc::new(Door::new(keys.clone(), registry.clone()));
            let server = rtmp::Server::bind(address, door, rtmp::Settings::default()).await;
            let server = server.with_context(|| format!("cannot listen on {address} (rtmp.tls_listen)"))?;
            Some(server.within(certificate.acceptor(&[])))
        }
        _ => None,
    };
    let webrtc = match config.webrtc.listen {
        Some(address) => {
            let settings = rtc::Settings { public: config.webrtc.public.clone(), ..Default::default() };
            let port = rtc::Port::bind(address, settings).await;
            Some(port.with_context(|| format!("cannot listen on {address} (webrtc.listen)"))?)
        }
        None => None,
    };
    let cancel = CancellationToken::new();
    let door = Arc::new(Door::new(keys.clone(), registry.clone()));
    let rtc = webrtc.clone().map(|port| serve::rtc::Rtc {
        whip: whip::Server::new(port.clone(), door),
        whep: whep::Server::new(port, cancel.clone()),
        ice_servers: config.webrtc.ice_servers.clone(),
    });
    let srt = doors::srt(&config, &keys, &registry).await?;
    let (rtsp, readers) = doors::rtsp(&config, &keys, &registry).await?.unzip();
    let pulls = doors::Pulls::new(&config, &store, &keys, &registry);
    let templates = Arc::new(templates);
    let speech = Arc::new(Speech::new(&config)?);
    let (ready, is_ready) = watch::channel(false);
    let shared = serve::Server {
        catalogue: Arc::new(Catalogue::new(store.clone())),
        store: store.clone(),
        keys,
        secrets,
        registry: registry.clone(),
        board: board.clone(),
        templates: templates.clone(),
        metrics: super::metrics::install(board.clone(), speech.engines())?,
        ready: is_ready,
        language: config.captions.language.clone(),
        can_hear: can_hear(speech.clone(), &config),
        missing: missing(speech.clone(), &config),
        rtc,
        pull: config.pull.rule(),
        models: models(speech.clone(), &config),
    };
    let catalogue = shared.catalogue.clone();
    let (estimates, second_pass) =
        second_pass::new(&config, speech.clone(), store.clone(), catalogue, board.clone(), templates.clone());
    let rooms = Arc::new(Rooms {
        speech,
        estimates,
        config: config.clone(),
        store,
        registry: registry.clone(),
        board,
        templates,
        readers,
        cancel: CancellationToken::new(),
    });
    Ok(Server {
        _lock: lock,
        config,
        rooms,
        registry,
        started,
        second_pass,
        http,
        https,
        rtmp,
        rtmps,
        certificate,
        webrtc,
        srt,
        rtsp,
        pulls,
        shared,
        ready,
        cancel,
    })
}

impl Server {
    /// Prints the addresses, and the admin token if it was made just now.
    pub fn announce(&self) {
        if let Some(http) = self.http_address() {
            println!("http   http://{http}/");
        }
        if let Some(https) = self.https.as_ref().and_then(|https| https.listener.local_addr().ok()) {
            println!("https  https://{https}/");
        }
        match self.rtmp_address() {
            Some(rtmp) => println!("rtmp   rtmp://{rtmp}/live"),
            None => println!("rtmp   off"),
        }
        if let Some(rtmps) = self.rtmps.as_ref().and_then(|rtmps| rtmps.local_addr().ok()) {
            println!("rtmps  rtmps://{rtmps}/live");
        }
        match &self.webrtc {
            Some(port) => println!("webrtc {} (UDP and TCP)", port.local_addr()),
            None => println!("webrtc off"),
        }
        match self.srt.as_ref().and_then(|srt| srt.server.local_addr().ok()) {
            Some(srt) => println!("srt    srt://{srt}?streamid=publish:NAME:KEY"),
            None => println!("srt    off"),
        }
        match self.rtsp.as_ref().and_then(|rtsp| rtsp.local_addr().ok()) {
            Some(rtsp) => {
                println!("rtsp   rtsp://{rtsp}/live/NAME to watch, rtsp://NAME:KEY@{rtsp}/publish/NAME to publish");
            }
            None => println!("rtsp   off"),
        }
        if self.shared.secrets.token_is_new() {
            let file = self.config.data_dir.join("admin.token");
            // What is no terminal may be a journal, and a journal keeps no secrets.
            if io::stdout().is_terminal() {
                println!("admin  {} (kept in {})", self.shared.secrets.admin_token(), file.display());
            } else {
                println!("admin  the token is in {}", file.display());
            }
        }
        if self.config.vosk.listen.is_some() {
            tracing::warn!(protocol = "vosk", "this version does not speak it yet; its address is ignored");
        }
    }

    /// Where pages are served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.local_addr().ok()
    }

    /// Where encoders publish.
    pub fn rtmp_address(&self) -> Option<SocketAddr> {
        self.rtmp.as_ref().and_then(|rtmp| rtmp.local_addr().ok())
    }

    /// Fires when the server begins to stop.
    pub fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs until SIGTERM or Ctrl-C, then drains; a second signal during that ends it at once.
    ///
    /// # Errors
    /// HTTP, RTMP, SRT or RTSP is not served any longer, or the drain was cut short.
    pub async fn run(self) -> Result<()> {
        let Self { _lock, config, rooms, registry, mut started, second_pass, shared, ready, cancel, .. } = self;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let lives = TaskTracker::new();
        let publishers = TaskTracker::new();
        lives.spawn(second_pass.run(rooms.cancel.clone()));
        if let Some(certificate) = self.certificate {
            publishers.spawn(certificate.follow(cancel.clone()));
        }
        let doors: Vec<_> = [self.rtmp, self.rtmps].into_iter().flatten().collect();
        let mut ingest = (!doors.is_empty()).then(|| {
            let serving = join_all(doors.into_iter().map(|door| door.serve(cancel.clone())));
            publishers.spawn(serving.map(|_| ()))
        });
        let mut srt = self.srt.map(|srt| publishers.spawn(srt.serve(cancel.clone())));
        let mut rtsp = self.rtsp.map(|rtsp| publishers.spawn(rtsp.serve(cancel.clone())));
        publishers.spawn(self.pulls.run(cancel.clone()));
        let peers = shared.rtc.clone();
        if let Some(port) = self.webrtc {
            let cancel = rooms.cancel.clone();
            lives.spawn(async move { port.serve(cancel).await });
        }
        let pages_stop = CancellationToken::new();
        let mut pages = tokio::spawn(serve::run(self.http, self.https, shared, pages_stop.clone()));
        let mut broken = None;
        ready.send_replace(true);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!("ready");

        let mut pulse = tokio::time::interval(PULSE);
        let mut states = HashMap::new();
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                ended = &mut pages => {
                    broken = Some(stopped_working("http", ended));
                    break;
                }
                ended = async { ingest.as_mut().expect("guarded by the condition").await }, if ingest.is_some() => {
                    broken = Some(stopped_working("rtmp", ended));
                    break;
                }
                ended = async { srt.as_mut().expect("guarded by the condition").await }, if srt.is_some() => {
                    broken = Some(stopped_working("srt", ended));
                    break;
                }
                ended = async { rtsp.as_mut().expect("guarded by the condition").await }, if rtsp.is_some() => {
                    broken = Some(stopped_working("rtsp", ended));
                    break;
                }
                Some(live) = started.recv() => {
                    lives.spawn(live::run(rooms.clone(), live));
                }
                _ = pulse.tick() => {
                    registry.expire(Instant::now());
                    announce_states(&rooms.board, &mut states);
                    rooms.board.sample(Instant::now());
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }

        tracing::info!("stopping: publishers first, then recordings, then requests");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        ready.send_replace(false);
        cancel.cancel();
        if let Some(peers) = peers {
            peers.whip.stop().await;
            peers.whep.drained().await;
        }
        publishers.close();
        publishers.wait().await;
        registry.end_all();
        rooms.cancel.cancel();
        lives.close();
        if tokio::time::timeout(config.drain_timeout, lives.wait()).await.is_err() {
            tracing::error!("recordings did not finish in time; the next start finishes them");
        }
        rooms.speech.stop().await;
        pages_stop.cancel();
        // Held requests and websockets end with the process.
        if !pages.is_finished() && tokio::time::timeout(Duration::from_secs(1), pages).await.is_err() {
            tracing::debug!("requests were still held");
        }
        tracing::info!("stopped");
        broken.map_or(Ok(()), Err)
    }
}

/// The certificate that connections in TLS are shown, where there is one.
fn certificate(config: &config::Tls) -> Result<Option<Arc<Certificate>>> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
    Certificate::load(certificate, key).map(Some).context("the certificate cannot be used (tls.certificate, tls.key)")
}

/// Takes the data directory for this process: another server's recordings must not look abandoned.
fn alone(data_dir: &Path) -> Result<File> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let path = data_dir.join("serve.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| format!("another amphi serves {}: stop it first", data_dir.display()))?;
    Ok(file)
}

/// A task that ends before it was told to takes the server with it: one that looks ready and is deaf
/// helps nobody, and a supervisor starts another.
fn stopped_working(what: &str, ended: Result<(), tokio::task::JoinError>) -> anyhow::Error {
    let error = match ended {
        Ok(()) => anyhow::anyhow!("{what} stopped serving"),
        Err(panic) => anyhow::Error::from(panic).context(format!("{what} stopped serving")),
    };
    tracing::error!(error = format!("{error:#}"), "the server ends");
    error
}

/// Tells subscribers when a publisher went away or came back.
fn announce_states(board: &Board, states: &mut HashMap<crate::model::StreamName, &'static str>) {
    let lives = board.all();
    states.retain(|name, _| lives.iter().any(|live| live.stream.name == *name));
    for live in lives {
        let state = state_of(Some(&live.stream));
        if states.insert(live.stream.name.clone(), state) == Some(state) {
            continue;
        }
        let phase = match state {
            "reconnecting" => Some(Phase::Reconnecting),
            "live" => Some(Phase::Live),
            _ => None,
        };
        if let Some(phase) = phase {
            live.desk.set_phase(phase, live.stream.at(Instant::now()));
        }
        board.announce_state(&live, state);
    }
}

fn can_hear(speech: Arc<Speech>, config: &Config) -> serve::CanHear {
    let config = config.clone();
    Arc::new(move |language, model| {
        speech::can_hear(&speech.manifest(), &config, language, model).map_err(|error| format!("{error:#}"))
    })
}

fn missing(speech: Arc<Speech>, config: &Config) -> serve::WhatIsMissing {
    let config = config.clone();
    Arc::new(move |channel| speech::missing(&speech.manifest(), &config, channel))
}

fn models(speech: Arc<Speech>, config: &Config) -> Arc<dyn Fn() -> Vec<Item> + Send + Sync> {
    let models_dir = config.models_dir.clone();
    Arc::new(move || {
        let figure = |quality: super::models::Quality| {
            let super::models::Quality { metric, value, of, against } = quality;
            Quality { metric, value, of, against }
        };
        let item = |model: &super::models::Model| Item {
            id: model.id.clone(),
            task: serde_json::to_value(model.task).ok().and_then(|v| v.as_str().map(Into::into)).unwrap_or_default(),
            engine: model.engine.as_str().into(),
            languages: model.languages.iter().map(ToString::to_string).collect(),
            licence: model.licence.clone(),
            installed: model.installed(&models_dir),
            quality: model.quality.iter().cloned().map(figure).collect(),
        };
        speech.manifest().models.iter().map(item).collect()
    })
}
