use std::{collections::VecDeque, time::Duration};

use super::Dress;
use crate::model::{LanguageTag, Part};

/// What a track is made of.
#[derive(Debug, Clone)]
pub struct TrackSpec {
    /// Its language.
    pub lang: LanguageTag,
    /// `vosk`, `whisper`, `fx`, …
    pub engine: String,
    /// The model's id.
    pub model: String,
    /// What its words still need; ignored for translations.
    pub dress: Dress,
}

/// The tracks of a live as they stand now; another one after every change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineup {
    /// Languages words come to, the spoken one first.
    pub current: Vec<LanguageTag>,
    /// Languages whose tracks get no more words, and keep those they have.
    pub resting: Vec<LanguageTag>,
}

impl Lineup {
    /// Every language that has a track, current ones first.
    pub fn all(&self) -> impl Iterator<Item = &LanguageTag> {
        self.current.iter().chain(&self.resting)
    }
}

/// The reference parts that playlists list, without their bytes: a lane that begins late has a part
/// for each, so that its playlist is in lock step from its first line on.
#[derive(Debug)]
pub(super) struct Past {
    parts: VecDeque<Part>,
    kept: Duration,
    window: Duration,
}

impl Past {
    /// As much as playlists list that list `window` at least.
    pub fn new(window: Duration) -> Self {
        Self { parts: VecDeque::new(), kept: Duration::ZERO, window }
    }

    /// Playlists list so much at least.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Takes the newest part. Segments go whole, as playlists let them go: once what follows them
    /// fills the window.
    pub fn push(&mut self, part: &Part) {
        self.kept += part.duration;
        self.parts.push_back(Part { data: Default::default(), ..part.clone() });
        while let Some(first) = self.parts.front().map(|part| part.msn) {
            let segment = self.parts.iter().take_while(|part| part.msn == first);
            let rest = self.kept.saturating_sub(segment.map(|part| part.duration).sum());
            if rest.is_zero() || rest < self.window {
                break;
            }
            self.kept = rest;
            while self.parts.pop_front_if(|part| part.msn == first).is_some() {}
        }
    }

    /// The parts kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }
}
