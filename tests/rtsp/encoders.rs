//! Encoders push; readers of the bus see what they sent.

use super::*;

/// Publishes for three seconds and returns what came.
async fn round(parts: &[&str]) -> Heard {
    let mut fixture = Fixture::start().await;
    let mut publisher = publish(&fixture.publish_url(), 3, parts);
    let (output, heard) = tokio::join!(finished(&mut publisher), async {
        let (live, mut consumer) = fixture.live().await;
        hear(&live, &mut consumer).await
    });
    assert!(output.status.success(), "{}", said(&output));
    heard.check_times();
    fixture.stop().await;
    heard
}

fn check_pictures(heard: &Heard) {
    let video = heard.tracks.iter().find_map(|track| track.format.video()).unwrap();
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, Some(25.0)));
    let keys: Vec<_> = (0..).zip(&heard.video).filter(|(_, packet)| packet.key).map(|(index, _)| index).collect();
    assert_eq!(keys, [0, 25, 50]);
    for packet in &heard.video {
        let mut rest = &packet.data[..];
        while let Some((length, tail)) = rest.split_first_chunk() {
            let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            assert!(![7, 8, 9].contains(&(nal[0] & 31)), "parameter sets lie in the configuration");
            rest = tail;
        }
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn ffmpeg_publishes_over_tcp_with_a_digest() {
    let heard = round(&["-bf", "0", "-rtsp_transport", "tcp"]).await;
    check_pictures(&heard);
    assert_eq!(heard.video.len(), 75);
    assert!(heard.audio.len() > 130 && heard.audio_codec() == Some(AudioCodec::Aac));
    assert!(heard.video.iter().all(|packet| packet.pts == packet.dts));
    assert_eq!((heard.tracks.len(), heard.discontinuities), (2, 0), "parameter sets in the stream announce nothing");
}

#[tokio::test]
async fn ffmpeg_publishes_over_udp() {
    let heard = round(&["-bf", "0", "-rtsp_transport", "udp"]).await;
    check_pictures(&heard);
    // Those too that the goodbye, over TCP, has overtaken.
    assert!(heard.video.len() == 75 && heard.audio.len() > 130, "{} {}", heard.video.len(), heard.audio.len());
}

#[tokio::test]
async fn reordered_pictures_get_decoding_times_of_their_own() {
    let heard = round(&["-bf", "2", "-rtsp_transport", "tcp"]).await;
    check_pictures(&heard);
    assert!(heard.video.iter().any(|packet| packet.pts > packet.dts));
    let mut shown: Vec<_> = heard.video.iter().map(|packet| packet.pts.to_ticks(25)).collect();
    let decoded: Vec<_> = heard.video.iter().map(|packet| packet.dts.to_ticks(25)).collect();
    shown.sort_unstable();
    assert_eq!(shown, decoded, "each at the time at which another is shown");
}

#[tokio::test]
async fn key_frames_of_open_groups_are_key_frames() {
    let open = "open-gop=1:keyint=25:min-keyint=25:scenecut=0:b-adapt=0";
    let heard = round(&["-bf", "2", "-x264-params", open, "-rtsp_transport", "tcp"]).await;
    let keys: Vec<_> = heard.video.iter().filter(|packet| packet.key).collect();
    assert!(keys.len() >= 3, "{}", keys.len());
    // An IDR picture (5) in lengths of four bytes.
    let idr = |data: &[u8]| data.windows(5).any(|bytes| bytes[..2] == [0, 0] && bytes[4] & 0x1f == 5);
    assert!(idr(&keys[0].data) && keys[1].pts.since(keys[0].pts) <= Duration::from_millis(1_100));
}

#[tokio::test]
async fn other_sound_comes_as_it_is() {
    for (parts, codec) in [
        (&["-c:a", "libopus"][..], AudioCodec::Opus),
        (&["-c:a", "pcm_alaw", "-ar", "8000"], AudioCodec::ALaw),
        (&["-c:a", "libmp3lame"], AudioCodec::Mp3),
        (&["-c:a", "aac", "-rtpflags", "latm"], AudioCodec::Aac),
    ] {
        let heard = round(&[&["-bf", "0", "-rtsp_transport", "tcp"], parts].concat()).await;
        assert_eq!(heard.audio_codec(), Some(codec));
        // Several MP3 frames share a packet.
        assert!(heard.audio.len() > 10, "{codec:?}: {}", heard.audio.len());
        let wanted = if codec == AudioCodec::Aac { TrackId::AUDIO } else { TrackId::FOREIGN_AUDIO };
        assert!(heard.audio.iter().all(|packet| packet.track == wanted));
    }
}

#[tokio::test]
async fn gstreamer_publishes_over_tcp_and_udp() {
    for protocols in ["tcp", "udp"] {
        let mut fixture = Fixture::start().await;
        let pipeline = format!(
            "rtspclientsink name=sink protocols={protocols} location={} \
             videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! \
             x264enc tune=zerolatency key-int-max=25 ! h264parse ! sink. \
             audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! sink.",
            fixture.publish_url()
        );
        let mut command = Command::new("gst-launch-1.0");
        let mut publisher = command.arg("-q").args(pipeline.split_whitespace()).kill_on_drop(true).spawn().unwrap();
        let (_live, mut consumer) = fixture.live().await;
        let mut heard = Heard::default();
        while heard.video.len() < 75 || heard.audio.len() < 100 {
            heard.take(in_time(consumer.recv()).await.unwrap());
        }
        heard.check_times();
        assert_eq!(heard.tracks.len(), 2, "what the description said of the picture and did not hold is not announced");
        publisher.kill().await.unwrap();
        fixture.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_and_opens_nothing() {
    let fixture = Fixture::start().await;
    let url = fixture.publish_url().replace("s3cret", "wrong");
    let output = finished(&mut publish(&url, 3, &[])).await;
    assert!(!output.status.success() && said(&output).contains("401"), "{}", said(&output));
    assert!(fixture.registry.lives().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_told_why() {
    let mut fixture = Fixture::start().await;
    let _first = publish(&fixture.publish_url(), 30, &["-rtsp_transport", "tcp"]).spawn().unwrap();
    let (_live, mut consumer) = fixture.live().await;
    on_air(&mut consumer).await;
    let output = finished(&mut publish(&fixture.publish_url(), 3, &[])).await;
    assert!(!output.status.success() && said(&output).contains("403"), "{}", said(&output));
    fixture.stop().await;
}

#[tokio::test]
async fn the_link_is_measured() {
    let mut fixture = Fixture::start().await;
    let _publisher = publish(&fixture.publish_url(), 30, &["-rtsp_transport", "udp"]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let link = in_time(async {
        loop {
            consumer.recv().await.unwrap();
            if let Some(link) = link(&live) {
                return link;
            }
        }
    });
    assert!(link.await.loss < Some(0.5));
    fixture.stop().await;
}
