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
                if let (Some(at), Some(samples)) = (feed::media_time(&sample), tap::samples(&sample)) {
                    self.blocks.push(at, &samples, |pcm| self.ready.push_back(pcm));
                }
            } else if self.sink.is_eos() {
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
        let mut undecoded = Vec::new();
        while let Some(message) =
            self.pipeline.bus().pop_filtered(&[gst::MessageType::Error, gst::MessageType::Element])
        {
            match message.view() {
                gst::MessageView::Element(element) => undecoded.extend(element.structure().and_then(missing_decoder)),
                gst::MessageView::Error(error) => return Err(self.describe(error, &undecoded)),
                _ => {}
            }
        }
        Ok(())
    }

    fn describe(&self, error: &gst::message::Error, undecoded: &[String]) -> Error {
        let unsupported = |reason: &str| Error::Unsupported { path: self.path.clone(), reason: reason.to_owned() };
        let kind = error.error();
        if let Some(audio) = undecoded.iter().find(|format| format.starts_with("audio/")) {
            return unsupported(&format!("no decoder for {audio} is installed"));
        }
        // Every other stream goes undecoded on purpose, which GStreamer takes for a missing plugin.
        if !undecoded.is_empty() {
            return Error::NoAudio(self.path.clone());
        }
        match kind.kind::<gst::StreamError>() {
            Some(gst::StreamError::TypeNotFound | gst::StreamError::WrongType) => {
                unsupported("not a media file GStreamer knows")
            }
            Some(_) => unsupported(kind.message()),
            None => pipeline::describe(error),
        }
    }
}

/// The media type that decodebin found no decoder for.
fn missing_decoder(structure: &gst::StructureRef) -> Option<String> {
    let caps = structure.get::<gst::Caps>("detail").ok().filter(|_| structure.name() == "missing-plugin")?;
    Some(caps.structure(0)?.name().to_string())
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
