use std::{path::Path, time::Duration};

use super::support::{run, templates};
use crate::{
    media::{Error, file},
    model::{MediaTime, Pcm},
};

fn media(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

fn read(path: &Path) -> (Vec<Pcm>, Option<Duration>) {
    let reader = file::pcm(path, &templates()).unwrap();
    let duration = reader.duration();
    (reader.map(Result::unwrap).collect(), duration)
}

#[test]
fn speech_at_16_khz_comes_out_bit_exact() {
    let path = media("jfk.flac");
    let (blocks, duration) = read(&path);
    let arguments = format!("-v error -i {} -f s16le -ac 1 -ar 16000 pipe:1", path.display());
    let expected: Vec<i16> =
        run("ffmpeg", &arguments, b"").chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let samples: Vec<i16> = blocks.iter().flat_map(|block| block.samples.iter().copied()).collect();
    assert!(samples == expected, "{} samples, ffmpeg {}", samples.len(), expected.len());
    assert_eq!(blocks[0].start, MediaTime::ZERO);
    assert!(blocks[..blocks.len() - 1].iter().all(|block| block.samples.len() == 1_600));
    assert!(duration.unwrap().abs_diff(Pcm::duration_of(samples.len())) < Duration::from_millis(100));
}

#[test]
fn a_lecture_in_opus_is_complete_and_in_time() {
    let (blocks, duration) = read(&media("lecture-en.opus"));
    assert!(blocks.windows(2).all(|pair| pair[0].end() == pair[1].start));
    let end = blocks.last().unwrap().end().since(MediaTime::ZERO);
    assert!(end.abs_diff(duration.unwrap()) < Duration::from_millis(50), "{end:?} {duration:?}");
}

#[test]
fn the_sound_of_a_video_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a talk, with #signs & 100%.mp4");
    let source = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=1 -f lavfi -i sine=d=1:r=44100 -c:v libx264 -c:a aac -f matroska pipe:1";
    std::fs::write(&path, run("ffmpeg", &format!("-v error {source}"), b"")).unwrap();
    let (blocks, _) = read(&path);
    let end = blocks.last().unwrap().end().since(MediaTime::ZERO);
    assert!(end.abs_diff(Duration::from_secs(1)) < Duration::from_millis(60), "{end:?}");
}

#[test]
fn files_without_sound_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let templates = templates();
    let error = |path: &Path| file::pcm(path, &templates).map(|_| ()).unwrap_err();
    assert!(matches!(error(&folder.path().join("none.wav")), Error::Open { .. }));
    assert!(matches!(error(folder.path()), Error::Open { .. }));
    let silent = "-v error -f lavfi -i testsrc2=size=320x180:rate=30:duration=1 -c:v libx264 -f matroska pipe:1";
    let silent = error(&write("silent.mkv", &run("ffmpeg", silent, b"")));
    assert!(matches!(silent, Error::NoAudio(_)), "{silent}");
    assert!(matches!(error(&write("notes.txt", b"no media at all, only words")), Error::Unsupported { .. }));
    assert!(matches!(error(&write("empty.wav", b"")), Error::Unsupported { .. }));
    let cut = &std::fs::read(media("jfk.flac")).unwrap()[..10];
    assert!(matches!(error(&write("cut.flac", cut)), Error::Unsupported { .. }));
}
