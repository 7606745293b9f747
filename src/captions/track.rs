use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Builder, Event, Ids, Lane, TrackSpec, figures::Figures};
use crate::model::Cue;

/// The cues of one language, and what is made of them.
#[derive(Debug)]
pub(super) struct Track {
    pub engine: Arc<str>,
    pub model: Arc<str>,
    pub builder: Builder,
    pub cues: BTreeMap<u64, Stored>,
    pub lane: Lane,
    /// Its lane has a part for each of the past.
    pub in_step: bool,
    pub figures: Figures,
    pub dropped: u64,
    pub failing: bool,
}

/// A cue's latest revision. One that is withdrawn has no text and stays, so that who comes back hears of it.
#[derive(Debug)]
pub(super) struct Stored {
    pub cue: Cue,
    pub event: Arc<Event>,
    /// Number in the log of its first and of its latest revision.
    pub born: u64,
    pub updated: u64,
}

impl Track {
    pub fn new(spec: &TrackSpec, ids: &Ids, hold: Duration) -> Self {
        Self {
            engine: spec.engine.as_str().into(),
            model: spec.model.as_str().into(),
            builder: Builder::new(spec.lang.clone(), spec.dress.clone(), ids.clone()),
            cues: BTreeMap::new(),
            lane: Lane::new(spec.lang.clone(), hold),
            in_step: false,
            figures: Figures::default(),
            dropped: 0,
            failing: false,
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped + self.lane.dropped()
    }
}

impl Stored {
    pub fn is_withdrawn(&self) -> bool {
        self.cue.text.is_empty()
    }
}
