//! Playlists as a strict player reads them: every tag known, once where it may stand once, in its place.
//! Written from rfc8216bis alone, not from the renderer it checks.

use std::collections::{BTreeMap, BTreeSet};

pub type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    pub version: u64,
    pub target: u64,
    pub control: Attributes,
    pub part_target: f64,
    pub sequence: u64,
    pub discontinuity_sequence: u64,
    pub skipped: u64,
    /// The last one is open if it has no URI.
    pub segments: Vec<Segment>,
    pub hint: Option<String>,
    /// By URI: LAST-MSN and LAST-PART.
    pub reports: BTreeMap<String, (u64, u64)>,
    pub ended: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    pub msn: u64,
    pub uri: Option<String>,
    pub duration: f64,
    pub parts: Vec<Part>,
    /// Milliseconds since 1970.
    pub time: Option<i64>,
    /// The map in force, `None` while a delta update leaves it open.
    pub map: Option<String>,
    pub discontinuity: bool,
    pub gap: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    pub uri: String,
    pub duration: f64,
    pub independent: bool,
    pub gap: bool,
}

#[derive(Debug, Default)]
pub struct Multivariant {
    pub version: u64,
    /// Attributes and URI.
    pub variants: Vec<(Attributes, String)>,
    pub media: Vec<Attributes>,
}

impl Media {
    /// The newest part: segment and index; a segment without listed parts counts as its last part.
    pub fn last(&self) -> Option<(u64, u64)> {
        self.segments.last().map(|segment| (segment.msn, (segment.parts.len() as u64).saturating_sub(1)))
    }

    /// What comes next.
    pub fn next(&self) -> (u64, u64) {
        match self.segments.last() {
            Some(open) if open.uri.is_none() => (open.msn, open.parts.len() as u64),
            Some(last) => (last.msn + 1, 0),
            None => (self.sequence, 0),
        }
    }

    pub fn complete(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.uri.is_some())
    }

    /// A delta update together with what the client had before (rfc8216bis §6.3.7).
    pub fn merge(mut self, baseline: &Media, errors: &mut Vec<String>) -> Media {
        if self.skipped == 0 {
            return self;
        }
        let (from, to) = (self.sequence, self.sequence + self.skipped);
        let kept: Vec<_> = baseline.segments.iter().filter(|s| (from..to).contains(&s.msn)).cloned().collect();
        if kept.len() as u64 != self.skipped || kept.iter().any(|segment| segment.uri.is_none()) {
            errors.push(format!("delta skips {from}..{to}, of which the client has {}", kept.len()));
        }
        let mut map = kept.last().and_then(|segment| segment.map.clone());
        for segment in &mut self.segments {
            if segment.map.is_none() {
                segment.map.clone_from(&map);
            }
            map.clone_from(&segment.map);
        }
        // Parts of skipped segments are gone from the full playlist too.
        let kept = kept.into_iter().map(|segment| Segment { parts: Vec::new(), ..segment });
        self.segments.splice(0..0, kept);
        self.skipped = 0;
        self
    }
}

/// Reads a media playlist; what is wrong with it goes to `errors`.
pub fn media(text: &str, errors: &mut Vec<String>) -> Media {
    let mut media = Media::default();
    let mut seen = BTreeSet::new();
    let mut segment = Segment::default();
    let mut extinf = false;
    let mut msn = None;
    let mut map = None;
    let mut lines = text.lines();
    if lines.next() != Some("#EXTM3U") {
        errors.push("does not begin with EXTM3U".into());
    }
    for line in lines {
        if !line.starts_with('#') {
            if line.is_empty() {
                continue;
            }
            if !extinf {
                errors.push(format!("a URI without EXTINF: {line}"));
            }
            extinf = false;
            let number = *msn.get_or_insert(media.sequence + media.skipped);
            segment.msn = number;
            segment.uri = Some(line.into());
            segment.map.clone_from(&map);
            media.segments.push(std::mem::take(&mut segment));
            msn = Some(number + 1);
            continue;
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let once = !matches!(
            tag,
            "#EXTINF"
                | "#EXT-X-PART"
                | "#EXT-X-PROGRAM-DATE-TIME"
                | "#EXT-X-MAP"
                | "#EXT-X-DISCONTINUITY"
                | "#EXT-X-GAP"
                | "#EXT-X-RENDITION-REPORT"
        );
        if once && !seen.insert(tag.to_owned()) {
            errors.push(format!("{tag} stands twice"));
        }
        let mut integer = |what: &str| {
            what.parse::<u64>().unwrap_or_else(|_| {
                errors.push(format!("not an integer: {line}"));
                0
            })
        };
        let before_parts = matches!(tag, "#EXT-X-PROGRAM-DATE-TIME" | "#EXT-X-MAP" | "#EXT-X-DISCONTINUITY");
        match tag {
            "#EXT-X-VERSION" => media.version = integer(value),
            "#EXT-X-TARGETDURATION" => media.target = integer(value),
            "#EXT-X-MEDIA-SEQUENCE" => media.sequence = integer(value),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => media.discontinuity_sequence = integer(value),
            "#EXT-X-SERVER-CONTROL" => media.control = attributes(value, errors),
            "#EXT-X-PART-INF" => media.part_target = float(&attributes(value, errors), "PART-TARGET", errors),
            "#EXT-X-SKIP" => {
                let attributes = attributes(value, errors);
                media.skipped = attributes.get("SKIPPED-SEGMENTS").map_or(0, |n| integer_of(n, errors));
                if !media.segments.is_empty() {
                    errors.push("EXT-X-SKIP stands behind a segment".into());
                }
            }
            "#EXTINF" => {
                extinf = true;
                let number = value.split(',').next().unwrap_or("");
                segment.duration = number.parse().unwrap_or_else(|_| {
                    errors.push(format!("not a duration: {line}"));
                    0.0
                });
                if number.split_once('.').is_none_or(|(_, decimals)| decimals.len() < 5) {
                    errors.push(format!("less than five decimals: {line}"));
                }
            }
            "#EXT-X-GAP" => segment.gap = true,
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-PROGRAM-DATE-TIME" => {
                segment.time = value.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond());
                if segment.time.is_none() {
                    errors.push(format!("not a date: {line}"));
                }
            }
            "#EXT-X-MAP" => map = attributes(value, errors).remove("URI"),
            "#EXT-X-PART" => {
                let attributes = attributes(value, errors);
                segment.parts.push(Part {
                    duration: float(&attributes, "DURATION", errors),
                    independent: attributes.get("INDEPENDENT").is_some_and(|v| v == "YES"),
                    gap: attributes.get("GAP").is_some_and(|v| v == "YES"),
                    uri: attributes.get("URI").cloned().unwrap_or_default(),
                });
            }
            "#EXT-X-PRELOAD-HINT" => {
                let mut attributes = attributes(value, errors);
                if attributes.get("TYPE").map(String::as_str) == Some("PART") {
                    media.hint = attributes.remove("URI");
                }
            }
            "#EXT-X-RENDITION-REPORT" => {
                let mut attributes = attributes(value, errors);
                let mut number = |name| attributes.get(name).map_or(0, |text| integer_of(text, errors));
                let last = (number("LAST-MSN"), number("LAST-PART"));
                media.reports.insert(attributes.remove("URI").unwrap_or_default(), last);
            }
            "#EXT-X-ENDLIST" => media.ended = true,
            _ => errors.push(format!("unknown tag: {line}")),
        }
        if before_parts && !segment.parts.is_empty() {
            errors.push(format!("stands behind the segment's first part: {line}"));
        }
        if (before_parts || tag == "#EXT-X-PART") && media.hint.is_some() {
            errors.push(format!("stands behind the hint: {line}"));
        }
    }
    if !segment.parts.is_empty() {
        segment.msn = msn.unwrap_or(media.sequence + media.skipped);
        segment.map = map;
        media.segments.push(segment);
    }
    media
}

/// Reads a multivariant playlist.
pub fn multivariant(text: &str, errors: &mut Vec<String>) -> Multivariant {
    let mut playlist = Multivariant::default();
    let mut pending: Option<Attributes> = None;
    for (n, line) in text.lines().enumerate() {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXTM3U" if n == 0 => {}
            "#EXT-X-VERSION" => playlist.version = integer_of(value, errors),
            "#EXT-X-MEDIA" => playlist.media.push(attributes(value, errors)),
            "#EXT-X-STREAM-INF" => pending = Some(attributes(value, errors)),
            _ if !line.starts_with('#') && pending.is_some() => {
                playlist.variants.extend(pending.take().map(|attributes| (attributes, line.to_owned())));
            }
            _ => errors.push(format!("multivariant: unexpected line: {line}")),
        }
    }
    playlist
}

/// An attribute list (rfc8216bis §4.2): quoted strings without their quotes.
fn attributes(text: &str, errors: &mut Vec<String>) -> Attributes {
    let mut attributes = Attributes::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            errors.push(format!("not an attribute list: {text}"));
            break;
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if attributes.insert(name.to_owned(), value.to_owned()).is_some() {
            errors.push(format!("attribute {name} stands twice: {text}"));
        }
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    attributes
}

pub fn float(attributes: &Attributes, name: &str, errors: &mut Vec<String>) -> f64 {
    attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        errors.push(format!("no number {name} in {attributes:?}"));
        0.0
    })
}

fn integer_of(text: &str, errors: &mut Vec<String>) -> u64 {
    text.parse().unwrap_or_else(|_| {
        errors.push(format!("not an integer: {text}"));
        0
    })
}
