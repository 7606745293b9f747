//! Recognition of one live, tried again for as long as the live goes on.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    captions::{Desk, Hearing},
    model::{Hypothesis, LanguageTag, MediaTime, Pcm},
    speech::{EngineSpec, Engines, Event, Pace, Stream},
};

/// Pauses before recognition that gave up is tried again: the first, and the longest, up to which
/// they double. Recognition that went well for the longest begins with the first again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), longest: Duration::from_secs(30) }
    }
}

/// One live's ear.
pub(super) struct Ear<C> {
    pub engines: Engines,
    pub spec: EngineSpec,
    pub desk: Arc<Desk>,
    /// The track that lost audio is counted on.
    pub lang: LanguageTag,
    /// Media time now.
    pub clock: C,
    /// Whether the publisher is away.
    pub away: Box<dyn Fn() -> bool + Send + Sync>,
    pub pauses: Pauses,
}

/// A publisher that has sent nothing for so long while it is away has said its last word for now.
const QUIET: Duration = Duration::from_secs(3);
/// Silence that lets an engine finish what it holds; shorter than [`QUIET`], so that the publisher's
/// return lies behind it.
const SILENCE: usize = 2 * Pcm::RATE as usize;

/// Why an attempt is over.
enum End {
    /// The sound, or whoever wants the words.
    Over,
    GaveUp,
}

impl<C: Fn() -> MediaTime> Ear<C> {
    /// Hears `sound` to its end, or until `cancel`. Sound that comes while nothing can be recognised
    /// is lost, and counted on the desk, block by block.
    pub async fn hear(
        self,
        mut sound: mpsc::Receiver<Pcm>,
        words: mpsc::Sender<Hypothesis>,
        cancel: CancellationToken,
    ) {
        let attempts = async {
            let mut pause = self.pauses.first;
            loop {
                let begun = Instant::now();
                if let End::Over = self.attempt(&mut sound, &words, &cancel).await {
                    return;
                }
                if begun.elapsed() >= self.pauses.longest {
                    pause = self.pauses.first;
                }
                self.desk.set_hearing(Hearing::Failed, (self.clock)());
                let skipped = cancel.run_until_cancelled(self.skip(&mut sound, pause)).await;
                if skipped.flatten().is_none() {
                    return;
                }
                pause = (pause * 2).min(self.pauses.longest);
            }
        };
        attempts.await;
        // What comes to nobody's ears any more is lost like the rest.
        while sound.try_recv().is_ok() {
            self.desk.lost(&self.lang, 1);
        }
    }

    async fn attempt(
        &self,
        sound: &mut mpsc::Receiver<Pcm>,
        words: &mpsc::Sender<Hypothesis>,
        cancel: &CancellationToken,
    ) -> End {
        let stream: Stream = self.engines.open(self.spec.clone());
        self.desk.set_pace(Pace::default(), (self.clock)());
        let mut open: Option<Hypothesis> = None;
        let mut sounding = true;
        let mut heard: Option<MediaTime> = None;
        let end = loop {
            tokio::select! {
                () = cancel.cancelled() => break End::Over,
                () = sleep(QUIET), if sounding && heard.is_some() => {
                    if let Some(start) = heard.take_if(|_| (self.away)()) {
                        stream.send(Pcm { start, samples: vec![0; SILENCE].into() });
                    }
                }
                block = sound.recv(), if sounding => match block {
                    Some(block) => {
                        heard = Some(block.end());
                        if !stream.send(block) {
                            self.desk.lost(&self.lang, 1);
                        }
                    }
                    None => {
                        sounding = false;
                        stream.finish();
                    }
                },
                event = stream.recv() => match event {
                    Some(Event::Hypothesis(hypothesis)) => {
                        open = (!hypothesis.last).then(|| hypothesis.clone());
                        let sent = cancel.run_until_cancelled(words.send(hypothesis)).await;
                        if sent.is_none_or(|sent| sent.is_err()) {
                            break End::Over;
                        }
                    }
                    // Behind its sound's end another may hear the live already: how this one does is nobody's concern.
                    Some(Event::Ready { .. } | Event::Pace(_) | Event::Restarted { lost: None }) if !sounding => {}
                    Some(Event::Ready { model }) => {
                        tracing::info!(model, "speech engine ready");
                        self.desk.set_hearing(Hearing::Well, (self.clock)());
                    }
                    Some(Event::Pace(pace)) => {
                        if pace.load != self.desk.pace().load {
                            tracing::warn!(leaves_out = pace.load.as_str(), lang = %self.lang, "how recognition keeps up");
                        }
                        self.desk.set_pace(pace, (self.clock)());
                    }
                    Some(Event::Restarted { lost }) => {
                        if lost.is_some() {
                            self.desk.lost(&self.lang, 1);
                        }
                        if sounding {
                            self.desk.set_hearing(Hearing::Restarting, (self.clock)());
                        }
                    }
                    Some(Event::Failed { reason }) => {
                        tracing::error!(reason, lang = %self.lang, "captions have stopped");
                        break if sounding { End::GaveUp } else { End::Over };
                    }
                    None => break if sounding { End::GaveUp } else { End::Over },
                },
            }
        };
        // What was heard is all that will ever be known of this utterance.
        if let Some(open) = open {
            let _ = words.send(Hypothesis { stable: open.words.len(), last: true, ..open }).await;
        }
        end
    }

    /// Loses what comes for so long; none if the sound ends.
    async fn skip(&self, sound: &mut mpsc::Receiver<Pcm>, pause: Duration) -> Option<()> {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Some(()),
                block = sound.recv() => {
                    block?;
                    self.desk.lost(&self.lang, 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::SystemTime};

    use super::*;
    use crate::{
        captions::{Dress, Phase, TrackSpec},
        model::Anchor,
        speech::{EngineKind, EngineSettings, wire::Response},
    };

    const SOON: Duration = Duration::from_secs(20);

    fn en() -> LanguageTag {
        LanguageTag::parse("en").unwrap()
    }

    /// An engine that says that it is ready, hears a word, and takes whatever comes.
    fn write_engine(path: &Path, words: &str) {
        let mut said = Response::Ready { model: "tiny".into() }.to_frame().unwrap();
        let hypothesis = serde_json::json!({
            "words": [{"text": words, "start": 0, "end": 400_000_000, "confidence": 1.0}], "stable": 0, "last": false
        });
        let hypothesis: Hypothesis = serde_json::from_value(hypothesis).unwrap();
        // Whichever attempt finds it: what is said to streams that are not open is ignored.
        for stream in 1..100 {
            said.extend(Response::Heard { stream, hypothesis: hypothesis.clone() }.to_frame().unwrap());
        }
        let frames = path.with_extension("frames");
        fs::write(&frames, said).unwrap();
        fs::write(path, format!("#!/bin/sh\ncat '{}'\nexec cat > /dev/null\n", frames.display())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Hears a live with that engine.
    fn ear(folder: &Path, engine: &Path) -> (Arc<Desk>, Ear<impl Fn() -> MediaTime + use<>>) {
        let track = TrackSpec { lang: en(), engine: "whisper".into(), model: "tiny".into(), dress: Dress::AsGiven };
        let desk = Desk::new(Anchor::new(SystemTime::UNIX_EPOCH), [track], Duration::ZERO);
        let ear = Ear {
            engines: Engines::new(EngineSettings::new(engine)),
            spec: EngineSpec {
                engine: EngineKind::Whisper,
                model_dir: folder.into(),
                language: en(),
                threads: 1,
                live: true,
            },
            away: Box::new(|| false),
            desk: desk.clone(),
            lang: en(),
            clock: || MediaTime::ZERO,
            pauses: Pauses { first: Duration::from_millis(300), longest: Duration::from_millis(300) },
        };
        (desk, ear)
    }

    #[tokio::test]
    async fn recognition_that_gave_up_shows_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        let (desk, ear) = ear(folder.path(), &engine);
        let mut events = desk.subscribe(None, None, MediaTime::ZERO);
        let mut until = async |state: &str| {
            let state = format!(r#""state":"{state}""#);
            let seen = async {
                while let Some(event) = events.recv().await.unwrap() {
                    if String::from_utf8_lossy(&event.json).contains(&state) {
                        break;
                    }
                }
            };
            tokio::time::timeout(SOON, seen).await.expect("the state never came");
        };
        let (sound, blocks) = mpsc::channel(1);
        let (words, mut heard) = mpsc::channel(8);
        let hearing = tokio::spawn(ear.hear(blocks, words, CancellationToken::new()));

        until("failed").await;
        write_engine(&engine, "word");
        for _ in 0..3 {
            sound.send(Pcm { start: MediaTime::ZERO, samples: vec![0; 1600].into() }).await.unwrap();
        }
        until("live").await;
        assert_eq!(desk.phase(), Phase::Live);
        assert!(desk.dropped(&en()) > 0, "what came meanwhile is counted");
        let word = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
        assert_eq!(word.words[0].text, "word");
        drop(sound);
        hearing.abort();
    }

    #[tokio::test]
    async fn one_whose_sound_has_ended_says_nothing_of_how_another_does() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        write_engine(&engine, "word");
        let (desk, ear) = ear(folder.path(), &engine);
        desk.set_hearing(Hearing::Failed, MediaTime::ZERO);
        let (sound, blocks) = mpsc::channel(1);
        drop(sound);
        let (words, mut heard) = mpsc::channel(8);
        let cancel = CancellationToken::new();
        let hearing = tokio::spawn(ear.hear(blocks, words, cancel.clone()));
        let word = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
        assert_eq!((word.words[0].text.as_str(), desk.phase()), ("word", Phase::Failed));
        cancel.cancel();
        hearing.await.unwrap();
    }
}
