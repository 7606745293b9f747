//! The sound of files, for transcription.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app::AppSink;

use super::{Error, Pipeline, Templates, blocks::Blocks, feed, pipeline, tap};
use crate::model::Pcm;

/// A file that stalls for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file's sound in blocks of 100 ms, the last one shorter. Blocking; bounded in memory: decoding runs
/// a few blocks ahead at most. Ends after the first error.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    duration: Option<Duration>,
    sink: AppSink,
    blocks: Blocks,
    ready: VecDeque<Pcm>,
    over: bool,
    pipeline: Pipeline,
}

/// Opens a file that GStreamer can decode, video files included, and finds its sound. Blocking until the
/// first samples are decoded.
///
/// # Errors
/// [`Error::Open`] if it cannot be read, [`Error::NoAudio`], [`Error::Unsupported`]; [`Error::Init`] and
/// [`Error::Pipeline`] where GStreamer itself fails.
pub fn pcm(path: &Path, templates: &Templates) -> Result<Reader, Error> {
    let open = |source| Error::Open { path: path.into(), source };
    let path = path.canonicalize().map_err(open)?;
    if File::open(&path).and_then(|file| file.metadata()).map_err(open)?.is_dir() {
        return Err(open(std::io::ErrorKind::IsADirectory.into()));
    }
    super::init()?;
    let uri = gst::glib::filename_to_uri(&path, None)
        .map_err(|error| Error::Unsupported { path: path.clone(), reason: error.message().to_owned() })?;
    let pipeline = Pipeline::launch(&templates.file())?;
    pipeline.element::<gst::Element>("src")?.set_property("uri", uri.as_str());
    let sink = pipeline.sink("sink")?;
    let mut reader =
        Reader { path, duration: None, sink, blocks: Blocks::default(), ready: VecDeque::new(), over: false, pipeline };
    reader.pipeline.play()?;
    reader.fill()?;
    reader.duration = reader.pipeline.inner().query_duration::<gst::ClockTime>().map(Duration::from);
    Ok(reader)
}

impl Reader {
    /// How long the file lasts, where it says so; for progress.
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Decodes until a block is ready or the file is over.
    fn fill(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.ready.is_empty() && !self.over {
            let patience = gst::ClockTime::from_mseconds(100);
            if let Some(sample) = self.sink.try_pull_sample(patience) {
                if let (Some(at), Some(samples)) = (feed::running_time(&sample), tap::samples(&sample)) {
                    self.blocks.push(at, &samples, |pcm| self.ready.push_back(pcm));
                }
            } else if self.sink.is_eos() {
                // A demuxer that gives up in the middle also ends the stream.
                self.failure()?;
                self.over = true;
                self.ready.extend(self.blocks.finish());
            } else {
                self.failure()?;
                if Instant::now() > deadline {
                    return Err(Error::Pipeline(format!("nothing decoded for {PATIENCE:?}")));
                }
            }
        }
        Ok(())
    }

    /// The error the pipeline has met, in terms of the file.
    fn failure(&self) -> Result<(), Error> {
        let Some(message) = self.pipeline.bus().pop_filtered(&[gst::MessageType::Error]) else { return Ok(()) };
        let gst::MessageView::Error(error) = message.view() else { return Ok(()) };
        let unsupported = |reason: &str| Error::Unsupported { path: self.path.clone(), reason: reason.to_owned() };
        let kind = error.error();
        let details = error.debug().unwrap_or_default();
        if let Some(gst::StreamError::TypeNotFound | gst::StreamError::WrongType) = kind.kind() {
            return Err(unsupported("not a media file GStreamer knows"));
        }
        if kind.is::<gst::StreamError>() {
            return Err(unsupported(kind.message()));
        }
        // Streams that are not sound go undecoded on purpose, which GStreamer takes for missing plugins
        // and lists: `Missing decoder: H.264 (video/x-h264, …)`.
        if kind.matches(gst::CoreError::MissingPlugin) {
            let sound = details.lines().find(|line| line.contains("(audio/"));
            return Err(sound.map_or_else(|| Error::NoAudio(self.path.clone()), unsupported));
        }
        Err(pipeline::describe(error))
    }
}

impl Iterator for Reader {
    type Item = Result<Pcm, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            self.over = true;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}
