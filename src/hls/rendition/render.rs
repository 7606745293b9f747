use std::{fmt::Write as _, sync::Arc};

use super::{Frame, Rendition, past::Before};
use crate::hls::{PARTS_LISTED, Playlist, Reach, SKIP_UNTIL};

/// The newest playlists of a rendition.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    full: Cache,
    delta: Cache,
    full_back: Cache,
    delta_back: Cache,
}

/// A playlist and the version it is of.
type Cache = Option<(u64, Arc<Playlist>)>;

impl Rendition {
    /// The playlist that goes back so far, as of `version`; rendered at most once for each.
    pub fn playlist(
        &mut self,
        (reach, skip): (Reach, bool),
        version: u64,
        ended: bool,
        frame: &Frame,
        reports: impl FnOnce() -> String,
    ) -> Arc<Playlist> {
        let skipped = if skip && !ended { self.skippable(reach) } else { 0 };
        if let Some((_, playlist)) = self.cache(reach, skipped > 0).as_ref().filter(|(of, _)| *of == version) {
            return playlist.clone();
        }
        let playlist = Arc::new(Playlist::new(self.render(reach, skipped, ended, frame, &reports())));
        self.cache(reach, skipped > 0).insert((version, playlist)).1.clone()
    }

    fn cache(&mut self, reach: Reach, delta: bool) -> &mut Cache {
        match (reach, delta) {
            (Reach::Edge, false) => &mut self.rendered.full,
            (Reach::Edge, true) => &mut self.rendered.delta,
            (Reach::Back, false) => &mut self.rendered.full_back,
            (Reach::Back, true) => &mut self.rendered.delta_back,
        }
    }

    fn render(&self, reach: Reach, skipped: usize, ended: bool, frame: &Frame, reports: &str) -> String {
        let mut text = String::with_capacity(16 * 1024);
        text.push_str(&frame.head);
        let (past, breaks) = match reach {
            Reach::Edge => (0, 0),
            Reach::Back => (self.past.listed(), self.past.breaks()),
        };
        let first = self.past.first_listed().filter(|_| past > 0);
        let first = first.or_else(|| Some(self.segments.get(self.listed)?.msn)).unwrap_or(0);
        let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuities.saturating_sub(breaks));
        if skipped > 0 {
            let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        }
        let mut before = Before::default();
        if past > 0 {
            before = self.render_past(&mut text, skipped, frame);
        }
        let from = (self.listed + skipped.saturating_sub(past)).min(self.segments.len());
        let held = self.segments.back().filter(|_| self.holds_end(ended)).map(|last| last.msn);
        // The map of a skipped segment still applies to those behind it.
        if from > self.listed {
            before.init = self.segments.get(from - 1).map(|segment| segment.init);
        }
        for segment in self.segments.range(from..) {
            if segment.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            self.map(&mut text, segment.init, segment.discontinuity, &before, frame);
            before.init = Some(segment.init);
            text.push_str(&segment.date_line);
            if segment.end() + PARTS_LISTED > self.edge {
                text.push_str(&segment.part_lines);
            }
            if Some(segment.msn) != held {
                text.push_str(&segment.end_lines);
            }
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
        } else {
            let uri = self.uri("part", self.next_number, frame);
            let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"");
        }
        text.push_str(reports);
        text
    }

    /// The map of a segment, where it is not in force yet.
    pub(super) fn map(&self, text: &mut String, init: u32, discontinuity: bool, before: &Before, frame: &Frame) {
        if !self.captions && (discontinuity || before.init != Some(init)) {
            let Frame { base, query, .. } = frame;
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{base}/{}/init-{init}.mp4{query}\"", self.id);
        }
    }

    /// How many listed segments lie beyond the skip boundary; where players may go back, those that memory lists no
    /// longer, since nothing that is said of them changes.
    fn skippable(&self, reach: Reach) -> usize {
        if reach == Reach::Back {
            return self.past.listed();
        }
        let listed = self.segments.range(self.listed..);
        listed.take_while(|segment| segment.complete && segment.end() + SKIP_UNTIL <= self.edge).count()
    }

    pub(super) fn uri(&self, what: &str, number: u64, frame: &Frame) -> String {
        let extension = if self.captions { "vtt" } else { "m4s" };
        format!("{}/{}/{what}-{number}.{extension}{}", frame.base, self.id, frame.query)
    }
}
