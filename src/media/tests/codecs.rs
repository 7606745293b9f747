//! Pictures in H.265 and AV1, from real encoders, as rungs and posters.

use bytes::Bytes;

use super::{
    ladder::check_alignment_of,
    support::{Flv, film, run, templates},
};
use crate::{
    ingest::{av1, hevc},
    media::{ladder::LadderSettings, poster},
    model::{MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId, VideoCodec, VideoFormat},
};

/// 2 s of a moving test picture, as publishers send it.
fn encode(encoder: &str) -> (Track, Flv) {
    let source = "-f lavfi -i testsrc2=size=640x360:rate=30:duration=2 -pix_fmt yuv420p -g 15";
    let strip = film::encode(&format!("{source} {encoder}")).strips.remove(0);
    let mut format = match &strip.fourcc {
        b"hvc1" => hevc::parse_config(strip.config.clone()).unwrap().format,
        _ => av1::parse_config(strip.config.clone()).unwrap(),
    };
    format.frame_rate = Some(30.0);
    let packet = |unit: film::Unit| {
        let normalised = match format.codec {
            VideoCodec::Hevc => hevc::normalise(unit.data, 4),
            _ => av1::normalise(unit.data, &strip.config),
        };
        let (data, key) = normalised.unwrap().unwrap();
        assert_eq!(key, unit.key, "at {}", unit.pts);
        let (pts, dts) = (MediaTime::from_secs_f64(unit.pts + 1.0), MediaTime::from_secs_f64(unit.dts + 1.0));
        Packet { track: TrackId::VIDEO, pts, dts, key, data }
    };
    let packets = strip.units.into_iter().map(packet).collect();
    let flv = Flv { video_config: strip.config.clone(), audio_config: Bytes::new(), packets };
    let (id, rendition) = (TrackId::VIDEO, RenditionId::source());
    (Track { id, rendition, format: TrackFormat::Video(format), bitrate: None, label: None }, flv)
}

const HEVC: &str = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=error:keyint=15:scenecut=0";

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_in_h265_that_reorders() {
    let (track, flv) = encode(&format!("{HEVC}:bframes=3:open-gop=0"));
    assert!(flv.packets.iter().any(|packet| packet.pts > packet.dts));
    check_alignment_of(track, flv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_aligned_with_a_source_in_av1() {
    let (track, flv) = encode("-c:v libaom-av1 -usage realtime -cpu-used 8 -keyint_min 15");
    check_alignment_of(track, flv).await;
}

#[test]
fn a_key_frame_of_any_codec_becomes_a_jpeg() {
    for encoder in [HEVC, "-c:v libaom-av1 -usage realtime -cpu-used 8"] {
        let (track, flv) = encode(encoder);
        let picture = poster::jpeg(track.format.video().unwrap(), &flv.packets[0], 180, &templates()).unwrap();
        let seen =
            run("ffprobe", "-v error -i pipe:0 -show_entries stream=codec_name,width,height -of csv=p=0", &picture);
        assert_eq!(String::from_utf8(seen).unwrap().trim(), "mjpeg,320,180", "{encoder}");
    }
}

#[test]
fn players_without_the_source_s_codec_have_a_rung() {
    let settings = LadderSettings::new([480, 240]);
    let rungs = |settings: &LadderSettings, codec, width, height| -> Vec<_> {
        let source = VideoFormat { codec, config: Bytes::new(), width, height, frame_rate: None };
        settings.rungs(&source).into_iter().map(|rung| (rung.track, rung.width, rung.height, rung.bitrate)).collect()
    };
    let (first, second) = (TrackId::rung(0), TrackId::rung(1));
    let small = (second, 426, 240, 400_000);
    for codec in [VideoCodec::Hevc, VideoCodec::Av1] {
        assert_eq!(rungs(&settings, codec, 1280, 720), [(first, 854, 480, 1_200_000), small]);
        assert_eq!(rungs(&settings, codec, 848, 480), [(first, 848, 480, 1_200_000), (second, 424, 240, 400_000)]);
        assert_eq!(rungs(&settings, codec, 640, 360), [(first, 640, 360, 1_200_000), small]);
        assert_eq!(rungs(&settings, codec, 320, 181), [(second, 318, 180, 400_000)]);
        assert_eq!(rungs(&settings.clone().without(&[codec]), codec, 1280, 720), []);
    }
    assert_eq!(rungs(&settings, VideoCodec::H264, 848, 480), [(second, 424, 240, 400_000)]);
}
