//! One rendition, watched with blocking reloads and delta updates.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Fetched, Learnt, SLACK, Shared, check_playlist_headers, get, get_with,
    playlist::{self, Media, Segment, float},
};

/// Durations are compared to this, in seconds.
const EXACT: f64 = 0.000_01;

pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    uri: &'a str,
    errors: Vec<String>,
    learnt: Learnt,
    /// Parts fetched and still wanted, by URI.
    parts: BTreeMap<String, Vec<u8>>,
    /// Parts that left the playlist, and when.
    left: VecDeque<(String, Instant)>,
    last_part: Instant,
    last_segment: Instant,
}

impl<'a> Reader<'a> {
    pub fn new(shared: &'a Shared, uri: &'a str) -> Self {
        let now = Instant::now();
        Self {
            shared,
            uri,
            errors: Vec::new(),
            learnt: Learnt::default(),
            parts: BTreeMap::new(),
            left: VecDeque::new(),
            last_part: now,
            last_segment: now,
        }
    }

    /// Watches until the time is up, the live ends, or it breaks too many rules.
    pub fn run(mut self) -> Learnt {
        if let Some(first) = self.load("") {
            self.learn_head(&first);
            self.probe(&first);
            self.check_gzip();
            (self.last_part, self.last_segment) = (Instant::now(), Instant::now());
            self.follow(first);
        }
        let mut report = self.shared.report.lock().unwrap();
        let uri = self.uri;
        report.errors.extend(self.errors.into_iter().take(30).map(|error| format!("{uri}: {error}")));
        self.learnt
    }

    fn follow(&mut self, first: Media) {
        let mut state = first;
        self.take_new(&Media::default(), &state);
        for turn in 0_u64.. {
            if state.ended {
                self.learnt.ended = true;
                self.after_the_end(&state);
                return;
            }
            if Instant::now() >= self.shared.until || self.errors.len() > 30 {
                return;
            }
            let seen = self.shared.seen.lock().unwrap().clone();
            // Every other time the hinted part is asked for before the playlist that lists it.
            let hinted = if turn % 2 == 1 { state.hint.clone().map(|uri| (self.fetch(&uri), uri)) } else { None };
            let (msn, part) = state.next();
            let skip = if turn % 3 != 0 { "&_HLS_skip=YES" } else { "" };
            let wanted = format!("?_HLS_msn={msn}&_HLS_part={part}");
            let Some(next) = self.load(&format!("{wanted}{skip}")) else { return };
            if next.skipped > 0 {
                self.shared.report.lock().unwrap().deltas += 1;
                if skip.is_empty() {
                    self.errors.push("a delta update nobody asked for".into());
                }
            }
            let next = next.merge(&state, &mut self.errors);
            if next.next() <= state.next() && !next.ended {
                self.errors.push(format!("asked for {msn}.{part}, the reload has nothing new"));
            }
            self.check_hint(&state, &next, hinted);
            self.check_change(&state, &next);
            self.check_reports(&next, &seen);
            self.take_new(&state, &next);
            self.check_left();
            if turn % 8 == 7 {
                self.check_merged(&next, &wanted);
            }
            state = next;
        }
    }

    /// Loads the playlist; an error unless it is one.
    fn load(&mut self, query: &str) -> Option<Media> {
        let url = format!("{}{}{query}", self.shared.base, self.uri);
        let asked = Instant::now();
        let fetched = get(&url);
        if fetched.status != 200 {
            let held = asked.elapsed();
            self.errors.push(format!("{query}: status {} after {held:?}", fetched.status));
            return None;
        }
        check_playlist_headers(&url, &fetched, &mut self.errors);
        let media = playlist::media(&String::from_utf8_lossy(&fetched.body), &mut self.errors);
        self.check(&media);
        let mut report = self.shared.report.lock().unwrap();
        report.playlists += 1;
        drop(report);
        if let Some(last) = media.last() {
            let mut seen = self.shared.seen.lock().unwrap();
            let entry = seen.entry(self.uri.to_owned()).or_insert(last);
            *entry = last.max(*entry);
        }
        Some(media)
    }

    fn learn_head(&mut self, media: &Media) {
        let micros = (media.part_target * 1e6).round() as u64;
        self.learnt.head = Some((media.version, media.target, media.control.clone(), micros));
    }

    /// Rules 1 to 9 and 11, and what one playlist shows of rule 23.
    fn check(&mut self, media: &Media) {
        let text = self.text();
        let errors = &mut self.errors;
        let target = media.target as f64;
        let mut control = |name| float(&media.control, name, errors);
        let (hold, part_hold, skip) = (control("HOLD-BACK"), control("PART-HOLD-BACK"), control("CAN-SKIP-UNTIL"));
        if hold < 3.0 * target || part_hold < 3.0 * media.part_target - EXACT || skip < 6.0 * target {
            errors.push(format!("server control {:?}", media.control));
        }
        if media.control.get("CAN-BLOCK-RELOAD").map(String::as_str) != Some("YES") {
            errors.push("no blocking reload".into());
        }
        if media.version < 9 {
            errors.push(format!("version {} does not cover EXT-X-SKIP", media.version));
        }
        // Captions need none while the next segment has no part.
        let unhinted = text && media.segments.last().is_some_and(|last| last.uri.is_some());
        if media.ended && media.hint.is_some() || !media.ended && media.hint.is_none() && !unhinted {
            errors.push("a hint and no end, or an end and no hint: one of the two".into());
        }
        for segment in &media.segments {
            let msn = segment.msn;
            if segment.duration.round() > target {
                errors.push(format!("segment {msn} lasts {}", segment.duration));
            }
            if segment.time.is_none() {
                errors.push(format!("segment {msn} has no date"));
            }
            if !text && segment.map.is_none() && media.skipped == 0 {
                errors.push(format!("segment {msn} has no map"));
            }
            for (index, part) in segment.parts.iter().enumerate() {
                let last = segment.uri.is_some() && index + 1 == segment.parts.len();
                // Whether the newest part ends its segment is not known yet.
                let newest = segment.uri.is_none() && index + 1 == segment.parts.len();
                if part.duration > media.part_target + EXACT {
                    errors.push(format!("part {} lasts {}", part.uri, part.duration));
                }
                let short = part.duration < 0.85 * media.part_target - EXACT;
                if short && !(part.independent || part.gap || last || newest) {
                    errors.push(format!("part {} lasts only {}", part.uri, part.duration));
                }
            }
            let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
            if segment.uri.is_some() && !segment.parts.is_empty() && (sum - segment.duration).abs() > 0.05 * EXACT {
                errors.push(format!("segment {msn} lasts {} and its parts {sum}", segment.duration));
            }
        }
        for pair in media.segments.windows(2) {
            let (Some(from), Some(to)) = (pair[0].time, pair[1].time) else { continue };
            let drift = (to - from) as f64 / 1e3 - pair[0].duration;
            if drift.abs() >= media.part_target && !pair[1].discontinuity && !pair[0].gap && !pair[1].gap {
                errors.push(format!("date of segment {} drifts by {drift:.3} s", pair[1].msn));
            }
        }
        // What lies further back has no parts, what lies nearer has.
        let mut from_end = 0.0;
        for segment in media.segments.iter().rev() {
            let missing = segment.parts.is_empty() && !segment.gap;
            if (from_end + segment.duration < 3.0 * target - EXACT && missing && media.skipped == 0)
                || (from_end > 3.0 * target + EXACT && !segment.parts.is_empty())
            {
                errors.push(format!("parts of segment {}: {from_end:.1} s from the end", segment.msn));
            }
            from_end += segment.parts.iter().map(|p| p.duration).sum::<f64>().max(segment.duration);
        }
    }

    /// Rules 14, 15 and 21: what was published stays, numbers rise, news come in time.
    fn check_change(&mut self, old: &Media, new: &Media) {
        if new.sequence < old.sequence || new.discontinuity_sequence < old.discontinuity_sequence {
            self.errors.push("a sequence number went back".into());
        }
        for segment in &new.segments {
            let Some(before) = old.segments.iter().find(|before| before.msn == segment.msn) else { continue };
            if let Some(why) = contradiction(before, segment) {
                self.errors.push(format!("segment {}: {why} changed", segment.msn));
            }
        }
        let gone = old.segments.iter().filter(|segment| segment.msn < new.sequence && segment.discontinuity).count();
        if new.discontinuity_sequence != old.discontinuity_sequence + gone as u64 {
            self.errors.push("the discontinuity sequence does not count what left".into());
        }
        if (new.target, &new.control, new.version) != (old.target, &old.control, old.version) {
            self.errors.push("the head changed".into());
        }
        let now = Instant::now();
        let late = |since: Instant, promised: f64| (now - since) > Duration::from_secs_f64(promised) + SLACK;
        if new.ended {
            return;
        }
        if late(self.last_part, new.part_target) {
            self.errors.push(format!("a new part took {:?}", now - self.last_part));
        }
        self.last_part = now;
        if new.complete().count() > 0 && new.complete().last().map(|s| s.msn) > old.complete().last().map(|s| s.msn) {
            self.last_segment = now;
        } else if late(self.last_segment, 1.5 * new.target as f64) {
            self.errors.push(format!("no new segment for {:?}", now - self.last_segment));
            self.last_segment = now;
        }
    }

    /// Rule 17; behind a discontinuity, where another map may be in force, lies another part than the one hinted.
    fn check_hint(&mut self, old: &Media, new: &Media, hinted: Option<(Option<Fetched>, String)>) {
        let Some(hint) = &old.hint else { return };
        let parts = || new.segments.iter().flat_map(|segment| segment.parts.iter().map(move |part| (segment, part)));
        let listed = parts().any(|(_, part)| part.uri == *hint);
        // The end completes a segment without another part.
        let advanced = new.next() > old.next() && !new.ended;
        let known: BTreeSet<_> = old.segments.iter().flat_map(|segment| &segment.parts).map(|part| &part.uri).collect();
        let came = parts().find(|(_, part)| !known.contains(&part.uri));
        let broke = !self.text()
            && came.is_some_and(|(segment, part)| segment.discontinuity && segment.parts.first() == Some(part));
        if advanced && listed == broke {
            self.errors.push(format!("{hint} was hinted, and listed behind a break, or something else came"));
        }
        let wanted = if broke { 404 } else { 200 };
        match hinted {
            Some((Some(fetched), uri)) if fetched.status == wanted && !broke => {
                self.parts.insert(uri, fetched.body);
                self.shared.report.lock().unwrap().parts += 1;
            }
            Some((Some(fetched), uri)) if fetched.status != wanted && !new.ended => {
                self.errors.push(format!("{uri}: hinted, status {} instead of {wanted}", fetched.status));
            }
            _ => {}
        }
    }

    /// It is a caption rendition's, which has no map.
    fn text(&self) -> bool {
        self.uri.contains("/captions-")
    }

    /// Rule 16.
    fn check_reports(&mut self, media: &Media, seen: &BTreeMap<String, (u64, u64)>) {
        for sibling in self.shared.renditions.iter().filter(|uri| *uri != self.uri) {
            let Some(&(msn, part)) = seen.get(sibling) else { continue };
            match media.reports.get(sibling) {
                None => self.errors.push(format!("no rendition report for {sibling}")),
                Some(&(m, p)) => {
                    let within = m > msn || (m == msn && p + 1 >= part) || (m + 1 == msn && part == 0);
                    if !within {
                        self.errors.push(format!("{sibling} is reported at {m}.{p}, {msn}.{part} was there before"));
                    }
                }
            }
        }
        if media.reports.contains_key(self.uri) {
            self.errors.push("it reports about itself".into());
        }
    }

    /// Fetches new parts and segments; rule 18.
    fn take_new(&mut self, old: &Media, new: &Media) {
        let text = self.text();
        let parts: Vec<_> = new.segments.iter().flat_map(|s| &s.parts).filter(|part| !part.gap).cloned().collect();
        for part in &parts {
            if self.parts.contains_key(&part.uri) {
                continue;
            }
            if let Some(fetched) = self.fetch(&part.uri).filter(|fetched| self.expect_ok(&part.uri, fetched)) {
                self.parts.insert(part.uri.clone(), fetched.body);
                self.shared.report.lock().unwrap().parts += 1;
            }
        }
        for segment in new.complete().filter(|segment| !segment.gap) {
            let known = old.complete().any(|before| before.msn == segment.msn);
            let (Some(uri), Some(time)) = (&segment.uri, segment.time) else { continue };
            if known || segment.parts.is_empty() {
                continue;
            }
            let Some(fetched) = self.fetch(uri).filter(|fetched| self.expect_ok(uri, fetched)) else { continue };
            let parts: Vec<_> = segment.parts.iter().filter_map(|part| self.parts.get(&part.uri)).collect();
            let whole = parts.iter().map(|p| &p[..]).collect::<Vec<_>>().concat();
            // Each WebVTT part is a document of its own, so there the sum is that of the cues.
            let sum = if text { cues(&whole) == cues(&fetched.body) } else { whole == fetched.body };
            if parts.len() == segment.parts.len() && !sum {
                self.errors.push(format!("{uri} is not the sum of its parts"));
            }
            if text && (!fetched.body.starts_with(b"WEBVTT") || parts.iter().any(|p| !p.starts_with(b"WEBVTT"))) {
                self.errors.push(format!("{uri} or a part of it is no WebVTT"));
            }
            self.learnt.segments.insert(segment.msn, (time, segment.duration, fetched.body.len()));
            self.shared.report.lock().unwrap().segments += 1;
        }
        let still = |uri: &String| parts.iter().any(|part| part.uri == *uri) || new.hint.as_ref() == Some(uri);
        let gone: Vec<_> = self.parts.keys().filter(|uri| !still(uri)).cloned().collect();
        for uri in gone {
            self.parts.remove(&uri);
            self.left.push_back((uri, Instant::now()));
        }
    }

    /// Parts that left the playlist can be fetched for three target durations more.
    fn check_left(&mut self) {
        while let Some((uri, _)) = self.left.pop_front_if(|(_, when)| when.elapsed() > Duration::from_secs(11)) {
            if let Some(fetched) = self.fetch(&uri).filter(|fetched| fetched.status != 200) {
                self.errors.push(format!("{uri} left the playlist 11 s ago: status {}", fetched.status));
            }
        }
    }

    /// Rule 14 as the text has it: the merged playlist is the full one of the same state, which caches know by its
    /// directives.
    fn check_merged(&mut self, merged: &Media, state: &str) {
        let Some(full) = self.load(state) else { return };
        for segment in &full.segments {
            let Some(ours) = merged.segments.iter().find(|ours| ours.msn == segment.msn) else { continue };
            if let Some(why) = contradiction(ours, segment) {
                self.errors.push(format!("segment {}: {why} differs between merged and full playlist", segment.msn));
            }
        }
        if full.sequence == merged.sequence && full.segments.len() < merged.segments.len() {
            self.errors.push("the full playlist is shorter than the merged one".into());
        }
    }

    /// Rule 13.
    fn probe(&mut self, media: &Media) {
        let (msn, _) = media.next();
        let limit = (3.0 / media.part_target).ceil().max(3.0) as u64;
        let far = format!("?_HLS_msn={}&_HLS_part={}", msn + 1, limit * 4);
        let wrong: Vec<String> = [
            "?_HLS_part=0",
            "?_HLS_msn=18446744073709551615",
            "?_HLS_msn=-1",
            "?_HLS_msn=99999999999999999999999999",
            "?_HLS_msn=1&_HLS_msn=1",
        ]
        .map(String::from)
        .into_iter()
        .chain([format!("?_HLS_msn={}", msn + 10), far])
        .collect();
        for query in wrong.iter().filter(|_| !media.ended) {
            let status = get(&format!("{}{}{query}", self.shared.base, self.uri)).status;
            if status != 400 {
                self.errors.push(format!("{query}: status {status}, not 400"));
            }
        }
        if let Some(last) = media.complete().last().map(|segment| segment.msn) {
            let query = format!("?_HLS_msn={last}&_HLS_part=4000000000");
            let status = get(&format!("{}{}{query}", self.shared.base, self.uri)).status;
            if status != 200 {
                self.errors.push(format!("{query}: status {status}: a part past the end is the next segment's first"));
            }
        }
        let nowhere = self.uri.replace("stream.m3u8", "part-4000000000.m4s");
        let nowhere = nowhere.replace("rewind.m3u8", "part-4000000000.m4s");
        let status = get(&format!("{}{nowhere}", self.shared.base)).status;
        if status != 404 {
            self.errors.push(format!("{nowhere}: status {status}, not 404"));
        }
    }

    fn after_the_end(&mut self, media: &Media) {
        for query in ["?_HLS_msn=18446744073709551615", "?_HLS_part=3", "?_HLS_msn=0&_HLS_skip=YES"] {
            let again = self.load(query);
            if again.is_some_and(|again| again.segments != media.segments) {
                self.errors.push(format!("{query}: directives are not ignored after the end"));
            }
        }
    }

    fn check_gzip(&mut self) {
        let fetched = get_with(&format!("{}{}", self.shared.base, self.uri), &[("accept-encoding", "gzip")]);
        let coding = fetched.headers.get("content-encoding").map(String::as_str);
        if coding != Some("gzip") || !fetched.body.starts_with(&[0x1f, 0x8b]) {
            self.errors.push(format!("no gzip: {coding:?}"));
        }
    }

    fn fetch(&self, uri: &str) -> Option<Fetched> {
        (!uri.is_empty()).then(|| get(&format!("{}{uri}", self.shared.base)))
    }

    /// Rule 24 for media.
    fn expect_ok(&self, uri: &str, fetched: &Fetched) -> bool {
        let header = |name: &str| fetched.headers.get(name).map_or("", String::as_str);
        let path = uri.split('?').next().unwrap_or(uri);
        let kind = if path.ends_with(".vtt") { "text/vtt" } else { "/mp4" };
        let well = fetched.status == 200
            && header("content-type").contains(kind)
            && header("cache-control").contains("max-age=")
            && !fetched.headers.contains_key("content-encoding");
        if !well {
            let error = format!("{}: {uri}: {} {:?}", self.uri, fetched.status, fetched.headers);
            self.shared.report.lock().unwrap().errors.push(error);
        }
        well
    }
}

/// What a later sight of a segment contradicts in an earlier one.
fn contradiction(before: &Segment, after: &Segment) -> Option<&'static str> {
    let complete = before.uri.is_some();
    if (before.time, &before.map, before.discontinuity) != (after.time, &after.map, after.discontinuity) {
        return Some("date, map or discontinuity");
    }
    if complete && (&before.uri, before.duration, before.gap) != (&after.uri, after.duration, after.gap) {
        return Some("address or duration");
    }
    let (old, new) = (&before.parts, &after.parts);
    if !new.is_empty() && !old.is_empty() && (!new.starts_with(old) || (complete && new.len() != old.len())) {
        return Some("a part");
    }
    None
}

/// The cue blocks of one or more WebVTT documents, each once, in order.
fn cues(documents: &[u8]) -> Vec<String> {
    let mut blocks = Vec::new();
    for block in String::from_utf8_lossy(documents).split("\n\n") {
        let block = block.trim().to_owned();
        if block.contains("-->") && !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    blocks
}
