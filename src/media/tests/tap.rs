use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::support::{Flv, PATIENCE, flv, run, templates};
use crate::{
    media::{Stats, tap},
    model::{MediaTime, Pcm},
    stream::Producer,
};

/// A tone of 100 ms at 1.0 s and at 3.0 s, silence else, as publishers encode it.
fn bursts(rate: u32) -> Flv {
    flv(&format!(
        "-f lavfi -i aevalsrc='sin(2*PI*1000*t)*(between(t,1,1.1)+between(t,3,3.1))':s={rate}:d=4 -c:a aac -b:a 96k -ac 1"
    ))
}

/// When the tone sets in, again and again: first samples above a tenth of full scale behind 200 ms below it.
pub(super) fn onsets(blocks: &[Pcm]) -> Vec<Duration> {
    let mut onsets = Vec::new();
    let mut quiet = 0;
    for block in blocks {
        for (index, sample) in block.samples.iter().enumerate() {
            if sample.unsigned_abs() < 3_277 {
                quiet += 1;
            } else {
                if quiet > 3_200 {
                    onsets.push((block.start + Pcm::duration_of(index)).since(MediaTime::ZERO));
                }
                quiet = 0;
            }
        }
    }
    onsets
}

async fn listen(capacity: usize, publish: impl FnOnce(&Producer)) -> (Vec<Pcm>, Stats) {
    let producer = Producer::new(4096);
    let (sender, mut receiver) = mpsc::channel(capacity);
    let task = tokio::spawn(tap::run(producer.consume(), sender, templates(), CancellationToken::new()));
    publish(&producer);
    producer.end();
    let stats = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    let mut blocks = Vec::new();
    while let Some(pcm) = receiver.recv().await {
        blocks.push(pcm);
    }
    (blocks, stats)
}

fn write(producer: &Producer, flv: &Flv, wanted: impl Fn(Duration) -> bool) {
    for packet in flv.packets.iter().filter(|packet| wanted(packet.pts.since(MediaTime::ZERO))) {
        producer.write(packet.clone());
    }
}

/// Where ffmpeg hears the tone in the same access units.
pub(super) fn reference(flv_arguments: &str) -> Vec<Duration> {
    let file = run("ffmpeg", &format!("-v error {flv_arguments} -f flv pipe:1"), b"");
    let samples = run("ffmpeg", "-v error -f flv -i pipe:0 -f s16le -ac 1 -ar 16000 pipe:1", &file);
    let samples: Vec<i16> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    onsets(&[Pcm { start: MediaTime::ZERO, samples: samples.into() }])
}

fn close(a: Duration, b: Duration) -> bool {
    a.abs_diff(b) < Duration::from_millis(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_sounds_when_players_sound_it() {
    for rate in [48_000, 44_100] {
        let source = bursts(rate);
        let (blocks, stats) = listen(256, |producer| {
            producer.announce(source.audio(rate, 1));
            write(producer, &source, |_| true);
        })
        .await;
        assert!(blocks.iter().all(|block| block.samples.len() == 1_600));
        assert!(blocks.windows(2).all(|pair| pair[0].end() == pair[1].start), "no block is missing");
        assert_eq!(stats.output, blocks.len() as u64);
        let expected = reference(&format!(
            "-f lavfi -i aevalsrc='sin(2*PI*1000*t)*(between(t,1,1.1)+between(t,3,3.1))':s={rate}:d=4 -c:a aac -b:a 96k -ac 1"
        ));
        let heard = onsets(&blocks);
        let loudest = blocks.iter().flat_map(|block| block.samples.iter()).max();
        assert_eq!(heard.len(), 2, "loudest {loudest:?} in {} blocks", blocks.len());
        assert!(heard.iter().zip(&expected).all(|(a, b)| close(*a, *b)), "{rate}: {heard:?}, ffmpeg {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_behind_a_gap_is_in_time() {
    let source = bursts(48_000);
    let whole = onsets(
        &listen(256, |producer| {
            producer.announce(source.audio(48_000, 1));
            write(producer, &source, |_| true);
        })
        .await
        .0,
    );
    for (gap_from, gap_to) in
        [(1_500, 1_700), (1_300, 2_700)].map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)))
    {
        let (blocks, _) = listen(256, |producer| {
            producer.announce(source.audio(48_000, 1));
            write(producer, &source, |at| at < gap_from || at >= gap_to);
        })
        .await;
        let heard = onsets(&blocks);
        assert_eq!(heard.len(), 2, "gap at {gap_from:?}");
        assert!(heard.iter().zip(&whole).all(|(a, b)| close(*a, *b)), "{heard:?} {whole:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_before_and_behind_a_discontinuity_is_in_time() {
    let (before, after) = (bursts(48_000), bursts(48_000).later(Duration::from_secs(60)));
    let (blocks, stats) = listen(256, |producer| {
        producer.announce(before.audio(48_000, 1));
        write(producer, &before, |_| true);
        producer.discontinuity();
        write(producer, &after, |_| true);
    })
    .await;
    assert_eq!(stats.pipelines, 2);
    let heard = onsets(&blocks);
    assert_eq!(heard.len(), 4, "{heard:?}");
    assert!(close(heard[2], heard[0] + Duration::from_secs(60)) && close(heard[3], heard[1] + Duration::from_secs(60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recognizer_that_does_not_keep_up_loses_blocks_and_nothing_else() {
    let source = bursts(48_000);
    let (blocks, stats) = listen(5, |producer| {
        producer.announce(source.audio(48_000, 1));
        write(producer, &source, |_| true);
    })
    .await;
    assert_eq!(blocks.len(), 5);
    assert_eq!((stats.output, stats.failures), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_with_every_packet_does_not_get_a_pipeline_each_time() {
    let source = bursts(48_000);
    let (_, stats) = listen(256, |producer| {
        producer.announce(source.audio(48_000, 1));
        for packet in &source.packets {
            producer.write(packet.clone());
            producer.discontinuity();
        }
    })
    .await;
    assert!((3..30).contains(&stats.pipelines), "{stats:?}");
    assert!(stats.dropped > 100, "{stats:?}");
}
