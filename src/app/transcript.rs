//! What is said in files, by the speech core that lives use.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};

use crate::{
    captions::Builder,
    media::{self, Templates},
    model::{Cue, MediaTime, Pcm, Word},
    speech::{EngineSpec, Engines, Event},
};

/// Blocks that decoding may be ahead of recognition.
const AHEAD: usize = 32;

/// Hears `sound` to its end and returns its cues and words. `progress` is told where it is. Cancel-safe:
/// decoding ends with it.
///
/// # Errors
/// The sound cannot be decoded, or the engine gave up.
pub(super) async fn transcribe(
    engines: &Engines,
    spec: EngineSpec,
    sound: impl Iterator<Item = Result<Pcm, media::Error>> + Send + 'static,
    mut builder: Builder,
    mut progress: impl FnMut(MediaTime),
) -> Result<(Vec<Cue>, Vec<Word>)> {
    let stream = engines.open(spec);
    // Decoding blocks, so it has a thread; the queue holds it back when recognition is slower.
    let (sender, mut blocks) = tokio::sync::mpsc::channel(AHEAD);
    std::thread::Builder::new().name("decoding".into()).spawn(move || {
        for block in sound {
            if sender.blocking_send(block).is_err() {
                break;
            }
        }
    })?;
    let (mut cues, mut words): (Vec<Cue>, Vec<Word>) = (Vec::new(), Vec::new());
    let mut feeding = true;
    loop {
        tokio::select! {
            block = blocks.recv(), if feeding => match block {
                Some(block) => {
                    let block = block?;
                    progress(block.start);
                    stream.send_wait(block).await;
                }
                None => {
                    feeding = false;
                    stream.finish();
                }
            },
            event = stream.recv() => match event {
                Some(Event::Hypothesis(hypothesis)) => {
                    if hypothesis.last {
                        words.extend(hypothesis.words.iter().cloned());
                    }
                    let now = hypothesis.words.last().map_or(MediaTime::ZERO, |word| word.end);
                    for cue in builder.apply(&hypothesis, now) {
                        match cues.iter_mut().rev().find(|known| known.id == cue.id) {
                            Some(known) => *known = cue,
                            None => cues.push(cue),
                        }
                    }
                }
                Some(Event::Failed { reason }) => bail!("the speech engine gave up: {reason}"),
                Some(_) => {}
                None => return Ok((cues, words)),
            },
        }
    }
}

/// The sound of files that follow one another, without the time between them. Each is opened when its turn
/// comes, blocking.
pub(super) fn in_a_row(
    files: Vec<PathBuf>,
    templates: Arc<Templates>,
) -> impl Iterator<Item = Result<Pcm, media::Error>> + Send + 'static {
    type Blocks = Box<dyn Iterator<Item = Result<Pcm, media::Error>> + Send>;
    let open = move |path: PathBuf| match media::file::pcm(&path, &templates) {
        Ok(reader) => Box::new(reader) as Blocks,
        Err(error) => Box::new(std::iter::once(Err(error))),
    };
    let mut end = MediaTime::ZERO;
    files.into_iter().flat_map(open).map(move |block| {
        let block = Pcm { start: end, ..block? };
        end = block.end();
        Ok(block)
    })
}
