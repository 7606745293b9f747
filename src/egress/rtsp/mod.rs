//! RTSP out: players, recorders and video walls read a live as its publisher sent it, H.264 or H.265 and AAC,
//! without transcoding.
//!
//! [`Readers`] runs GStreamer's RTSP server on a thread of its own; [`factory`] makes one pipeline a live, which
//! all its readers share, [`feed`] brings it the live's packets, and [`info`] tells readers where they are. The port is
//! not ours: `ingest::rtsp` listens for publishers and readers alike, holds strangers to limits, and hands readers over.

mod factory;
mod feed;
mod info;
mod server;

pub use server::{Mount, Readers, Readership};

/// Elements that reading needs, and the Debian package of each.
const ELEMENTS: [(&str, &str); 6] = [
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("errorignore", "gstreamer1.0-plugins-bad"),
    ("rtpbin", "gstreamer1.0-plugins-good"),
    ("rtph264pay", "gstreamer1.0-plugins-good"),
    ("rtph265pay", "gstreamer1.0-plugins-good"),
    ("rtpmp4gpay", "gstreamer1.0-plugins-good"),
];

/// Why readers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GStreamer itself does not start.
    #[error("initialising GStreamer")]
    Init(#[from] crate::media::Error),
    /// An element is not installed.
    #[error("missing GStreamer element {element}: apt install {package}")]
    Missing {
        /// The element.
        element: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// The server's thread could not be started.
    #[error("starting the RTSP thread")]
    Thread(#[source] std::io::Error),
    /// The server refused to run.
    #[error("starting the RTSP server")]
    Start(#[source] gstreamer::glib::BoolError),
}

/// Whether everything that serving readers needs is installed.
///
/// # Errors
/// [`Error::Init`] and [`Error::Missing`].
pub fn check() -> Result<(), Error> {
    crate::media::init()?;
    let missing = ELEMENTS.iter().find(|(element, _)| gstreamer::ElementFactory::find(element).is_none());
    missing.map_or(Ok(()), |&(element, package)| Err(Error::Missing { element, package }))
}
