//! Real media for tests: ffmpeg encodes, and its fragments become parts.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::model::{AudioCodec, AudioFormat, Init, MediaTime, Part, RenditionId, TrackFormat, VideoCodec, VideoFormat};

/// Some seconds of a live as packaging gives it.
pub(crate) struct Clip {
    pub(crate) inits: Vec<Init>,
    /// In the order in which a live makes them.
    pub(crate) parts: Vec<Part>,
}

struct Fragment {
    bytes: Bytes,
    start: MediaTime,
    duration: Duration,
    key: bool,
}

/// `seconds` of `source` (30 frames a second, segments of 2 s, B-frames), a `120p` rung and `audio`.
pub(crate) fn clip(seconds: u32) -> Clip {
    let dir = tempfile::tempdir().unwrap();
    let source = video(dir.path(), "320x180", seconds);
    let rung = video(dir.path(), "208x120", seconds);
    let sound = sound(dir.path(), seconds);
    let mut starts: Vec<MediaTime> = source.1.iter().filter(|f| f.key).map(|f| f.start).collect();
    starts.sort();
    let mut clip = Clip { inits: Vec::new(), parts: Vec::new() };
    for (rendition, (init, fragments)) in
        [(RenditionId::source(), source), (RenditionId::rung(120), rung), (RenditionId::audio(), sound)]
    {
        clip.inits.push(Init {
            format: Arc::new(format(&init, &rendition)),
            rendition: rendition.clone(),
            version: 0,
            bitrate: None,
            label: None,
            data: init,
        });
        clip.parts.extend(parts(&rendition, fragments, &starts));
    }
    clip.parts.sort_by_key(|part| part.start + part.duration);
    clip
}

fn parts(rendition: &RenditionId, fragments: Vec<Fragment>, starts: &[MediaTime]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for fragment in fragments {
        let middle = fragment.start + fragment.duration / 2;
        let msn = starts.partition_point(|start| *start <= middle) as u64 - 1;
        let index = parts.last().filter(|last| last.msn == msn).map_or(0, |last| last.index + 1);
        // Sound comes frame by frame, so that it can be cut where the picture is.
        if let Some(last) = parts.last_mut().filter(|last| index > 0 && !is_full(last.duration + fragment.duration)) {
            last.duration += fragment.duration;
            last.data = [last.data.as_ref(), &fragment.bytes].concat().into();
            continue;
        }
        if let Some(last) = parts.last_mut().filter(|_| index == 0) {
            last.ends_segment = true;
        }
        parts.push(Part {
            rendition: rendition.clone(),
            msn,
            index,
            number: parts.len() as u64,
            start: fragment.start,
            duration: fragment.duration,
            independent: fragment.key,
            ends_segment: false,
            discontinuity: false,
            init: 0,
            data: fragment.bytes,
        });
    }
    parts.last_mut().unwrap().ends_segment = true;
    parts
}

fn is_full(duration: Duration) -> bool {
    duration > Duration::from_millis(250)
}

fn format(init: &[u8], rendition: &RenditionId) -> TrackFormat {
    if *rendition == RenditionId::audio() {
        let config = Bytes::from_static(&[0x11, 0x88]);
        return TrackFormat::Audio(AudioFormat { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 1 });
    }
    let at = init.windows(4).position(|w| w == b"avcC").unwrap();
    let config = Bytes::copy_from_slice(&init[at + 4..at + 4 + 40]);
    let (width, height) = if rendition.as_str() == "source" { (320, 180) } else { (208, 120) };
    TrackFormat::Video(VideoFormat { codec: VideoCodec::H264, config, width, height, frame_rate: Some(30.0) })
}

fn video(dir: &Path, size: &str, seconds: u32) -> (Bytes, Vec<Fragment>) {
    let input = format!("testsrc2=size={size}:rate=30:duration={seconds}");
    let codec = "-c:v libx264 -preset veryfast -bf 2 -g 60 -keyint_min 60 -sc_threshold 0 -pix_fmt yuv420p";
    encode(dir, &input, codec, "frag_keyframe", "250000")
}

fn sound(dir: &Path, seconds: u32) -> (Bytes, Vec<Fragment>) {
    encode(
        dir,
        &format!("sine=frequency=440:sample_rate=48000:duration={seconds}"),
        "-c:a aac -b:a 64k",
        "frag_every_frame",
        "0",
    )
}

fn encode(dir: &Path, input: &str, codec: &str, cut: &str, duration: &str) -> (Bytes, Vec<Fragment>) {
    let file = dir.join("out.mp4");
    let flags = format!("+{cut}+empty_moov+default_base_moof+negative_cts_offsets+cmaf+skip_sidx");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", input])
        .args(codec.split(' '))
        .args(["-threads", "1", "-movflags", &flags, "-frag_duration", duration, "-f", "mp4"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    split(Bytes::from(std::fs::read(&file).unwrap()))
}

fn split(data: Bytes) -> (Bytes, Vec<Fragment>) {
    let scale = find(&data, &["moov", "trak", "mdia", "mdhd"]).map(|b| u32_at(b, 12)).unwrap();
    let (mut at, mut from, mut init) = (0, 0, Bytes::new());
    let (mut fragments, mut moof) = (Vec::new(), 0..0);
    while at < data.len() {
        let (size, kind) = (u32_at(&data, at) as usize, &data[at + 4..at + 8]);
        match kind {
            b"moov" => (init, from) = (data.slice(..at + size), at + size),
            b"moof" => moof = at..at + size,
            b"mdat" => {
                fragments.push(fragment(data.slice(from..at + size), &data[moof.clone()], scale));
                from = at + size;
            }
            // The index of fragments at the end.
            b"mfra" => from = at + size,
            _ => {}
        }
        at += size;
    }
    (init, fragments)
}

fn fragment(bytes: Bytes, moof: &[u8], scale: u32) -> Fragment {
    let tfhd = find(moof, &["moof", "traf", "tfhd"]).unwrap();
    let tfdt = find(moof, &["moof", "traf", "tfdt"]).unwrap();
    let trun = find(moof, &["moof", "traf", "trun"]).unwrap();
    assert_eq!(tfdt[0], 1);
    let decode = i64::from(u32_at(tfdt, 4)) << 32 | i64::from(u32_at(tfdt, 8));
    let flags = u32_at(tfhd, 0);
    let mut at = 8;
    let mut optional = |bit: u32, size: usize| {
        let value = (flags & bit != 0).then(|| u32_at(tfhd, at));
        at += if value.is_some() { size } else { 0 };
        value
    };
    optional(0x2, 4);
    let default_duration = optional(0x8, 4).unwrap_or(0);
    optional(0x10, 4);
    let default_flags = optional(0x20, 4).unwrap_or(0);
    let (flags, count) = (u32_at(trun, 0), u32_at(trun, 4));
    let mut at = 8 + if flags & 0x1 != 0 { 4 } else { 0 };
    let first_flags = (flags & 0x4 != 0).then(|| u32_at(trun, at));
    at += if flags & 0x4 != 0 { 4 } else { 0 };
    let (mut time, mut earliest, mut key) = (decode, i64::MAX, false);
    for n in 0..count {
        let mut field = |bit: u32| {
            let value = (flags & bit != 0).then(|| u32_at(trun, at));
            at += if value.is_some() { 4 } else { 0 };
            value
        };
        let duration = field(0x100).unwrap_or(default_duration);
        field(0x200);
        let sample_flags = field(0x400).unwrap_or(default_flags);
        let offset = field(0x800).map_or(0, |offset| offset as i32);
        if n == 0 {
            key = first_flags.unwrap_or(sample_flags) & 0x1_0000 == 0;
        }
        earliest = earliest.min(time + i64::from(offset));
        time += i64::from(duration);
    }
    let duration = MediaTime::from_ticks(time, scale).since(MediaTime::from_ticks(decode, scale));
    Fragment { bytes, start: MediaTime::from_ticks(earliest, scale), duration, key }
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(data[at..at + 4].try_into().unwrap())
}

fn find<'a>(mut data: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let (first, rest) = path.split_first()?;
    while data.len() >= 8 {
        let size = u32_at(data, 0) as usize;
        if &data[4..8] == first.as_bytes() {
            let payload = &data[8..size];
            return if rest.is_empty() { Some(payload) } else { find(payload, rest) };
        }
        data = &data[size..];
    }
    None
}
