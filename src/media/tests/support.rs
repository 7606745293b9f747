use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    media::Templates,
    model::{
        AudioCodec, AudioFormat, MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId, VideoCodec, VideoFormat,
    },
    stream::{Consumer, Event, Producer},
};

#[path = "../../../tests/support/film.rs"]
#[allow(dead_code, reason = "other tests look at the file as well")]
pub mod film;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What an FLV file holds.
pub struct Flv {
    pub video_config: Bytes,
    pub audio_config: Bytes,
    pub packets: Vec<Packet>,
}

/// Runs a tool and returns what it writes.
pub fn run(tool: &str, arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(tool)
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A tool that has read enough closes its end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{tool} {arguments}");
    output.stdout
}

/// Encodes with ffmpeg into FLV, as publishers do.
pub fn flv(arguments: &str) -> Flv {
    parse(&run("ffmpeg", &format!("-v error {arguments} -f flv pipe:1"), b""))
}

/// An FLV of H.264 pictures, 2 s of a moving test picture and a key frame every `gop` frames.
pub fn pictures(size: &str, rate: &str, gop: u32, options: &str) -> Flv {
    flv(&format!(
        "-f lavfi -i testsrc2=size={size}:rate={rate}:duration=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p \
         -g {gop} -sc_threshold 0 {options}"
    ))
}

/// Tags of an FLV file (Adobe FLV 10.1, annex E.4).
pub fn parse(flv: &[u8]) -> Flv {
    let mut parsed = Flv { video_config: Bytes::new(), audio_config: Bytes::new(), packets: Vec::new() };
    let mut rest = &flv[13..];
    while rest.len() > 11 {
        let length = usize::from(rest[1]) << 16 | usize::from(rest[2]) << 8 | usize::from(rest[3]);
        let millis = i64::from(rest[7]) << 24 | i64::from(rest[4]) << 16 | i64::from(rest[5]) << 8 | i64::from(rest[6]);
        let (kind, body) = (rest[0], &rest[11..11 + length]);
        rest = &rest[11 + length + 4..];
        let dts = MediaTime::from_millis(millis);
        match (kind, body.get(1)) {
            (9, Some(0)) => parsed.video_config = Bytes::copy_from_slice(&body[5..]),
            (9, Some(1)) => {
                let offset = i64::from(i32::from_be_bytes([body[2], body[3], body[4], 0]) >> 8);
                parsed.packets.push(Packet {
                    track: TrackId::VIDEO,
                    pts: MediaTime::from_millis(millis + offset),
                    dts,
                    key: body[0] >> 4 == 1,
                    data: Bytes::copy_from_slice(&body[5..]),
                });
            }
            (8, _) if body[0] >> 4 != 10 => parsed.packets.push(Packet {
                track: TrackId::FOREIGN_AUDIO,
                pts: dts,
                dts,
                key: true,
                data: Bytes::copy_from_slice(&body[1..]),
            }),
            (8, Some(0)) => parsed.audio_config = Bytes::copy_from_slice(&body[2..]),
            (8, Some(1)) => parsed.packets.push(Packet {
                track: TrackId::AUDIO,
                pts: dts,
                dts,
                key: true,
                data: Bytes::copy_from_slice(&body[2..]),
            }),
            _ => {}
        }
    }
    parsed
}

impl Flv {
    pub fn video(&self, width: u32, height: u32, frame_rate: Option<f64>) -> Track {
        let config = self.video_config.clone();
        let format = VideoFormat { codec: VideoCodec::H264, config, width, height, frame_rate };
        Track {
            id: TrackId::VIDEO,
            rendition: RenditionId::source(),
            format: TrackFormat::Video(format),
            bitrate: None,
            label: None,
        }
    }

    pub fn audio(&self, sample_rate: u32, channels: u16) -> Track {
        let format = AudioFormat { codec: AudioCodec::Aac, config: self.audio_config.clone(), sample_rate, channels };
        Track {
            id: TrackId::AUDIO,
            rendition: RenditionId::audio(),
            format: TrackFormat::Audio(format),
            bitrate: None,
            label: None,
        }
    }

    /// The track of sound that is not AAC.
    pub fn foreign(codec: AudioCodec, sample_rate: u32, channels: u16) -> Track {
        let format = AudioFormat { codec, config: Bytes::new(), sample_rate, channels };
        let id = TrackId::FOREIGN_AUDIO;
        Track { id, rendition: RenditionId::audio(), format: TrackFormat::Audio(format), bitrate: None, label: None }
    }

    /// Everything this much later.
    pub fn later(mut self, by: Duration) -> Self {
        for packet in &mut self.packets {
            packet.pts += by;
            packet.dts += by;
        }
        self
    }

    /// Presentation times of all pictures and of key frames, in order.
    pub fn times(&self) -> (Vec<MediaTime>, Vec<MediaTime>) {
        times(self.packets.iter().filter(|packet| packet.track == TrackId::VIDEO))
    }
}

pub fn times<'a>(packets: impl Iterator<Item = &'a Packet> + Clone) -> (Vec<MediaTime>, Vec<MediaTime>) {
    let mut all: Vec<_> = packets.clone().map(|packet| packet.pts).collect();
    let mut keys: Vec<_> = packets.filter(|packet| packet.key).map(|packet| packet.pts).collect();
    all.sort_unstable();
    keys.sort_unstable();
    (all, keys)
}

pub fn templates() -> Arc<Templates> {
    Arc::new(Templates::load(None).unwrap())
}

/// Templates of which one is replaced.
pub fn templates_with(name: &str, text: &str) -> Arc<Templates> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    Arc::new(Templates::load(Some(folder.path())).unwrap())
}

/// A reader that remembers what it saw of the ladder's tracks.
pub struct Viewer {
    consumer: Consumer,
    pub tracks: Vec<Arc<Track>>,
    pub packets: Vec<Packet>,
    /// Losing events is part of the test.
    pub lossy: bool,
}

impl Viewer {
    pub fn new(producer: &Producer) -> Self {
        Self { consumer: producer.consume(), tracks: Vec::new(), packets: Vec::new(), lossy: false }
    }

    /// Reads until `enough`, which must come in time.
    pub async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let event = timeout(PATIENCE, self.consumer.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{what}: got {} packets", self.packets.len()));
            match event.unwrap_or_else(|| panic!("{what}: the live ended")) {
                Event::Track(track) if track.id >= TrackId::rung(0) => self.tracks.push(track),
                Event::Packet(packet) if packet.track >= TrackId::rung(0) => self.packets.push(packet),
                Event::Lost(lost) if !self.lossy => panic!("{what}: the test lost {lost} events"),
                _ => {}
            }
        }
    }

    pub fn rung(&self, index: u8) -> impl Iterator<Item = &Packet> + Clone {
        self.packets.iter().filter(move |packet| packet.track == TrackId::rung(index))
    }

    pub fn seen(&self, index: u8) -> usize {
        self.rung(index).count()
    }

    /// The last format announced for a rung.
    pub fn format(&self, index: u8) -> &VideoFormat {
        let track = self.tracks.iter().rfind(|track| track.id == TrackId::rung(index)).unwrap();
        track.format.video().unwrap()
    }
}

/// Access units of one format as an Annex B byte stream (ISO 14496-10 annex B) for other tools.
pub fn annex_b<'a>(config: &[u8], packets: impl Iterator<Item = &'a Packet>) -> Vec<u8> {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut stream = Vec::new();
    let mut rest = &config[5..];
    for _ in 0..2 {
        let sets = rest[0] & 0x1f;
        rest = &rest[1..];
        for _ in 0..sets {
            let length = usize::from(rest[0]) << 8 | usize::from(rest[1]);
            stream.extend_from_slice(&START);
            stream.extend_from_slice(&rest[2..2 + length]);
            rest = &rest[2 + length..];
        }
    }
    for packet in packets {
        let mut rest = &packet.data[..];
        while rest.len() > 4 {
            let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            stream.extend_from_slice(&START);
            stream.extend_from_slice(&rest[4..4 + length]);
            rest = &rest[4 + length..];
        }
    }
    stream
}
