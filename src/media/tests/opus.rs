use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    support::{Flv, PATIENCE, flv, run, templates},
    tap::{onsets, reference},
};
use crate::{
    media::{Stats, opus},
    model::{AudioCodec, MediaTime, Packet, Pcm, TrackId},
    stream::{Event, Producer},
};

/// A tone of 100 ms at 1.0 s and at 3.0 s, silence else.
const BURSTS: &str =
    "-f lavfi -i aevalsrc='sin(2*PI*1000*t)*(between(t,1,1.1)+between(t,3,3.1))':s=44100:d=4 -c:a aac -b:a 96k -ac 1";

/// Publishes AAC, but for what lies in `gap` milliseconds, and reads Opus up to 3.5 s.
async fn make(source: &Flv, gap: std::ops::Range<i64>) -> (Vec<Packet>, Stats) {
    let (live, made) = (Producer::new(4096), Producer::new(4096));
    let mut reader = made.consume();
    let task = tokio::spawn(opus::run(live.consume(), made, templates(), CancellationToken::new()));
    live.announce(source.audio(44_100, 1));
    for packet in &source.packets {
        if !gap.contains(&packet.pts.to_ticks(1_000)) {
            live.write(packet.clone());
        }
    }
    let mut packets = Vec::<Packet>::new();
    while packets.last().is_none_or(|packet| packet.pts < MediaTime::from_millis(3_500)) {
        let event = tokio::time::timeout(PATIENCE, reader.recv()).await;
        match event.unwrap_or_else(|_| panic!("stopped behind {:?}", packets.last())).unwrap() {
            Event::Track(track) => {
                let format = track.format.audio().unwrap();
                assert_eq!((format.codec, format.sample_rate, format.channels), (AudioCodec::Opus, 48_000, 1));
            }
            Event::Packet(packet) => packets.push(packet),
            other => panic!("{other:?}"),
        }
    }
    live.end();
    let stats = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    (packets, stats)
}

/// When ffmpeg hears the tone.
fn heard(packets: &[Packet]) -> Vec<Duration> {
    let samples = run("ffmpeg", "-v error -f ogg -i pipe:0 -f s16le -ac 1 -ar 16000 pipe:1", &ogg(packets));
    let samples: Vec<_> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    onsets(&[Pcm { start: packets[0].pts, samples: samples.into() }])
}

/// Opus in Ogg without a pre-skip (RFC 7845, RFC 3533), a packet a page.
fn ogg(packets: &[Packet]) -> Vec<u8> {
    let head = [b"OpusHead\x01\x01".as_slice(), &[0, 0], &48_000u32.to_le_bytes(), &[0, 0, 0]].concat();
    let tags = b"OpusTags\0\0\0\0\0\0\0\0".to_vec();
    let bodies = [head, tags].into_iter().chain(packets.iter().map(|packet| packet.data.to_vec()));
    let page = |(index, body): (usize, Vec<u8>)| {
        let granule = (index as u64).saturating_sub(1) * 960;
        let mut lacing = vec![255; body.len() / 255];
        lacing.push((body.len() % 255) as u8);
        let mut page = [
            b"OggS\0".as_slice(),
            &[if index == 0 { 2 } else { 0 }],
            &granule.to_le_bytes(),
            &1u32.to_le_bytes(),
            &(index as u32).to_le_bytes(),
            &[0; 4],
            &[lacing.len() as u8],
            &lacing,
            &body,
        ]
        .concat();
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        page
    };
    bodies.enumerate().flat_map(page).collect()
}

fn seams(packets: &[Packet]) -> usize {
    packets.windows(2).filter(|pair| pair[1].pts.since(pair[0].pts) != Duration::from_millis(20)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_sounds_when_it_did() {
    let source = flv(BURSTS);
    let (packets, stats) = make(&source, 0..0).await;
    let (heard, expected) = (heard(&packets), reference(BURSTS));
    assert_eq!(heard.len(), expected.len());
    for (heard, expected) in heard.iter().zip(&expected) {
        assert!(heard.abs_diff(*expected) < Duration::from_millis(3), "{heard:?}, ffmpeg {expected:?}");
    }
    assert_eq!((seams(&packets), stats.pipelines, stats.failures), (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_silence_without_a_seam() {
    let source = flv(BURSTS);
    let (packets, _) = make(&source, 1_400..2_600).await;
    assert_eq!(seams(&packets), 0);
    let (heard, expected) = (heard(&packets), reference(BURSTS));
    let near = |(heard, expected): (&Duration, &Duration)| heard.abs_diff(*expected) < Duration::from_millis(40);
    assert!(heard.len() == expected.len() && heard.iter().zip(&expected).all(near), "{heard:?}, ffmpeg {expected:?}");
    assert!(packets.iter().all(|packet| packet.track == TrackId::AUDIO));
}
