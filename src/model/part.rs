use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Label, MediaTime, RenditionId, TrackFormat};

/// An initialisation segment of a rendition (ISO 23000-19 §7.3.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Init {
    /// Whose.
    pub rendition: RenditionId,
    /// Counts up from 0 within the rendition; `init-N.mp4`.
    pub version: u32,
    /// What it describes.
    pub format: Arc<TrackFormat>,
    /// Bits a second as the encoder states them.
    pub bitrate: Option<u32>,
    /// What viewers choose the rendition by, where the publisher says it.
    pub label: Option<Label>,
    /// `ftyp` and `moov`.
    pub data: Bytes,
}

/// An immutable part of a segment: a CMAF chunk, or a WebVTT document in a caption rendition.
///
/// The only media currency downstream of packaging. The same `msn` covers the same time in every
/// rendition of a live.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Whose.
    pub rendition: RenditionId,
    /// Media sequence number of its segment, from 0, never going back.
    pub msn: u64,
    /// Position within the segment, from 0.
    pub index: u32,
    /// Rises through the whole rendition, from 0, by one, but leaves one out at a discontinuity; the part's URI carries it.
    pub number: u64,
    /// Earliest presentation time.
    pub start: MediaTime,
    /// How long it lasts; never zero.
    pub duration: Duration,
    /// It begins with a frame a decoder can start at.
    pub independent: bool,
    /// The segment is complete with it.
    pub ends_segment: bool,
    /// It is the first one after a discontinuity.
    pub discontinuity: bool,
    /// Version of the [`Init`] it needs; 0 in caption renditions, which have none.
    pub init: u32,
    /// The bytes to serve.
    pub data: Bytes,
}
