//! ffmpeg and GStreamer publish; readers see what they sent.

use super::*;

/// A little more than a frame.
const STEADY: Duration = Duration::from_millis(45);

/// Publishes four seconds with ffmpeg; what readers saw.
async fn round(mut fixture: Fixture, query: &str, options: &str) -> Heard {
    let mut publisher = publish(&fixture.url(query), &format!("-t 4 {options}"));
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fixture.stop().await;
    heard
}

/// ffmpeg hangs up at once: what its encoder has held back until then and what is under way, most of a second, is lost.
fn check_complete(heard: &Heard) {
    heard.check_times(STEADY);
    assert_eq!(heard.tracks.len(), 2);
    assert!(heard.video.len() > 60 && heard.audio.len() > 100, "{}, {}", heard.video.len(), heard.audio.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_with_pictures_out_of_order() {
    let heard = round(Fixture::start(), &format!("streamid=publish:maths:{KEY}"), "").await;
    check_complete(&heard);
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, Some(25.0)));
    assert!(video.codecs().starts_with("avc1.64"), "{}", video.codecs());
    let audio = heard.tracks.iter().find_map(|track| track.format.audio()).unwrap();
    assert_eq!((audio.sample_rate, audio.channels, audio.codecs().as_str()), (48_000, 1, "mp4a.40.2"));
    let keys: Vec<_> = (0..).zip(&heard.video).filter(|(_, packet)| packet.key).map(|(index, _)| index).collect();
    assert_eq!(keys[..3], [0, 25, 50]);
    assert!(heard.video.iter().any(|packet| packet.pts > packet.dts));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_id_of_the_access_control_guidelines_is_understood() {
    for mark in ["#", "%23"] {
        let query = format!("streamid={mark}!::r=maths,m=publish,u=anna,s={KEY}");
        check_complete(&round(Fixture::start(), &query, "").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_wraps_runs_on() {
    let query = format!("streamid=publish:maths:{KEY}");
    check_complete(&round(Fixture::start(), &query, "-output_ts_offset 95440.8").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passphrase_that_is_set_opens() {
    let query = format!("streamid=publish:maths:{KEY}&passphrase=correct-horse");
    check_complete(&round(Fixture::encrypted("correct-horse"), &query, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_key_as_passphrase_opens_and_is_not_sent() {
    let query = format!("streamid=publish:maths&passphrase={KEY}&pbkeylen=32");
    check_complete(&round(Fixture::start(), &query, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_publishes() {
    let mut fixture = Fixture::start();
    let pipeline = format!(
        "mpegtsmux name=mux alignment=7 ! srtsink uri=srt://{} streamid=publish:maths:{KEY} \
         videotestsrc num-buffers=75 is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 ! h264parse ! mux. \
         audiotestsrc num-buffers=130 is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.",
        fixture.address
    );
    let mut publisher = Command::new("gst-launch-1.0");
    publisher.arg("-q").args(pipeline.split_whitespace()).kill_on_drop(true);
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    heard.check_times(Duration::from_millis(100));
    assert!(heard.video.len() >= 60 && heard.audio.len() >= 100, "{}, {}", heard.video.len(), heard.audio.len());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_one_port_are_told_apart() {
    let mut fixture = Fixture::start();
    let mut publishers = Vec::new();
    for (name, rate) in [("maths", "25"), ("physics", "15"), ("music", "10")] {
        let url = fixture.url(&format!("streamid=publish:{name}:{KEY}"));
        publishers.push(publish(&url, &format!("-r {rate} -t 30")).spawn().unwrap());
        let (live, mut consumer) = fixture.live().await;
        assert_eq!(live.name.as_str(), name);
        let heard = pictures(&mut consumer, 5).await;
        let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
        assert_eq!(video.frame_rate, rate.parse().ok());
    }
    assert_eq!(fixture.registry.lives().len(), 3);
    for live in fixture.registry.lives() {
        assert_eq!((live.state(), live.publishers()[0].protocol), (State::Live, "srt"));
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_comes_back_continues_the_live() {
    let mut fixture = Fixture::start();
    let url = fixture.url(&format!("streamid=publish:maths:{KEY}"));
    let mut child = publish(&url, "-t 60").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = pictures(&mut consumer, 30).await;
    child.kill().await.unwrap();
    let before = hear(&live, &mut consumer).await;
    assert!(matches!(live.state(), State::Reconnecting(_)));
    let mut publisher = publish(&url, "-t 4");
    let (output, after) = tokio::join!(finished(&mut publisher), async {
        until("the live goes on", || live.state() == State::Live).await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success());
    assert_eq!((before.discontinuities, after.discontinuities, after.tracks.len()), (0, 1, 2));
    check_complete(&after);
    assert!(after.video[0].key, "the first picture is not lost");
    heard.video.extend(before.video.into_iter().chain(after.video));
    heard.check_times(Duration::from_secs(60));
    assert_eq!(fixture.registry.lives().len(), 1);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_sessions_at_once() {
    let mut fixture = Fixture::start();
    let url = fixture.url(&format!("streamid=publish:maths:{KEY}"));
    let _child = publish(&url, "-t 60").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    pictures(&mut consumer, 1).await;
    fixture.stop().await;
    assert_ne!(live.state(), State::Live);
}
