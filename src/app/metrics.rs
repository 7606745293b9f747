//! Metrics: rooms count events with the `metrics` macros; what is, rather than happens, is looked up
//! when somebody asks, so that series go with what they are about. Rendered for Prometheus.

use std::{
    fmt::{Display, Write as _},
    fs,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{
    captions::Quality,
    serve::{
        board::{Board, OnAir, state_of},
        viewers::Viewers,
    },
    speech::{EngineStatus, Engines},
};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting; returns what renders `/metrics`. Labels are bounded: channels on air, their caption
/// languages, engines.
///
/// # Errors
/// Another recorder is installed in this process.
pub(super) fn install(board: Board, engines: Engines) -> Result<Arc<dyn Fn() -> String + Send + Sync>> {
    if HANDLE.get().is_none() {
        let handle = PrometheusBuilder::new().install_recorder().context("cannot count metrics")?;
        let _ = HANDLE.set(handle);
    }
    let handle = HANDLE.get().cloned().context("cannot count metrics")?;
    Ok(Arc::new(move || {
        handle.run_upkeep();
        let mut page = Page::new(handle.render());
        lives(&mut page, &board.all());
        speech(&mut page, &engines.status());
        process(&mut page);
        page.0
    }))
}

/// Text of Prometheus's exposition format, version 0.0.4.
struct Page(String);

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Page {
    fn new(text: String) -> Self {
        Self(text)
    }

    /// One metric: a name, what it means, and its samples as labels and value. Without samples nothing.
    fn metric<V: Display>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, String)>, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let text = &mut self.0;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        text.push('\n');
    }

    fn one<V: Display>(&mut self, kind: Kind, name: &str, help: &str, value: Option<V>) {
        self.metric(kind, name, help, value.map(|value| (Vec::new(), value)));
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn lives(page: &mut Page, lives: &[Arc<OnAir>]) {
    use Kind::{Counter, Gauge};
    let label = |live: &OnAir| vec![("channel", live.stream.name.to_string())];
    let running = lives.iter().filter(|live| state_of(Some(&live.stream)) != "ended").count();
    page.one(Gauge, "amphi_lives", "Lives that have not ended.", Some(running));
    let publishing = lives.iter().map(|live| (label(live), u8::from(state_of(Some(&live.stream)) == "live")));
    page.metric(Gauge, "amphi_live_publishing", "Whether a publisher is connected.", publishing);

    type OfLive = fn(&OnAir) -> u64;
    let of_lives: [(Kind, &str, &str, OfLive); 8] = [
        (Counter, "amphi_live_received_bytes_total", "Media bytes from the publisher.", |l| l.stream.stats().bytes),
        (Counter, "amphi_live_received_frames_total", "Video frames from the publisher.", |l| {
            l.stream.stats().video_frames
        }),
        (Counter, "amphi_live_reconnects_total", "Times the publisher came back.", |l| {
            l.stream.stats().reconnects.into()
        }),
        (Counter, "amphi_live_bus_dropped_total", "Packets that slow readers inside the server lost.", |l| {
            l.stream.producer.dropped()
        }),
        (Gauge, "amphi_hls_held_requests", "Requests held until the next part.", |l| l.hls.held() as u64),
        (Gauge, "amphi_hls_window_bytes", "Media in memory for players.", |l| l.hls.bytes() as u64),
        (Gauge, "amphi_captions_failed", "Whether recognition gave up.", |l| {
            u64::from(l.desk.phase() == crate::captions::Phase::Failed)
        }),
        (
            Gauge,
            "amphi_captions_load",
            "What is left out to keep up: 0 nothing, 1 partials, 2 unfinished translations, 3 to 5 ever more refreshes.",
            |l| l.desk.pace().load.level().into(),
        ),
    ];
    for (kind, name, help, value) in of_lives {
        page.metric(kind, name, help, lives.iter().map(|live| (label(live), value(live))));
    }
    let watching = lives.iter().flat_map(|live| {
        let Viewers { hls, whep, rtsp } = live.viewers();
        [("hls", hls), ("whep", whep), ("rtsp", rtsp)].map(|(protocol, count)| {
            let protocol = ("protocol", protocol.to_owned());
            (label(live).into_iter().chain([protocol]).collect(), count)
        })
    });
    page.metric(Gauge, "amphi_live_viewers", "Who watches: sessions, and players seen within 10 seconds.", watching);
    let factors = lives.iter().filter_map(|live| Some((label(live), live.desk.pace().real_time_factor?)));
    let help =
        "Seconds recognition took for a second of sound over the last 2 minutes, waiting for other lives included.";
    page.metric(Gauge, "amphi_captions_real_time_factor", help, factors);

    let tracks = || {
        lives.iter().flat_map(|live| {
            live.desk.lineup().all().cloned().collect::<Vec<_>>().into_iter().map(move |lang| (live, lang))
        })
    };
    let labels = |live: &OnAir, lang: &crate::model::LanguageTag| {
        let mut labels = label(live);
        labels.push(("lang", lang.to_string()));
        labels
    };
    let tracks_quality: Vec<_> = tracks()
        .filter_map(|(live, lang)| {
            Some((labels(live, &lang), live.desk.quality(&lang, live.stream.at(Instant::now()))?))
        })
        .collect();
    type Quantiles = fn(&Quality) -> [Option<Duration>; 2];
    let lags: [(&str, &str, Quantiles); 2] = [
        ("amphi_captions_lag_seconds", "End of a word to its text published for good, over the last 5 minutes.", |q| {
            [q.lag_p50, q.lag_p95]
        }),
        (
            "amphi_captions_final_lag_seconds",
            "End of a word to its cue's last revision, over the last 5 minutes.",
            |q| [q.final_lag_p50, q.final_lag_p95],
        ),
    ];
    for (name, help, lags) in lags {
        let samples = tracks_quality.iter().flat_map(|(labels, quality)| {
            ["0.5", "0.95"].into_iter().zip(lags(quality)).filter_map(move |(quantile, lag)| {
                let quantile = ("quantile", quantile.to_owned());
                Some((labels.iter().cloned().chain([quantile]).collect(), lag?.as_secs_f64()))
            })
        });
        page.metric(Gauge, name, help, samples);
    }
    type Share = fn(&Quality) -> Option<f64>;
    let shares: [(&str, &str, Share); 3] = [
        (
            "amphi_captions_ahead_ratio",
            "Words published for good before a player PART-HOLD-BACK behind the newest part reached their end.",
            |q| q.ahead,
        ),
        ("amphi_captions_confidence_ratio", "The engine's mean confidence in its words.", |q| q.confidence),
        ("amphi_captions_erasure_ratio", "Words taken back for each word that stayed (flicker).", |q| q.erasure),
    ];
    for (name, help, share) in shares {
        let samples = tracks_quality.iter().filter_map(|(labels, quality)| Some((labels.clone(), share(quality)?)));
        page.metric(Gauge, name, help, samples);
    }
    let dropped = tracks().map(|(live, lang)| (labels(live, &lang), live.desk.dropped(&lang)));
    let help = "Pieces of audio and text that never reached the track.";
    page.metric(Counter, "amphi_captions_dropped_total", help, dropped);

    let recordings = || lives.iter().filter_map(|live| Some((label(live), live.recording.as_ref()?.status())));
    let written = recordings().map(|(label, status)| (label, status.written));
    page.metric(Counter, "amphi_recorder_written_bytes_total", "Media on the disk.", written);
    let queued = recordings().map(|(label, status)| (label, status.queued));
    page.metric(Gauge, "amphi_recorder_queued_bytes", "What waits for the disk.", queued);
    let dropped = recordings().map(|(label, status)| (label, status.dropped));
    let help = "Parts lost because the disk was too slow or failed.";
    page.metric(Counter, "amphi_recorder_dropped_parts_total", help, dropped);
    let failed = recordings().map(|(label, status)| (label, u8::from(status.failure.is_some())));
    page.metric(Gauge, "amphi_recorder_failed", "Whether nothing is written any more.", failed);
}

fn speech(page: &mut Page, engines: &[EngineStatus]) {
    let label = |status: &EngineStatus| {
        let model = status.model_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        vec![("engine", status.engine.as_str().to_owned()), ("model", model)]
    };
    let up = engines.iter().map(|status| (label(status), u8::from(status.pid.is_some())));
    page.metric(Kind::Gauge, "amphi_engine_up", "Whether the engine's process runs.", up);
    let restarts = engines.iter().map(|status| (label(status), status.restarts));
    page.metric(Kind::Counter, "amphi_engine_restarts_total", "Times it crashed or hung.", restarts);
    let renewals = engines.iter().map(|status| (label(status), status.renewals));
    let help = "Times it was started again before it outgrew captions.engine_memory.";
    page.metric(Kind::Counter, "amphi_engine_renewals_total", help, renewals);
    let streams = engines.iter().map(|status| (label(status), status.streams));
    page.metric(Kind::Gauge, "amphi_engine_streams", "Lives it hears.", streams);
    // Seconds of work for each second of a live it hears: its real-time factor.
    let cpu = engines.iter().filter_map(|status| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", status.pid?)).ok()?;
        Some((label(status), cpu_seconds(&stat)?))
    });
    page.metric(Kind::Counter, "amphi_engine_cpu_seconds_total", "Its process's user and system time.", cpu);
    let stable = engines.iter().map(|status| (label(status), status.tally.stable));
    let help = "Words it called stable before their utterance was over.";
    page.metric(Kind::Counter, "amphi_engine_stable_words_total", help, stable);
    let overruled = engines.iter().map(|status| (label(status), status.tally.overruled));
    let help = "Stable words that it would have taken back when the utterance was over; they stood.";
    page.metric(Kind::Counter, "amphi_engine_overruled_words_total", help, overruled);
    let resident = engines.iter().filter_map(|status| Some((label(status), status.rss?)));
    page.metric(Kind::Gauge, "amphi_engine_resident_memory_bytes", "Its memory.", resident);
}

/// The names every Prometheus dashboard knows; what the system does not tell is left out.
fn process(page: &mut Page) {
    let memory = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status));
    page.one(Kind::Gauge, "process_resident_memory_bytes", "The server's memory.", memory);
    let time = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat));
    page.one(Kind::Counter, "process_cpu_seconds_total", "The server's user and system time.", time);
    let open = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    page.one(Kind::Gauge, "process_open_fds", "Open descriptors.", open);
}

/// `VmRSS` of `/proc/PID/status`, in kB there (proc(5)).
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Fields 14 and 15 of `/proc/PID/stat`, in ticks, of which Linux shows programs 100 a second (proc(5)).
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_prometheus_format() {
        let mut page = Page::new("before 1\n".into());
        let label = |value: &str| vec![("channel", value.to_owned()), ("lang", "en".to_owned())];
        page.metric(Kind::Counter, "amphi_x_total", "What.", [(label("a"), 1.5), (label("q\"\\\n"), 0.25)]);
        page.one(Kind::Gauge, "amphi_y", "Why.", Some(7));
        page.one(Kind::Gauge, "amphi_z", "Not there.", None::<u8>);
        assert_eq!(
            page.0,
            "before 1\n\
             # HELP amphi_x_total What.\n# TYPE amphi_x_total counter\n\
             amphi_x_total{channel=\"a\",lang=\"en\"} 1.5\n\
             amphi_x_total{channel=\"q\\\"\\\\\\n\",lang=\"en\"} 0.25\n\n\
             # HELP amphi_y Why.\n# TYPE amphi_y gauge\namphi_y 7\n\n"
        );
    }

    #[test]
    fn the_process_knows_itself() {
        let mut page = Page::new(String::new());
        process(&mut page);
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"] {
            let line = page.0.lines().find(|line| line.starts_with(name)).unwrap();
            let value: f64 = line.split(' ').next_back().unwrap().parse().unwrap();
            assert!(value >= if name.contains("cpu") { 0.0 } else { 1.0 }, "{line}");
        }
        assert_eq!(cpu_seconds("7 (a) b) S 1 7 7 0 -1 0 1 0 2 0 250 50 9 9"), Some(3.0));
    }
}
