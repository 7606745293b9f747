//! Where the newest segments of a recording lie, told as they are written.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::recorder::Monitor;
use crate::{
    hls::{Extent, Shelf, Volume},
    model::{Init, Part, RenditionId},
};

/// Segments remembered of a rendition: who plays them asks within a minute and keeps the answer.
const RECENT: usize = 256;
/// Initialisation segments remembered of a rendition.
const INITS: usize = 1_024;

/// What is written of each rendition.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<HashMap<RenditionId, Rendition>>);

#[derive(Debug, Default)]
struct Rendition {
    /// Lengths, by version.
    inits: BTreeMap<u32, u64>,
    /// Whole ones with their media sequence numbers, oldest first.
    segments: VecDeque<(u64, (Volume, Extent))>,
    open: Option<Open>,
}

/// A segment whose parts so far are all there.
#[derive(Debug)]
struct Open {
    msn: u64,
    volume: Volume,
    /// Index of the part to come.
    next: u32,
    extent: Extent,
}

impl Written {
    /// An initialisation segment begins its file.
    pub(super) fn init(&self, init: &Init) {
        let mut renditions = self.lock();
        let inits = &mut renditions.entry(init.rendition.clone()).or_default().inits;
        inits.entry(init.version).or_insert(init.data.len() as u64);
        if inits.len() > INITS {
            inits.pop_first();
        }
    }

    /// A part lies `offset` bytes behind the beginning of a file.
    pub(super) fn part(&self, part: &Part, volume: Volume, offset: u64) {
        let mut renditions = self.lock();
        let rendition = renditions.entry(part.rendition.clone()).or_default();
        let length = part.data.len() as u64;
        let begun = rendition.open.take();
        let continues = |open: &Open| {
            let end = open.extent.offset + open.extent.length;
            (open.msn, open.volume, open.next, end) == (part.msn, volume, part.index, offset)
        };
        let mut open = match begun.filter(continues) {
            Some(open) => open,
            None if part.index == 0 => Open { msn: part.msn, volume, next: 0, extent: Extent { offset, length: 0 } },
            // Without its beginning a segment is none.
            None => return,
        };
        open.next = open.next.saturating_add(1);
        open.extent.length += length;
        if !part.ends_segment {
            rendition.open = Some(open);
            return;
        }
        rendition.segments.push_back((open.msn, (open.volume, open.extent)));
        if rendition.segments.len() > RECENT {
            rendition.segments.pop_front();
        }
    }

    fn segment(&self, id: &RenditionId, msn: u64) -> Option<(Volume, Extent)> {
        let renditions = self.lock();
        let segments = &renditions.get(id)?.segments;
        segments.iter().rev().find(|(number, _)| *number == msn).map(|(_, place)| *place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RenditionId, Rendition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for Monitor {
    fn segment(&self, rendition: &RenditionId, msn: u64) -> Option<(Volume, Extent)> {
        self.on_disk().segment(rendition, msn)
    }

    fn init(&self, rendition: &RenditionId, version: u32) -> Option<Extent> {
        let length = *self.on_disk().lock().get(rendition)?.inits.get(&version)?;
        Some(Extent { offset: 0, length })
    }

    fn file(&self, rendition: &RenditionId, volume: Volume) -> PathBuf {
        match volume {
            Volume::Recording(version) => self.folder().media(rendition, version),
            Volume::Aside => self.folder().aside(rendition),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::MediaTime;

    fn part(msn: u64, index: u32, ends_segment: bool) -> Part {
        Part {
            rendition: RenditionId::source(),
            msn,
            index,
            number: 0,
            start: MediaTime::ZERO,
            duration: Duration::from_millis(250),
            independent: false,
            ends_segment,
            discontinuity: false,
            init: 0,
            data: vec![0; 100].into(),
        }
    }

    #[test]
    fn only_segments_of_which_every_part_is_written_are_there() {
        let written = Written::default();
        let source = RenditionId::source();
        let find = |msn| written.segment(&source, msn).map(|(volume, at)| (volume, at.offset, at.length));
        let recorded = Volume::Recording(0);
        for (n, (msn, index, ends)) in [
            (0, 0, false),
            (0, 1, false),
            (0, 2, true),
            // Its beginning is lost.
            (1, 1, true),
            // Its middle is lost.
            (2, 0, false),
            (2, 2, true),
            // Its end is lost.
            (3, 0, false),
            (4, 0, true),
        ]
        .into_iter()
        .enumerate()
        {
            written.part(&part(msn, index, ends), recorded, 10 + 100 * n as u64);
        }
        written.part(&part(5, 0, true), Volume::Aside, 0);
        // Another file than its beginning's.
        written.part(&part(6, 0, false), Volume::Aside, 100);
        written.part(&part(6, 1, true), recorded, 200);
        let aside = Some((Volume::Aside, 0, 100));
        let there = [Some((recorded, 10, 300)), None, None, None, Some((recorded, 710, 100)), aside, None];
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(find), there);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let written = Written::default();
        for msn in 0..10_000 {
            written.part(&part(msn, 0, true), Volume::Recording(0), 100 * msn);
        }
        assert_eq!(written.lock()[&RenditionId::source()].segments.len(), RECENT);
        assert!(written.segment(&RenditionId::source(), 9_999).is_some());
    }
}
