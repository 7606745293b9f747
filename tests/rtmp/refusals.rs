//! Publishers that are turned away, and what their users read.

use amphi::{
    ingest::rtmp::{Client, ClientError},
    stream::State,
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::*;

#[tokio::test]
async fn ffmpeg_shows_why_it_was_turned_away() {
    let fixture = Fixture::start().await;
    for (path, words) in [
        ("live/wrong", "no channel takes this stream key"),
        ("live/maths?key=wrong", "wrong stream key for channel maths"),
        ("live/physics?key=s3cret", "no channel takes this stream key"),
        ("live/..%2F..%2Fetc?key=s3cret", "invalid channel name"),
        ("vod/s3cret", "set the server to rtmp://HOST/live"),
    ] {
        let output = finished(&mut publish(&fixture.url(path), &[])).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{path}");
        assert!(text.contains(words), "{path}: {text}");
    }
    assert!(fixture.registry.lives().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn gstreamer_and_librtmp_notice_that_they_were_turned_away() {
    let fixture = Fixture::start().await;
    for (sink, words) in [("rtmp2sink", "no channel takes this stream key"), ("rtmpsink", "")] {
        let source =
            "videotestsrc num-buffers=250 is-live=true ! x264enc tune=zerolatency ! h264parse ! flvmux streamable=true";
        let output =
            finished(&mut gst_launch(&format!("{source} ! {sink} location={}", fixture.url("live/wrong")))).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{sink}");
        assert!(text.contains(words), "{sink}: {text}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn vp9_is_refused_with_what_to_set() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/s3cret");
    // ffmpeg 5 writes no VP9 into FLV: the demo client sends what such an encoder does.
    let mut client = Client::publish(&fixture.address.to_string(), "live", "s3cret").await.unwrap();
    let (live, _) = fixture.live().await;
    let header = bytes::Bytes::from_static(b"\x90vp09\x01");
    let refused = in_time(async {
        loop {
            match client.send(9, 0, header.clone()).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error.to_string(),
            }
        }
    })
    .await;
    assert!(refused.contains("set the encoder's video codec to H.264"), "{refused}");
    assert_ne!(live.state(), State::Live);
    // The channel is free again for the encoder with its new settings.
    assert!(finished(&mut publish(&url, &[&["-t", "1"]])).await.status.success());
    fixture.stop().await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let mut fixture = Fixture::start().await;
    let url = fixture.url("live/s3cret");
    let mut first = publish(&url, &[&["-t", "600"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = Heard::default();
    while heard.video.len() < 10 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    let second = finished(&mut publish(&url, &[])).await;
    assert!(!second.status.success());
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("already live from another publisher"), "{text}");
    let frames = live.stats().video_frames;
    while live.stats().video_frames < frames + 25 {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    heard.check_times();
    assert_eq!((heard.discontinuities, live.stats().reconnects), (0, 0));
    first.kill().await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn strangers_who_fill_every_place_do_not_touch_publishers() {
    let mut fixture = Fixture::with(Settings { strangers: 3, ..Settings::default() }).await;
    let address = fixture.address.to_string();
    let mut client = Client::publish(&address, "live", "s3cret").await.unwrap();
    let (live, _) = fixture.live().await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(TcpStream::connect(&address).await.unwrap());
    }
    let mut late = TcpStream::connect(&address).await.unwrap();
    assert_eq!(in_time(late.read(&mut [0; 1])).await.unwrap(), 0, "hung up at once");
    for time in 0..100 {
        client.send(8, time * 23, bytes::Bytes::from_static(&[0xaf, 1, 0x21])).await.unwrap();
    }
    assert_eq!(live.state(), State::Live);
    strangers.clear();
    let again = async {
        loop {
            // Both places and the channel are free once the server has noticed.
            match Client::publish(&address, "live", "physics?key=s3cret").await {
                Err(ClientError::Refused(text)) => break text,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    assert!(in_time(again).await.contains("no channel"));
    fixture.stop().await;
}
