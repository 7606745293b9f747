//! What real muxers write, against what the same encoder wrote elsewhere.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::{
    ingest::flv::{self, Tags},
    model::{AudioCodec, TrackId},
};

const MILLI: i64 = 1_000_000;

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ffmpeg(arguments: &str) {
    run("ffmpeg", &format!("-v error -y {arguments}"));
}

/// Three seconds of picture and sound.
const SOURCE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 3";

#[derive(Debug, Default)]
struct Seen {
    video: Vec<VideoFormat>,
    audio: Vec<AudioFormat>,
    pictures: Vec<Frame>,
    sounds: Vec<Frame>,
}

impl Seen {
    fn take(&mut self, demuxer: &mut Demuxer) {
        while let Some(output) = demuxer.take() {
            match output {
                Output::Video(format) => self.video.push(format),
                Output::Audio(format) => self.audio.push(format),
                Output::Frame(frame) if frame.track == TrackId::VIDEO => self.pictures.push(frame),
                Output::Frame(frame) => self.sounds.push(frame),
            }
        }
    }

    /// Milliseconds from the first picture to each, decoded and shown, and to each sound.
    fn times(&self) -> (Vec<(i64, i64)>, Vec<i64>) {
        let begin = self.pictures[0].dts;
        let millis = |time: i64| (time - begin + MILLI / 2).div_euclid(MILLI);
        let pictures = self.pictures.iter().map(|frame| (millis(frame.dts), millis(frame.pts))).collect();
        (pictures, self.sounds.iter().map(|frame| millis(frame.dts)).collect())
    }
}

/// Demuxes in pieces, as SRT brings them.
fn demux(bytes: &[u8]) -> Result<Seen, Unusable> {
    let (mut demuxer, mut seen) = (Demuxer::default(), Seen::default());
    for piece in bytes.chunks(7 * packet::SIZE) {
        demuxer.push(piece)?;
        seen.take(&mut demuxer);
    }
    demuxer.finish()?;
    seen.take(&mut demuxer);
    Ok(seen)
}

fn demux_file(file: &Path) -> Result<Seen, Unusable> {
    demux(&std::fs::read(file).unwrap())
}

/// What the same encoder wrote into FLV.
fn flv_seen(file: &Path) -> Seen {
    let mut seen = Seen::default();
    for tag in Tags::of_file(std::fs::read(file).unwrap().into()).unwrap() {
        let dts = i64::from(tag.timestamp) * MILLI;
        match tag.kind {
            9 => match flv::video(tag.body).next().unwrap().content {
                flv::Video::Header { config, .. } => seen.video.push(avc::parse_config(config).unwrap().format),
                flv::Video::Frame { key, composition, data, .. } => {
                    let pts = dts + i64::from(composition) * MILLI;
                    seen.pictures.push(Frame { track: TrackId::VIDEO, dts, pts, key, data });
                }
                _ => {}
            },
            8 => match flv::audio(tag.body).next().unwrap().content {
                flv::Audio::Header(header) => seen.audio.push(aac::parse_config(header).unwrap()),
                flv::Audio::Frame(data) => {
                    seen.sounds.push(Frame { track: TrackId::AUDIO, dts, pts: dts, key: true, data });
                }
                _ => {}
            },
            _ => {}
        }
    }
    seen
}

fn bytes(frames: &[Frame]) -> Vec<(bool, &[u8])> {
    frames.iter().map(|frame| (frame.key, &frame.data[..])).collect()
}

fn near(left: i64, right: i64) -> bool {
    (left - right).abs() <= 1
}

/// One encode, written as FLV and by ffmpeg as MPEG-TS with `options`; both must tell the same.
fn check(encoder: &str, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (ts, flv) = (dir.path().join("x.ts"), dir.path().join("x.flv"));
    let (ts_name, flv_name) = (ts.display(), flv.display());
    ffmpeg(&format!(
        "{SOURCE} -flags +global_header {encoder} -f tee -map 0 -map 1 [f=flv]{flv_name}|[f=mpegts{options}]{ts_name}"
    ));
    let (seen, expected) = (demux_file(&ts).unwrap(), flv_seen(&flv));
    assert_eq!((seen.video.len(), seen.audio.len()), (1, 1));
    assert_eq!((&seen.video[0].config, seen.video[0].width), (&expected.video[0].config, 320));
    assert_eq!(seen.audio[0].config[..2], expected.audio[0].config[..2]);
    assert_eq!(bytes(&seen.pictures), bytes(&expected.pictures));
    assert_eq!(bytes(&seen.sounds), bytes(&expected.sounds));
    let ((pictures, sounds), (expected_pictures, expected_sounds)) = (seen.times(), expected.times());
    for (time, expected) in pictures.iter().zip(expected_pictures) {
        assert!(near(time.0, expected.0) && near(time.1, expected.1), "{time:?}, not {expected:?}");
    }
    for (time, expected) in sounds.iter().zip(expected_sounds) {
        assert!(near(*time, expected), "{time}, not {expected}");
    }
}

#[test]
fn pictures_in_and_out_of_order_and_sound_are_what_was_encoded() {
    let aac = "-c:a aac -b:a 96k";
    check(&format!("-c:v libx264 -preset ultrafast -tune zerolatency -g 25 {aac}"), "");
    check(&format!("-c:v libx264 -preset veryfast -bf 3 -g 50 {aac} -ar 44100"), "");
    check(&format!("-c:v libx264 -preset veryfast -x264-params slices=4:bframes=2 -g 25 {aac}"), "");
    check(&format!("-c:v libx264 -preset veryfast -profile:v high422 -pix_fmt yuv422p {aac}"), "");
    // Long pictures, whose lengths are stated as long as they can be.
    check(&format!("-c:v libx264 -preset ultrafast -crf 1 {aac}"), ":omit_video_pes_length=0");
    check(&format!("-c:v libx264 -preset ultrafast {aac}"), ":mpegts_flags=latm");
}

/// Where a box's body begins and ends, the first of its type in an MP4 file.
fn find_box(file: &[u8], kind: &[u8; 4]) -> std::ops::Range<usize> {
    let at = file.windows(4).position(|four| four == kind).unwrap();
    let size = u32::from_be_bytes(*file[at - 4..].first_chunk().unwrap()) as usize;
    at + 4..at - 4 + size
}

#[test]
fn h265_is_what_was_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let (ts, mp4) = (dir.path().join("x.ts"), dir.path().join("x.mp4"));
    // Without x265's mark of itself, which one muxer takes for a parameter set and the other for a part of the picture.
    let encoder = "-c:v libx265 -preset ultrafast -x265-params log-level=error:info=0:keyint=25:scenecut=0:bframes=3";
    ffmpeg(&format!("{SOURCE} -an {encoder} -tag:v hvc1 {}", mp4.display()));
    ffmpeg(&format!("-i {} -c copy -f mpegts {}", mp4.display(), ts.display()));
    let (seen, file) = (demux_file(&ts).unwrap(), std::fs::read(mp4).unwrap());
    let [format] = &seen.video[..] else { panic!("{:?}", seen.video) };
    assert_eq!((format.width, format.height, &format.codecs()[..7]), (320, 180, "hvc1.1."));
    assert_eq!(format.config[..], file[find_box(&file, b"hvcC")]);
    let sent: Vec<_> = seen.pictures.iter().flat_map(|frame| frame.data.to_vec()).collect();
    assert!(sent[..] == file[find_box(&file, b"mdat")], "the access units of the file, in its order");
    let keys: Vec<_> = (0..).zip(&seen.pictures).filter(|(_, frame)| frame.key).map(|(index, _)| index).collect();
    assert_eq!((seen.pictures.len(), &keys[..]), (75, &[0, 25, 50][..]));
    let mut shown: Vec<_> = seen.times().0.into_iter().map(|(_, pts)| pts).collect();
    assert!(shown.windows(2).any(|pair| pair[1] < pair[0]), "B-frames");
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| near(pair[1] - pair[0], 40)), "{shown:?}");
}

#[test]
fn gstreamers_muxer_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    let picture = "videotestsrc num-buffers=75 ! video/x-raw,width=320,height=180,framerate=25/1 ! x264enc bframes=2 key-int-max=25 ! h264parse ! mux.";
    let sound = "audiotestsrc num-buffers=130 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.";
    run("gst-launch-1.0", &format!("-q mpegtsmux name=mux ! filesink location={} {picture} {sound}", file.display()));
    let seen = demux_file(&file).unwrap();
    assert_eq!((seen.pictures.len(), seen.video.len(), seen.audio.len()), (75, 1, 1));
    assert_eq!((seen.video[0].width, seen.audio[0].sample_rate, seen.audio[0].channels), (320, 44_100, 2));
    let keys: Vec<_> = (0..).zip(&seen.pictures).filter(|(_, frame)| frame.key).map(|(index, _)| index).collect();
    assert_eq!(keys, [0, 25, 50]);
    let (pictures, sounds) = seen.times();
    assert!(pictures.windows(2).all(|pair| near(pair[1].0 - pair[0].0, 40)), "{pictures:?}");
    assert!(sounds.windows(2).all(|pair| near(pair[1] - pair[0], 23)), "{sounds:?}");
    assert!(seen.sounds.len() >= 128);
}

/// A file of ffmpeg's with sound in another codec.
fn other_sound(encoder: &str) -> Result<Seen, Unusable> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    ffmpeg(&format!("{SOURCE} -c:v libx264 -preset ultrafast {encoder} -f mpegts {}", file.display()));
    demux_file(&file)
}

#[test]
fn sound_in_other_codecs_comes_out_as_it_is_and_in_time() {
    for (encoder, codec, rate, millis) in [
        ("-c:a libmp3lame -ar 44100 -ac 2", AudioCodec::Mp3, 44_100, 26),
        ("-c:a mp2 -b:a 192k", AudioCodec::Mp2, 48_000, 24),
        ("-c:a libopus -ac 2 -frame_duration 20", AudioCodec::Opus, 48_000, 20),
        ("-c:a libopus -ac 1 -frame_duration 60", AudioCodec::Opus, 48_000, 60),
    ] {
        let seen = other_sound(encoder).unwrap();
        let [format] = &seen.audio[..] else { panic!("{encoder}: {:?}", seen.audio) };
        assert_eq!((format.codec, format.sample_rate), (codec, rate), "{encoder}");
        assert!(seen.sounds.iter().all(|frame| frame.track == TrackId::FOREIGN_AUDIO));
        let times = seen.times().1;
        assert!(times.len() as i64 * millis >= 2_900, "{encoder}: {}", times.len());
        assert!(times.windows(2).all(|pair| near(pair[1] - pair[0], millis)), "{encoder}: {times:?}");
    }
}

#[test]
fn codecs_that_are_not_taken_are_named() {
    assert_eq!(other_sound("-c:a ac3").unwrap_err(), Unusable::Audio("AC-3"));
    assert_eq!(other_sound("-c:a eac3").unwrap_err(), Unusable::Audio("E-AC-3"));
    assert_eq!(other_sound("-c:v mpeg2video -c:a aac").unwrap_err(), Unusable::Video("MPEG-2"));
    assert_eq!(demux(&[b'x'; 100_000]).unwrap_err(), Unusable::NotTs);
}

#[test]
fn sound_alone_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    ffmpeg(&format!("-f lavfi -i sine=sample_rate=48000 -t 3 -c:a aac -f mpegts {}", file.display()));
    let seen = demux_file(&file).unwrap();
    assert!(seen.pictures.is_empty() && seen.sounds.len() >= 140, "{}", seen.sounds.len());
}

#[test]
fn of_several_programmes_the_first_with_a_picture_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    let sources = "-f lavfi -i sine=f=300:r=48000 -f lavfi -i testsrc2=s=160x90:r=25 -f lavfi -i sine=f=900:r=44100";
    let maps = "-map 0 -map 1 -map 2 -program title=radio:st=0 -program title=television:st=1:st=2";
    ffmpeg(&format!("{sources} -t 2 {maps} -c:v libx264 -preset ultrafast -c:a aac -f mpegts {}", file.display()));
    let seen = demux_file(&file).unwrap();
    assert_eq!((seen.pictures.len(), seen.video.len()), (50, 1));
    assert_eq!(seen.audio.iter().map(|format| format.sample_rate).collect::<Vec<_>>(), [44_100]);
}

#[test]
fn the_clock_runs_on_when_33_bits_wrap() {
    let dir = tempfile::tempdir().unwrap();
    let (early, late) = (dir.path().join("early.ts"), dir.path().join("late.ts"));
    ffmpeg(&format!("{SOURCE} -c:v libx264 -preset veryfast -bf 2 -c:a aac -f mpegts {}", early.display()));
    // A second and a half before 2³³ ticks, the 1.4 s that ffmpeg begins with included.
    let copy = format!("-i {} -c copy -output_ts_offset 95440.817", early.display());
    ffmpeg(&format!("{copy} -f mpegts {}", late.display()));
    let (early, late) = (demux_file(&early).unwrap(), demux_file(&late).unwrap());
    assert!(late.pictures[0].dts < (1_i64 << 33) * 1_000_000 / 90 && late.pictures[74].dts > (1 << 33) * 100_000 / 9);
    assert_eq!(bytes(&late.pictures), bytes(&early.pictures));
    for (left, right) in early.times().0.iter().zip(late.times().0) {
        assert!(near(left.0, right.0) && near(left.1, right.1), "{left:?} {right:?}");
    }
    for (left, right) in early.times().1.iter().zip(late.times().1) {
        assert!(near(*left, right), "{left} {right}");
    }
}

/// A sequence that looks random and is the same every time.
fn noise(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

#[test]
fn lost_packets_cost_what_was_in_them_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    ffmpeg(&format!("{SOURCE} -c:v libx264 -preset ultrafast -g 25 -c:a aac -f mpegts {}", file.display()));
    let whole = std::fs::read(&file).unwrap();
    let all = demux(&whole).unwrap();
    let mut state = 7;
    // One message in twenty is lost, as SRT loses them: seven packets at once, and it knows.
    let (mut demuxer, mut seen, mut missing) = (Demuxer::default(), Seen::default(), 0);
    for (index, piece) in whole.chunks(7 * packet::SIZE).enumerate() {
        if index > 0 && noise(&mut state).is_multiple_of(20) {
            missing += 7;
            continue;
        }
        demuxer.lost(std::mem::take(&mut missing));
        demuxer.push(piece).unwrap();
        seen.take(&mut demuxer);
    }
    assert!(seen.pictures.len() < 75 && seen.pictures.len() > 30, "{}", seen.pictures.len());
    for (frames, all) in [(&seen.pictures, &all.pictures), (&seen.sounds, &all.sounds)] {
        for frame in frames {
            let original = all.iter().find(|original| original.data == frame.data);
            let original = original.unwrap_or_else(|| panic!("patched together: {frame:?}"));
            assert!((original.dts - frame.dts).abs() < 2 * MILLI && (original.pts - frame.pts).abs() < 2 * MILLI);
        }
    }
}

#[test]
fn broken_streams_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ts");
    ffmpeg(&format!("{SOURCE} -t 1 -c:v libx264 -preset ultrafast -c:a aac -f mpegts {}", file.display()));
    let whole = std::fs::read(&file).unwrap();
    let mut state = 3;
    for _ in 0..100 {
        let mut broken = whole.clone();
        for _ in 0..noise(&mut state) % 200 {
            let at = noise(&mut state) as usize % broken.len();
            broken[at] = noise(&mut state) as u8;
        }
        broken.truncate(noise(&mut state) as usize % whole.len());
        let _ = demux(&broken);
    }
}
