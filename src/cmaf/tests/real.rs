//! ffmpeg encodes, the packager packages, ffprobe and ffmpeg judge.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    checker::{Rendition, STRICT, check, check_lock_step},
    flv, run,
};
use crate::model::{Packet, RenditionId, TrackFormat, TrackId};

struct Source {
    rate: &'static str,
    /// Frames between key frames.
    gop: u32,
    b_frames: u32,
    sample_rate: u32,
    seconds: u32,
}

fn encode(source: &Source, folder: &Path) -> Vec<u8> {
    let Source { rate, gop, b_frames, sample_rate, seconds } = source;
    let file = folder.join("source.flv");
    let arguments = format!(
        "-v error -f lavfi -i testsrc2=size=320x180:rate={rate} -f lavfi -i sine=frequency=440:sample_rate={sample_rate} \
         -t {seconds} -c:v libx264 -preset ultrafast -threads 1 -bf {b_frames} -g {gop} -keyint_min {gop} -sc_threshold 0 \
         -pix_fmt yuv420p -c:a aac -b:a 96k -ac 2 -flvflags no_duration_filesize -y"
    );
    let status = Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&file).status().unwrap();
    assert!(status.success());
    fs::read(file).unwrap()
}

/// Presentation times in seconds and key flags as ffprobe reads them, in decoding order.
fn probe(file: &Path) -> Vec<(f64, bool)> {
    let output = Command::new("ffprobe")
        .args("-v error -show_entries packet=pts_time,flags -of csv=p=0".split_whitespace())
        .arg(file)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "ffprobe: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let (pts, flags) = line.split_once(',').unwrap();
            (pts.parse().unwrap(), flags.starts_with('K'))
        })
        .collect()
}

/// Decodes a file and hands back how many frames or samples came out, without a single complaint.
fn decode(file: &Path) -> usize {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.starts_with('#')).count()
}

fn judge(rendition: &Rendition, sent: &[&Packet], folder: &Path, apart: f64) {
    let file = folder.join("packaged.mp4");
    fs::write(&file, rendition.file(0)).unwrap();
    let read = probe(&file);
    assert_eq!(read.len(), sent.len(), "every packet arrives");
    for ((pts, key), packet) in read.iter().zip(sent) {
        let expected = packet.pts.as_secs_f64();
        assert!((pts - expected).abs() <= apart, "{pts} is not {expected}");
        assert_eq!(*key, packet.key, "at {pts}");
    }
    assert_eq!(decode(&file), sent.len());
    // Any segment that begins with a key frame plays by itself.
    let Some(msn) = rendition.parts.iter().rev().find(|part| part.index == 0 && part.independent).map(|p| p.msn) else {
        panic!("no independent segment");
    };
    let mut alone = rendition.inits[0].data.to_vec();
    rendition.parts.iter().filter(|part| part.msn == msn).for_each(|part| alone.extend_from_slice(&part.data));
    fs::write(&file, alone).unwrap();
    assert!(decode(&file) > 0);
}

fn package(source: &Source) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let flv = encode(source, folder.path());
    let (tracks, packets) = flv::read(&flv, 320, 180, source.sample_rate);
    assert_eq!(tracks.len(), 2);
    let (packager, out) = run(&tracks, packets.iter().cloned());
    let renditions = check(&packager, &out, STRICT);
    check_lock_step(&renditions, 0.024);
    let first = packets.iter().find(|packet| packet.track == TrackId::VIDEO).unwrap().pts;
    for (id, rendition) in &renditions {
        let audio = matches!(*rendition.inits[0].format, TrackFormat::Audio(_));
        let track = if audio { TrackId::AUDIO } else { TrackId::VIDEO };
        let half = std::time::Duration::from_nanos(512_000_000_000 / u64::from(source.sample_rate));
        let sent = packets.iter().filter(|packet| packet.track == track && (!audio || packet.pts + half >= first));
        judge(rendition, &sent.collect::<Vec<_>>(), folder.path(), if audio { 0.002 } else { 0.00002 });
        let offered = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "stream=codec_name,time_base", "-of", "csv=p=0"])
            .arg(folder.path().join("packaged.mp4"))
            .output()
            .unwrap();
        let expected = if audio { format!("aac,1/{}", source.sample_rate) } else { "h264,1/90000".into() };
        assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), expected, "{id}");
    }
    let source = &renditions[&RenditionId::source()];
    source.segments().windows(2).map(|pair| ((pair[1].1 - pair[0].1) * 1000.0).round() as u64).collect()
}

#[test]
fn thirty_frames_a_second_with_b_frames() {
    let lengths = package(&Source { rate: "30", gop: 60, b_frames: 3, sample_rate: 48_000, seconds: 9 });
    assert_eq!(lengths, [2000; 4]);
}

#[test]
fn ntsc_in_whole_milliseconds_with_cd_sound() {
    let lengths = package(&Source { rate: "30000/1001", gop: 60, b_frames: 0, sample_rate: 44_100, seconds: 9 });
    assert_eq!(lengths, [2002; 4]);
}

#[test]
fn a_key_frame_every_ten_seconds() {
    let lengths = package(&Source { rate: "25", gop: 250, b_frames: 2, sample_rate: 44_100, seconds: 14 });
    assert!(lengths.iter().all(|length| (1900..=4250).contains(length)), "{lengths:?}");
    assert_eq!(lengths.iter().take(3).sum::<u64>() / 100, 100, "the key frame at 10 s opens a segment: {lengths:?}");
}

#[test]
fn sixty_frames_a_second_without_b_frames() {
    let lengths = package(&Source { rate: "60", gop: 120, b_frames: 0, sample_rate: 48_000, seconds: 5 });
    assert_eq!(lengths, [2000; 2]);
}

#[test]
fn one_frame_a_second() {
    let lengths = package(&Source { rate: "1", gop: 2, b_frames: 0, sample_rate: 48_000, seconds: 9 });
    assert_eq!(lengths, [2000; 4]);
}
