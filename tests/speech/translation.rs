//! Translation through real engine processes and a real, if small, model.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use amphi::translate::{
    Text, Translator as _,
    ct2::{Ct2, Settings},
};

use crate::support::{engine, python};

/// Arabic names in Latin letters, a letter a token; from CTranslate2's own tests.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/aren-transliteration")
}

fn settings(model: PathBuf) -> Settings {
    Settings { engine: engine(), model, threads: 1, memory: None }
}

fn texts<const N: usize>(texts: [&str; N]) -> [Text; N] {
    texts.map(Text::from)
}

/// What the `ctranslate2` of PyPI makes of the same.
fn reference(word: &str, before: Option<&str>) -> String {
    peer(word, before, 0.25)
}

/// The same with a prefix that weighs so much; 0 is its word for one that must be.
fn peer(word: &str, prefix: Option<&str>, beta: f64) -> String {
    let script = "
import ctranslate2, sys
model = ctranslate2.Translator(sys.argv[1], device='cpu', compute_type='int8', intra_threads=1)
bias = dict(target_prefix=[list(sys.argv[4])], prefix_bias_beta=float(sys.argv[3])) if len(sys.argv) > 4 else {}
print(''.join(model.translate_batch([list(sys.argv[2])], beam_size=2, **bias)[0].hypotheses[0]))";
    let output =
        Command::new(python()).args(["-c", script]).arg(model()).args([word, &beta.to_string()]).args(prefix).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

#[test]
fn ctranslate2_says_what_its_python_package_says() {
    let words = ["آتزمون", "مدرسة", "محمد", "القاهرة"];
    let mut ct2 = Ct2::load(settings(model())).unwrap();
    let expected: Vec<String> = words.iter().map(|word| reference(word, None)).collect();
    assert_eq!(expected[0], "atzmon");
    assert_eq!(ct2.translate(&words.map(Text::from)).unwrap(), expected);
}

#[test]
fn what_was_shown_before_weighs_in_the_next_translation() {
    let mut ct2 = Ct2::load(settings(model())).unwrap();
    let text = Text { before: Some("modr".into()), ..Text::from("مدرسة") };
    let biased = reference("مدرسة", Some("modr"));
    assert_ne!(biased, reference("مدرسة", None));
    let plain = Text { before: None, ..text.clone() };
    // One batch may hold both kinds.
    assert_eq!(ct2.translate(&[text, plain]).unwrap(), [biased, reference("مدرسة", None)]);
}

#[test]
fn a_translation_begins_with_what_viewers_have_for_good() {
    let mut ct2 = Ct2::load(settings(model())).unwrap();
    let text = Text { begin: "modr".into(), before: Some("modrasa".into()), ..Text::from("مدرسة") };
    let forced = peer("مدرسة", Some("modr"), 0.0);
    assert!(forced.starts_with("modr") && reference("مدرسة", None) != forced, "{forced}");
    assert_eq!(ct2.translate(&[text, "محمد".into()]).unwrap(), [forced, reference("محمد", None)]);
}

#[test]
fn a_folder_without_a_tokenizer_takes_tokens_between_spaces() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.bin", "source_vocabulary.txt", "target_vocabulary.txt"] {
        fs::copy(model().join(file), folder.path().join(file)).unwrap();
    }
    let mut ct2 = Ct2::load(settings(folder.path().into())).unwrap();
    assert_eq!(ct2.translate(&texts(["آ ت ز م و ن", "", "  "])).unwrap(), ["a t z m o n", "", ""]);
}

#[test]
fn a_text_that_cannot_be_translated_costs_that_request_alone() {
    let mut ct2 = Ct2::load(settings(model())).unwrap();
    let error = ct2.translate(&texts([&"ا".repeat(4_001)])).unwrap_err().to_string();
    assert!(error.contains("divide it into sentences"), "{error}");
    assert_eq!(ct2.translate(&texts(["آتزمون"])).unwrap(), ["atzmon"]);
    assert!(ct2.translate(&[]).unwrap().is_empty());
}

/// An engine that says its process id to every text, and takes 80 MiB for the first.
const GROWING: &str = "
import json, os, struct, sys, time
# As long as a model takes: for ten times as long the process is young.
time.sleep(0.3)
def say(message):
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack('<I', len(body)) + body)
    sys.stdout.buffer.flush()
say({'type': 'ready'})
kept = None
while head := sys.stdin.buffer.read(4):
    texts = json.loads(sys.stdin.buffer.read(struct.unpack('<I', head)[0]))['texts']
    kept = kept or bytearray(b'x' * (80 << 20))
    say({'type': 'translated', 'texts': [str(os.getpid())] * len(texts)})
";

#[test]
fn an_engine_that_nears_its_ceiling_is_started_again_between_two_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (wrapper, script) = (folder.path().join("engine"), folder.path().join("growing.py"));
    fs::write(&script, GROWING).unwrap();
    fs::write(&wrapper, format!("#!/bin/sh\nexec {} {}\n", python().display(), script.display())).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let load = |memory| Ct2::load(Settings { engine: wrapper.clone(), memory, ..settings(model()) }).unwrap();
    let ask = |ct2: &mut Ct2| {
        let said = ct2.translate(&texts(["a"])).unwrap().remove(0);
        ct2.refresh().unwrap();
        said
    };
    let (mut roomy, mut small) = (load(None), load(Some(1)));
    let other = ask(&mut roomy);
    let first = ask(&mut small);
    assert_eq!(ask(&mut small), first, "a young process stays, however low its ceiling");
    // Its time comes; no request fails meanwhile.
    let begun = Instant::now();
    while ask(&mut small) == first {
        assert_eq!(ask(&mut roomy), other, "this one has room");
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never started again");
    }
    assert!(!Path::new("/proc").join(&first).exists(), "it is gone");
}

#[test]
fn an_engine_that_is_killed_is_there_again_for_the_next_request() {
    let folder = tempfile::tempdir().unwrap();
    let (wrapper, pid) = (folder.path().join("engine"), folder.path().join("pid"));
    let script = format!("#!/bin/sh\necho $$ >{}\nexec {} \"$@\"\n", pid.display(), engine().display());
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let mut ct2 = Ct2::load(Settings { engine: wrapper, ..settings(model()) }).unwrap();
    let killed = fs::read_to_string(&pid).unwrap();
    assert!(Command::new("kill").args(["-9", killed.trim()]).status().unwrap().success());
    let error = ct2.translate(&texts(["آتزمون"])).unwrap_err().to_string();
    assert!(error.contains("died"), "{error}");
    assert!(ct2.refresh().is_err(), "whoever loads it anew may wait before that");
    assert_eq!(ct2.translate(&texts(["آتزمون"])).unwrap(), ["atzmon"]);
    assert_ne!(fs::read_to_string(&pid).unwrap(), killed);
}

#[test]
fn what_is_no_model_is_refused_with_its_name() {
    let empty = tempfile::tempdir().unwrap();
    let error = Ct2::load(settings(empty.path().into())).err().unwrap().to_string();
    assert!(error.contains(&empty.path().display().to_string()), "{error}");
    let error = Ct2::load(Settings { engine: "/nowhere".into(), ..settings(model()) }).err().unwrap();
    assert!(format!("{error:#}").contains("amphi check"), "{error:#}");
}
