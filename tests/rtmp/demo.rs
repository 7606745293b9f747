//! The demo's publisher, against this server and another one.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use amphi::{
    app::demo,
    model::{TrackFormat, TrackId},
    stream::State,
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::*;

/// Two seconds of test picture and lecture as FLV.
async fn film(folder: &std::path::Path) -> bytes::Bytes {
    let path = folder.join("film.flv");
    let sound = sound();
    let mut arguments: Vec<&str> = PICTURE[1..].to_vec();
    arguments.extend(sound[1..].iter().map(String::as_str));
    arguments.extend(["-t", "2", "-c:a", "aac", "-ar", "44100"]);
    arguments.extend(H264);
    arguments.extend(["-f", "flv", path.to_str().unwrap()]);
    let output = finished(&mut ffmpeg(arguments)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).unwrap().into()
}

#[tokio::test]
async fn the_demo_loops_without_a_break_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let mut fixture = Fixture::start().await;
    let cancel = CancellationToken::new();
    let address = fixture.address.to_string();
    let demo = tokio::spawn({
        let cancel = cancel.clone();
        async move { demo::publish(&address, "live", "maths?key=s3cret", film, cancel, true).await }
    });
    let (live, mut consumer) = fixture.live().await;
    let mut heard = Heard::default();
    let begun = Instant::now();
    while heard.video.len() < 120 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    assert!(begun.elapsed() > Duration::from_millis(4_500), "in real time: {:?}", begun.elapsed());
    heard.check_times();
    heard.check_grid();
    assert_eq!((heard.discontinuities, heard.tracks.len()), (0, 2));
    for pair in heard.video.windows(2) {
        let gap = pair[1].dts.since(pair[0].dts);
        assert!((35..=70).contains(&gap.as_millis()), "{gap:?}");
    }
    cancel.cancel();
    in_time(demo).await.unwrap().unwrap();
    hear(&live, &mut consumer).await;
    assert_ne!(live.state(), State::Live);
    fixture.stop().await;
}

#[tokio::test]
async fn the_demo_says_why_it_was_refused_and_ends_when_played_once() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let mut fixture = Fixture::start().await;
    let address = fixture.address.to_string();
    let cancel = CancellationToken::new();
    let refused = demo::publish(&address, "live", "wrong", film.clone(), cancel.clone(), true).await.unwrap_err();
    assert!(refused.to_string().contains("no channel takes this stream key"), "{refused}");
    let (played, heard) = tokio::join!(demo::publish(&address, "live", "s3cret", film, cancel, false), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    played.unwrap();
    assert_eq!(heard.video.len(), 50);
    heard.check_grid();
    let TrackFormat::Video(video) = &heard.tracks.iter().find(|track| track.id == TrackId::VIDEO).unwrap().format
    else {
        panic!("no video");
    };
    assert_eq!(video.frame_rate, Some(25.0));
    fixture.stop().await;
}

/// Believes at first that the channel is live.
struct BusyAtFirst(TestDoor, AtomicBool);

impl Door for BusyAtFirst {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        if self.1.swap(false, Ordering::Relaxed) {
            return Box::pin(async { Err(Refusal::Busy(StreamName::parse("maths").unwrap())) });
        }
        self.0.admit(knock)
    }
}

#[tokio::test]
async fn the_demo_comes_again_while_its_old_connection_counts_as_live() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let door = Arc::new(BusyAtFirst(TestDoor(registry.clone()), AtomicBool::new(true)));
    let server = Server::bind("127.0.0.1:0", door.clone(), Settings::default()).await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(server.serve(cancel.clone()));
    in_time(demo::publish(&address, "live", "s3cret", film, cancel.clone(), false)).await.unwrap();
    assert!(!door.1.load(Ordering::Relaxed), "it was refused once");
    assert!(registry.get(&StreamName::parse("maths").unwrap()).is_some(), "and then let in");
    cancel.cancel();
    in_time(serving).await.unwrap();
}

#[tokio::test]
async fn the_demo_publishes_to_another_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path()).await;
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    let recorded = folder.path().join("recorded.flv");
    let url = format!("rtmp://{address}/live/s3cret");
    let mut listener = ffmpeg(["-listen", "1", "-f", "flv", "-i", &url, "-c", "copy", recorded.to_str().unwrap()]);
    let (output, played) = tokio::join!(
        finished(&mut listener),
        demo::publish(&address, "live", "s3cret", film, CancellationToken::new(), false)
    );
    played.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut probe = Command::new("ffprobe");
    probe.args([
        "-v",
        "error",
        "-count_packets",
        "-show_entries",
        "stream=codec_name,nb_read_packets",
        "-of",
        "csv=p=0",
    ]);
    let output = finished(probe.arg(&recorded)).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("h264,50"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("aac,8"), "{text}");
}
