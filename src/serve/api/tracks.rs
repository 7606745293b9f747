//! What a channel's captions are made of, and what is missing.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::{
    model::LanguageTag,
    serve::{
        Server,
        board::OnAir,
        problem::{Problem, Result},
    },
    store::Channel,
};

/// One caption track of a live.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Track {
    /// Its language.
    pub lang: String,
    /// `whisper`, `vosk`, `fx` or `ct2`.
    pub engine: Option<String>,
    /// Id of its model; two joined by `+` where a translation goes through English.
    pub model: Option<String>,
    /// Words come to it; otherwise the live's language or translations have changed, and it rests.
    pub current: bool,
    /// `live`, `reconnecting`, `restarting`, or `failed`: no words come until recognition, or this translation
    /// alone, works; it is tried again every half minute at least.
    pub state: &'static str,
    /// What is left out because recognition of the live cannot keep up, in the order it goes: `normal` nothing,
    /// `partials` words that may still change, `translation` translations of unfinished sentences too, `refresh`
    /// more sound is awaited before it is recognised. It comes back when it can.
    pub load: &'static str,
    /// Seconds that recognition took for a second of the live's sound over the last two minutes, those spent
    /// waiting for other lives of the same model included; near 1 it falls behind. Null until known.
    pub real_time_factor: Option<f64>,
    /// Pieces of audio and text lost on their way to this track; 0 when all is well.
    pub dropped: u64,
    /// End of a word → its text published for good, in milliseconds: median. This and what follows is of the
    /// last five minutes, and null until something is known.
    pub lag_p50_ms: Option<u64>,
    /// The same, 95th percentile.
    pub lag_p95_ms: Option<u64>,
    /// End of a word → its cue's last revision, in milliseconds: median.
    pub final_lag_p50_ms: Option<u64>,
    /// The same, 95th percentile.
    pub final_lag_p95_ms: Option<u64>,
    /// Share of words, 0 to 1, published for good before the picture of a player reached their end that stays
    /// PART-HOLD-BACK behind the newest part.
    pub ahead: Option<f64>,
    /// The engine's mean confidence in its words, 0 to 1; null for translations.
    pub confidence: Option<f64>,
    /// Flicker: words taken back for each word that stayed (normalized erasure); 0 is none.
    pub erasure: Option<f64>,
}

/// A language whose captions cannot be made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Missing {
    /// The one spoken, or one to translate into.
    pub lang: String,
    /// Why not, and what to run.
    pub reason: String,
}

/// Tracks, the language spoken now first, those that rest last.
pub(super) fn captions(live: &OnAir) -> Vec<Track> {
    let lineup = live.desk.lineup();
    let current = lineup.current.iter().map(|lang| track(live, lang, true));
    current.chain(lineup.resting.iter().map(|lang| track(live, lang, false))).collect()
}

/// What of a channel's captions cannot be made here.
pub(super) async fn missing(server: &Server, channel: &Channel) -> Result<Vec<Missing>> {
    let (missing, channel) = (server.missing.clone(), channel.clone());
    spawn_blocking(move || missing(&channel)).await.map_err(Problem::internal)
}

fn track(live: &OnAir, lang: &LanguageTag, current: bool) -> Track {
    let (engine, model) = live.desk.maker(lang).unzip();
    let pace = live.desk.pace();
    let quality = live.desk.quality(lang, live.stream.at(Instant::now())).unwrap_or_default();
    let millis = |lag: Option<Duration>| lag.map(|lag| lag.as_millis() as u64);
    let thousandths = |figure: Option<f64>| figure.map(|figure| (figure * 1e3).round() / 1e3);
    Track {
        lang: lang.to_string(),
        engine,
        model,
        current,
        state: live.desk.phase_of(lang).as_str(),
        load: pace.load.as_str(),
        real_time_factor: pace.real_time_factor,
        dropped: live.desk.dropped(lang),
        lag_p50_ms: millis(quality.lag_p50),
        lag_p95_ms: millis(quality.lag_p95),
        final_lag_p50_ms: millis(quality.final_lag_p50),
        final_lag_p95_ms: millis(quality.final_lag_p95),
        ahead: thousandths(quality.ahead),
        confidence: thousandths(quality.confidence),
        erasure: thousandths(quality.erasure),
    }
}
