use std::{collections::VecDeque, fmt, fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

use super::{Frame, Rendition, Segment};
use crate::{
    hls::{
        SKIP_UNTIL, TARGET_DURATION,
        playlist::{date_time, seconds},
    },
    model::{MediaTime, RenditionId},
};

/// Where bytes lie in a file that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes before the first one.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// A file of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// The one that begins with the initialisation segment of this version and goes on with what needs it.
    Recording(u32),
    /// What stood in for the publisher, whatever it needs, and is there as long as the live is.
    Aside,
}

/// What keeps the media of a live on a disk: the recorder. Its methods never wait.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// Where a segment lies; `None` unless all of it is written. A segment is asked for half a minute after its end,
    /// once.
    fn segment(&self, rendition: &RenditionId, msn: u64) -> Option<(Volume, Extent)>;

    /// Where an initialisation segment lies in its file; `None` unless it is written.
    fn init(&self, rendition: &RenditionId, version: u32) -> Option<Extent>;

    /// A file's path.
    fn file(&self, rendition: &RenditionId, volume: Volume) -> PathBuf;
}

/// How far back players may go in a live, and where what has left memory lies.
#[derive(Debug, Clone)]
pub struct Rewind {
    /// From the end of the playlist.
    pub window: Duration,
    /// Who has the segments.
    pub shelf: Arc<dyn Shelf>,
}

/// A segment, or an initialisation segment, that has left memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// These bytes of a file.
    File(PathBuf, Extent),
    /// What the caption track says meanwhile.
    Captions {
        /// When it begins.
        start: MediaTime,
        /// How long it lasts.
        duration: Duration,
    },
}

/// Where a segment is once memory has it no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nowhere.
    Nowhere,
    /// There.
    File(Volume, Extent),
    /// In the caption track.
    Track,
}

/// The segments behind those that a rendition's playlist lists, oldest first and without a hole: a few dozen bytes
/// each, for twice as long as the rewind playlist is.
#[derive(Debug, Default)]
pub(super) struct Past {
    entries: VecDeque<Entry>,
    /// Media sequence number of the oldest.
    first: u64,
    /// How many of the oldest have left the rewind playlist as well, and how long they are. They can still be
    /// fetched, as rfc8216bis §6.2.2 asks.
    gone: usize,
    gone_for: Duration,
    /// How long the others are.
    length: Duration,
    /// Discontinuities among the others.
    breaks: u64,
}

#[derive(Debug)]
struct Entry {
    start: MediaTime,
    duration: Duration,
    kept: Kept,
    init: u32,
    discontinuity: bool,
    gap: bool,
}

/// What the segment before says about the next one.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The map in force.
    pub init: Option<u32>,
}

impl Past {
    /// Takes the oldest segment that the playlist has listed so far. What is lost was listed without saying so, and may
    /// not become a gap (rfc8216bis §6.2.1): the rewind playlist begins behind it.
    pub fn push(&mut self, segment: &Segment) {
        if self.entries.is_empty() {
            self.first = segment.msn;
        }
        self.length += segment.duration;
        self.breaks += u64::from(segment.discontinuity);
        self.entries.push_back(Entry {
            start: segment.start,
            duration: segment.duration,
            kept: segment.kept.unwrap_or(Kept::Nowhere),
            init: segment.init,
            discontinuity: segment.discontinuity,
            gap: segment.gap,
        });
        if !segment.gap && matches!(segment.kept, None | Some(Kept::Nowhere)) {
            self.gone_for += std::mem::take(&mut self.length);
            self.gone = self.entries.len();
            self.breaks = 0;
        }
    }

    /// Lets go what lies beyond `window`, where the playlist in memory is `behind` long already.
    pub fn slide(&mut self, window: Duration, behind: Duration) {
        while let Some(oldest) = self.entries.get(self.gone) {
            if (self.length + behind).saturating_sub(oldest.duration) < window {
                break;
            }
            self.length -= oldest.duration;
            self.breaks -= u64::from(oldest.discontinuity);
            self.gone_for += oldest.duration;
            self.gone += 1;
        }
        while self.gone > 0 && self.gone_for > window + TARGET_DURATION {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.gone_for = self.gone_for.saturating_sub(oldest.duration);
            self.gone -= 1;
            self.first += 1;
        }
    }

    /// Forgets everything: what comes next does not follow it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many segments the rewind playlist lists from here.
    pub fn listed(&self) -> usize {
        self.entries.len() - self.gone
    }

    /// How long they are.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Discontinuities among them.
    pub fn breaks(&self) -> u64 {
        self.breaks
    }

    /// Media sequence number of the first of them.
    pub fn first_listed(&self) -> Option<u64> {
        (self.listed() > 0).then(|| self.first + self.gone as u64)
    }

    fn find(&self, msn: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(msn.checked_sub(self.first)?).ok()?)
    }
}

impl Rendition {
    /// A segment that memory has no longer.
    pub fn back(&self, msn: u64, rewind: &Rewind) -> Option<Back> {
        let entry = self.past.find(msn)?;
        match entry.kept {
            Kept::Nowhere => None,
            Kept::File(volume, extent) => Some(Back::File(rewind.shelf.file(&self.id, volume), extent)),
            Kept::Track => Some(Back::Captions { start: entry.start, duration: entry.duration }),
        }
    }

    /// How far back the rewind playlist goes.
    pub fn reach(&self) -> Duration {
        self.past.length() + self.listed_for()
    }

    /// How much the playlist lists.
    pub(super) fn listed_for(&self) -> Duration {
        self.edge.saturating_sub(self.segments.get(self.listed).map_or(self.edge, |first| first.at))
    }

    /// Asks where segments are that lie beyond the skip boundary.
    pub(super) fn settle(&mut self, rewind: &Rewind) {
        let (edge, captions) = (self.edge, self.captions);
        let due = |segment: &&mut Segment| segment.complete && segment.end() + SKIP_UNTIL <= edge;
        for segment in self.segments.iter_mut().take_while(due).filter(|segment| segment.kept.is_none()) {
            segment.kept = Some(match segment.gap {
                true => Kept::Nowhere,
                false if captions => Kept::Track,
                false => match rewind.shelf.segment(&self.id, segment.msn) {
                    Some((volume, extent)) => Kept::File(volume, extent),
                    None => Kept::Nowhere,
                },
            });
        }
    }

    /// Writes what the rewind playlist lists from the past, but for the first `skipped`; returns what holds for the
    /// next segment.
    pub(super) fn render_past(&self, text: &mut String, skipped: usize, frame: &Frame) -> Before {
        let mut before = Before::default();
        for (nth, entry) in self.past.entries.iter().enumerate().skip(self.past.gone) {
            if nth - self.past.gone >= skipped {
                if entry.discontinuity {
                    text.push_str("#EXT-X-DISCONTINUITY\n");
                }
                self.map(text, entry.init, entry.discontinuity, &before, frame);
                text.push_str(&date_time(frame.anchor, entry.start));
                if entry.gap {
                    text.push_str("#EXT-X-GAP\n");
                }
                let (duration, uri) = (seconds(entry.duration), self.uri("seg", self.past.first + nth as u64, frame));
                let _ = writeln!(text, "#EXTINF:{duration},\n{uri}");
            }
            before.init = Some(entry.init);
        }
        before
    }
}
