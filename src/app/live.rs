//! One live: its packets become renditions, captions and a recording; then it is put away.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    captioning::{self, Captioning},
    config::Config,
    present::{Presenter, Terms},
    second_pass::Estimates,
    speech::{self, Plan, Speech},
};
use crate::{
    archive::{LiveInfo, Recorder},
    captions::Desk,
    egress::{self, whep},
    media::{self, ladder::LadderSettings},
    model::Pcm,
    serve::board::{Board, Change, OnAir},
    store::{Channel, RecordingId, RecordingState, Store},
    stream::{self, Registry},
};

/// Players fetch what is left for so long after the end.
const LINGER: Duration = Duration::from_secs(120);
/// What viewers of a channel in accurate mode stay behind: practically every word is there by then.
const ACCURATE: Duration = Duration::from_secs(3);
/// Words and translations under way at the end get this long to reach the recording.
const FAREWELL: Duration = Duration::from_secs(10);
/// Behind that, what was heard without being final gets as long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every live needs.
pub(super) struct Rooms {
    pub config: Config,
    pub store: Store,
    pub board: Board,
    pub registry: Registry,
    pub templates: Arc<media::Templates>,
    pub speech: Arc<Speech>,
    pub estimates: Estimates,
    /// RTSP's, where it is spoken.
    pub readers: Option<egress::rtsp::Readers>,
    /// Fires when the server has drained: nothing lingers any longer.
    pub cancel: CancellationToken,
}

/// Runs a live from its beginning until its recording is ready.
pub(super) async fn run(rooms: Arc<Rooms>, live: Arc<stream::Live>) {
    let span = tracing::info_span!("live", stream = %live.name);
    async {
        for publisher in live.publishers() {
            tracing::info!(protocol = publisher.protocol, peer = %publisher.peer, "live begins");
        }
        match on_air(&rooms, live.clone()).await {
            Ok(on_air) => linger(&rooms, &on_air).await,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the live cannot be presented");
                rooms.registry.end(&live);
                live.open();
            }
        }
    }
    .instrument(span)
    .await;
}

async fn on_air(rooms: &Rooms, live: Arc<stream::Live>) -> Result<Arc<OnAir>> {
    let channel = rooms.store.channels().get(&live.name).await?.context("its channel has just been removed")?;
    let recorder = record(rooms, &channel, &live).await;
    let (planner, wanted) = (rooms.speech.clone(), channel.clone());
    let (plan, refused) = match spawn_blocking(move || planner.plan(&wanted)).await? {
        Ok(plan) => (plan, None),
        Err(error) => (Plan::silent(channel.language.clone()), Some(speech::lacks(&channel.language, &error))),
    };
    let hold_back = if channel.accurate { ACCURATE } else { Duration::ZERO };
    let desk = Desk::new(live.anchor, plan.tracks(), hold_back);
    let (begun, lineup) = (plan.outline(), desk.lineup());
    let on_air = Arc::new(OnAir {
        stream: live.clone(),
        hls: Arc::default(),
        feed: rooms.config.webrtc.listen.map(|_| whep::Feed::new(live.clone())),
        readers: rooms.readers.as_ref().map(|readers| readers.of(&live.name)),
        players: Default::default(),
        desk: desk.clone(),
        recording: recorder.as_ref().map(Recorder::monitor),
        pace: Default::default(),
        poster: Arc::default(),
        started_at: SystemTime::now(),
    });

    let (work, cut_short) = (TaskTracker::new(), CancellationToken::new());
    let heights = if rooms.config.ladder.enabled { rooms.config.ladder.rungs.clone() } else { Vec::new() };
    let ladder = LadderSettings::new(heights).without(rooms.templates.undecodable());
    let packets = live.producer.consume();
    if rooms.config.ladder.enabled {
        let making = media::ladder::run(
            live.producer.consume(),
            ladder.clone(),
            rooms.templates.clone(),
            cut_short.child_token(),
        );
        work.spawn(watch("ladder", making).in_current_span());
    }
    let sounding = media::audio::run(live.producer.consume_foreign(), rooms.templates.clone(), cut_short.child_token());
    work.spawn(watch("audio", sounding).in_current_span());
    let further =
        media::audio::further(live.producer.consume_foreign(), rooms.templates.clone(), cut_short.child_token());
    work.spawn(watch("audio", further).in_current_span());
    if let Some(feed) = on_air.feed.clone() {
        let (packets, templates, cancel) = (live.producer.consume(), rooms.templates.clone(), cut_short.child_token());
        work.spawn(async move { feed.run(packets, templates, cancel).await }.in_current_span());
    }
    let showing = media::video::run(live.producer.consume_foreign(), rooms.templates.clone(), cut_short.child_token());
    work.spawn(watch("video", showing).in_current_span());
    if rooms.config.captions.enabled {
        let (sender, sound) = mpsc::channel::<Pcm>(captioning::BLOCKS);
        let tapping =
            media::tap::run(live.producer.consume(), sender, rooms.templates.clone(), cut_short.child_token());
        work.spawn(watch("tap", tapping).in_current_span());
        let captioning = Captioning {
            speech: rooms.speech.clone(),
            store: rooms.store.clone(),
            channel,
            live: live.clone(),
            desk: desk.clone(),
            cancel: cut_short.child_token(),
        };
        work.spawn(captioning.run(plan, refused, sound).in_current_span());
    }
    work.close();
    let mut cues = desk.cues();
    rooms.board.put(on_air.clone());
    rooms.board.announce_state(&on_air, "live");
    let readable = rooms.readers.as_ref().map(|readers| readers.mount(live.clone()));
    live.open();

    let hls = &rooms.config.hls;
    let terms = Terms { window: hls.window, hold_back, rewind: hls.rewind };
    let mut presenter = Presenter::new(&on_air, recorder.as_ref(), ladder, terms);
    presenter.run(packets, &mut cues).await;
    drop(readable);
    // The last parts wait for the last words, which lag a second or two behind them.
    if tokio::time::timeout(FAREWELL, work.wait()).await.is_err() {
        tracing::warn!("the last captions took too long");
        cut_short.cancel();
        // What is open then is final at once.
        let _ = tokio::time::timeout(LAST_WORDS, work.wait()).await;
    }
    presenter.finish();
    tracing::info!("live has ended");
    desk.end(live.at(Instant::now()));
    rooms.board.announce_state(&on_air, "ended");
    if let Some(recorder) = recorder {
        let id = finish(rooms, recorder, &desk).await;
        // A live whose languages or models changed has no estimate: its stretches would have to be told apart.
        if let Some((id, begun)) = id.zip(begun).filter(|_| Arc::ptr_eq(&lineup, &desk.lineup())) {
            rooms.estimates.ask(id, begun, &desk);
        }
    }
    Ok(on_air)
}

/// A recording that cannot begin costs the recording, not the live.
async fn record(rooms: &Rooms, channel: &Channel, live: &stream::Live) -> Option<Recorder> {
    if !rooms.config.recording.enabled {
        return None;
    }
    let info = LiveInfo {
        channel: channel.name.clone(),
        title: channel.title.clone(),
        language: channel.language.clone(),
        anchor: live.anchor,
    };
    match Recorder::start(&rooms.store, info).await {
        Ok(recorder) => {
            let id = recorder.id().to_string();
            rooms.board.announce(Change::Recording { id, state: "recording" });
            Some(recorder)
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "the live is not recorded: check the data directory");
            None
        }
    }
}

/// The recording's id, if it is ready.
async fn finish(rooms: &Rooms, recorder: Recorder, desk: &Desk) -> Option<RecordingId> {
    // A recorder takes a revision once, so telling it the whole track costs nothing and mends a lag.
    for cue in desk.lineup().all().filter_map(|lang| desk.track(lang)).flatten() {
        recorder.cue(&cue);
    }
    let recording = recorder.id().clone();
    let id = recording.to_string();
    rooms.board.announce(Change::Recording { id: id.clone(), state: "processing" });
    let state = match recorder.finish().await {
        Ok(Some(recording)) => recording.state.as_str(),
        Ok(None) => "removed",
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), recording = id, "the recording cannot be played");
            "failed"
        }
    };
    tracing::info!(recording = id, state, "recording finished");
    rooms.board.announce(Change::Recording { id, state });
    (state == RecordingState::Ready.as_str()).then_some(recording)
}

/// Keeps an ended live on the board for players that are still behind; once another has its place, nobody can ask for
/// what it holds.
async fn linger(rooms: &Rooms, on_air: &Arc<OnAir>) {
    let left = tokio::time::timeout(LINGER, rooms.board.left(on_air));
    let _ = rooms.cancel.run_until_cancelled(left).await;
    rooms.board.announce_state(on_air, "idle");
    rooms.board.take(on_air);
}

/// A room that fails costs what it makes, not the live.
async fn watch<T, E: std::error::Error + Send + Sync + 'static>(
    room: &'static str,
    work: impl Future<Output = Result<T, E>>,
) {
    if let Err(error) = work.await {
        let error = anyhow::Error::from(error);
        tracing::error!(error = format!("{error:#}"), room, "stopped working");
    }
}
