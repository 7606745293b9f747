//! Audio, models and a patient listener.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use amphi::{
    model::{Hypothesis, LanguageTag, MediaTime, Pcm, Word},
    pipe,
    speech::{
        EngineKind, EngineSettings, EngineSpec, Engines, Event, Stream,
        wire::{Request, Response},
    },
};

pub fn engine() -> PathBuf {
    env!("CARGO_BIN_EXE_amphi-engine").into()
}

pub fn engines() -> Engines {
    Engines::new(EngineSettings::new(engine()))
}

pub fn model(id: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let all = std::env::var_os("AMPHI_MODELS_DIR").map_or_else(|| home.join(".cache/amphi/models"), PathBuf::from);
    let dir = all.join(id);
    assert!(dir.is_dir(), "{} is missing: run `make setup`", dir.display());
    dir
}

/// The interpreter that has the packages results are compared with.
pub fn python() -> PathBuf {
    let home = || std::env::home_dir().unwrap().join(".cache/amphi/venv");
    std::env::var_os("AMPHI_VENV").map_or_else(home, PathBuf::from).join("bin/python")
}

pub fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

pub fn whisper() -> EngineSpec {
    spec(EngineKind::Whisper, "whisper-tiny.en", "en")
}

pub fn vosk() -> EngineSpec {
    spec(EngineKind::Vosk, "vosk-ko", "ko")
}

fn spec(engine: EngineKind, id: &str, language: &str) -> EngineSpec {
    EngineSpec {
        engine,
        model_dir: model(id),
        language: LanguageTag::parse(language).unwrap(),
        threads: 1,
        live: false,
    }
}

/// 16 kHz mono, decoded by ffmpeg.
pub fn samples(name: &str) -> Vec<i16> {
    decoded(&["-i", media(name).to_str().unwrap()])
}

/// The sound of an input that ffmpeg is told of so, 16 kHz mono.
pub fn decoded(input: &[&str]) -> Vec<i16> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(input)
        .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// In pieces of 100 ms, as the live tap gives them.
pub fn pieces(samples: &[i16]) -> Vec<Pcm> {
    let at = |n: usize| MediaTime::from_millis(n as i64 * 100);
    samples.chunks(1_600).enumerate().map(|(n, samples)| Pcm { start: at(n), samples: samples.into() }).collect()
}

/// Everything a stream has said, checked as it comes: stable words stay, words are in order.
#[derive(Default)]
pub struct Heard {
    pub words: Vec<Word>,
    pub stable: Vec<Word>,
    pub hypotheses: usize,
    pub restarts: usize,
    pub failed: Option<String>,
}

impl Heard {
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Ready { .. } | Event::Pace(_) => {}
            Event::Restarted { lost } => {
                assert_eq!(lost, None);
                self.restarts += 1;
            }
            Event::Failed { reason } => self.failed = Some(reason),
            Event::Hypothesis(hypothesis) => {
                self.hypotheses += 1;
                let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
                let stable = &hypothesis.words[..hypothesis.stable];
                assert!(
                    texts(stable).starts_with(&texts(&self.stable)),
                    "{stable:?} does not begin with {:?}",
                    self.stable
                );
                for pair in hypothesis.words.windows(2) {
                    assert!(pair[0].end <= pair[1].start, "{pair:?} overlap");
                }
                assert!(hypothesis.words.iter().all(|word| word.start < word.end), "{hypothesis:?}");
                self.stable = stable.to_vec();
                if hypothesis.last {
                    assert_eq!(hypothesis.stable, hypothesis.words.len());
                    self.words.extend(hypothesis.words);
                    self.stable.clear();
                }
            }
        }
    }

    /// Takes events until `done` says so.
    pub async fn until(&mut self, stream: &Stream, done: impl Fn(&Self) -> bool) {
        let listen = async {
            while !done(self) {
                match stream.recv().await {
                    Some(event) => self.take(event),
                    None => break,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(240), listen).await.expect("an answer in time");
    }

    pub fn text(&self) -> String {
        self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// Sends all audio and hears everything.
pub async fn transcribe(stream: &Stream, audio: &[i16]) -> Heard {
    let mut heard = Heard::default();
    let send = async {
        for pcm in pieces(audio) {
            stream.send_wait(pcm).await;
        }
        stream.finish();
    };
    tokio::join!(send, heard.until(stream, |_| false));
    heard
}

pub fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// An engine spoken to directly, one message at a time: what it says then depends on no clock.
pub struct Talk(Child);

impl Talk {
    pub fn new(spec: &EngineSpec, live: bool) -> Self {
        let child = Command::new(engine())
            .args(["--engine", spec.engine.as_str(), "--language", spec.language.as_str(), "--model"])
            .arg(&spec.model_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = Self(child);
        assert!(matches!(talk.read(), Response::Ready { .. }));
        talk.write(&Request::Open { stream: 1, language: spec.language.clone(), live });
        talk
    }

    /// Has another stream heard until it is told so: of its first sound, or of its failure.
    pub fn add(&mut self, stream: u32, spec: &EngineSpec) -> Response {
        self.write(&Request::Open { stream, language: spec.language.clone(), live: spec.live });
        self.write(&Request::Audio { stream, pcm: Pcm { start: MediaTime::ZERO, samples: vec![0; 160].into() } });
        self.read()
    }

    /// Sends audio and waits until it is taken in.
    pub fn say(&mut self, pcm: &Pcm) -> Vec<Hypothesis> {
        self.write(&Request::Audio { stream: 1, pcm: pcm.clone() });
        self.answers()
    }

    pub fn finish(&mut self) -> Vec<Hypothesis> {
        self.write(&Request::Finish { stream: 1 });
        self.answers()
    }

    /// Processor time so far, in seconds (proc(5), `/proc/PID/stat`, fields 14 and 15, in ticks of 10 ms).
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    fn answers(&mut self) -> Vec<Hypothesis> {
        let mut heard = Vec::new();
        loop {
            match self.read() {
                Response::Heard { hypothesis, .. } => heard.push(hypothesis),
                Response::Tally { .. } => {}
                Response::Progress { .. } | Response::Finished { .. } => return heard,
                other => panic!("{other:?}"),
            }
        }
    }

    fn write(&mut self, request: &Request) {
        self.0.stdin.as_mut().unwrap().write_all(&request.to_frame()).unwrap();
    }

    fn read(&mut self) -> Response {
        Response::parse(&pipe::read(self.0.stdout.as_mut().unwrap()).unwrap().unwrap()).unwrap()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
