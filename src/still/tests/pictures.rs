use std::{fs, path::Path};

use bytes::Bytes;

use super::{checksums, run};
use crate::{
    ingest::avc,
    model::{VideoCodec, VideoFormat},
    still::Picture,
};

/// A stream of one group of pictures, and what a publisher would announce of it.
pub struct Stream {
    annex_b: Vec<u8>,
    pub format: VideoFormat,
    pub key: Bytes,
}

impl Stream {
    /// Its access units, with lengths and without parameter sets, in decoding order.
    pub fn units(&self) -> Vec<Bytes> {
        let mut units: Vec<Vec<u8>> = Vec::new();
        for nal in nals(&self.annex_b).into_iter().filter(|nal| matches!(nal[0] & 0x1f, 1 | 5)) {
            // first_mb_in_slice is 0.
            if nal[1] & 0x80 != 0 {
                units.push(Vec::new());
            }
            let unit = units.last_mut().unwrap();
            unit.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            unit.extend_from_slice(nal);
        }
        units.into_iter().map(Bytes::from).collect()
    }

    /// A file of such access units.
    pub fn file(&self, dir: &Path, units: &[Bytes]) -> String {
        let mut bytes = Vec::new();
        for nal in nals(&self.annex_b).into_iter().filter(|nal| matches!(nal[0] & 0x1f, 7 | 8)).take(2) {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(nal);
        }
        units.iter().for_each(|unit| annex_b(unit, &mut bytes));
        let file = dir.join("units.h264");
        fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

fn nals(annex_b: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> =
        annex_b.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    starts.push(annex_b.len() + 3);
    let between = |pair: &[usize]| {
        let nal = &annex_b[pair[0]..pair[1] - 3];
        &nal[..nal.iter().rposition(|byte| *byte != 0).unwrap() + 1]
    };
    starts.windows(2).map(between).collect()
}

pub fn openh264(dir: &Path) -> Stream {
    let source = dir.join("source.h264");
    let location = format!("location={}", source.to_str().unwrap());
    let caps = "video/x-raw,width=320,height=240,framerate=30/1";
    let bytes = "video/x-h264,stream-format=byte-stream";
    let encode = ["-q", "videotestsrc", "num-buffers=23", "pattern=ball", "!", caps, "!", "openh264enc"];
    let rest = ["!", bytes, "!", "filesink", &location];
    run("gst-launch-1.0", &[&encode[..], &rest].concat());
    stream(fs::read(source).unwrap())
}

fn stream(annex_b: Vec<u8>) -> Stream {
    let all = nals(&annex_b);
    let of = |kind: u8| all.iter().filter(move |nal| nal[0] & 0x1f == kind);
    let (sps, pps) = (of(7).next().unwrap(), of(8).next().unwrap());
    let mut config = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
    for set in [sps, pps] {
        config.extend_from_slice(&(set.len() as u16).to_be_bytes());
        config.extend_from_slice(set);
        config.push(1);
    }
    config.pop();
    let mut key = Vec::new();
    for nal in all.iter().filter(|nal| [5, 6, 7].contains(&(nal[0] & 0x1f))) {
        key.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        key.extend_from_slice(nal);
    }
    let avc::Sps { width, height, frame_rate, .. } = avc::parse_sps(sps).unwrap();
    let format = VideoFormat { codec: VideoCodec::H264, config: config.into(), width, height, frame_rate };
    Stream { format, key: key.into(), annex_b }
}

pub fn x264(dir: &Path, size: &str, options: &[&str]) -> Stream {
    let file = dir.join("source.h264");
    let source = format!("testsrc2=size={size}:rate=30");
    let mut args = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-frames:v", "23", "-c:v", "libx264"];
    args.extend(["-preset", "medium", "-g", "250", "-pix_fmt", "yuv420p"]);
    args.extend(options);
    args.extend(["-f", "h264", file.to_str().unwrap()]);
    run("ffmpeg", &args);
    stream(fs::read(file).unwrap())
}

fn annex_b(unit: &[u8], out: &mut Vec<u8>) {
    for nal in avc::nals(unit, 4) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal.unwrap());
    }
}

/// Behind the real pictures: twice the key frame, with enough repetitions for every counter to wrap.
fn frozen(dir: &Path, stream: &Stream) -> String {
    let picture = Picture::new(&stream.format, &stream.key).expect("a picture that can be repeated");
    let mut bytes = stream.annex_b.clone();
    for _ in 0..2 {
        annex_b(&picture.key(), &mut bytes);
        for nth in 1..=75 {
            let repetition = picture.repetition(nth);
            assert!(repetition.len() < 400, "{} bytes to repeat", repetition.len());
            annex_b(&repetition, &mut bytes);
        }
    }
    let file = dir.join("frozen.h264");
    fs::write(&file, bytes).unwrap();
    file.to_str().unwrap().to_owned()
}

fn check(stream: &Stream, dir: &Path) {
    let file = frozen(dir, stream);
    let frames = checksums(&["-f", "h264", "-i", &file]);
    assert_eq!(frames.len(), 23 + 152);
    assert_ne!(frames[22], frames[0], "the test picture moves");
    assert!(frames[23..].iter().all(|frame| *frame == frames[0]), "a repetition differs");
}

#[test]
fn every_kind_of_progressive_stream_freezes_exactly() {
    let dir = tempfile::tempdir().unwrap();
    for (size, options) in [
        ("320x240", &["-profile:v", "baseline"][..]),
        ("322x182", &["-profile:v", "main", "-x264-params", "cabac=0:bframes=3:weightp=2"]),
        ("1280x720", &["-profile:v", "high", "-x264-params", "bframes=3:b-pyramid=normal:weightp=2:ref=4"]),
        ("640x360", &["-profile:v", "high", "-tune", "zerolatency", "-x264-params", "slices=4"]),
        (
            "1920x1080",
            &["-profile:v", "high", "-preset", "ultrafast", "-tune", "zerolatency", "-x264-params", "cabac=1"],
        ),
        ("320x240", &["-profile:v", "high", "-x264-params", "no-deblock=1:qp=0"]),
        ("320x240", &["-profile:v", "high", "-x264-params", "qp=51:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500:aud=1"]),
        ("320x240", &["-profile:v", "high444", "-pix_fmt", "yuv444p"]),
        ("320x240", &["-profile:v", "high10", "-pix_fmt", "yuv420p10le"]),
        ("320x240", &["-profile:v", "high", "-pix_fmt", "gray"]),
    ] {
        let stream = x264(dir.path(), size, options);
        eprintln!("{size} {options:?}");
        check(&stream, dir.path());
    }
}

#[test]
fn the_encoder_of_browsers_freezes_too_and_so_does_its_decoder() {
    let dir = tempfile::tempdir().unwrap();
    let stream = openh264(dir.path());
    check(&stream, dir.path());
    for decoder in ["openh264dec", "avdec_h264"] {
        let decoded = dir.path().join("decoded.yuv");
        let (from, to) = (frozen(dir.path(), &stream), format!("location={}", decoded.to_str().unwrap()));
        let from = format!("location={from}");
        run("gst-launch-1.0", &["-q", "filesrc", &from, "!", "h264parse", "!", decoder, "!", "filesink", &to]);
        let pictures = fs::read(decoded).unwrap();
        let pictures: Vec<_> = pictures.chunks(320 * 240 * 3 / 2).collect();
        assert_eq!(pictures.len(), 175, "{decoder}");
        assert!(pictures[23..].iter().all(|picture| *picture == pictures[0]), "{decoder}");
    }
}

#[test]
fn what_cannot_be_repeated_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let interlaced = x264(dir.path(), "320x240", &["-flags", "+ilme+ildct", "-x264-params", "tff=1"]);
    assert!(Picture::new(&interlaced.format, &interlaced.key).is_none(), "fields");
    let good = x264(dir.path(), "320x240", &["-profile:v", "high"]);
    let other = x264(dir.path(), "320x256", &["-profile:v", "high"]);
    assert!(Picture::new(&good.format, &other.key).is_none(), "another parameter set within");
    assert!(Picture::new(&good.format, &[]).is_none());
    let delta = [0, 0, 0, 2, 0x41, 0x9a];
    assert!(Picture::new(&good.format, &delta).is_none(), "no key frame");
    // Whatever is broken must not panic.
    for length in 0..good.format.config.len() {
        let config = good.format.config.slice(..length);
        assert!(Picture::new(&VideoFormat { config, ..good.format.clone() }, &good.key).is_none());
    }
    for length in 0..good.key.len().min(900) {
        let _ = Picture::new(&good.format, &good.key[..length]);
    }
    for at in 0..good.format.config.len() * 8 {
        let mut config = good.format.config.to_vec();
        config[at / 8] ^= 1 << (at % 8);
        if let Some(picture) = Picture::new(&VideoFormat { config: config.into(), ..good.format.clone() }, &good.key) {
            picture.repetition(u32::MAX);
        }
    }
}
