use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app::AppSrc;
use gstreamer_video as gst_video;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Error, Pipeline,
    gate::{Gate, Unit},
};
use crate::{
    model::{AudioCodec, Chain, MediaTime, Packet, Track, TrackId},
    stream::{Consumer, Event},
};

/// Units on their way to the thread. More wait in the pipeline's source, see [`Job::backlog`].
const HANDOVER: usize = 32;
/// Compressed bytes that may wait for the decoder.
const MAX_BACKLOG_BYTES: u64 = 16 << 20;
/// A decoder that takes nothing for so long has hung.
const HUNG: Duration = Duration::from_secs(5);
/// A pipeline that begins may owe so many times as much, ever less until so long after: a machine that has encoded
/// nothing for a while reads its libraries from the disk first, and is soon up with them.
const BEGINNING: Duration = Duration::from_secs(4);
const LENIENCE: f64 = 3.0;
/// How long the last frames may take to come out when a format changes, the publisher goes or the live ends.
const DRAIN: Duration = Duration::from_millis(1_000);
/// Between a failure and the next attempt, doubling. Also what a source that flaps waits for a pipeline,
/// so that it cannot keep the machine busy building them.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Pipelines in a row that may live shorter than [`FIRST_PAUSE`] because the source changed.
const SHORT_LIVED: u32 = 2;
/// What media time zero is inside pipelines: 1000 hours. x264enc moves streams that begin earlier to
/// there, and GStreamer 1.22 then compares the time of the first key frame asked for in moved time with
/// the others in unmoved time, and makes none of them.
const SHIFT: i64 = 1_000 * 3_600 * 1_000_000_000;
/// A pipeline that ran for so long was sound.
const SOUND: Duration = Duration::from_secs(10);

/// What one run did. The same figures are metrics while it runs: `amphi_media_packets_total`,
/// `amphi_media_dropped_total`, `amphi_media_output_total`, `amphi_media_pipelines_total`, by `task`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Access units that were decoded.
    pub packets: u64,
    /// Access units that were not: before the first key frame, behind a loss, because the machine
    /// cannot keep up, or because no pipeline ran.
    pub dropped: u64,
    /// Access units or blocks that came out.
    pub output: u64,
    /// Pipelines started.
    pub pipelines: u64,
    /// Pipelines that failed.
    pub failures: u64,
}

/// What a run is called and how it behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Thread name and metrics label.
    pub name: &'static str,
    /// The track it reads.
    pub track: TrackId,
    /// What comes out after a discontinuity of what went in before it is still wanted.
    pub keeps_tail: bool,
    /// Seconds of packets that may wait for the decoder.
    pub backlog: f64,
}

/// The way out of one pipeline; shut the moment a discontinuity passes, so that nothing stale follows it.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    epoch: Arc<Mutex<u64>>,
    mine: Option<u64>,
    output: Arc<AtomicU64>,
}

impl Outlet {
    /// Calls `write`, unless what it would write is stale.
    pub fn pass(&self, write: impl FnOnce()) {
        let epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mine.is_none_or(|mine| mine == *epoch) {
            write();
            self.output.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads one track of a live into pipelines that `build` makes, until the live ends or `cancel` fires.
/// `build` returns `None` where there is nothing to do for a format. The pipeline's source is `src`.
pub(super) async fn run<F>(
    mut consumer: Consumer,
    job: Job,
    build: F,
    cancel: CancellationToken,
) -> Result<Stats, Error>
where
    F: FnMut(&Track, &Packet, Outlet) -> Result<Option<Pipeline>, Error> + Send + 'static,
{
    super::init()?;
    let mut gate = Gate::new(job.track);
    let epoch = Arc::new(Mutex::new(gate.epoch()));
    let (sender, receiver) = mpsc::channel(HANDOVER);
    let (done, finished) = oneshot::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let worker = Worker {
        job,
        build,
        epoch: epoch.clone(),
        cancelled: cancelled.clone(),
        output: Arc::default(),
        running: None,
        awaiting_key: false,
        pause: FIRST_PAUSE,
        not_before: None,
        short_lived: 0,
        stats: Stats::default(),
    };
    let span = tracing::Span::current();
    let mut start = Some(move || {
        thread::Builder::new().name(format!("amphi-{}", job.name)).spawn(move || {
            let _entered = span.entered();
            // Whoever waited for the result may be gone.
            let _ = done.send(worker.run(receiver));
        })
    });
    // A future that is dropped instead of cancelled also stops the thread, without its last frames.
    let guard = Abandon(cancelled);
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            event = consumer.recv() => event,
        };
        let Some(event) = event else { break };
        let dropped = gate.dropped();
        let away = matches!(event, Event::Away);
        let unit = gate.take(event);
        metrics::counter!("amphi_media_dropped_total", "task" => job.name).increment(gate.dropped() - dropped);
        *epoch.lock().unwrap_or_else(PoisonError::into_inner) = gate.epoch();
        let order = match unit {
            Some(unit) => Order::Decode(unit),
            None if away && start.is_none() => Order::Drain,
            None => continue,
        };
        // Many a live lacks the track.
        if let Some(start) = start.take() {
            start().map_err(Error::Thread)?;
        }
        // The thread never waits for a decoder, only for pipelines to start and stop. Meanwhile packets
        // wait on the bus, which drops and tells how many.
        let handed_over = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            sent = sender.send(order) => sent.is_ok(),
        };
        if !handed_over {
            break;
        }
    }
    if cancel.is_cancelled() {
        guard.0.store(true, Ordering::Relaxed);
    }
    drop((sender, start));
    let mut stats = finished.await.unwrap_or_default();
    stats.dropped += gate.dropped();
    Ok(stats)
}

/// What the thread is to do next.
enum Order {
    Decode(Unit),
    /// Nothing follows for a while: what the pipeline holds back comes out, and it goes.
    Drain,
}

struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Worker<F> {
    job: Job,
    build: F,
    epoch: Arc<Mutex<u64>>,
    cancelled: Arc<AtomicBool>,
    output: Arc<AtomicU64>,
    running: Option<Running>,
    awaiting_key: bool,
    pause: Duration,
    not_before: Option<Instant>,
    short_lived: u32,
    stats: Stats,
}

struct Running {
    pipeline: Option<Pipeline>,
    source: Option<AppSrc>,
    track: Arc<Track>,
    epoch: u64,
    since: Instant,
    full: Option<Full>,
    max_backlog: u64,
}

/// A backlog at its limit, since when it has not become shorter.
struct Full {
    since: Instant,
    backlog: u64,
}

impl Running {
    /// Packets that may wait for the decoder now.
    fn allowed(&self, now: Instant) -> u64 {
        let begun = now.duration_since(self.since).div_duration_f64(BEGINNING).min(1.0);
        (self.max_backlog as f64 * (LENIENCE - (LENIENCE - 1.0) * begun)) as u64
    }
}

impl<F> Worker<F>
where
    F: FnMut(&Track, &Packet, Outlet) -> Result<Option<Pipeline>, Error>,
{
    fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Stats {
        while let Some(order) = orders.blocking_recv() {
            if self.cancelled.load(Ordering::Relaxed) {
                break;
            }
            let Order::Decode(unit) = order else {
                self.slow_down(Instant::now());
                self.stop(true);
                continue;
            };
            let taken = self.take(unit, Instant::now());
            let counter = if taken { &mut self.stats.packets } else { &mut self.stats.dropped };
            *counter += 1;
            let name = if taken { "amphi_media_packets_total" } else { "amphi_media_dropped_total" };
            metrics::counter!(name, "task" => self.job.name).increment(1);
            let output = self.output.load(Ordering::Relaxed);
            metrics::counter!("amphi_media_output_total", "task" => self.job.name)
                .increment(output - self.stats.output);
            self.stats.output = output;
        }
        self.stop(!self.cancelled.load(Ordering::Relaxed));
        self.stats.output = self.output.load(Ordering::Relaxed);
        info!(task = self.job.name, stats = ?self.stats, "media task ended");
        self.stats
    }

    /// True if the unit went into a decoder.
    fn take(&mut self, unit: Unit, now: Instant) -> bool {
        self.retire(&unit, now);
        if self.awaiting_key && !unit.packet.key {
            return false;
        }
        self.awaiting_key = true;
        if self.running.is_none() && !self.start(&unit, now) {
            return false;
        }
        let Some(running) = &mut self.running else { return false };
        let Some(source) = &running.source else { return false };
        let backlog = source.current_level_buffers();
        if backlog >= running.allowed(now) || source.current_level_bytes() >= MAX_BACKLOG_BYTES {
            match &mut running.full {
                None => {
                    warn!(task = self.job.name, "media falls behind: dropping up to the next key frame");
                    running.full = Some(Full { since: now, backlog });
                }
                Some(full) if backlog < full.backlog => *full = Full { since: now, backlog },
                Some(full) if now.duration_since(full.since) > HUNG => {
                    self.fail(&Error::Pipeline(format!("nothing decoded for {HUNG:?}")), now);
                }
                Some(_) => {}
            }
            return false;
        }
        running.full = None;
        self.awaiting_key = !push(source, unit.packet, is_video(self.job.track));
        !self.awaiting_key
    }

    /// Ends a pipeline that failed or that the unit does not belong to.
    fn retire(&mut self, unit: &Unit, now: Instant) {
        let Some(running) = &self.running else { return };
        if let Some(error) = running.pipeline.as_ref().and_then(Pipeline::error) {
            self.fail(&error, now);
        } else if running.epoch != unit.epoch {
            self.slow_down(now);
            self.stop(self.job.keeps_tail);
        } else if running.track.format != unit.track.format {
            debug!(task = self.job.name, "source format changed");
            self.slow_down(now);
            self.stop(true);
        }
    }

    /// A source that changes again and again waits before it gets another pipeline.
    fn slow_down(&mut self, now: Instant) {
        let Some(Running { pipeline: Some(_), since, .. }) = &self.running else { return };
        self.short_lived = if now.duration_since(*since) < FIRST_PAUSE { self.short_lived + 1 } else { 0 };
        if self.short_lived > SHORT_LIVED {
            self.not_before = Some(now + FIRST_PAUSE);
        }
    }

    fn start(&mut self, unit: &Unit, now: Instant) -> bool {
        if self.not_before.is_some_and(|then| now < then) {
            return false;
        }
        let mine = (!self.job.keeps_tail).then_some(unit.epoch);
        let outlet = Outlet { epoch: self.epoch.clone(), mine, output: self.output.clone() };
        let built = (self.build)(&unit.track, &unit.packet, outlet).and_then(|pipeline| {
            let source = pipeline.as_ref().map(|pipeline| pipeline.source("src")).transpose()?;
            if let Some(pipeline) = &pipeline {
                pipeline.play()?;
            }
            Ok((pipeline, source))
        });
        match built {
            Ok((pipeline, source)) => {
                if pipeline.is_some() {
                    self.stats.pipelines += 1;
                    metrics::counter!("amphi_media_pipelines_total", "task" => self.job.name).increment(1);
                }
                let max_backlog = max_backlog(&unit.track, self.job.backlog);
                let (track, epoch) = (unit.track.clone(), unit.epoch);
                self.running = Some(Running { pipeline, source, track, epoch, since: now, full: None, max_backlog });
                true
            }
            Err(error) => {
                self.fail(&error, now);
                false
            }
        }
    }

    fn fail(&mut self, error: &Error, now: Instant) {
        if self.running.take().is_some_and(|running| now.duration_since(running.since) >= SOUND) {
            self.pause = FIRST_PAUSE;
        }
        warn!(task = self.job.name, error = %Chain(error), retry_in = ?self.pause, "media pipeline failed");
        self.stats.failures += 1;
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.awaiting_key = true;
    }

    fn stop(&mut self, drain: bool) {
        let Some(running) = self.running.take() else { return };
        if let (Some(pipeline), Some(source), true) = (&running.pipeline, &running.source, drain)
            && !pipeline.drain(source, DRAIN)
        {
            debug!(task = self.job.name, "last frames did not come out in time");
        }
    }
}

fn max_backlog(track: &Track, seconds: f64) -> u64 {
    let rate = match (&track.format.video(), &track.format.audio()) {
        (Some(video), _) => video.frame_rate.unwrap_or(30.0),
        (_, Some(audio)) if audio.codec == AudioCodec::Aac => f64::from(audio.sample_rate) / 1024.0,
        // Packets of 20 ms are the shortest in use.
        (_, Some(_)) => 50.0,
        _ => 30.0,
    };
    ((rate * seconds) as u64).clamp(8, 1_024)
}

fn is_video(track: TrackId) -> bool {
    matches!(track, TrackId::VIDEO | TrackId::FOREIGN_VIDEO)
}

/// False if the pipeline takes nothing any more; its bus says why.
pub(super) fn push(source: &AppSrc, packet: Packet, video: bool) -> bool {
    let pts = clock(packet.pts);
    if video && packet.key {
        // Travels in front of the frame through the decoder to every encoder. Running time is the
        // stamp: the source's segment starts at zero.
        let event = gst_video::DownstreamForceKeyUnitEvent::builder()
            .timestamp(pts)
            .stream_time(pts)
            .running_time(pts)
            .all_headers(true)
            .build();
        source.send_event(event);
    }
    let mut buffer = gst::Buffer::from_slice(packet.data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(pts);
        buffer.set_dts(clock(packet.dts));
        if !packet.key {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    source.push_buffer(buffer).is_ok()
}

/// Media time as the pipelines here count it, see [`SHIFT`].
pub(super) fn clock(time: MediaTime) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(time.as_nanos().saturating_add(SHIFT)).unwrap_or(0))
}

/// When a sample that went in by [`clock`] is shown.
pub(super) fn media_time(sample: &gst::Sample) -> Option<MediaTime> {
    Some(MediaTime::from_nanos(running_time(sample)?.as_nanos() - SHIFT))
}

/// When a sample is shown on its pipeline's own clock: its running time, which undoes whatever an
/// element adds to stamps and says in its segment.
pub(super) fn running_time(sample: &gst::Sample) -> Option<MediaTime> {
    let pts = sample.buffer()?.pts()?;
    let running = sample.segment()?.downcast_ref::<gst::ClockTime>()?.to_running_time(pts)?;
    Some(MediaTime::from_nanos(i64::try_from(running.nseconds()).ok()?))
}
