use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use super::Quality;
use crate::{
    model::{Anchor, Cue, LanguageTag, MediaTime, Source},
    speech::Load,
};

/// What a subscriber receives; encoded once, shared by all.
#[derive(Debug, Clone)]
pub struct Event {
    /// The track it belongs to; none for what concerns all.
    pub lang: Option<LanguageTag>,
    /// The cue's id, where it is a cue: what to resume from.
    pub id: Option<u64>,
    /// One JSON object, UTF-8.
    pub json: Bytes,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Cue { is_final: bool },
    Status(Arc<Status>),
    End,
}

/// Where a track's live is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is publishing.
    Idle,
    /// Words may come at any time.
    Live,
    /// The publisher is away and may return.
    Reconnecting,
    /// The engine is being restarted; no word of the buffered audio is lost.
    Restarting,
    /// Recognition, or this translation, gave up; it is tried again while the live goes on.
    Failed,
}

impl Phase {
    /// As events and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Live => "live",
            Self::Reconnecting => "reconnecting",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
        }
    }
}

/// How recognition does; the publisher's comings and goings are [`Desk::set_phase`](super::Desk::set_phase)'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Words may come.
    Well,
    /// Its engine is being started again; no word of the buffered audio is lost.
    Restarting,
    /// It gave up; what is said now has no captions until it is tried again.
    Failed,
}

/// A track's state as `status` events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Status {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(serialize_with = "phase")]
    pub state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<LanguageTag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// Languages words come to now, the spoken one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<LanguageTag>,
    pub load: &'static str,
    /// Processor seconds the engine takes for a second of speech.
    pub real_time_factor: Option<f64>,
    pub lag_p50_ms: Option<u64>,
    pub lag_p95_ms: Option<u64>,
    pub final_lag_p50_ms: Option<u64>,
    pub final_lag_p95_ms: Option<u64>,
    pub ahead: Option<f64>,
    pub confidence: Option<f64>,
    pub erasure: Option<f64>,
    pub dropped: u64,
    /// How many watch the live.
    pub viewers: u32,
}

impl Status {
    /// With what is known of a track's quality.
    pub fn new(state: Phase, quality: &Quality) -> Self {
        let millis = |lag: Option<Duration>| lag.map(|lag| lag.as_millis() as u64);
        let thousandths = |figure: f64| (figure * 1e3).round() / 1e3;
        Self {
            kind: "status",
            state,
            lang: None,
            engine: None,
            model: None,
            languages: Vec::new(),
            load: Load::NORMAL.as_str(),
            real_time_factor: None,
            lag_p50_ms: millis(quality.lag_p50),
            lag_p95_ms: millis(quality.lag_p95),
            final_lag_p50_ms: millis(quality.final_lag_p50),
            final_lag_p95_ms: millis(quality.final_lag_p95),
            ahead: quality.ahead.map(thousandths),
            confidence: quality.confidence.map(thousandths),
            erasure: quality.erasure.map(thousandths),
            dropped: 0,
            viewers: 0,
        }
    }
}

impl Event {
    /// Before the live: nobody is publishing.
    pub fn idle() -> Self {
        Self::status(Status::new(Phase::Idle, &Quality::default()))
    }

    /// The live is over.
    pub fn end() -> Self {
        Self { lang: None, id: None, json: Bytes::from_static(br#"{"type":"end"}"#), kind: Kind::End }
    }

    pub(super) fn cue(cue: &Cue, anchor: Anchor) -> Self {
        let words = cue.words.iter().map(|word| SentWord {
            text: &word.text,
            start: seconds(word.start),
            end: seconds(word.end),
            confidence: (f64::from(word.confidence) * 1e3).round() / 1e3,
        });
        let sent = SentCue {
            kind: "cue",
            lang: &cue.lang,
            id: cue.id,
            rev: cue.rev,
            is_final: cue.is_final,
            start: seconds(cue.start),
            end: seconds(cue.end),
            start_pdt: wall(anchor, cue.start),
            text: &cue.text,
            stable_len: cue.stable_len,
            words: words.collect(),
            source: cue.source,
        };
        Self {
            lang: Some(cue.lang.clone()),
            id: Some(cue.id),
            json: json(&sent),
            kind: Kind::Cue { is_final: cue.is_final },
        }
    }

    pub(super) fn status(status: Status) -> Self {
        Self { lang: status.lang.clone(), id: None, json: json(&status), kind: Kind::Status(Arc::new(status)) }
    }

    /// The same event for a subscriber that has lost so many; only a status says so.
    pub(super) fn with_dropped(&self, dropped: u64) -> Self {
        match &self.kind {
            Kind::Status(status) if dropped > 0 => {
                Self::status(Status { dropped: status.dropped + dropped, ..Status::clone(status) })
            }
            _ => self.clone(),
        }
    }

    /// It is the last event of its live.
    pub fn is_end(&self) -> bool {
        matches!(self.kind, Kind::End)
    }

    /// It may be left out for a subscriber that already has a later revision waiting.
    pub(in crate::captions) fn is_partial(&self) -> bool {
        matches!(self.kind, Kind::Cue { is_final: false })
    }
}

#[derive(Serialize)]
struct SentCue<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    lang: &'a LanguageTag,
    id: u64,
    rev: u32,
    #[serde(rename = "final")]
    is_final: bool,
    start: f64,
    end: f64,
    start_pdt: String,
    text: &'a str,
    stable_len: usize,
    words: Vec<SentWord<'a>>,
    source: Source,
}

#[derive(Serialize)]
struct SentWord<'a> {
    text: &'a str,
    start: f64,
    end: f64,
    confidence: f64,
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and lists: nothing here can fail to serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn phase<S: serde::Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(phase.as_str())
}

/// Seconds to the millisecond.
fn seconds(time: MediaTime) -> f64 {
    (time.as_nanos() as f64 / 1e6).round() / 1e3
}

/// Programme date-time of a media time, RFC 3339 in UTC with milliseconds.
fn wall(anchor: Anchor, time: MediaTime) -> String {
    let wall = anchor.wall(MediaTime::from_millis((time.as_nanos() as f64 / 1e6).round() as i64));
    let since = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let stamp = jiff::Timestamp::from_millisecond(i64::try_from(since.as_millis()).unwrap_or(0)).unwrap_or_default();
    format!("{stamp:.3}")
}
