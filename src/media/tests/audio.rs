use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    support::{Flv, PATIENCE, flv, run, templates, templates_with},
    tap::{onsets, reference},
};
use crate::{
    media::{Stats, Templates, audio},
    model::{AudioCodec, AudioFormat, MediaTime, Packet, Pcm, Track, TrackId},
    stream::{Event, Producer},
};

/// A tone of 100 ms at 1.0 s and at 3.0 s, silence else.
fn bursts(codec: &str) -> String {
    let tone = "sin(2*PI*1000*t)*(between(t,1,1.1)+between(t,3,3.1))";
    format!("-f lavfi -i aevalsrc='{tone}':s=44100:d=4 -strict -2 -ac 1 {codec}")
}

/// What readers of a live get as its audio.
struct Made {
    tracks: Vec<Arc<Track>>,
    packets: Vec<Packet>,
    stats: Stats,
}

/// Publishes, and reads until the audio reaches `until` seconds.
async fn make(templates: Arc<Templates>, until: f64, publish: impl FnOnce(&Producer)) -> Made {
    let producer = Producer::new(8192);
    let mut reader = producer.consume();
    let task = tokio::spawn(audio::run(producer.consume(), templates, CancellationToken::new()));
    publish(&producer);
    let (mut tracks, mut packets) = (Vec::new(), Vec::<Packet>::new());
    while packets.last().is_none_or(|packet| packet.pts.as_nanos() as f64 / 1e9 < until) {
        let event = tokio::time::timeout(PATIENCE, reader.recv()).await;
        match event.unwrap_or_else(|_| panic!("stopped behind {:?}", packets.last())).unwrap() {
            Event::Track(track) if track.id == TrackId::AUDIO => tracks.push(track),
            Event::Packet(packet) if packet.track == TrackId::AUDIO => packets.push(packet),
            Event::Lost(lost) => panic!("the test lost {lost} events"),
            _ => {}
        }
    }
    producer.end();
    let stats = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    Made { tracks, packets, stats }
}

impl Made {
    fn format(&self) -> &AudioFormat {
        self.tracks[0].format.audio().unwrap()
    }

    /// When ffmpeg hears the tone in packets without a seam.
    fn onsets(&self) -> Vec<Duration> {
        let format = self.format();
        let rates = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000];
        let rate = rates.iter().position(|rate| *rate == format.sample_rate).unwrap() as u8;
        let channels = format.channels as u8;
        let adts = self.packets.iter().flat_map(|packet| {
            let length = packet.data.len() + 7;
            let [high, low] = (length as u16).to_be_bytes();
            // ISO 13818-7 §6.2: LC, no CRC, one raw data block.
            let header =
                [0xff, 0xf1, 0x40 | rate << 2, channels << 6 | high >> 3, high << 5 | low >> 3, low << 5 | 0x1f, 0xfc];
            header.into_iter().chain(packet.data.iter().copied()).collect::<Vec<_>>()
        });
        let samples =
            run("ffmpeg", "-v error -f aac -i pipe:0 -f s16le -ac 1 -ar 16000 pipe:1", &adts.collect::<Vec<_>>());
        let samples: Vec<_> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        onsets(&[Pcm { start: self.packets[0].pts, samples: samples.into() }])
    }

    fn seams(&self) -> Vec<(MediaTime, Duration)> {
        let step = Duration::from_nanos(1_024 * 1_000_000_000 / u64::from(self.format().sample_rate));
        let lasts = self.packets.windows(2).map(|pair| (pair[0].pts, pair[1].pts.since(pair[0].pts)));
        lasts.filter(|(_, lasts)| lasts.abs_diff(step) > Duration::from_micros(10)).collect()
    }
}

fn write(producer: &Producer, source: &Flv, wanted: impl Fn(Duration) -> bool) {
    for packet in source.packets.iter().filter(|packet| wanted(packet.pts.since(MediaTime::ZERO))) {
        producer.write(packet.clone());
    }
}

fn close(heard: &[Duration], expected: &[Duration]) -> bool {
    let near = |(a, b): (&Duration, &Duration)| a.abs_diff(*b) < Duration::from_millis(10);
    heard.len() == expected.len() && heard.iter().zip(expected).all(near)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_in_any_codec_sounds_when_it_did() {
    for (codec, rate, channels, options) in [
        (AudioCodec::Mp3, 44_100, 2, "-c:a libmp3lame -ac 2"),
        (AudioCodec::Mp3, 22_050, 1, "-c:a libmp3lame -ar 22050"),
        (AudioCodec::ALaw, 8_000, 1, "-c:a pcm_alaw -ar 8000"),
        (AudioCodec::MuLaw, 8_000, 1, "-c:a pcm_mulaw -ar 8000"),
        (AudioCodec::Pcm, 44_100, 1, "-c:a pcm_s16le"),
        (AudioCodec::Speex, 16_000, 1, "-c:a libspeex -ar 16000"),
        (AudioCodec::Speex, 16_000, 1, "-c:a libspeex -ar 16000 -frames_per_packet 3"),
        (AudioCodec::Nellymoser, 8_000, 1, "-c:a nellymoser -ar 8000"),
        (AudioCodec::Adpcm, 22_050, 1, "-c:a adpcm_swf -ar 22050"),
    ] {
        let source = flv(&bursts(options));
        let made = make(templates(), 3.5, |producer| {
            producer.announce(Flv::foreign(codec, rate, channels));
            write(producer, &source, |_| true);
        })
        .await;
        // ffmpeg decodes the first frame of a packet alone.
        let (single, _) = options.split_once(" -frames").unwrap_or((options, ""));
        let (heard, expected) = (made.onsets(), reference(&bursts(single)));
        assert!(close(&heard, &expected), "{options}: {heard:?}, ffmpeg {expected:?}");
        let format = made.format();
        assert_eq!((format.sample_rate, format.channels), (48_000, channels), "{options}");
        assert_eq!(made.seams(), [], "{options}");
        assert_eq!((made.tracks.len(), made.stats.pipelines, made.stats.failures), (1, 1, 0), "{options}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_source_is_silence_without_a_seam() {
    let options = "-c:a libmp3lame -ac 1";
    let (source, expected) = (flv(&bursts(options)), reference(&bursts(options)));
    let made = make(templates(), 3.5, |producer| {
        producer.announce(Flv::foreign(AudioCodec::Mp3, 44_100, 1));
        write(producer, &source, |at| at < Duration::from_millis(1_400) || at > Duration::from_millis(2_600));
    })
    .await;
    let heard = made.onsets();
    assert!(close(&heard, &expected), "{heard:?}, ffmpeg {expected:?}");
    assert_eq!(made.seams(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_comes_back_with_another_codec_is_heard() {
    let (mp3, alaw) = ("-c:a libmp3lame", "-c:a pcm_alaw -ar 8000");
    let later = Duration::from_secs(60);
    let (before, after) = (flv(&bursts(mp3)), flv(&bursts(alaw)).later(later));
    let made = make(templates(), 63.5, |producer| {
        producer.announce(Flv::foreign(AudioCodec::Mp3, 44_100, 1));
        write(producer, &before, |_| true);
        producer.discontinuity();
        producer.announce(Flv::foreign(AudioCodec::ALaw, 8_000, 1));
        write(producer, &after, |_| true);
    })
    .await;
    assert_eq!(made.tracks.len(), 1, "what is made has the same format");
    let second = made.packets.iter().position(|packet| packet.pts > MediaTime::ZERO + Duration::from_secs(30)).unwrap();
    let after = Made { packets: made.packets[second..].to_vec(), ..made };
    let expected: Vec<_> = reference(&bursts(alaw)).into_iter().map(|at| at + later).collect();
    assert!(close(&after.onsets(), &expected), "{:?}, ffmpeg {expected:?}", after.onsets());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_with_aac_gets_neither_pipeline_nor_thread() {
    let source = flv(&bursts("-c:a aac"));
    let made = make(templates(), 3.5, |producer| {
        producer.announce(source.audio(44_100, 1));
        write(producer, &source, |_| true);
    })
    .await;
    assert_eq!(made.stats, Stats::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_in_place_of_sound_costs_a_pipeline_and_no_more() {
    let source = flv(&bursts("-c:a libmp3lame"));
    let noise: Vec<u8> = (0..417_u32).map(|n| (n * n % 251) as u8).collect();
    let producer = Producer::new(8192);
    let task = tokio::spawn(audio::run(producer.consume(), templates(), CancellationToken::new()));
    producer.announce(Flv::foreign(AudioCodec::Mp3, 44_100, 1));
    for packet in &source.packets {
        producer.write(Packet { data: noise.clone().into(), ..packet.clone() });
    }
    producer.end();
    let stats = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    assert_eq!(stats.packets + stats.dropped, source.packets.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_fails_is_built_again() {
    let failing = "appsrc name=src ! {decoder} ! identity error-after=3 ! fakesink name=s{channels}-{bitrate} \
                   fakesrc ! appsink name=sink";
    let source = flv(&bursts("-c:a pcm_alaw -ar 8000"));
    let producer = Producer::new(8192);
    let cancel = CancellationToken::new();
    let templates = templates_with("audio.gst", failing);
    let task = tokio::spawn(audio::run(producer.consume(), templates, cancel.clone()));
    producer.announce(Flv::foreign(AudioCodec::ALaw, 8_000, 1));
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    // Two seconds of it are enough for the pause behind the failure.
    for packet in source.packets.iter().cycle().take(100) {
        producer.write(packet.clone());
        pace.tick().await;
    }
    producer.end();
    let stats = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    assert!(stats.failures >= 1 && stats.pipelines >= 2, "{stats:?}");
}
