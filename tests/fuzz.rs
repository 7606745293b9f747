//! Bytes that fuzzing has looked at, and those it began with, once more: see `fuzz`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

/// Seeds are for every checkout: bytes of all of them together.
const LARGEST: u64 = 200 << 10;

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &str) -> BTreeSet<String> {
    entries(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let names: BTreeSet<_> = checks::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("fuzz/fuzz_targets"), names);
    assert_eq!(stems("fuzz/corpus"), names);
    let seeds = names.iter().map(|name| entries(&format!("fuzz/corpus/{name}")));
    let sizes = seeds.flat_map(|seeds| {
        assert!(!seeds.is_empty());
        seeds.into_iter().map(|seed| fs::metadata(seed).unwrap().len())
    });
    assert!(sizes.sum::<u64>() <= LARGEST);
}

#[test]
fn every_seed_passes() {
    let mut failed = Vec::new();
    for (name, _) in checks::TARGETS {
        for seed in entries(&format!("fuzz/corpus/{name}")) {
            let bytes = fs::read(&seed).unwrap();
            if catch_unwind(|| checks::run(name, &bytes)).is_err() {
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn seeds_are_what_they_say() {
    let whole = fs::read(entries("fuzz/corpus/ts").first().unwrap()).unwrap();
    // A seed that nothing comes out of would look at nothing.
    let frames = |bytes: &[u8]| {
        let mut demuxer = amphi::ingest::ts::Demuxer::default();
        let _ = demuxer.push(bytes);
        let _ = demuxer.finish();
        std::iter::from_fn(|| demuxer.take()).count()
    };
    assert!(frames(&whole) > 2 && frames(&whole[1..100]) == 0);
}
