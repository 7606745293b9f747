//! ffmpeg and GStreamer publish; readers see what they sent.

use std::time::{Duration, Instant};

use amphi::stream::{Event, State};

use super::*;

#[tokio::test]
async fn ffmpeg_publishes_with_the_key_as_stream_name() {
    let heard = round("live/s3cret", &[]).await;
    heard.check_times();
    heard.check_grid();
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, Some(25.0)));
    assert!(video.codecs().starts_with("avc1.64"), "{}", video.codecs());
    let audio = heard.audio_format().unwrap();
    assert_eq!((audio.sample_rate, audio.channels), (48_000, 1));
    assert_eq!(heard.tracks.len(), 2, "headers repeated identically announce nothing");
    assert_eq!(heard.video.len(), 75);
    let keys: Vec<_> = (0..).zip(&heard.video).filter(|(_, packet)| packet.key).map(|(index, _)| index).collect();
    assert_eq!(keys, [0, 25, 50]);
    assert!(heard.video.iter().any(|packet| packet.pts > packet.dts), "B-frames have composition times");
    for packet in &heard.video {
        let mut rest = &packet.data[..];
        while let Some((length, tail)) = rest.split_first_chunk() {
            rest = &tail[u32::from_be_bytes(*length) as usize..];
        }
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn ffmpeg_publishes_by_name_with_the_key_in_the_query() {
    let heard = round("live/maths?key=s3cret", &[&["-ar", "44100", "-ac", "2"]]).await;
    heard.check_times();
    heard.check_grid();
    let audio = heard.audio_format().unwrap();
    assert_eq!((audio.sample_rate, audio.channels), (44_100, 2));
}

#[tokio::test]
async fn ffmpeg_publishes_by_name_with_the_key_as_last_segment() {
    assert_eq!(round("live/maths/s3cret", &[]).await.video.len(), 75);
}

#[tokio::test]
async fn audio_alone_is_a_live() {
    let heard = round("live/s3cret", &[&["-vn"]]).await;
    heard.check_grid();
    assert!(heard.video.is_empty() && heard.audio.len() > 100);
    assert_eq!(heard.tracks.len(), 1);
}

#[tokio::test]
async fn video_alone_is_a_live() {
    let heard = round("live/s3cret", &[&["-an", "-bf", "0", "-flvflags", "no_metadata"]]).await;
    heard.check_times();
    assert!(heard.audio.is_empty());
    assert_eq!(heard.video.len(), 75);
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!(video.frame_rate, Some(25.0), "from the bit stream where there is no metadata");
}

/// Publishes three seconds with GStreamer through one of its two RTMP sinks.
async fn gstreamer(sink: &str, options: &str) {
    let mut fixture = Fixture::start().await;
    let pipeline = format!(
        "flvmux streamable=true name=mux ! {sink} location={}{options} \
         videotestsrc num-buffers=75 is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 ! h264parse ! mux. \
         audiotestsrc num-buffers=130 is-live=true ! audio/x-raw,rate=44100,channels=2 ! \
         avenc_aac ! aacparse ! mux.",
        fixture.url("live/maths?key=s3cret")
    );
    let mut publisher = gst_launch(&pipeline);
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    heard.check_times();
    assert!(heard.video.len() >= 70, "{}", heard.video.len());
    assert!(heard.audio.len() >= 110, "{}", heard.audio.len());
    fixture.stop().await;
}

#[tokio::test]
async fn gstreamer_publishes() {
    gstreamer("rtmp2sink", "").await;
}

/// The library that OBS speaks RTMP with.
#[tokio::test]
async fn librtmp_publishes() {
    gstreamer("rtmpsink", "").await;
}

#[tokio::test]
async fn a_publisher_that_comes_back_continues_the_live() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/maths?key=s3cret");
    let mut child = publish(&url, &[&["-t", "60"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = Heard::default();
    while heard.video.len() < 30 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    child.kill().await.unwrap();
    let before = hear(&live, &mut consumer).await;
    assert!(matches!(live.state(), State::Reconnecting(_)));
    let mut publisher = publish(&url, &[]);
    let (output, after) = tokio::join!(finished(&mut publisher), async {
        in_time(async {
            while live.state() != State::Live {
                tokio::task::yield_now().await;
            }
        })
        .await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success());
    assert_eq!((before.discontinuities, before.left, after.discontinuities), (0, 1, 1));
    assert_eq!(after.tracks.len(), 2);
    assert_eq!(after.video.len(), 75);
    heard.video.extend(before.video.into_iter().chain(after.video));
    heard.check_times();
    assert_eq!(fixture.registry.lives().len(), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn shutdown_ends_sessions_at_once() {
    let mut fixture = Fixture::start().await;
    let mut child = publish(&fixture.url("live/s3cret"), &[&["-t", "60"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    while !matches!(in_time(consumer.recv()).await, Some(Event::Packet(_))) {}
    let begun = Instant::now();
    fixture.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_ne!(live.state(), State::Live);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn ffmpeg_answers_pings_and_its_round_trip_is_told() {
    let mut fixture = Fixture::start().await;
    let _publisher = publish(&fixture.url("live/s3cret"), &[&["-t", "60"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let link = in_time(async {
        loop {
            consumer.recv().await.unwrap();
            if let Some(link) = live.publishers()[0].link {
                return link;
            }
        }
    })
    .await;
    assert!(link.round_trip.is_some_and(|trip| trip > Duration::ZERO) && link.loss.is_none(), "{link:?}");
    fixture.stop().await;
}
