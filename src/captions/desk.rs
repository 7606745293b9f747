use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::{
    Event, Hearing, Ids, Lane, Lineup, Phase, Quality, Subscription, TrackSpec,
    event::Status,
    lineup::Past,
    subscription::Log,
    text,
    track::{Stored, Track},
    vtt,
};
use crate::{
    model::{Anchor, Cue, Hypothesis, LanguageTag, MediaTime, Part, Source},
    speech::Pace,
};

/// The captions of one live: its tracks, their readers, their WebVTT lanes. Shared.
///
/// Every method is short and takes the time as an argument.
#[derive(Debug)]
pub struct Desk {
    anchor: Anchor,
    ids: Ids,
    hold: Duration,
    inner: Mutex<Inner>,
    finals: broadcast::Sender<Arc<Cue>>,
}

/// Why a correction was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectError {
    /// No such track, or no such cue in it.
    #[error("there is no cue {id} in the {lang} track")]
    Unknown {
        /// The track asked for.
        lang: LanguageTag,
        /// The cue asked for.
        id: u64,
    },
    /// The recogniser is still at it.
    #[error("cue {0} is not final yet: try again when it is")]
    Open(u64),
    /// Nothing would be left.
    #[error("the text is empty")]
    Empty,
    /// Nobody would see it: neither subscribers nor the recording take anything any more.
    #[error("the live is over and its recording is closed: correct the recording's WebVTT file instead")]
    Over,
}

#[derive(Debug)]
struct Inner {
    tracks: BTreeMap<LanguageTag, Track>,
    lineup: Arc<Lineup>,
    past: Past,
    log: Log,
    phase: Phase,
    hearing: Hearing,
    pace: Pace,
    ended: bool,
    hold_back: Option<Duration>,
    viewers: u32,
}

/// A new subscriber gets the cues of this long.
const REPLAY: Duration = Duration::from_secs(30);
/// Cues a resuming subscriber gets at most: two hours of eleven tracks.
const MOST_REPLAYED: usize = 20_000;
/// Cues kept of a track: more than a day of speech.
const MOST_CUES: usize = 60_000;
/// Characters of a correction.
const CORRECTION: usize = 500;
/// What playlists list at least until [`Desk::keep_parts`] says otherwise.
const WINDOW: Duration = Duration::from_secs(60);
/// Final cues an observer may be behind.
const FINALS: usize = 1_024;

impl Desk {
    /// A desk for a live that begins; its tracks are there from the start, the spoken language's first.
    /// `hold` is how far behind the newest part players stay for certain, see [`Lane::new`].
    pub fn new(anchor: Anchor, tracks: impl IntoIterator<Item = TrackSpec>, hold: Duration) -> Arc<Self> {
        let (finals, _) = broadcast::channel(FINALS);
        let inner = Inner {
            tracks: BTreeMap::new(),
            lineup: Arc::default(),
            past: Past::new(WINDOW),
            log: Log::new(),
            phase: Phase::Live,
            hearing: Hearing::Well,
            pace: Pace::default(),
            ended: false,
            hold_back: None,
            viewers: 0,
        };
        let desk = Self { anchor, ids: Ids::new(), hold, inner: Mutex::new(inner), finals };
        let tracks: Vec<_> = tracks.into_iter().collect();
        desk.lock().line_up(&tracks, &desk.ids, hold);
        Arc::new(desk)
    }

    /// From now on words come to these tracks, the spoken language's first. Those that are missing are
    /// made; others rest, with what they have. Subscribers hear of it at once. Tracks that were there
    /// already stay what they are made of until [`Desk::make_with`].
    pub fn line_up(&self, tracks: &[TrackSpec], now: MediaTime) {
        self.lock().line_up(tracks, &self.ids, self.hold);
        self.report(now);
    }

    /// The words of these tracks come from other engines or models from now on; call it between two
    /// utterances. Ids go on rising, and subscribers hear of it at once.
    pub fn make_with(&self, tracks: &[TrackSpec], now: MediaTime) {
        let mut changed = false;
        let inner = &mut *self.lock();
        for track in inner.tracks.values_mut() {
            for cue in track.builder.leave() {
                self.publish(track, &mut inner.log, cue, now);
            }
        }
        for spec in tracks {
            let Some(track) = inner.tracks.get_mut(&spec.lang) else { continue };
            changed |= (&*track.engine, &*track.model) != (&*spec.engine, &*spec.model);
            (track.engine, track.model) = (spec.engine.as_str().into(), spec.model.as_str().into());
            track.builder.set_dress(spec.dress.clone());
            track.failing = false;
        }
        if changed {
            inner.report(now);
        }
    }

    /// The tracks there are now. The same allocation until they change.
    pub fn lineup(&self) -> Arc<Lineup> {
        self.lock().lineup.clone()
    }

    /// The engine and the model of a track.
    pub fn maker(&self, lang: &LanguageTag) -> Option<(String, String)> {
        let inner = self.lock();
        let track = inner.tracks.get(lang)?;
        Some((track.engine.to_string(), track.model.to_string()))
    }

    /// The counter cue ids come from.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Takes what the recogniser of `lang` believes at `now`, publishes what changed and
    /// returns it. Nothing where there is no such track.
    pub fn apply_hypothesis(&self, lang: &LanguageTag, hypothesis: &Hypothesis, now: MediaTime) -> Vec<Cue> {
        let inner = &mut *self.lock();
        let Some(track) = inner.tracks.get_mut(lang) else { return Vec::new() };
        track.builder.set_guesses(!inner.pace.load.sheds_partials());
        let cues = track.builder.apply(hypothesis, now);
        for cue in &cues {
            self.publish(track, &mut inner.log, cue.clone(), now);
        }
        cues
    }

    /// As [`Desk::apply_hypothesis`], where none has come: words that waited for the next one wait no longer.
    pub fn settle(&self, lang: &LanguageTag, now: MediaTime) -> Vec<Cue> {
        let inner = &mut *self.lock();
        let Some(track) = inner.tracks.get_mut(lang) else { return Vec::new() };
        let cues = track.builder.settle(now);
        for cue in &cues {
            self.publish(track, &mut inner.log, cue.clone(), now);
        }
        cues
    }

    /// Publishes cues made elsewhere, as a translation is. Ids come from [`Desk::ids`].
    pub fn apply_cues(&self, cues: impl IntoIterator<Item = Cue>, now: MediaTime) {
        let inner = &mut *self.lock();
        for cue in cues {
            if let Some(track) = inner.tracks.get_mut(&cue.lang) {
                self.publish(track, &mut inner.log, cue, now);
            }
        }
    }

    /// A person corrects a final cue: websocket, track and archive have the new text, parts that
    /// are published keep the old one.
    ///
    /// # Errors
    /// [`CorrectError`] says what to do.
    pub fn correct(&self, lang: &LanguageTag, id: u64, text: &str, now: MediaTime) -> Result<Cue, CorrectError> {
        let text = text::plain(text, CORRECTION);
        if text.is_empty() {
            return Err(CorrectError::Empty);
        }
        let inner = &mut *self.lock();
        if inner.ended {
            return Err(CorrectError::Over);
        }
        let unknown = || CorrectError::Unknown { lang: lang.clone(), id };
        let track = inner.tracks.get_mut(lang).ok_or_else(unknown)?;
        let old = &track.cues.get(&id).filter(|stored| !stored.is_withdrawn()).ok_or_else(unknown)?.cue;
        if !old.is_final {
            return Err(CorrectError::Open(id));
        }
        let stable_len = text::chars(&text);
        let rev = old.rev.saturating_add(1);
        let cue = Cue { rev, text, stable_len, words: Vec::new(), source: Source::Human, ..old.clone() };
        self.publish(track, &mut inner.log, cue.clone(), now);
        Ok(cue)
    }

    /// A cue as subscribers receive it.
    pub fn event(&self, cue: &Cue) -> Event {
        Event::cue(cue, self.anchor)
    }

    /// One caption part for every track, in lock step with `reference`, a part of the video
    /// rendition (of the audio where there is no video). Call it for each, in order. For a track that
    /// has come since the last call, the parts of all that playlists still list come first.
    pub fn parts(&self, reference: &Part) -> Vec<Part> {
        self.lock().parts(reference, Lane::part)
    }

    /// As [`Desk::parts`], for the live's last part: whatever still waits goes with it.
    pub fn last_parts(&self, reference: &Part) -> Vec<Part> {
        self.lock().parts(reference, Lane::last_part)
    }

    /// Playlists list so much at least: as far back a track that comes late has parts.
    pub fn keep_parts(&self, window: Duration) {
        self.lock().past.set_window(window);
    }

    /// A reader of one track or of all: the cues of the last 30 s, or with `since` every cue that changed or was
    /// withdrawn since that one appeared; then a status; then what happens. An id that is not known stands for
    /// the next one that is, and beyond them all for none: it is of another live.
    pub fn subscribe(self: &Arc<Self>, lang: Option<LanguageTag>, since: Option<u64>, now: MediaTime) -> Subscription {
        let inner = self.lock();
        let chosen = |track: &&LanguageTag| lang.as_ref().is_none_or(|lang| lang == *track);
        let tracks = || inner.tracks.iter().filter(|(track, _)| chosen(track)).map(|(_, track)| track);
        let stored = tracks().flat_map(|track| track.cues.values());
        let mut replay: Vec<&Stored> = match since.and_then(|id| inner.born(id)) {
            Some(born) => stored.filter(|cue| cue.updated >= born).collect(),
            None => stored.filter(|cue| !cue.is_withdrawn() && now.since(cue.cue.end) <= REPLAY).collect(),
        };
        replay.sort_by_key(|stored| stored.cue.id);
        let skipped = replay.len().saturating_sub(MOST_REPLAYED);
        let mut events: VecDeque<_> = replay.into_iter().skip(skipped).map(|stored| stored.event.clone()).collect();
        events.extend(tracks().map(|track| Arc::new(Event::status(inner.status(track, now)))));
        if tracks().next().is_none() {
            events.push_back(Arc::new(Event::status(inner.bare_status())));
        }
        if inner.ended {
            events.push_back(Arc::new(Event::end()));
        }
        let (next, head) = (inner.log.end(), inner.log.watch());
        drop(inner);
        Subscription::new(self.clone(), lang, events, skipped as u64, next, head)
    }

    /// Tells every subscriber how each track does. Call it about every 5 s.
    pub fn report(&self, now: MediaTime) {
        self.lock().report(now);
    }

    /// How many watch; what is told from now on says so.
    pub fn watched_by(&self, viewers: u32) {
        self.lock().viewers = viewers;
    }

    /// The publisher goes away or comes back; subscribers hear of it at once.
    pub fn set_phase(&self, phase: Phase, now: MediaTime) {
        self.change(now, |inner| inner.phase = phase);
    }

    /// Recognition fails or works again; subscribers hear of it at once.
    pub fn set_hearing(&self, hearing: Hearing, now: MediaTime) {
        self.change(now, |inner| inner.hearing = hearing);
    }

    /// A translation fails or works again; subscribers hear of it at once.
    pub fn set_failing(&self, lang: &LanguageTag, failing: bool, now: MediaTime) {
        let inner = &mut *self.lock();
        let Some(track) = inner.tracks.get_mut(lang) else { return };
        if std::mem::replace(&mut track.failing, failing) != failing {
            inner.report(now);
        }
    }

    /// How recognition keeps up; subscribers hear at once of what is left out.
    pub fn set_pace(&self, pace: Pace, now: MediaTime) {
        self.change(now, |inner| inner.pace = pace);
    }

    /// How recognition keeps up.
    pub fn pace(&self) -> Pace {
        self.lock().pace
    }

    /// What subscribers are told, but for translations that fail.
    pub fn phase(&self) -> Phase {
        self.lock().shown()
    }

    /// What subscribers of a track are told.
    pub fn phase_of(&self, lang: &LanguageTag) -> Phase {
        let inner = self.lock();
        inner.tracks.get(lang).map_or_else(|| inner.shown(), |track| inner.phase(track))
    }

    /// So many pieces of audio or text were lost before they reached `lang`'s track.
    pub fn lost(&self, lang: &LanguageTag, count: u64) {
        if let Some(track) = self.lock().tracks.get_mut(lang) {
            track.dropped += count;
        }
    }

    /// The live is over: every subscriber is told and its stream ends.
    pub fn end(&self, now: MediaTime) {
        let inner = &mut *self.lock();
        if !std::mem::replace(&mut inner.ended, true) {
            inner.log.push(Arc::new(Event::end()), now);
        }
    }

    /// The final cues of a track so far, corrections included, in order.
    pub fn track(&self, lang: &LanguageTag) -> Option<Vec<Cue>> {
        let inner = self.lock();
        let cues = inner.tracks.get(lang)?.cues.values().filter(|stored| !stored.is_withdrawn());
        Some(cues.map(|stored| &stored.cue).filter(|cue| cue.is_final).cloned().collect())
    }

    /// What a track says now of a time that is over, with true times, as a WebVTT segment.
    pub fn segment(&self, lang: &LanguageTag, start: MediaTime, duration: Duration) -> Option<Bytes> {
        let (from, to) = (start - vtt::AROUND, start + duration + vtt::AROUND);
        let inner = self.lock();
        // The newest are asked for most.
        let newest_first = inner.tracks.get(lang)?.cues.values().rev().map(|stored| &stored.cue);
        let near = newest_first.skip_while(|cue| cue.start >= to).take_while(|cue| cue.end > from);
        let mut cues: Vec<_> = near.filter(|cue| cue.is_final && !cue.text.is_empty()).cloned().collect();
        drop(inner);
        cues.sort_by_key(|cue| (cue.start, cue.id));
        Some(vtt::segment(&cues, start, start + duration))
    }

    /// The whole track so far as WebVTT with true times.
    pub fn document(&self, lang: &LanguageTag) -> Option<String> {
        Some(vtt::document(&self.track(lang)?))
    }

    /// Final and corrected cues of all tracks from now on. One that falls 1,024 behind is told
    /// and may read [`Desk::track`] again.
    pub fn cues(&self) -> broadcast::Receiver<Arc<Cue>> {
        self.finals.subscribe()
    }

    /// How far behind the newest part players stay at least: what words have to be ahead of.
    pub fn set_hold_back(&self, hold_back: Duration) {
        self.lock().hold_back = Some(hold_back);
    }

    /// How a track has done over the last five minutes; none where there is no such track.
    pub fn quality(&self, lang: &LanguageTag, now: MediaTime) -> Option<Quality> {
        let inner = self.lock();
        Some(inner.tracks.get(lang)?.figures.quality(now, inner.hold_back))
    }

    /// Pieces of audio or text that never reached a track, and cues too late for its WebVTT.
    pub fn dropped(&self, lang: &LanguageTag) -> u64 {
        self.lock().tracks.get(lang).map_or(0, Track::dropped)
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.lock().log)
    }

    /// Every subscriber hears of what changes what is shown, once.
    fn change(&self, now: MediaTime, change: impl FnOnce(&mut Inner)) {
        let changed = {
            let inner = &mut *self.lock();
            let shown = |inner: &Inner| (inner.shown(), inner.pace.load);
            let before = shown(inner);
            change(inner);
            shown(inner) != before
        };
        if changed {
            self.report(now);
        }
    }

    fn publish(&self, track: &mut Track, log: &mut Log, cue: Cue, now: MediaTime) {
        track.figures.take(&cue, now);
        track.lane.push(&cue);
        let event = Arc::new(self.event(&cue));
        let number = log.push(event.clone(), now);
        if cue.is_final && !cue.text.is_empty() {
            let _ = self.finals.send(Arc::new(cue.clone()));
        }
        let born = track.cues.get(&cue.id).map_or(number, |stored| stored.born);
        track.cues.insert(cue.id, Stored { cue, event, born, updated: number });
        if track.cues.len() > MOST_CUES {
            track.cues.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn line_up(&mut self, tracks: &[TrackSpec], ids: &Ids, hold: Duration) {
        for spec in tracks {
            self.tracks.entry(spec.lang.clone()).or_insert_with(|| Track::new(spec, ids, hold));
        }
        let current: Vec<_> = tracks.iter().map(|spec| spec.lang.clone()).collect();
        let resting = self.tracks.keys().filter(|lang| !current.contains(lang)).cloned().collect();
        self.lineup = Arc::new(Lineup { current, resting });
    }

    fn parts(&mut self, reference: &Part, make: fn(&mut Lane, &Part) -> Part) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.tracks.len());
        for track in self.tracks.values_mut() {
            if !std::mem::replace(&mut track.in_step, true) {
                parts.extend(self.past.iter().map(|missed| track.lane.part(missed)));
            }
            parts.push(make(&mut track.lane, reference));
        }
        self.past.push(reference);
        parts
    }

    fn report(&mut self, now: MediaTime) {
        for track in self.tracks.values() {
            self.log.push(Arc::new(Event::status(self.status(track, now))), now);
        }
        if self.tracks.is_empty() {
            self.log.push(Arc::new(Event::status(self.bare_status())), now);
        }
    }

    /// Number in the log of the first revision of the cue `id`, or of the next one that is known.
    fn born(&self, id: u64) -> Option<u64> {
        let next = self.tracks.values().filter_map(|track| track.cues.range(id..).next());
        next.min_by_key(|(id, _)| **id).map(|(_, stored)| stored.born)
    }

    /// Broken captions are worth more of a reader's attention than a publisher that is away; captions
    /// that are about to be mended less.
    fn shown(&self) -> Phase {
        match (self.hearing, self.phase) {
            (Hearing::Failed, _) => Phase::Failed,
            (Hearing::Restarting, Phase::Live) => Phase::Restarting,
            (_, phase) => phase,
        }
    }

    /// Nobody translates into a track that rests.
    fn phase(&self, track: &Track) -> Phase {
        let fails = track.failing && self.lineup.current.contains(track.builder.lang());
        if fails { Phase::Failed } else { self.shown() }
    }

    fn status(&self, track: &Track, now: MediaTime) -> Status {
        Status {
            lang: Some(track.builder.lang().clone()),
            engine: Some(track.engine.clone()),
            model: Some(track.model.clone()),
            dropped: track.dropped(),
            ..self.status_of(self.phase(track), &track.figures.quality(now, self.hold_back))
        }
    }

    /// For those whom no track concerns.
    fn bare_status(&self) -> Status {
        self.status_of(self.shown(), &Quality::default())
    }

    fn status_of(&self, phase: Phase, quality: &Quality) -> Status {
        Status {
            languages: self.lineup.current.clone(),
            load: self.pace.load.as_str(),
            real_time_factor: self.pace.real_time_factor,
            viewers: self.viewers,
            ..Status::new(phase, quality)
        }
    }
}
