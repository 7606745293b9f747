//! Words that a dictionary knows only with capitals.

use super::*;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn words_known_only_with_capitals_get_them() {
    let folder = folder(&[
        ("en_GB.aff", b"SET UTF-8\nSFX S Y 1\nSFX S 0 s .\n"),
        ("en_GB.dic", b"6\nMonday/S\nmarch\nMarch\nDNA\nwave/S\nEurope\n"),
    ]);
    let names = Names::load(folder.path(), &lang("en")).unwrap();
    for (word, written) in [
        ("mondays", "Mondays"),
        ("march", "march"),
        ("dna", "DNA"),
        ("waves", "waves"),
        ("unknown", "unknown"),
        ("1998", "1998"),
        ("", ""),
    ] {
        assert_eq!(names.cased(word), written);
    }
    let heard = Hypothesis { words: said("we met in europe on mondays"), stable: 6, last: true };
    let mut dresser = Dresser::new(lang("en"), names);
    assert_eq!(joined(&dresser.dress(&heard, at(3_000))[0].words), "We met in Europe on Mondays.");
}

#[test]
fn dictionaries_in_latin_1_are_read_and_nothing_else() {
    let good = folder(&[("de_DE.aff", b"SET ISO8859-1\n"), ("de_DE.dic", b"2\n\xdcbung\nmit\n")]);
    assert_eq!(Names::load(good.path(), &lang("de-AT")).unwrap().cased("\u{fc}bung"), "\u{dc}bung");
    assert_eq!(Names::load(good.path(), &lang("fr")).unwrap().cased("\u{fc}bung"), "\u{fc}bung", "none for French");
    assert_eq!(Names::load(&good.path().join("none"), &lang("de")).unwrap().cased("mit"), "mit");
    for (affixes, words) in [(&b"SET KOI8-R\n"[..], &b"1\n\xff\n"[..]), (b"SET UTF-8\nSFX A Y 9\n", b"1\nx\n")] {
        let bad = folder(&[("ru.aff", affixes), ("ru.dic", words)]);
        let error = Names::load(bad.path(), &lang("ru")).unwrap_err().to_string();
        assert!(error.contains("ru.dic"), "{error}");
    }
    let alone = folder(&[("ru.dic", b"1\nx\n")]);
    assert!(Names::load(alone.path(), &lang("ru")).unwrap_err().to_string().contains("ru.aff"));
}
