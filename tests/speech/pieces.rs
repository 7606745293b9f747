//! SentencePiece vocabularies and language tokens of CTranslate2 models, compared with PyPI's packages.

use std::{path::Path, process::Command};

use amphi::translate::{
    Between, Text, Translator as _,
    ct2::{Ct2, Settings},
};
use serde_json::json;

use crate::support::{engine, python};

/// Plain, with what no vocabulary knows, with what is written another way, and with nothing that is known.
const TEXTS: [&str; 5] = [
    "The third question is about waves, and it is the most interesting one.",
    "  🙂🙂 a  stone\u{a0}fell, l’eau \u{fb01}ne … ½",
    "Qual é a velocidade de uma onda?",
    "zzz",
    "속도는",
];

/// A model that writes another piece for each of its source, and what PyPI's packages say of [`TEXTS`] with it: for
/// each pair of language tokens all of them.
fn cipher(kind: &str, with_end: bool, pairs: &[&[&str]]) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [json!(kind), json!(with_end), json!(pairs), json!(TEXTS)].map(|argument| argument.to_string());
    let output = Command::new(python())
        .args(["-X", "utf8", "tests/models/cipher.py"])
        .arg(folder.path())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap().lines().map(Into::into).collect();
    (folder, said)
}

fn load(folder: &Path) -> Ct2 {
    Ct2::load(Settings { engine: engine(), model: folder.into(), threads: 1, memory: None }).unwrap()
}

#[test]
fn sentencepiece_files_divide_text_as_its_python_package_does() {
    for kind in ["unigram", "bpe"] {
        for with_end in [true, false] {
            let (folder, expected) = cipher(kind, with_end, &[&[]]);
            assert!(expected.len() == TEXTS.len() && expected[0].len() > 20, "{expected:?}");
            let mut ct2 = load(folder.path());
            assert_eq!(ct2.translate(&TEXTS.map(Text::from)).unwrap(), expected, "{kind} {with_end}");
        }
    }
}

#[test]
fn one_model_goes_between_all_pairs_of_its_languages() {
    for kind in ["unigram", "bpe"] {
        let pairs: [&[&str]; 3] = [&["__en__", "__fr__"], &["__en__", "__pt__"], &["__pt__", "__en__"]];
        let (folder, expected) = cipher(kind, true, &pairs);
        let tell = |pair: &&[&str]| {
            let tokens = [pair[0].to_owned(), pair[1].to_owned()];
            TEXTS.map(|text| Text { tokens: Some(tokens.clone()), ..text.into() })
        };
        let asked: Vec<Text> = pairs.iter().flat_map(tell).collect();
        assert_ne!(expected[0], expected[TEXTS.len()], "a model that hears the language it is to write");
        let mut ct2 = load(folder.path());
        assert_eq!(ct2.translate(&asked).unwrap(), expected, "{kind}");

        let first = expected[0].split(' ').next().unwrap();
        let begun = Text { begin: format!("{first} "), ..TEXTS[0].into() };
        let mut between = Between::new(Box::new(ct2), ["__en__".into(), "__fr__".into()]);
        assert!(between.translate(&[begun]).unwrap()[0].starts_with(first));
        assert_eq!(between.translate(&[TEXTS[0].into()]).unwrap(), expected[..1]);
    }
}

#[test]
fn what_is_no_vocabulary_is_refused_with_its_name() {
    let (folder, _) = cipher("unigram", true, &[&[]]);
    std::fs::write(folder.path().join("target.spm"), "<html>404</html>").unwrap();
    let settings = Settings { engine: engine(), model: folder.path().into(), threads: 1, memory: None };
    let error = Ct2::load(settings).err().unwrap().to_string();
    assert!(error.contains("target.spm is no SentencePiece vocabulary"), "{error}");
}
