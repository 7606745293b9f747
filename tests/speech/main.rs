//! Speech through real engine processes, real models and real recordings.
#![allow(clippy::unwrap_used)]

mod pieces;
mod support;
mod translation;
mod wer;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use amphi::{
    captions::{Dresser, Names},
    model::{Hypothesis, MediaTime, Word},
    speech::{EngineKind, EngineSettings, EngineSpec, Engines, Event, wire::Response},
};
use support::{
    Heard, Talk, decoded, engine, engines, media, pieces, python, samples, signal, transcribe, vosk, whisper,
};

/// Where each sentence of the lecture begins and ends.
#[derive(serde::Deserialize)]
struct Sentence {
    start: f64,
    end: f64,
    text: String,
}

fn lecture() -> Vec<Sentence> {
    serde_json::from_slice(&std::fs::read(media("lecture-en.json")).unwrap()).unwrap()
}

/// The lecture's first sentences and their audio.
fn beginning(sentences: usize) -> (String, Vec<i16>) {
    let lecture = lecture();
    let end = f64::midpoint(lecture[sentences - 1].end, lecture[sentences].start);
    let text: Vec<_> = lecture[..sentences].iter().map(|sentence| sentence.text.as_str()).collect();
    (text.join(" "), samples("lecture-en.opus")[..(end * 16_000.0) as usize].to_vec())
}

#[tokio::test]
async fn whisper_understands_a_file() {
    let engines = engines();
    let stream = engines.open(whisper());
    let heard = transcribe(&stream, &samples("lecture-en.opus")).await;
    check_rate("file", &heard.text(), 0.06);
    engines.shutdown().await;
}

#[test]
fn whisper_hears_the_lecture_live_and_in_time() {
    let mut talk = Talk::new(&whisper(), true);
    let mut heard = Heard::default();
    let mut lags = Vec::new();
    let audio = samples("lecture-en.opus");
    for pcm in pieces(&audio) {
        for hypothesis in talk.say(&pcm) {
            let position = pcm.end().as_secs_f64();
            let known = heard.words.len() + heard.stable.len();
            heard.take(Event::Hypothesis(hypothesis));
            let now = heard.words.iter().chain(&heard.stable);
            lags.extend(now.skip(known).map(|word| position - word.end.as_secs_f64()));
        }
    }
    let cpu = talk.cpu() / (audio.len() as f64 / 16_000.0);
    talk.finish().into_iter().for_each(|hypothesis| heard.take(Event::Hypothesis(hypothesis)));
    check_rate("live", &heard.text(), 0.08);
    let (p50, p95) = (percentile(&mut lags, 50), percentile(&mut lags, 95));
    println!("word end to stable, in audio time: p50 {p50:.2} s, p95 {p95:.2} s; {cpu:.3} of a core");
    assert!(p50 <= 1.1 && p95 <= 1.9, "{lags:?}");
    assert!(cpu < 0.4, "{cpu}");

    let mut errors = edges(&heard.words);
    assert!(errors.len() > 40, "{}", errors.len());
    let p95 = percentile(&mut errors, 95);
    println!("edges of sentences: p50 {:.3} s, p95 {p95:.3} s", percentile(&mut errors, 50));
    assert!(p95 <= 0.3, "{errors:?}");
}

#[test]
fn whisper_shows_no_words_for_silence_noise_and_music() {
    let sounds = [
        "anullsrc=r=16000:cl=mono,atrim=duration=60",
        "anoisesrc=color=pink:amplitude=0.3:seed=1:duration=20",
        // Bursts, which the detector of speech takes for it.
        "anoisesrc=color=brown:amplitude=0.5:seed=3:duration=15,volume='if(lt(mod(t,3),1.2),1,0)':eval=frame",
        "sine=frequency=440:beep_factor=4:duration=15,volume='if(lt(mod(t,2),0.7),1,0)':eval=frame",
        "aevalsrc='0.3*sin(2*PI*t*(220*pow(2\\,floor(mod(t*2\\,8))/12)))*exp(-3*mod(t\\,0.5))':d=15:s=16000",
    ];
    for sound in sounds {
        let audio = decoded(&["-f", "lavfi", "-i", sound]);
        let shown: Vec<_> = live(&whisper(), &audio).into_iter().flat_map(|(_, heard)| heard.words).collect();
        assert_eq!(shown, [], "{sound}");
    }
}

fn check_rate(what: &str, heard: &str, most: f64) {
    let lecture = lecture();
    let reference: Vec<_> = lecture.iter().map(|sentence| sentence.text.as_str()).collect();
    let rate = wer::rate(&reference.join(" "), heard);
    println!("{what}: word error rate {:.2} %", rate * 100.0);
    assert!(rate <= most, "{rate}: {heard}");
}

/// How far off the edges of the lecture's sentences are, where their words were understood.
fn edges(heard: &[Word]) -> Vec<f64> {
    let edge = |text: &String, at: f64, time: fn(&Word) -> MediaTime| {
        let same = heard.iter().filter(|word| wer::normalise(&word.text).contains(text));
        same.map(|word| (time(word).as_secs_f64() - at).abs()).filter(|error| *error < 1.0).min_by(f64::total_cmp)
    };
    let mut errors = Vec::new();
    for sentence in lecture() {
        let words = wer::normalise(&sentence.text);
        errors.extend(edge(&words[0], sentence.start, |word| word.start));
        errors.extend(edge(&words[words.len() - 1], sentence.end, |word| word.end));
    }
    errors
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * percent / 100]
}

#[tokio::test]
async fn vosk_says_the_same_as_its_python_binding() {
    let engines = engines();
    let stream = engines.open(vosk());
    let audio = samples("korean-espeak.flac");
    let heard = transcribe(&stream, &audio).await;
    let reference = by_python(&audio);
    assert!(reference.len() > 10);
    let ours: Vec<_> = heard.words.iter().map(|word| word.text.clone()).collect();
    assert_eq!(ours, reference.iter().map(|(word, _)| word.clone()).collect::<Vec<_>>());
    for (word, (text, start)) in heard.words.iter().zip(&reference) {
        assert!((word.start.as_secs_f64() - start).abs() < 0.02, "{text} at {start}: {word:?}");
    }
    engines.shutdown().await;
}

#[test]
fn vosk_says_the_same_live_but_for_words_that_were_stable() {
    // Utterances that end by themselves: only one that goes on for too long is cut.
    let utterance = [&samples("korean-espeak.flac")[..(8.6 * 16_000.0) as usize], &[0; 3 * 16_000]].concat();
    let audio = utterance.repeat(3);
    let said = live(&vosk(), &audio);
    let mut reference = by_python(&with_noise(&audio)).into_iter().map(|(text, _)| text);
    let (mut count, mut overruled) = (0, 0);
    let mut stable = 0;
    for (_, heard) in &said {
        if !heard.last {
            stable = heard.stable;
            continue;
        }
        for (nth, word) in heard.words.iter().enumerate() {
            count += 1;
            let theirs = reference.next();
            assert!(nth < stable || Some(&word.text) == theirs.as_ref(), "{word:?}, not {theirs:?}: {heard:?}");
            overruled += usize::from(Some(&word.text) != theirs.as_ref());
        }
        stable = 0;
    }
    assert_eq!(reference.next(), None);
    println!("{overruled} of {count} words stood that the final result has otherwise");
    assert!(count > 30 && overruled <= 1, "{overruled} of {count}");
}

/// The words of PyPI's `vosk` and where they start, in seconds.
fn by_python(audio: &[i16]) -> Vec<(String, f64)> {
    let script = "
import json, sys
from vosk import KaldiRecognizer, Model, SetLogLevel
SetLogLevel(-1)
recognizer = KaldiRecognizer(Model(sys.argv[1]), 16000)
recognizer.SetWords(True)
words = []
while block := sys.stdin.buffer.read(3200):
    if recognizer.AcceptWaveform(block):
        words += json.loads(recognizer.Result()).get('result', [])
words += json.loads(recognizer.FinalResult()).get('result', [])
print(json.dumps([(w['word'], w['start']) for w in words]))
";
    let mut python = Command::new(python())
        .args(["-c", script])
        .arg(vosk().model_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = audio.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    python.stdin.take().unwrap().write_all(&bytes).unwrap();
    let out = python.wait_with_output().unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A live's sound as libvosk gets it: one step up or down on each sample, by SplitMix64 of its number.
fn with_noise(audio: &[i16]) -> Vec<i16> {
    let step = |nth: u64| {
        let z = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if (z ^ (z >> 31)) & 1 == 0 { 1 } else { -1 }
    };
    audio.iter().zip(0..).map(|(sample, nth)| sample.saturating_add(step(nth))).collect()
}

/// What a live of this sound says, each hypothesis with the sound's position in seconds.
fn live(spec: &EngineSpec, audio: &[i16]) -> Vec<(f64, Hypothesis)> {
    let (mut talk, mut heard) = (Talk::new(spec, true), Heard::default());
    let mut said = Vec::new();
    for pcm in pieces(audio) {
        said.extend(talk.say(&pcm).into_iter().map(|hypothesis| (pcm.end().as_secs_f64(), hypothesis)));
    }
    said.extend(talk.finish().into_iter().map(|hypothesis| (audio.len() as f64 / 16_000.0, hypothesis)));
    said.iter().for_each(|(_, hypothesis)| heard.take(Event::Hypothesis(hypothesis.clone())));
    said
}

#[test]
fn vosk_notices_digital_silence_live() {
    let audio = [samples("korean-espeak.flac"), vec![0; 4 * 16_000]].concat();
    let said = live(&vosk(), &audio);
    let (position, words) = said.iter().rfind(|(_, heard)| heard.last).unwrap();
    let end = words.words.last().unwrap().end.as_secs_f64();
    assert!(*position < end + 2.5, "final at {position}, said by {end}");
    assert!(*position < 12.0, "final at {position}, not by the end of the sound");
}

#[test]
fn vosk_words_show_early_and_are_final_in_bounded_time_without_a_pause() {
    let audio = samples("korean-espeak.flac")[..(8.6 * 16_000.0) as usize].repeat(2);
    let said = live(&vosk(), &audio);
    let finals: Vec<_> = said.iter().filter(|(_, heard)| heard.last && !heard.words.is_empty()).collect();
    assert!(finals.len() >= 2, "{finals:?}");
    for (position, heard) in &finals {
        let length = position - heard.words[0].start.as_secs_f64();
        assert!(length <= 15.0, "{length} s: {heard:?}");
    }
    // The synthesiser says 22 words in a turn; what a cut loses or doubles shows in their number.
    let count: usize = finals.iter().map(|(_, heard)| heard.words.len()).sum();
    assert!((36..=52).contains(&count), "{count}: {finals:?}");
    let mut shown = Vec::new();
    let mut furthest = 0;
    for (position, heard) in &said {
        for word in heard.words.iter().skip(furthest) {
            shown.push(position - word.start.as_secs_f64());
        }
        furthest = if heard.last { 0 } else { furthest.max(heard.words.len()) };
    }
    let median = percentile(&mut shown, 50);
    println!("beginning of a word to its text: {median:.2} s");
    assert!(median <= 1.5, "{shown:?}");
}

#[test]
fn stable_words_wait_little_to_be_dressed() {
    let audio = samples("korean-espeak.flac")[..(8.6 * 16_000.0) as usize].repeat(2);
    let mut talk = Talk::new(&vosk(), true);
    let mut dresser = Dresser::new(vosk().language, Names::default());
    // When each word was stable before and after; utterances that are over count on.
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut said, mut written) = (0, 0);
    for pcm in pieces(&audio) {
        let (now, position) = (pcm.end(), pcm.end().as_secs_f64());
        for heard in talk.say(&pcm) {
            before.resize(said + heard.stable, position);
            for dressed in dresser.dress(&heard, now) {
                after.resize(written + dressed.stable, position);
                written += if dressed.last { dressed.words.len() } else { 0 };
            }
            said += if heard.last { heard.words.len() } else { 0 };
        }
        after.resize(written + dresser.settle(now).map_or(after.len() - written, |dressed| dressed.stable), position);
    }
    let mut waits: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(waits.len() > 20, "{waits:?}");
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let (p50, p95) = (percentile(&mut waits, 50), percentile(&mut waits, 95));
    println!("a stable word waits for its mark: mean {mean:.2} s, p50 {p50:.2} s, p95 {p95:.2} s");
    assert!(waits.iter().all(|wait| *wait <= 0.71), "{waits:?}");
}

#[tokio::test]
async fn an_engine_killed_in_mid_lecture_is_back_in_time_and_loses_no_word() {
    let engines = engines();
    let (reference, audio) = beginning(8);
    let stream = engines.open(EngineSpec { live: true, ..whisper() });
    let mut heard = Heard::default();
    let pieces = pieces(&audio);
    let (before, after) = pieces.split_at(pieces.len() / 2);
    for pcm in before {
        stream.send_wait(pcm.clone()).await;
    }
    heard.until(&stream, |heard| heard.words.len() > 15).await;
    signal(engines.status()[0].pid.unwrap(), "-KILL");
    heard.until(&stream, |heard| heard.restarts == 1).await;
    let (killed, known) = (Instant::now(), heard.hypotheses);
    for pcm in after {
        stream.send_wait(pcm.clone()).await;
    }
    stream.finish();
    heard.until(&stream, |heard| heard.hypotheses > known).await;
    let back = killed.elapsed();
    heard.until(&stream, |_| false).await;
    assert!(back < Duration::from_secs(5), "{back:?}");
    assert_eq!(engines.status()[0].restarts, 1);
    let rate = wer::rate(&reference, &heard.text());
    println!("back after {back:?}, word error rate {:.2} %", rate * 100.0);
    assert!(rate <= 0.08, "{rate}: {}", heard.text());
    engines.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_replaced() {
    let settings = EngineSettings { hang: Duration::from_secs(3), ..EngineSettings::new(engine()) };
    let engines = Engines::new(settings);
    let (reference, audio) = beginning(3);
    let stream = engines.open(whisper());
    let mut heard = Heard::default();
    let pieces = pieces(&audio);
    stream.send_wait(pieces[0].clone()).await;
    heard.take(stream.recv().await.unwrap());
    signal(engines.status()[0].pid.unwrap(), "-STOP");
    for pcm in &pieces[1..] {
        stream.send_wait(pcm.clone()).await;
    }
    stream.finish();
    heard.until(&stream, |_| false).await;
    assert_eq!((heard.restarts, heard.failed.clone()), (1, None));
    let rate = wer::rate(&reference, &heard.text());
    assert!(rate <= 0.15, "{rate}: {}", heard.text());
    engines.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_nears_its_ceiling_is_started_again_in_a_pause_and_loses_no_word() {
    let engines = Engines::new(EngineSettings { memory: Some(1), ..EngineSettings::new(engine()) });
    let turns = 8;
    let audio = [samples("korean-espeak.flac"), vec![0; 2 * 16_000]].concat().repeat(turns);
    let stream = engines.open(EngineSpec { live: true, ..vosk() });
    let heard = transcribe(&stream, &audio).await;
    let status = &engines.status()[0];
    assert_eq!((status.restarts, heard.failed.clone()), (0, None));
    assert!(status.renewals >= 1 && heard.restarts as u64 == status.renewals, "{status:?}");
    // The synthesiser says 22 words in a turn; what is lost or said twice shows in their number.
    assert!((turns * 18..=turns * 28).contains(&heard.words.len()), "{}: {}", heard.words.len(), heard.text());
    let silent = |pair: &[Word]| pair[1].start.since(pair[0].end) > Duration::from_secs(4);
    assert!(!heard.words.windows(2).any(silent), "words are missing: {:?}", heard.words);
    engines.shutdown().await;
}

#[tokio::test]
async fn streams_share_a_process_and_do_not_mix() {
    let engines = engines();
    let (text, audio) = beginning(2);
    let (one, two) = (engines.open(whisper()), engines.open(whisper()));
    let jfk = samples("jfk.flac");
    let (first, second) = tokio::join!(transcribe(&one, &audio), transcribe(&two, &jfk));
    assert_eq!(engines.status().len(), 1);
    assert!(engines.status()[0].rss.unwrap() > 10 << 20);
    assert!(wer::rate(&text, &first.text()) < 0.15, "{}", first.text());
    let jfk =
        "and so my fellow americans ask not what your country can do for you ask what you can do for your country";
    assert!(wer::rate(jfk, &second.text()) < 0.1, "{}", second.text());
    engines.shutdown().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, missing) in [(EngineKind::Whisper, "model.bin"), (EngineKind::Vosk, "final.mdl")] {
        let spec = EngineSpec { engine: kind, model_dir: folder.path().into(), ..whisper() };
        assert_failure(&engines(), spec, missing).await;
    }
    let spec = EngineSpec { model_dir: folder.path().join("none"), ..whisper() };
    assert_failure(&engines(), spec, "none is missing").await;
    assert_failure(&Engines::new(EngineSettings::new("/nowhere/amphi-engine")), whisper(), "amphi check").await;
    let spec = EngineSpec { language: amphi::model::LanguageTag::parse("fr").unwrap(), ..whisper() };
    assert_failure(&engines(), spec, "does not know fr").await;
}

async fn assert_failure(engines: &Engines, spec: EngineSpec, reason: &str) {
    let stream = engines.open(spec);
    let mut heard = Heard::default();
    heard.until(&stream, |_| false).await;
    let failed = heard.failed.unwrap_or_default();
    assert!(failed.contains(reason), "{failed:?} does not say {reason:?}");
    assert_eq!(stream.recv().await, None);
}

#[test]
fn a_stream_too_many_fails_alone_and_those_that_end_make_room() {
    let spec = whisper();
    let mut talk = Talk::new(&spec, false);
    for stream in 2..=256 {
        assert!(matches!(talk.add(stream, &spec), Response::Progress { .. }));
    }
    let refused = talk.add(257, &spec);
    assert!(
        matches!(&refused, Response::Failed { stream: Some(257), reason } if reason.contains("256 streams")),
        "{refused:?}"
    );
    talk.say(&pieces(&samples("jfk.flac"))[0]);
    talk.finish();
    assert!(matches!(talk.add(258, &spec), Response::Progress { stream: 258, .. }));
}

#[test]
fn garbage_ends_the_engine_with_a_message() {
    let mut child = Command::new(engine())
        .args(["--engine", "whisper", "--model"])
        .arg(whisper().model_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("malformed engine message"), "{out:?}");
}

#[tokio::test]
async fn audio_sent_too_fast_is_dropped_and_counted_and_never_blocks() {
    let engines = Engines::new(EngineSettings::new("/bin/cat"));
    let stream = engines.open(whisper());
    let piece = amphi::model::Pcm { start: MediaTime::ZERO, samples: vec![0; 1_600].into() };
    let taken = (0..400).filter(|_| stream.send(piece.clone())).count();
    assert_eq!(taken, 300, "thirty seconds wait");
    assert_eq!(stream.dropped(), Duration::from_secs(10));
}
