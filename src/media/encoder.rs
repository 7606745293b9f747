use gst::prelude::*;
use gstreamer as gst;
use serde::{Deserialize, Serialize};

/// An H.264 encoder that GStreamer may offer on this machine, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Encoder {
    /// NVIDIA.
    Nvidia,
    /// Intel and AMD through VA-API.
    Va,
    /// Intel and AMD through the older VA-API elements.
    Vaapi,
    /// Intel Quick Sync.
    QuickSync,
    /// A V4L2 memory-to-memory device.
    V4l2,
    /// The processor.
    X264,
}

impl Encoder {
    /// Every encoder there is a template for, best first.
    pub const ALL: [Self; 6] = [Self::Nvidia, Self::Va, Self::Vaapi, Self::QuickSync, Self::V4l2, Self::X264];

    /// The GStreamer element.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Nvidia => "nvh264enc",
            Self::Va => "vah264enc",
            Self::Vaapi => "vaapih264enc",
            Self::QuickSync => "qsvh264enc",
            Self::V4l2 => "v4l2h264enc",
            Self::X264 => "x264enc",
        }
    }

    /// It does not run on the processor.
    pub const fn is_hardware(self) -> bool {
        !matches!(self, Self::X264)
    }

    /// The encoders that open on this machine, best first. Hardware elements are opened for it:
    /// plugins register some of them for devices that are not usable.
    pub fn available() -> Vec<Self> {
        if super::init().is_err() {
            return Vec::new();
        }
        Self::ALL.into_iter().filter(|encoder| encoder.opens()).collect()
    }

    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Nvidia => "encode-nvh264.gst",
            Self::Va => "encode-vah264.gst",
            Self::Vaapi => "encode-vaapih264.gst",
            Self::QuickSync => "encode-qsvh264.gst",
            Self::V4l2 => "encode-v4l2h264.gst",
            Self::X264 => "encode-x264.gst",
        }
    }

    /// The raw format it takes without another conversion.
    pub(super) const fn raw_format(self) -> &'static str {
        if self.is_hardware() { "NV12" } else { "I420" }
    }

    fn opens(self) -> bool {
        let Ok(element) = gst::ElementFactory::make(self.element()).build() else { return false };
        let opens = element.set_state(gst::State::Ready).is_ok();
        // An element must be back at NULL before its last reference goes.
        let _ = element.set_state(gst::State::Null);
        opens
    }
}
