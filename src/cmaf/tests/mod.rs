//! Real media and jitter through the whole packager, checked by independent tools.

mod checker;
mod flv;
mod real;
mod rules;
mod sounds;

use bytes::Bytes;

use super::{Output, Packager, Settings};
use crate::model::{
    AudioCodec, AudioFormat, MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId, VideoCodec, VideoFormat,
};

/// Baseline 320×180, as x264 writes it.
const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0, 0x17, 0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x59, 0x10, 0, 0, 3, 0,
    0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xaa, 1, 0, 4, 0x68, 0xce, 0x0f, 0xc8,
];

fn video_track(id: TrackId, rendition: RenditionId) -> Track {
    let config = Bytes::from_static(AVCC);
    let format = VideoFormat { codec: VideoCodec::H264, config, width: 320, height: 180, frame_rate: None };
    Track { id, rendition, format: TrackFormat::Video(format), bitrate: Some(300_000), label: None }
}

fn audio_track(sample_rate: u32) -> Track {
    let config = Bytes::from_static(if sample_rate == 48_000 { &[0x11, 0x90] } else { &[0x12, 0x10] });
    let format = AudioFormat { codec: AudioCodec::Aac, config, sample_rate, channels: 2 };
    Track {
        id: TrackId::AUDIO,
        rendition: RenditionId::audio(),
        format: TrackFormat::Audio(format),
        bitrate: None,
        label: None,
    }
}

fn packet(track: TrackId, millis: f64, key: bool) -> Packet {
    let time = MediaTime::from_secs_f64(millis / 1000.0);
    Packet { track, pts: time, dts: time, key, data: Bytes::from_static(&[0, 0, 0, 2, 9, 0x10]) }
}

/// Every output of a packager that gets these packets in this order.
fn run(tracks: &[Track], packets: impl IntoIterator<Item = Packet>) -> (Packager, Vec<Output>) {
    let (mut packager, mut out) = (Packager::new(Settings::default()), Vec::new());
    for track in tracks {
        packager.track(track, &mut out).unwrap();
    }
    for packet in packets {
        packager.push(packet, &mut out);
    }
    packager.finish(&mut out);
    (packager, out)
}

/// Both tracks' packets as they arrive: in order of decoding time.
fn interleave(mut packets: Vec<Packet>) -> Vec<Packet> {
    packets.sort_by_key(|packet| packet.dts);
    packets
}

/// xorshift64*: the same jitter in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}
