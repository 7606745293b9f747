use std::{fs, os::unix::process::CommandExt, process::Stdio};

use super::*;
use crate::store::RecordingState;
use media::clip;

/// Writes a clip and stops without finishing, as a killed server does.
async fn abandon(store: &Store, clip: &Clip) -> RecordingId {
    let recorder = Recorder::start(store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    clip.parts.iter().for_each(|part| recorder.part(part));
    recorder.cue(&cue(1, 1, "en", 500, 1_500, "hello"));
    let id = recorder.id().clone();
    while recorder.status().queued > 0 {
        tokio::task::yield_now().await;
    }
    drop(recorder);
    // The writer's thread gives its spare room back last.
    while layout::Folder::new(&store.recordings_dir(), &id).ballast().exists() {
        tokio::task::yield_now().await;
    }
    id
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(std::result::Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { assert!(fs::copy(entry.path(), to).is_ok()) }
    }
}

#[tokio::test]
async fn a_recording_torn_at_any_byte_is_recovered_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(4);
    clip.parts.retain(|part| part.rendition != rung());
    let id = abandon(&store, &clip).await;
    let whole = store.recordings_dir().join(id.as_str());
    let elsewhere = tempfile::tempdir().unwrap();
    let torn = layout::Folder::new(elsewhere.path(), &id);
    copy(&whole, torn.path());
    for rendition in [RenditionId::source(), RenditionId::audio()] {
        let all = clip.parts.iter().filter(|part| part.rendition == rendition).count();
        let last = clip.parts.iter().rfind(|part| part.rendition == rendition).unwrap().data.len() as u64;
        for (file, tail) in [("media-0.mp4", last + 40), ("index.jsonl", 260)] {
            let (intact, spoilt) = (whole.join(rendition.as_str()).join(file), torn.rendition(&rendition).join(file));
            let size = fs::metadata(&intact).unwrap().len();
            let mut heard = usize::MAX;
            let from = size - tail;
            // In a picture every 61st byte will do.
            let telling = |p: &u64| file.ends_with("jsonl") || size - p < 60 || p - from < 300 || p.is_multiple_of(61);
            for position in (from..=size).rev().filter(telling) {
                copy(&whole.join(rendition.as_str()), &torn.rendition(&rendition));
                fs::OpenOptions::new().write(true).open(&spoilt).unwrap().set_len(position).unwrap();
                let track = journal::repair(&torn, &rendition).unwrap();
                let lost = all - track.parts.len();
                assert!(
                    if position == size { lost == 0 } else { (1..=4).contains(&lost) },
                    "{file} {position}: {lost}"
                );
                assert_eq!(journal::repair(&torn, &rendition).unwrap(), track, "repairing twice changes nothing");
                if std::mem::replace(&mut heard, lost) != lost {
                    plays_for(&torn, Duration::from_millis(3_200));
                }
            }
        }
        copy(&whole.join(rendition.as_str()), &torn.rendition(&rendition));
    }
    let log = torn.captions(&lang("en"));
    for length in 0..fs::metadata(&log).unwrap().len() {
        fs::copy(whole.join("captions-en.jsonl"), &log).unwrap();
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length).unwrap();
        assert_eq!(captions::read(&log).unwrap(), []);
    }
    plays_for(&torn, Duration::from_millis(3_900));
}

fn plays_for(folder: &layout::Folder, least: Duration) {
    let finished = finish::finish(folder).unwrap();
    assert!(finished.duration >= least, "{finished:?}");
    let seconds = finished.duration.as_secs_f64();
    let (frames, sound) = play(folder.multivariant().to_str().unwrap());
    assert!((frames as f64 / 30.0 - seconds).abs() < 0.3, "{frames} {finished:?}");
    assert!((sound - seconds).abs() < 0.3, "{sound} {finished:?}");
    assert_eq!(finish::finish(folder).unwrap(), finished);
}

/// The process that the test below kills; alone it does nothing.
#[tokio::test]
async fn child_records_until_killed() {
    let Ok(dir) = std::env::var("AMPHI_TEST_KILLED") else { return };
    let store = Store::open(Path::new(&dir)).await.unwrap();
    let clip = clip(10);
    let recorder = Recorder::start(&store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    recorder.cue(&cue(1, 1, "en", 100, 400, "spoken before the kill"));
    for part in clip.parts.iter().filter(|part| part.start < MediaTime::from_millis(9_000)) {
        recorder.part(part);
        while recorder.status().queued > 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_recording_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "archive::tests::crash::child_records_until_killed"])
        .env("AMPHI_TEST_KILLED", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let journal = |rendition: &str| {
        let folder = fs::read_dir(dir.path().join("recordings")).ok()?.next()?.ok()?.path();
        Some(fs::read_to_string(folder.join(rendition).join("index.jsonl")).ok()?.lines().count())
    };
    while journal("source").unwrap_or(0) < 20 {
        assert!(child.try_wait().unwrap().is_none(), "the child died by itself");
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recovered = recover(&store).await.unwrap();
    assert_eq!(recovered.ready.len(), 1, "{recovered:?}");
    let recording = store.recordings().get(&recovered.ready[0]).await.unwrap().unwrap();
    assert_eq!(recording.state, RecordingState::Ready);
    let seconds = recording.duration.unwrap().as_secs_f64();
    assert!(seconds > 3.5, "{recording:?}");
    let path = folder(&store, &recording);
    let (frames, sound) = play(path.join("index.m3u8").to_str().unwrap());
    assert!(
        (frames as f64 / 30.0 - seconds).abs() < 0.3 && (sound - seconds).abs() < 0.3,
        "{frames} {sound} {seconds}"
    );
    assert!(read(path.join("captions/en.vtt")).contains("spoken before the kill"));
    assert_eq!(recover(&store).await.unwrap(), Recovered::default(), "recovering again does nothing");
}

/// Records against a file size limit, which stands for a full disk; alone it does nothing.
#[tokio::test]
async fn child_records_onto_a_full_disk() {
    let Ok(dir) = std::env::var("AMPHI_TEST_FULL") else { return };
    let store = Store::open(Path::new(&dir)).await.unwrap();
    let clip = clip(6);
    let big = |part: &crate::model::Part| {
        // A free box of 768 KiB makes each part larger, so that only the media hits the limit.
        let mut data = vec![0; 0xc_0000];
        data[..8].copy_from_slice(b"\0\x0c\0\0free");
        data.extend_from_slice(&part.data);
        crate::model::Part { data: data.into(), ..part.clone() }
    };
    let recorder = Recorder::start(&store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    clip.parts.iter().for_each(|part| recorder.part(&big(part)));
    while recorder.status().queued > 0 {
        tokio::task::yield_now().await;
    }
    let status = recorder.status();
    assert!(status.failure.is_some() && status.dropped > 0, "{status:?}");
    let recording = recorder.finish().await.unwrap().unwrap();
    assert_eq!(recording.state, RecordingState::Ready);
    let reason = recording.reason.clone().unwrap();
    let said = ["incomplete: the disk failed (File too large", "incomplete: the disk is full; "];
    assert!(said.iter().any(|said| reason.starts_with(said)), "{reason}");
    let seconds = recording.duration.unwrap().as_secs_f64();
    assert!(seconds > 1.5 && seconds < 5.0, "{recording:?}");
    fs::write(Path::new(&dir).join("id"), recording.id.as_str()).unwrap();
}

#[tokio::test]
async fn what_was_written_before_the_disk_was_full_plays() {
    let dir = tempfile::tempdir().unwrap();
    // 10 MiB a file; without the signal the write fails as it does on a full disk.
    let mut shell = Command::new("sh");
    shell.arg0("sh").args(["-c", "trap '' XFSZ; ulimit -f 20480; exec \"$0\" \"$@\""]);
    let output = shell
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "archive::tests::crash::child_records_onto_a_full_disk"])
        .env("AMPHI_TEST_FULL", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let path = dir.path().join("recordings").join(read(dir.path().join("id"))).join("index.m3u8");
    assert!(play(path.to_str().unwrap()).0 > 40);
}

#[tokio::test]
async fn garbage_among_the_recordings_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(3);
    clip.parts.retain(|part| part.rendition != rung());
    let good = abandon(&store, &clip).await;
    let garbage: [fn(&Path); 4] = [
        |path| fs::write(path.join("recording.json"), vec![0; 500]).unwrap(),
        |path| fs::write(path.join("recording.json"), b"{\"version\":1}").unwrap(),
        |path| fs::remove_file(path.join("recording.json")).unwrap(),
        |path| fs::remove_dir_all(path).unwrap(),
    ];
    let mut bad = Vec::new();
    for spoil in garbage {
        let id = abandon(&store, &clip).await;
        spoil(&store.recordings_dir().join(id.as_str()));
        bad.push(id);
    }
    // Journals of noise hold nothing to play: such recordings are removed.
    let mut empty = Vec::new();
    let absurd = format!(
        "{{\"part\":{{\"msn\":{0},\"index\":0,\"init\":0,\"offset\":{0},\"length\":{0},\"start\":{1},\"duration\":{0}}}}}\n",
        u64::MAX,
        i64::MIN
    );
    for noise in [
        absurd.into_bytes(),
        vec![0; 100_000],
        vec![b'\n'; 1_000],
        b"{\"part\":{\"msn\":1}}\n".to_vec(),
        vec![b'x'; 200_000],
    ] {
        let id = abandon(&store, &clip).await;
        fs::write(store.recordings_dir().join(id.as_str()).join("source/index.jsonl"), &noise).unwrap();
        fs::write(store.recordings_dir().join(id.as_str()).join("audio/index.jsonl"), &noise).unwrap();
        empty.push(id);
    }
    fs::create_dir(store.recordings_dir().join("lost+found")).unwrap();
    fs::write(store.recordings_dir().join("0123456789abcdefghjk"), b"a file").unwrap();
    let mut recovered = recover(&store).await.unwrap();
    for list in [&mut recovered.failed, &mut recovered.removed, &mut bad, &mut empty] {
        list.sort();
    }
    assert_eq!(recovered, Recovered { ready: vec![good.clone()], removed: empty, failed: bad.clone() });
    for id in &bad {
        let row = store.recordings().get(id).await.unwrap().unwrap();
        assert_eq!(row.state, RecordingState::Failed);
        assert!(row.reason.is_some());
    }
    let again = recover(&store).await.unwrap();
    assert_eq!((again.ready.len(), again.failed.len()), (0, bad.len()));
}

#[tokio::test]
async fn a_recording_whose_row_is_lost_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recording = record(&store, &clip(2), &[]).await;
    store.recordings().remove(&recording.id).await.unwrap();
    assert_eq!(recover(&store).await.unwrap().ready, std::slice::from_ref(&recording.id));
    assert_eq!(store.recordings().get(&recording.id).await.unwrap().as_ref(), Some(&recording));
    fs::remove_file(folder(&store, &recording).join("index.m3u8")).unwrap();
    assert_eq!(recover(&store).await.unwrap().ready, std::slice::from_ref(&recording.id));
    assert!(folder(&store, &recording).join("index.m3u8").is_file());
}

#[tokio::test]
async fn a_hole_in_the_media_ends_the_recording_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let id = abandon(&store, &clip(6)).await;
    // A power cut may leave zeros where data was not yet on the disk.
    let media = store.recordings_dir().join(id.as_str()).join("source/media-0.mp4");
    let mut bytes = fs::read(&media).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    fs::write(&media, &bytes).unwrap();
    let recovered = recover(&store).await.unwrap();
    let recording = store.recordings().get(&recovered.ready[0]).await.unwrap().unwrap();
    let seconds = recording.duration.unwrap().as_secs_f64();
    assert!(seconds > 1.5 && seconds < 5.0, "{recording:?}");
    play(folder(&store, &recording).join("index.m3u8").to_str().unwrap());
}
