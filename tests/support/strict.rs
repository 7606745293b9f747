//! A strict reader: watches a live over HTTP as a low-latency player does and says what breaks a rule of
//! rfc8216bis. It shares no code with the server.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

#[path = "strict_playlist.rs"]
pub mod playlist;
#[path = "strict_reader.rs"]
mod reader;

use playlist::{Attributes, Multivariant};
use reader::Reader;

/// How late a part or segment may come beyond what the playlist promises: the machine runs other tests too.
const SLACK: Duration = Duration::from_millis(1_500);
/// Renditions of different kinds cut at the nearest frame of their own.
const ALIGNMENT: i64 = 100;

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    /// Broken rules, in words; empty if all is well.
    pub errors: Vec<String>,
    /// Media playlists loaded.
    pub playlists: usize,
    /// Of these, delta updates that skipped something.
    pub deltas: usize,
    /// Parts fetched.
    pub parts: usize,
    /// Segments fetched and compared with their parts.
    pub segments: usize,
    /// Renditions watched.
    pub renditions: usize,
    /// ENDLIST was seen everywhere.
    pub ended: bool,
}

/// A response, read to its end.
pub struct Fetched {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// What the readers of one live share.
pub(crate) struct Shared {
    pub base: String,
    pub until: Instant,
    pub report: Mutex<Report>,
    /// The newest part each reader has seen, by playlist URI.
    pub seen: Mutex<BTreeMap<String, (u64, u64)>>,
    pub renditions: BTreeSet<String>,
}

/// What a reader learnt, for comparison with the others.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub head: Option<(u64, u64, Attributes, u64)>,
    /// By media sequence number: date, duration, bytes if fetched.
    pub segments: BTreeMap<u64, (i64, f64, usize)>,
    pub ended: bool,
}

/// Watches `BASE/live/NAME` for so long, or until it ends. Blocking.
pub fn watch(base_url: &str, name: &str, duration: Duration) -> Report {
    watch_at(base_url, name, "index.m3u8", duration)
}

/// The same by another multivariant playlist.
pub fn watch_at(base_url: &str, name: &str, file: &str, duration: Duration) -> Report {
    let base = base_url.trim_end_matches('/');
    let mut errors = Vec::new();
    let url = format!("{base}/live/{name}/{file}");
    let fetched = get(&url);
    if fetched.status != 200 {
        errors.push(format!("{url}: {}", fetched.status));
        return Report { errors, ..Default::default() };
    }
    check_playlist_headers(&url, &fetched, &mut errors);
    if file == "index.m3u8" && get(&format!("{base}/hls/{name}.m3u8")).body != fetched.body {
        errors.push("the compatible address has another multivariant playlist".into());
    }
    let multivariant = playlist::multivariant(&String::from_utf8_lossy(&fetched.body), &mut errors);
    check_multivariant(&multivariant, &mut errors);
    let renditions: BTreeSet<String> = {
        let variants = multivariant.variants.iter().map(|(_, uri)| uri.clone());
        variants.chain(multivariant.media.iter().filter_map(|media| media.get("URI").cloned())).collect()
    };
    let count = renditions.len();
    let shared = Shared {
        base: base.into(),
        until: Instant::now() + duration,
        report: Mutex::default(),
        seen: Mutex::default(),
        renditions,
    };
    let learnt: BTreeMap<String, Learnt> = thread::scope(|scope| {
        let readers: Vec<_> = shared
            .renditions
            .iter()
            .map(|uri| (uri.clone(), scope.spawn(|| Reader::new(&shared, uri).run())))
            .collect();
        readers.into_iter().map(|(uri, reader)| (uri, reader.join().unwrap())).collect()
    });
    let mut report = shared.report.into_inner().unwrap();
    compare(&multivariant, &learnt, &mut errors);
    errors.append(&mut report.errors);
    Report { errors, renditions: count, ended: learnt.values().all(|learnt| learnt.ended), ..report }
}

/// A GET that takes any status for an answer.
pub fn get(url: &str) -> Fetched {
    get_with(url, &[])
}

/// The same with headers of one's own.
pub fn get_with(url: &str, headers: &[(&str, &str)]) -> Fetched {
    thread_local! {
        static AGENT: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
    }
    let request =
        AGENT.with(|agent| headers.iter().fold(agent.get(url), |request, (name, value)| request.header(*name, *value)));
    match request.call() {
        Ok(mut response) => Fetched {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
                .collect(),
            body: response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap_or_default(),
        },
        Err(error) => Fetched { status: 0, headers: HashMap::new(), body: error.to_string().into_bytes() },
    }
}

/// Rule 24: type, a short life, gzip for those who take it.
pub(crate) fn check_playlist_headers(url: &str, fetched: &Fetched, errors: &mut Vec<String>) {
    let header = |name: &str| fetched.headers.get(name).map_or("", String::as_str);
    if !header("content-type").starts_with("application/vnd.apple.mpegurl") {
        errors.push(format!("{url}: type {}", header("content-type")));
    }
    let age =
        header("cache-control").split("max-age=").nth(1).and_then(|age| age.split(',').next()?.parse::<u32>().ok());
    if age.is_none_or(|age| age > 24) {
        errors.push(format!("{url}: cache-control {:?}", header("cache-control")));
    }
}

/// Rules 10 and 11.
fn check_multivariant(multivariant: &Multivariant, errors: &mut Vec<String>) {
    if multivariant.variants.is_empty() {
        errors.push("no variant".into());
    }
    for (variant, uri) in &multivariant.variants {
        for (attribute, kind) in [("AUDIO", "AUDIO"), ("SUBTITLES", "SUBTITLES")] {
            let resolves = |group| {
                multivariant
                    .media
                    .iter()
                    .any(|m| m.get("TYPE").map(String::as_str) == Some(kind) && m.get("GROUP-ID") == Some(group))
            };
            if variant.get(attribute).is_some_and(|group| !resolves(group)) {
                errors.push(format!("{uri}: {attribute} group does not resolve"));
            }
        }
        if variant.get("BANDWIDTH").and_then(|b| b.parse::<u64>().ok()).is_none_or(|b| b == 0) {
            errors.push(format!("{uri}: no BANDWIDTH"));
        }
        if variant.get("CODECS").is_none_or(String::is_empty) {
            errors.push(format!("{uri}: no CODECS"));
        }
    }
    for media in &multivariant.media {
        for name in ["TYPE", "GROUP-ID", "NAME"] {
            if !media.contains_key(name) {
                errors.push(format!("EXT-X-MEDIA without {name}: {media:?}"));
            }
        }
    }
}

/// Rules 11, 21 and 22, which take more than one playlist to see.
fn compare(multivariant: &Multivariant, learnt: &BTreeMap<String, Learnt>, errors: &mut Vec<String>) {
    let heads: BTreeSet<_> = learnt.values().filter_map(|l| l.head.as_ref()).map(|head| format!("{head:?}")).collect();
    if heads.len() > 1 {
        errors.push(format!("version, target, server control or part target differ: {heads:?}"));
    }
    if learnt.values().filter_map(|l| l.head.as_ref()).any(|head| head.0 != multivariant.version) {
        errors.push("media and multivariant playlists differ in version".into());
    }
    let Some((first, reference)) = learnt.iter().next() else { return };
    for (uri, other) in learnt {
        for (msn, (time, ..)) in &other.segments {
            let Some((expected, ..)) = reference.segments.get(msn) else { continue };
            if (time - expected).abs() > ALIGNMENT {
                errors.push(format!("segment {msn} of {uri} lies {} ms from that of {first}", time - expected));
            }
        }
    }
    for (variant, uri) in &multivariant.variants {
        let group = variant.get("AUDIO");
        let audio = multivariant.media.iter().find(|m| group.is_some() && m.get("GROUP-ID") == group);
        let audio = audio.and_then(|media| learnt.get(media.get("URI")?));
        let bandwidth: f64 = variant.get("BANDWIDTH").and_then(|b| b.parse().ok()).unwrap_or(0.0);
        // Shorter ones make no peak by themselves (rfc8216bis §4.4.6.2, BANDWIDTH).
        let target = learnt.get(uri).and_then(|l| l.head.as_ref()).map_or(0.0, |head| head.1 as f64);
        let counts = |duration: f64| duration >= 0.5 * target;
        let segments = learnt.get(uri).into_iter().flat_map(|l| &l.segments);
        for (msn, (_, duration, bytes)) in segments.filter(|(_, (_, duration, _))| counts(*duration)) {
            let rate = |bytes: usize, duration: f64| bytes as f64 * 8.0 / duration;
            let sound = audio.and_then(|a| a.segments.get(msn)).map_or(0.0, |(_, d, bytes)| rate(*bytes, *d));
            let measured = rate(*bytes, *duration) + sound;
            if measured > bandwidth {
                errors.push(format!("segment {msn} of {uri}: {measured:.0} bit/s, BANDWIDTH {bandwidth}"));
            }
        }
    }
}
