//! Packets of one live in; parts out to playlists, caption lanes and the recording.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use super::languages;
use crate::{
    archive::Recorder,
    cmaf::{Output, Packager},
    hls,
    media::ladder::LadderSettings,
    model::{Chain, Cue, LanguageTag, Part, RenditionId, TrackId},
    serve::board::OnAir,
    stream::{Consumer, Event},
};

/// Owns the packager of one live and hands on what it makes, in order.
pub(super) struct Presenter<'a> {
    on_air: &'a OnAir,
    recorder: Option<&'a Recorder>,
    ladder: LadderSettings,
    captions: Vec<LanguageTag>,
    window: Duration,
    packager: Packager,
    outputs: Vec<Output>,
    open: bool,
    /// Which output is the live's last part, once it ends.
    last: Option<usize>,
}

impl<'a> Presenter<'a> {
    /// A presenter of a live whose playlists list `captions`, the spoken language first.
    pub fn new(
        on_air: &'a OnAir,
        recorder: Option<&'a Recorder>,
        ladder: LadderSettings,
        captions: Vec<LanguageTag>,
        window: Duration,
    ) -> Self {
        let packager = Packager::new(crate::cmaf::Settings::default());
        Self { on_air, recorder, ladder, captions, window, packager, outputs: Vec::new(), open: false, last: None }
    }

    /// Presents until the publisher is gone for good. `cues` are those the recording keeps.
    pub async fn run(&mut self, mut packets: Consumer, cues: &mut broadcast::Receiver<Arc<Cue>>) {
        loop {
            tokio::select! {
                event = packets.recv() => {
                    let Some(event) = event else { break };
                    self.take(event);
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
        self.packager.finish(&mut self.outputs);
        let reference = self.packager.reference().cloned();
        let leads =
            |output: &Output| matches!(output, Output::Part(part) if Some(&part.rendition) == reference.as_ref());
        self.last = self.outputs.iter().rposition(leads);
        self.publish();
        self.on_air.hls.end();
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Track(track) => {
                if let Err(error) = self.packager.track(&track, &mut self.outputs) {
                    tracing::error!(error = %Chain(&error), rendition = %track.rendition, "a track cannot be packaged");
                }
            }
            Event::Packet(packet) => self.packager.push(packet, &mut self.outputs),
            Event::Discontinuity => self.packager.discontinuity(&mut self.outputs),
            Event::Lost(count) => {
                tracing::error!(count, "packets were lost before packaging: the machine is overloaded");
                self.packager.discontinuity(&mut self.outputs);
            }
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
                Output::Part(part) => self.part(part, self.last == Some(index)),
            }
        }
    }

    fn part(&self, part: Part, last: bool) {
        if let Some(recorder) = self.recorder {
            recorder.part(&part);
        }
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
    }

    /// The length of parts is known with the first of them, and so is what else will come.
    fn open(&mut self) {
        let Some(timing) = self.packager.timing() else { return };
        let live = &self.on_air.stream;
        let settings = hls::Settings {
            window: self.window,
            ..hls::Settings::new(live.name.clone(), timing.part_target, live.anchor, Instant::now())
        };
        self.on_air.desk.set_hold_back(settings.part_hold_back);
        let mut window = hls::Window::new(settings);
        window.expect(self.expected());
        window.captions(self.captions.iter().enumerate().map(|(index, language)| hls::Captions {
            language: language.clone(),
            name: languages::name(language).to_owned(),
            spoken: index == 0,
        }));
        self.on_air.hls.open(window);
        self.open = true;
        tracing::info!(part_target_ms = timing.part_target.as_millis() as u64, "presenting");
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
