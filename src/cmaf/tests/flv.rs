//! As much of FLV as ffmpeg writes, to get packets with an RTMP publisher's stamps.

use bytes::Bytes;

use crate::model::{
    AudioCodec, AudioFormat, MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId, VideoCodec, VideoFormat,
};

/// Tracks and packets of an FLV file in file order.
pub fn read(flv: &[u8], width: u32, height: u32, sample_rate: u32) -> (Vec<Track>, Vec<Packet>) {
    let (mut tracks, mut packets, mut at) = (Vec::new(), Vec::new(), 13);
    while at + 11 <= flv.len() {
        let tag = &flv[at..];
        let size = u24(&tag[1..]) as usize;
        let dts = i64::from(u24(&tag[4..])) | i64::from(tag[7]) << 24;
        let body = &tag[11..11 + size];
        match (tag[0], body.get(1)) {
            (9, Some(0)) => tracks.push(video(&body[5..], width, height)),
            (8, Some(0)) => tracks.push(audio(&body[2..], sample_rate)),
            (9, Some(1)) => {
                let offset = i64::from((u24(&body[2..]) << 8).cast_signed() >> 8);
                packets.push(packet(TrackId::VIDEO, dts, dts + offset, body[0] >> 4 == 1, &body[5..]));
            }
            (8, Some(1)) => packets.push(packet(TrackId::AUDIO, dts, dts, true, &body[2..])),
            _ => {}
        }
        at += 11 + size + 4;
    }
    (tracks, packets)
}

fn u24(data: &[u8]) -> u32 {
    u32::from_be_bytes([0, data[0], data[1], data[2]])
}

fn packet(track: TrackId, dts: i64, pts: i64, key: bool, data: &[u8]) -> Packet {
    let (dts, pts) = (MediaTime::from_millis(dts), MediaTime::from_millis(pts));
    Packet { track, pts, dts, key, data: Bytes::copy_from_slice(data) }
}

fn video(config: &[u8], width: u32, height: u32) -> Track {
    let config = Bytes::copy_from_slice(config);
    let format = VideoFormat { codec: VideoCodec::H264, config, width, height, frame_rate: None };
    Track {
        id: TrackId::VIDEO,
        rendition: RenditionId::source(),
        format: TrackFormat::Video(format),
        bitrate: Some(500_000),
        label: None,
    }
}

fn audio(config: &[u8], sample_rate: u32) -> Track {
    let config = Bytes::copy_from_slice(config);
    let format = AudioFormat { codec: AudioCodec::Aac, config, sample_rate, channels: 2 };
    Track {
        id: TrackId::AUDIO,
        rendition: RenditionId::audio(),
        format: TrackFormat::Audio(format),
        bitrate: Some(96_000),
        label: None,
    }
}
