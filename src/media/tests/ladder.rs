use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::support::{Flv, PATIENCE, Viewer, annex_b, pictures, run, templates, templates_with, times};
use crate::{
    media::{
        Error, Stats, Templates,
        ladder::{self, LadderSettings},
    },
    model::{Track, TrackId, VideoCodec, VideoFormat},
    stream::Producer,
};

/// How many pictures decoder and queues may hold while more come in.
const HELD: usize = 8;

struct Ladder {
    producer: Producer,
    viewer: Viewer,
    cancel: CancellationToken,
    task: JoinHandle<Result<Stats, Error>>,
    sent: usize,
}

impl Ladder {
    fn start(heights: &[u32], templates: Arc<Templates>) -> Self {
        let producer = Producer::new(4096);
        let viewer = Viewer::new(&producer);
        let cancel = CancellationToken::new();
        let settings = LadderSettings::new(heights.iter().copied());
        let task = tokio::spawn(ladder::run(producer.consume(), settings, templates, cancel.clone()));
        Self { producer, viewer, cancel, task, sent: 0 }
    }

    /// Publishes pictures no faster than rung 0 keeps up with.
    async fn publish(&mut self, flv: &Flv) {
        for packet in &flv.packets {
            self.producer.write(packet.clone());
            self.sent += 1;
            let due = self.sent.saturating_sub(HELD);
            self.viewer.until("rung keeps up", |viewer| viewer.seen(0) >= due).await;
        }
    }

    /// Publishes pictures faster than real time and slower than any machine encodes these sizes.
    async fn publish_slowly(&mut self, flv: &Flv) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for packet in &flv.packets {
            pace.tick().await;
            self.producer.write(packet.clone());
        }
    }

    async fn stop(self) -> (Viewer, Stats) {
        self.cancel.cancel();
        let stats = tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        (self.viewer, stats)
    }
}

/// Every rung has the source's pictures at the source's times, key frames at the source's key frames only.
async fn check_alignment(flv: Flv, width: u32, height: u32, rate: Option<f64>) -> Viewer {
    check_alignment_of(flv.video(width, height, rate), flv).await
}

pub(super) async fn check_alignment_of(track: Track, flv: Flv) -> Viewer {
    let mut ladder = Ladder::start(&[240, 120], templates());
    ladder.producer.announce(track);
    ladder.publish(&flv).await;
    let enough = flv.packets.len() - HELD;
    ladder.viewer.until("the smaller rung too", |viewer| viewer.seen(1) >= enough).await;
    let (viewer, _) = ladder.stop().await;
    let (all, keys) = flv.times();
    for index in 0..2 {
        let (rung, rung_keys) = times(viewer.rung(index));
        assert_eq!(rung, all[..rung.len()], "pictures of rung {index}");
        let expected: Vec<_> = keys.iter().copied().filter(|key| key <= rung.last().unwrap()).collect();
        assert_eq!(rung_keys, expected, "key frames of rung {index}");
        assert!(viewer.rung(index).zip(&rung).all(|(packet, pts)| packet.pts == *pts && packet.dts == *pts));
    }
    viewer
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_at_30_frames_a_second() {
    let viewer = check_alignment(pictures("640x360", "30", 15, "-bf 0"), 640, 360, Some(30.0)).await;
    for (index, (width, height)) in [(426, 240), (214, 120)].into_iter().enumerate() {
        let index = index as u8;
        let format = viewer.format(index).clone();
        assert_eq!((format.width, format.height, format.frame_rate), (width, height, Some(30.0)));
        let stream = annex_b(&format.config, viewer.rung(index));
        let arguments =
            "-v error -f h264 -i pipe:0 -show_entries stream=width,height,has_b_frames,codec_name,pix_fmt -of csv=p=0";
        let seen = String::from_utf8(run("ffprobe", arguments, &stream)).unwrap();
        assert_eq!(seen.trim(), format!("h264,{width},{height},0,yuv420p"));
        let hashes = run("ffmpeg", "-v error -xerror -f h264 -i pipe:0 -f framemd5 pipe:1", &stream);
        let frames = String::from_utf8(hashes).unwrap().lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(frames, viewer.seen(index));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_that_reorders() {
    let flv = pictures("640x360", "30", 15, "-bf 3 -x264-params b-pyramid=normal:b-adapt=0");
    assert!(flv.packets.iter().any(|packet| packet.pts > packet.dts));
    check_alignment(flv, 640, 360, Some(30.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_goes_is_shown_to_its_last_picture_and_may_return() {
    let mut ladder = Ladder::start(&[240, 120], templates());
    for absence in [0, 60] {
        let flv = pictures("640x360", "30", 15, "-bf 3 -x264-params b-pyramid=normal:b-adapt=0");
        let flv = flv.later(Duration::from_secs(absence));
        ladder.producer.announce(flv.video(640, 360, Some(30.0)));
        ladder.publish(&flv).await;
        ladder.producer.away();
        let sent = ladder.sent;
        ladder.viewer.until("every picture", |viewer| viewer.seen(0) == sent && viewer.seen(1) == sent).await;
        ladder.producer.discontinuity();
    }
    ladder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_of_open_groups() {
    check_alignment(pictures("640x360", "30", 15, "-bf 2 -flags -cgop"), 640, 360, Some(30.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_in_broadcast_rate() {
    check_alignment(pictures("640x360", "30000/1001", 20, "-bf 2"), 640, 360, Some(29.97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_of_varying_rate() {
    let options = "-bf 2 -vf select='not(mod(n,3))+gt(mod(n,40),25)' -vsync vfr";
    let flv = pictures("640x360", "60", 12, options);
    let (all, _) = flv.times();
    let steps: std::collections::BTreeSet<_> = all.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(steps.len() > 2, "the rate varies: {steps:?}");
    check_alignment(flv, 640, 360, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_of_many_hours_keeps_exact_times() {
    let flv = pictures("640x360", "30", 15, "-bf 0").later(Duration::from_secs(1_100 * 3_600));
    check_alignment(flv, 640, 360, Some(30.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_size_in_mid_stream_changes_the_rungs() {
    let small = pictures("320x180", "30", 15, "-bf 0");
    let large = pictures("640x360", "30", 15, "-bf 0").later(Duration::from_secs(2));
    let mut ladder = Ladder::start(&[240, 120], templates());
    ladder.producer.announce(small.video(320, 180, Some(30.0)));
    ladder.publish_slowly(&small).await;
    // The size suits the smaller rung alone.
    ladder.viewer.until("the smaller rung", |viewer| viewer.seen(1) >= 50).await;
    assert_eq!(ladder.viewer.seen(0), 0);
    ladder.producer.announce(large.video(640, 360, Some(30.0)));
    ladder.publish_slowly(&large).await;
    ladder.viewer.until("both rungs", |viewer| viewer.seen(0) >= 20).await;
    assert_eq!((ladder.viewer.format(0).width, ladder.viewer.format(1).width), (426, 214));
    // Who watches the larger rung does not lose it: it goes on, no larger than the source.
    let small = pictures("320x180", "30", 15, "-bf 0").later(Duration::from_secs(4));
    ladder.producer.announce(small.video(320, 180, Some(30.0)));
    ladder.publish_slowly(&small).await;
    let since = |viewer: &Viewer, rung| viewer.rung(rung).filter(|packet| packet.pts >= small.times().0[0]).count();
    ladder.viewer.until("both rungs still", |viewer| since(viewer, 0) >= 20 && since(viewer, 1) >= 20).await;
    let (viewer, _) = ladder.stop().await;
    let first = viewer.rung(0).next().unwrap();
    assert!(first.key && large.times().1.contains(&first.pts));
    assert_eq!((viewer.format(0).height, viewer.format(1).height), (180, 120));
    let renditions = viewer.tracks.iter().filter(|track| track.id == TrackId::rung(0));
    assert!(renditions.into_iter().all(|track| track.rendition.as_str() == "240p"));
    assert!(viewer.rung(1).zip(viewer.rung(1).skip(1)).all(|(a, b)| a.pts < b.pts));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_follows_a_discontinuity() {
    let before = pictures("640x360", "30", 15, "-bf 2");
    let after = pictures("640x360", "30", 15, "-bf 2").later(Duration::from_secs(100));
    let mut ladder = Ladder::start(&[240, 120], templates());
    ladder.producer.announce(before.video(640, 360, Some(30.0)));
    ladder.publish(&before).await;
    ladder.producer.discontinuity();
    ladder.publish_slowly(&after).await;
    let start = after.times().0[0];
    let new = |viewer: &Viewer| viewer.rung(1).filter(|packet| packet.pts >= start).count();
    ladder.viewer.until("the new part", |viewer| new(viewer) >= 20).await;
    let (viewer, stats) = ladder.stop().await;
    assert_eq!(stats.pipelines, 2);
    for index in 0..2 {
        let first = viewer.rung(index).find(|packet| packet.pts >= start).unwrap();
        assert!(first.key);
        let switched = viewer.rung(index).skip_while(|packet| packet.pts < start);
        assert!(switched.clone().all(|packet| packet.pts >= start), "old pictures among new ones");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_loss_rungs_go_on_at_the_next_key_frame() {
    let mut flv = pictures("640x360", "30", 15, "-bf 0");
    let lost = flv.packets.drain(20..25).next().unwrap();
    let behind = flv.packets.split_off(20);
    let mut ladder = Ladder::start(&[240], templates());
    ladder.producer.announce(flv.video(640, 360, Some(30.0)));
    ladder.publish(&flv).await;
    ladder.viewer.until("everything before", |viewer| viewer.seen(0) == 20).await;
    // Five lost packets are five missing ones to a decoder; this ladder hears of them through its own lag.
    flood(&ladder.producer);
    flv.packets = behind;
    ladder.viewer.lossy = true;
    ladder.publish_slowly(&flv).await;
    ladder.viewer.until("something behind", |viewer| viewer.seen(0) >= 30).await;
    let (viewer, stats) = ladder.stop().await;
    let next = viewer.rung(0).find(|packet| packet.pts > lost.pts).unwrap();
    assert!(next.key && flv.packets.iter().any(|packet| packet.key && packet.pts == next.pts));
    assert_eq!(stats.pipelines, 1, "the decoder is not thrown away");
    assert_eq!(stats.dropped, 5, "25 to 29");
}

/// Fills the bus at once, so that every reader on it loses events.
fn flood(producer: &Producer) {
    let time = crate::model::MediaTime::ZERO;
    for _ in 0..10_000 {
        let track = TrackId(200);
        producer.write(crate::model::Packet { track, pts: time, dts: time, key: true, data: bytes::Bytes::new() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_whose_future_is_dropped_stops() {
    let flv = pictures("640x360", "30", 15, "-bf 0");
    let mut ladder = Ladder::start(&[240], templates());
    ladder.producer.announce(flv.video(640, 360, Some(30.0)));
    ladder.publish(&flv).await;
    ladder.task.abort();
    let deadline = std::time::Instant::now() + PATIENCE;
    while threads().iter().any(|name| name == "amphi-ladder") {
        assert!(std::time::Instant::now() < deadline, "{:?}", threads());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_no_h264_fails_quietly_and_the_source_goes_on() {
    let flv = pictures("640x360", "30", 5, "-bf 0");
    let ladder = Ladder::start(&[240], templates());
    let mut source = ladder.producer.consume();
    let mut track = flv.video(640, 360, Some(30.0));
    if let crate::model::TrackFormat::Video(video) = &mut track.format {
        video.config = bytes::Bytes::from_static(&[1, 100, 0, 31, 255, 225, 0, 2, 0x67, 0xff, 1, 0, 1, 0x68]);
    }
    ladder.producer.announce(track);
    for packet in &flv.packets {
        let data = bytes::Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, 0xff, 9, 9, 9, packet.data[4]]);
        ladder.producer.write(crate::model::Packet { data, ..packet.clone() });
    }
    ladder.producer.end();
    let mut seen = 0;
    while let Some(event) = source.recv().await {
        seen += usize::from(matches!(event, crate::stream::Event::Packet(_)));
    }
    assert_eq!(seen, flv.packets.len());
    let stats = tokio::time::timeout(PATIENCE, ladder.task).await.unwrap().unwrap().unwrap();
    assert_eq!(stats.output, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_rungs_below_it_is_left_alone() {
    let flv = pictures("320x180", "30", 15, "-bf 0");
    let ladder = Ladder::start(&[480, 240], templates());
    ladder.producer.announce(flv.video(320, 180, Some(30.0)));
    for packet in &flv.packets {
        ladder.producer.write(packet.clone());
    }
    ladder.producer.end();
    let stats = tokio::time::timeout(PATIENCE, ladder.task).await.unwrap().unwrap().unwrap();
    assert_eq!((stats.pipelines, stats.output, stats.failures), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_keep_up_drops_to_key_frames_and_stays_close() {
    falls_behind(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_keep_up_and_begins_late_comes_close_by_the_same_pipeline() {
    falls_behind(90).await;
}

/// A live on a machine three times too slow, of which `owed` pictures are there at once.
async fn falls_behind(owed: usize) {
    // Each picture takes 100 ms, three times its duration.
    let slow =
        include_str!("../../../pipelines/rung.gst").replace("! {encoder}", "! identity sleep-time=100000 ! {encoder}");
    let flv = pictures("640x360", "30", 10, "-bf 0");
    let mut ladder = Ladder::start(&[240], templates_with("rung.gst", &slow));
    ladder.producer.announce(flv.video(640, 360, Some(30.0)));
    let mut pace = tokio::time::interval(Duration::from_millis(33));
    // Like a live, this one goes on until pictures come out again behind those that were dropped.
    let (mut newest, mut sent) = (crate::model::MediaTime::ZERO, 0);
    for round in 0.. {
        for packet in pictures("640x360", "30", 10, "-bf 0").later(Duration::from_secs(2 * round)).packets {
            if sent >= owed {
                pace.tick().await;
            }
            sent += 1;
            newest = packet.pts;
            ladder.producer.write(packet);
        }
        drain(&mut ladder.viewer).await;
        let seen: Vec<_> = ladder.viewer.rung(0).map(|packet| packet.pts).collect();
        if seen.windows(2).any(|pair| pair[1].since(pair[0]) > Duration::from_millis(200)) {
            break;
        }
        assert!(round < 30, "nothing behind the first drop: got {} packets", seen.len());
    }
    ladder
        .viewer
        .until("a picture near the live edge", |viewer| {
            viewer.packets.last().is_some_and(|last| last.pts + Duration::from_secs(2) > newest)
        })
        .await;
    let (viewer, stats) = ladder.stop().await;
    assert!(stats.dropped > 20, "{stats:?}");
    assert_eq!(stats.failures, 0);
    let step = Duration::from_millis(40);
    for (packet, next) in viewer.rung(0).zip(viewer.rung(0).skip(1)) {
        assert!(next.key || next.pts.since(packet.pts) < step, "a hole before a frame that is no key frame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_fails_is_built_again_at_a_key_frame() {
    let text = include_str!("../../../pipelines/ladder.gst").replace("! tee", "! identity error-after=20 ! tee");
    let flv = pictures("640x360", "30", 10, "-bf 0");
    let mut ladder = Ladder::start(&[240], templates_with("ladder.gst", &text));
    ladder.producer.announce(flv.video(640, 360, Some(30.0)));
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut round = 0;
    while ladder.viewer.seen(0) < 25 {
        for packet in pictures("640x360", "30", 10, "-bf 0").later(Duration::from_secs(2 * round)).packets {
            pace.tick().await;
            ladder.producer.write(packet);
        }
        round += 1;
        // What the encoder holds when its pipeline fails is lost, so that only what comes in the end counts.
        assert!(round < 200, "no second pipeline");
        drain(&mut ladder.viewer).await;
    }
    let (viewer, stats) = ladder.stop().await;
    assert!(stats.failures >= 1 && stats.pipelines >= 2, "{stats:?}");
    let restart =
        viewer.rung(0).zip(viewer.rung(0).skip(1)).find(|(a, b)| b.pts.since(a.pts) > Duration::from_millis(300));
    assert!(restart.unwrap().1.key);
}

/// Reads what is on the bus already.
async fn drain(viewer: &mut Viewer) {
    let all = usize::MAX;
    let reading = viewer.until("never", |viewer| viewer.packets.len() == all);
    let _ = tokio::time::timeout(Duration::from_millis(1), reading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_thread_outlives_its_ladder() {
    let flv = pictures("640x360", "30", 15, "-bf 0");
    let templates = templates();
    let mut left = Vec::new();
    for _ in 0..6 {
        let mut ladder = Ladder::start(&[240, 120], templates.clone());
        ladder.producer.announce(flv.video(640, 360, Some(30.0)));
        ladder.publish(&flv).await;
        assert!(threads().iter().any(|name| name == "amphi-ladder"));
        ladder.stop().await;
        // The thread ends right behind its last message.
        let deadline = std::time::Instant::now() + PATIENCE;
        while threads().iter().any(|name| name == "amphi-ladder") {
            assert!(std::time::Instant::now() < deadline, "{:?}", threads());
            tokio::task::yield_now().await;
        }
        left.push(threads().len());
    }
    // GLib keeps a few idle threads for the next pipeline, the same ones every time.
    assert!(left[5] <= left[0] + 2, "{left:?} {:?}", threads());
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().into())
        .collect()
}

#[test]
fn rungs_are_smaller_than_the_source_and_keep_its_shape() {
    let settings = LadderSettings::new([240, 1080, 720, 480, 480, 333, 360, 9_999]);
    let rungs = |width, height| -> Vec<_> {
        let config = bytes::Bytes::from_static(&[1; 7]);
        let source = VideoFormat { codec: VideoCodec::H264, config, width, height, frame_rate: None };
        settings.rungs(&source).iter().map(|rung| (rung.track, rung.rendition.to_string(), rung.width)).collect()
    };
    let rung = |index, name: &str, width| (TrackId::rung(index), name.to_owned(), width);
    assert_eq!(
        rungs(1280, 720),
        [rung(2, "480p", 854), rung(3, "360p", 640), rung(4, "240p", 426)],
        "a height is the same track whatever the source"
    );
    assert_eq!(rungs(640, 480), [rung(3, "360p", 480), rung(4, "240p", 320)]);
    assert_eq!(rungs(720, 1280)[0], rung(0, "1080p", 608));
    assert_eq!(rungs(426, 240), []);
    assert_eq!(rungs(1, 65_535), []);
}
