//! Packets of one live in; parts out to playlists, caption lanes and the recording.
//!
//! While the publisher is away, what [`still`](crate::still) makes goes in, and out to playlists and
//! lanes alone. It enters here and not on the bus, since nobody else needs it: the ladder has nothing
//! to encode, speech nothing to hear, the recording nothing to keep; for those who go back, the recorder has it
//! beside. What stands in for half a publisher is recorded with the other half.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::broadcast,
    time::{self, MissedTickBehavior},
};

use super::languages;
use crate::{
    archive::Recorder,
    captions::Lineup,
    cmaf::{self, Output, Packager},
    hls,
    media::ladder::LadderSettings,
    model::{Chain, Cue, Packet, Part, RenditionId, Track, TrackId},
    serve::board::OnAir,
    still::{Floor, Pace, Pauses, Sound, StandIn},
    stream::{Consumer, Event},
};

/// Owns the packager of one live and hands on what it makes, in order.
pub(super) struct Presenter<'a> {
    on_air: &'a OnAir,
    recorder: Option<&'a Recorder>,
    ladder: LadderSettings,
    terms: Terms,
    /// The caption tracks that playlists list.
    lineup: Arc<Lineup>,
    cuts: cmaf::Settings,
    packager: Packager,
    still: StandIn,
    pauses: Pauses,
    floor: Floor,
    /// Empty; these keep their allocation from packet to packet.
    sounds: Vec<Sound>,
    packets: Vec<Packet>,
    filling: Vec<Packet>,
    outputs: Vec<Output>,
    open: bool,
    /// Which output is the live's last part, once it ends.
    last: Option<usize>,
}

/// What playlists say from the start to the end of a live.
pub(super) struct Terms {
    /// How much they list.
    pub window: Duration,
    /// Players stay at least so far behind the newest part, or three parts if that is more.
    pub hold_back: Duration,
    /// How far players may go back in a live that is recorded; zero: not at all.
    pub rewind: Duration,
}

impl<'a> Presenter<'a> {
    /// A presenter of a live that is offered on these terms.
    pub fn new(on_air: &'a OnAir, recorder: Option<&'a Recorder>, ladder: LadderSettings, terms: Terms) -> Self {
        let cuts = cmaf::Settings::default();
        Self {
            on_air,
            recorder,
            ladder,
            terms,
            lineup: Arc::default(),
            cuts,
            packager: Packager::new(cuts),
            still: StandIn::default(),
            pauses: Pauses::default(),
            floor: Floor::default(),
            sounds: Vec::new(),
            packets: Vec::new(),
            filling: Vec::new(),
            outputs: Vec::new(),
            open: false,
            last: None,
        }
    }

    /// Presents until the publisher is gone for good. `cues` are those the recording keeps.
    pub async fn run(&mut self, mut packets: Consumer, cues: &mut broadcast::Receiver<Arc<Cue>>) {
        let mut clock = time::interval(self.cuts.part / 2);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = packets.recv_at_ease() => {
                    let Some(event) = event else { break };
                    self.take(event);
                    self.publish();
                }
                _ = clock.tick(), if self.still.is_away() => {
                    let now = self.on_air.stream.at(Instant::now());
                    self.stand_in(|still, packets| still.until(now, packets));
                    self.publish();
                }
                Ok(cue) = cues.recv() => {
                    if let Some(recorder) = self.recorder {
                        recorder.cue(&cue);
                    }
                }
            }
        }
    }

    /// Publishes what is held back, with every word that has come by now, and ends the playlists.
    pub fn finish(mut self) {
        self.stand_in(StandIn::back);
        self.packager.finish(&mut self.outputs);
        let reference = self.packager.reference().cloned();
        let leads = |output: &Output| match output {
            Output::Part(part) | Output::StandIn(part) => Some(&part.rendition) == reference.as_ref(),
            Output::Init(_) => false,
        };
        self.last = self.outputs.iter().rposition(leads);
        self.publish();
        self.on_air.hls.end();
    }

    fn take(&mut self, event: Event) {
        self.on_air.poster.note(&event);
        match event {
            // Another track brings it in a codec that is.
            Event::Track(track) if !track.format.is_packaged() => {}
            Event::Track(track) if track.id.is_sound() => self.sound(|floor, out| floor.track(&track, out)),
            Event::Track(track) => self.track(&track),
            Event::Packet(packet) if packet.track.is_sound() => self.sound(|floor, out| floor.packet(packet, out)),
            Event::Packet(packet) => self.packet(packet),
            Event::Away => {
                self.pauses.clear();
                self.floor.clear();
                self.leave();
            }
            Event::Discontinuity => self.break_here(),
            Event::Lost(count) => {
                tracing::error!(count, "packets were lost before packaging: the machine is overloaded");
                self.break_here();
            }
        }
    }

    fn sound(&mut self, passes: impl FnOnce(&mut Floor, &mut Vec<Sound>)) {
        let mut sounds = std::mem::take(&mut self.sounds);
        passes(&mut self.floor, &mut sounds);
        for sound in sounds.drain(..) {
            match sound {
                Sound::Track(track) => self.track(&track),
                Sound::Packet(packet) => self.packet(packet),
            }
        }
        self.sounds = sounds;
    }

    fn track(&mut self, track: &Track) {
        self.still.track(track);
        self.pauses.track(track);
        if let Err(error) = self.packager.track(track, &mut self.outputs) {
            tracing::error!(error = %Chain(&error), rendition = %track.rendition, "a track cannot be packaged");
        }
    }

    fn packet(&mut self, packet: Packet) {
        if self.still.lacking() == Some(packet.track) {
            let mut joins = false;
            self.stand_in(|still, packets| joins = still.joins(&packet, packets));
            if !joins {
                return;
            }
            if packet.track == TrackId::VIDEO {
                self.break_here();
            }
        }
        let timing = self.packager.timing();
        let pace = timing.map(|timing| Pace { frame: timing.frame, longest: timing.part_target });
        let mut packets = std::mem::take(&mut self.packets);
        self.pauses.packet(packet, pace, &mut packets);
        for packet in packets.drain(..) {
            if self.still.packet(&packet) {
                if let Some(pace) = pace {
                    self.still.beside(&packet, pace.frame, self.cuts.segment, &mut self.filling);
                }
                self.packager.push(packet, &mut self.outputs);
                for packet in self.filling.drain(..) {
                    self.packager.push(packet, &mut self.outputs);
                }
            }
        }
        self.packets = packets;
    }

    fn leave(&mut self) {
        // A live that has not begun has nothing to go on with.
        let Some(timing) = self.packager.timing() else { return };
        if self.still.leave(timing.frame, self.cuts.segment) {
            self.packager.stand_in();
        } else {
            tracing::info!("picture or sound cannot be continued: the live stands still while its publisher is away");
        }
    }

    fn break_here(&mut self) {
        self.stand_in(StandIn::back);
        self.still.break_here();
        self.pauses.clear();
        self.floor.clear();
        self.packager.discontinuity(&mut self.outputs);
    }

    fn stand_in(&mut self, go_on: impl FnOnce(&mut StandIn, &mut Vec<Packet>)) {
        let mut packets = Vec::new();
        go_on(&mut self.still, &mut packets);
        for packet in packets {
            self.packager.push(packet, &mut self.outputs);
        }
    }

    fn publish(&mut self) {
        if !self.open {
            self.open();
        }
        // Initialisation segments come before the length of parts is known, and wait for it.
        if !self.open {
            return;
        }
        for (index, output) in std::mem::take(&mut self.outputs).into_iter().enumerate() {
            match output {
                Output::Init(init) => {
                    if let Some(recorder) = self.recorder {
                        recorder.init(&init);
                    }
                    self.on_air.hls.init(init);
                }
                Output::Part(part) => {
                    if let Some(recorder) = self.recorder {
                        recorder.part(&part);
                    }
                    self.part(part, self.last == Some(index));
                }
                Output::StandIn(part) => {
                    if let Some(recorder) = self.recorder.filter(|_| !self.terms.rewind.is_zero()) {
                        recorder.stand_in(&part);
                    }
                    self.part(part, self.last == Some(index));
                }
            }
        }
    }

    fn part(&mut self, part: Part, last: bool) {
        let leads = self.packager.reference() == Some(&part.rendition);
        let captions = match leads {
            true if last => self.on_air.desk.last_parts(&part),
            true => self.on_air.desk.parts(&part),
            false => Vec::new(),
        };
        self.on_air.hls.part(part);
        for caption in captions {
            self.on_air.hls.part(caption);
        }
        if leads {
            self.list_captions();
        }
    }

    /// A track that has come is listed once it has parts.
    fn list_captions(&mut self) {
        let lineup = self.on_air.desk.lineup();
        if !Arc::ptr_eq(&lineup, &self.lineup) {
            self.on_air.hls.captions(captions(&lineup));
            self.lineup = lineup;
        }
    }

    /// The length of parts is known with the first of them, and so is what else will come.
    fn open(&mut self) {
        let Some(timing) = self.packager.timing() else { return };
        let live = &self.on_air.stream;
        let usual = hls::Settings::new(live.name.clone(), timing.part_target, live.anchor, Instant::now());
        let settings = hls::Settings {
            window: self.terms.window,
            part_hold_back: self.terms.hold_back.max(usual.part_hold_back),
            rewind: self.rewind(),
            ..usual
        };
        self.on_air.desk.set_hold_back(settings.part_hold_back);
        let mut window = hls::Window::new(settings);
        window.expect(self.expected());
        self.lineup = self.on_air.desk.lineup();
        window.captions(captions(&self.lineup));
        self.on_air.desk.keep_parts(window.listed());
        self.on_air.hls.open(window);
        self.open = true;
        tracing::info!(part_target_ms = timing.part_target.as_millis() as u64, "presenting");
    }

    fn rewind(&self) -> Option<hls::Rewind> {
        let window = Some(self.terms.rewind).filter(|window| !window.is_zero())?;
        Some(hls::Rewind { window, shelf: Arc::new(self.recorder?.monitor()) })
    }

    fn expected(&self) -> Vec<RenditionId> {
        let tracks = self.on_air.stream.producer.tracks();
        let mut expected: Vec<_> = tracks.iter().map(|track| track.rendition.clone()).collect();
        let source = tracks.iter().find(|track| track.id == TrackId::VIDEO).and_then(|track| track.format.video());
        if let Some(source) = source {
            expected.extend(self.ladder.rungs(source).into_iter().map(|rung| rung.rendition));
        }
        expected
    }
}

/// A lineup as the multivariant playlist lists it, with a name for each (rfc8216bis §4.4.6.1.1).
fn captions(lineup: &Lineup) -> Vec<hls::Captions> {
    let mut listed: Vec<hls::Captions> = Vec::new();
    for language in lineup.all() {
        let name = languages::name(language);
        let taken = listed.iter().any(|other| other.name == name);
        let name = if taken { format!("{name} ({language})") } else { name.to_owned() };
        listed.push(hls::Captions {
            language: language.clone(),
            name,
            spoken: lineup.current.first() == Some(language),
        });
    }
    listed
}
