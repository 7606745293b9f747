use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSrc};

use super::Error;

/// One GStreamer pipeline. Dropping it stops it: no callback runs and no thread of it is left afterwards.
#[derive(Debug)]
pub struct Pipeline {
    inner: gst::Pipeline,
    bus: gst::Bus,
}

impl Pipeline {
    /// A pipeline of `gst-launch` syntax, not yet running.
    ///
    /// # Errors
    /// [`Error::Pipeline`] if it does not parse or an element is not there; [`Error::Init`].
    pub fn launch(text: &str) -> Result<Self, Error> {
        super::init()?;
        let element = gst::parse::launch_full(text, None, gst::ParseFlags::FATAL_ERRORS)
            .map_err(|error| Error::Pipeline(error.message().to_owned()))?;
        Self::adopt(element)
    }

    /// Starts it. Returns before the first buffer flows. Blocking while devices open.
    ///
    /// # Errors
    /// [`Error::Pipeline`] with what the element at fault says.
    pub fn play(&self) -> Result<(), Error> {
        match self.inner.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error().unwrap_or_else(|| Error::Pipeline(error.to_string()))),
        }
    }

    /// The first error since the last call, taken off the pipeline's bus with everything before it.
    pub fn error(&self) -> Option<Error> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(describe(error)),
            _ => None,
        }
    }

    /// Ends the stream at `source` and waits until every sink has seen the last buffer.
    /// False if that takes longer than `patience` or the pipeline fails.
    pub fn drain(&self, source: &AppSrc, patience: Duration) -> bool {
        if source.end_of_stream().is_err() {
            return false;
        }
        let patience = gst::ClockTime::from_nseconds(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX - 1));
        self.bus
            .timed_pop_filtered(patience, &[gst::MessageType::Error, gst::MessageType::Eos])
            .is_some_and(|message| message.type_() == gst::MessageType::Eos)
    }

    /// The `appsrc` of that name.
    ///
    /// # Errors
    /// [`Error::Pipeline`] if there is none.
    pub fn source(&self, name: &str) -> Result<AppSrc, Error> {
        self.element(name)
    }

    /// The `appsink` of that name.
    ///
    /// # Errors
    /// [`Error::Pipeline`] if there is none.
    pub fn sink(&self, name: &str) -> Result<AppSink, Error> {
        self.element(name)
    }

    pub(super) fn element<T: IsA<gst::Element>>(&self, name: &str) -> Result<T, Error> {
        let element = self.inner.by_name(name).and_then(|element| element.downcast::<T>().ok());
        element.ok_or_else(|| Error::Pipeline(format!("no {} named {name}", T::static_type())))
    }

    pub(super) fn bus(&self) -> &gst::Bus {
        &self.bus
    }

    pub(super) fn inner(&self) -> &gst::Pipeline {
        &self.inner
    }

    pub(super) fn adopt(element: gst::Element) -> Result<Self, Error> {
        let inner = element
            .downcast::<gst::Pipeline>()
            .map_err(|element| Error::Pipeline(format!("{} alone is no pipeline", element.name())))?;
        let bus = inner.bus().ok_or_else(|| Error::Pipeline("pipeline without a bus".into()))?;
        Ok(Self { inner, bus })
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Going to NULL cannot fail in a way that leaves anything to do.
        let _ = self.inner.set_state(gst::State::Null);
        self.bus.set_flushing(true);
    }
}

pub(super) fn describe(error: &gst::message::Error) -> Error {
    let element = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    let debug = error.debug().map(|debug| format!(" ({})", debug.lines().last().unwrap_or_default()));
    Error::Pipeline(format!("{element}: {}{}", error.error().message(), debug.unwrap_or_default()))
}
