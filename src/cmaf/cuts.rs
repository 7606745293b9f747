use std::collections::VecDeque;

use crate::model::MediaTime;

/// How many segment boundaries are remembered for renditions that lag behind.
const REMEMBERED: usize = 64;

/// Where a segment begins, in every rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Media sequence number of the segment it opens.
    pub msn: u64,
    /// Earliest presentation time of that segment.
    pub time: MediaTime,
    /// The live begins here, or goes on after a break: nothing from before may be needed to decode.
    pub fresh: bool,
    /// It goes on after a break.
    pub discontinuity: bool,
    /// What it opens stands in for a publisher that is away.
    pub stands_in: bool,
}

/// The boundary list all renditions share. The leading track opens segments; the others follow by
/// media time, each at its own pace.
#[derive(Debug)]
pub(super) struct Cuts {
    list: VecDeque<Cut>,
    /// The next packet of the leading track opens a segment, wherever it lies.
    pending: Option<Pending>,
    /// The next segment that begins with a key frame begins after a break.
    break_at_key: bool,
    stand_in: StandIn,
}

/// Whether segments stand in for a publisher that is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandIn {
    No,
    /// From the next key frame on.
    AtKey,
    Yes,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    fresh: bool,
    discontinuity: bool,
}

impl Cuts {
    pub fn new() -> Self {
        Self {
            list: VecDeque::new(),
            pending: Some(Pending { fresh: true, discontinuity: false }),
            break_at_key: false,
            stand_in: StandIn::No,
        }
    }

    /// The next segment begins after a break. At the very start there is nothing to break.
    pub fn break_here(&mut self) {
        self.stand_in = StandIn::No;
        if !self.list.is_empty() {
            self.pending = Some(Pending { fresh: true, discontinuity: true });
        }
    }

    /// The next packet of the leading track opens a segment without a break.
    pub fn open_next(&mut self) {
        self.pending.get_or_insert(Pending { fresh: false, discontinuity: false });
    }

    /// Every rendition breaks at the next segment that begins with a key frame.
    pub fn break_at_key(&mut self) {
        self.break_at_key = true;
    }

    /// The next key frame of the leading track opens a segment, which stands in as all behind it do,
    /// up to a break.
    pub fn stand_in(&mut self) {
        if self.stand_in == StandIn::No {
            self.stand_in = StandIn::AtKey;
        }
    }

    /// The next key frame opens a segment, however short the last one is.
    pub fn opens_at_key(&self) -> bool {
        self.stand_in == StandIn::AtKey
    }

    /// A rendition that stands at `from` has a break ahead of it.
    pub fn breaks_after(&self, from: Option<u64>) -> bool {
        self.pending.is_some_and(|pending| pending.discontinuity)
            || self.list.iter().any(|cut| cut.discontinuity && from.is_some_and(|from| cut.msn > from))
    }

    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub fn last(&self) -> Option<Cut> {
        self.list.back().copied()
    }

    /// Opens a segment at `time`; `key`: with a key frame of the leading track.
    pub fn open(&mut self, time: MediaTime, key: bool) {
        let Pending { fresh, mut discontinuity } =
            self.pending.take().unwrap_or(Pending { fresh: false, discontinuity: false });
        if key && !self.list.is_empty() {
            discontinuity |= std::mem::take(&mut self.break_at_key);
        }
        if key && self.stand_in == StandIn::AtKey {
            self.stand_in = StandIn::Yes;
        }
        let msn = self.list.back().map_or(0, |last| last.msn + 1);
        let stands_in = self.stand_in == StandIn::Yes;
        self.list.push_back(Cut { msn, time, fresh, discontinuity, stands_in });
        if self.list.len() > REMEMBERED {
            self.list.pop_front();
        }
    }

    /// The segment a packet at `time` belongs to, in a rendition that stands at `from`; never an
    /// earlier one. The flags tell of every boundary crossed on the way.
    pub fn place(&self, from: Option<u64>, time: MediaTime) -> Option<Cut> {
        let last = self.list.iter().rposition(|cut| cut.time <= time).unwrap_or(0);
        let mut place = *self.list.get(last)?;
        let Some(from) = from else { return Some(place) };
        if place.msn <= from {
            // The list may have moved on past a rendition that stands still.
            return self.list.iter().find(|cut| cut.msn >= from).copied();
        }
        let crossed = self.list.iter().filter(|cut| cut.msn > from && cut.msn <= place.msn);
        for cut in crossed {
            place.fresh |= cut.fresh;
            place.discontinuity |= cut.discontinuity;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> MediaTime {
        MediaTime::from_millis(seconds * 1000)
    }

    #[test]
    fn renditions_follow_by_media_time_and_never_go_back() {
        let mut cuts = Cuts::new();
        assert_eq!(cuts.place(None, at(0)), None);
        for seconds in [0, 2, 4] {
            cuts.open(at(seconds), true);
        }
        let msn = |from, time| cuts.place(from, time).map(|cut| cut.msn);
        assert_eq!(msn(None, at(3)), Some(1));
        assert_eq!(msn(Some(0), at(1)), Some(0));
        assert_eq!(msn(Some(0), at(5)), Some(2));
        assert_eq!(msn(Some(2), at(1)), Some(2));
        assert_eq!(msn(None, at(-1)), Some(0));
    }

    #[test]
    fn a_break_that_was_jumped_over_still_shows() {
        let mut cuts = Cuts::new();
        cuts.open(at(0), true);
        cuts.break_here();
        cuts.open(at(10), true);
        cuts.open(at(12), true);
        assert!(cuts.place(Some(0), at(13)).unwrap().discontinuity);
        assert!(!cuts.place(Some(1), at(13)).unwrap().discontinuity);
    }

    #[test]
    fn the_list_stays_short() {
        let mut cuts = Cuts::new();
        for seconds in 0..10_000 {
            cuts.open(at(seconds), true);
        }
        assert_eq!(cuts.list.len(), REMEMBERED);
        assert_eq!(cuts.place(Some(3), at(0)).unwrap().msn, 10_000 - REMEMBERED as u64);
    }
}
