//! What ARCHITECTURE.md promises and a program can check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms in flow order, and what each may use. `app` sees everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("stream", &["model"]),
    ("tls", &["model"]),
    ("rtc", &[]),
    ("ingest", &["stream", "rtc", "media", "model", "tls"]),
    ("media", &["stream", "model"]),
    ("egress", &["stream", "media", "rtc", "model"]),
    ("cmaf", &["stream", "model"]),
    // It reads with the same parsers what it writes again.
    ("still", &["ingest", "model"]),
    ("hls", &["stream", "model"]),
    ("pipe", &[]),
    ("speech", &["model", "pipe"]),
    ("translate", &["model", "pipe"]),
    ("quality", &["model"]),
    ("captions", &["stream", "model", "speech", "translate", "quality"]),
    ("store", &["model"]),
    ("archive", &["stream", "media", "cmaf", "hls", "captions", "store", "model"]),
    // The door publishers knock at is `ingest`'s trait, and lets them into `stream`.
    ("access", &["store", "model", "ingest", "stream"]),
    (
        "serve",
        &[
            "model",
            "stream",
            "rtc",
            "ingest",
            "media",
            "egress",
            "cmaf",
            "hls",
            "speech",
            "translate",
            "quality",
            "captions",
            "store",
            "archive",
            "access",
        ],
    ),
];

const LINES: usize = 500;

fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
                found.push(path);
            }
        }
    }
    found
}

fn room(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// The rooms a file names after `crate::`, brace lists included.
fn used(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(inside) => top_level_items(inside),
            None => vec![rest],
        };
        for item in list {
            let name: String = item.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.insert(name);
        }
    }
    rooms
}

fn top_level_items(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&inside[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn dependencies_point_along_the_arrows() {
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let Some(room) = room(&path) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else { continue };
        // Tests may borrow a neighbour to make their input.
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        if path.file_stem().is_some_and(|stem| stem == "tests") || path.components().any(|c| c.as_os_str() == "tests") {
            continue;
        }
        for other in used(text) {
            let known = other == "app" || ARROWS.iter().any(|(name, _)| *name == other);
            if known && other != room && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{}: {room} uses {other}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not exist:\n{}", wrong.join("\n"));
}

#[test]
fn rooms_stand_in_flow_order() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")).map(|line| line.trim_end_matches(';')).collect();
    let expected: Vec<_> = ARROWS.iter().map(|(name, _)| *name).chain(["app"]).collect();
    assert_eq!(declared, expected);
}

#[test]
fn files_stay_small_enough_to_hold_in_mind() {
    let mut wrong = Vec::new();
    for (folder, endings) in [
        ("src", &["rs"][..]),
        ("tests", &["rs"]),
        ("benches", &["rs"]),
        ("fuzz/src", &["rs"]),
        ("web/src", &["ts", "css", "html"]),
        ("scripts", &["py", "sh"]),
    ] {
        for path in files(folder, endings) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > LINES {
                wrong.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "more than {LINES} lines:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_engine_links_the_speech_libraries() {
    for path in files("src", &["rs"]) {
        if path.components().any(|part| part.as_os_str() == "amphi-engine") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("ct2rs::"), "{} names ct2rs", path.display());
    }
}

#[test]
fn gstreamer_lives_in_media_and_behind_the_rtsp_server_alone() {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/egress/rtsp");
    for path in files("src", &["rs"]) {
        if room(&path).is_some_and(|room| room == "media") || path.starts_with(&server) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("gstreamer::") && !text.contains("gst::"), "{} names GStreamer", path.display());
    }
}

#[test]
fn unsafe_code_stays_in_named_adapters() {
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("allow(unsafe_code)") {
            let adapters = ["vosk_sys.rs", "ingest/srt/sys.rs", "media/scale/sys.rs"];
            let named = adapters.iter().any(|adapter| path.ends_with(adapter));
            assert!(named, "{} allows unsafe code", path.display());
            assert!(text.contains("SAFETY:"), "{} says no SAFETY", path.display());
        }
    }
}

#[test]
fn http_is_known_in_serve_alone() {
    for path in files("src", &["rs"]) {
        let room = room(&path).unwrap_or_default();
        if matches!(room.as_str(), "serve" | "app") {
            continue;
        }
        assert!(!fs::read_to_string(&path).unwrap().contains("axum::"), "{} knows HTTP", path.display());
    }
}
