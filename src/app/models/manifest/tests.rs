use super::*;

#[test]
fn the_manifest_is_well_formed() {
    let manifest = Manifest::builtin().unwrap();
    assert_eq!(manifest.get("whisper-tiny.en").unwrap().engine, Engine::Whisper);
    for model in &manifest.models {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for quality in &model.quality {
            let most = match quality.metric.as_str() {
                "WER" | "CER" | "chrF2" | "BLEU" => 100.0,
                "RTF" | "words/s" => 10_000.0,
                _ => panic!("{quality:?}"),
            };
            assert_eq!(quality.against.is_some(), most == 100.0, "{quality:?}");
            assert!(quality.value > 0.0 && quality.value < most, "{quality:?}");
            let against = quality.against.as_ref().unwrap_or(&quality.of);
            assert!(root.join(&quality.of).is_file() && root.join(against).is_file(), "{quality:?}");
        }
        assert!(!model.source.is_empty(), "{}", model.id);
        assert!(model.source.iter().all(|source| source.pypi.is_none() || source.sha256.is_some()), "{}", model.id);
    }
}

fn language(tag: &str) -> LanguageTag {
    LanguageTag::parse(tag).unwrap()
}

#[test]
fn what_is_missing_is_named_with_the_command_that_brings_it() {
    let manifest = Manifest::builtin().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let error = manifest.hearing("whisper-tiny.en", &language("fr"), empty.path()).unwrap_err().to_string();
    assert!(error.contains("does not hear fr; these do: whisper-base, vosk-small-fr"), "{error}");
    let error = manifest.hearing("vosk-ko", &language("ko"), empty.path()).unwrap_err();
    assert!(error.to_string().contains("amphi models fetch vosk-ko"), "{error}");
    let error = manifest.hearing("fx-en-pt", &language("en"), empty.path()).unwrap_err();
    assert!(error.to_string().contains("it does not hear"), "{error}");
    let error = manifest.speech(&language("en"), &BTreeMap::new(), empty.path()).unwrap_err();
    assert!(error.to_string().contains("amphi models fetch whisper-tiny.en"), "{error}");
}

/// A manifest of translation models, each with what its entry has beside the usual.
fn manifest(models: &[(&str, &str)]) -> Result<Manifest> {
    let entry = |(id, more): &(&str, &str)| {
        let usual = "task = \"translation\"\nengine = \"ct2\"\nlicence = \"MIT\"\nabout = \"\"";
        let source = if more.contains("source") { "" } else { "source = []" };
        format!("[[model]]\nid = \"{id}\"\n{usual}\n{source}\n{more}\n")
    };
    Manifest::parse(&models.iter().map(entry).collect::<String>())
}

fn install(id: &str, models_dir: &Path) {
    fs::create_dir_all(models_dir.join(id)).unwrap();
    fs::write(models_dir.join(id).join("SHA256SUMS"), "").unwrap();
}

#[test]
fn a_way_is_found_alone_or_through_english_and_the_shortest_is_advised_first() {
    let pair = |from: &str, to: &str| format!("languages = [\"{from}\", \"{to}\"]");
    let manifest = manifest(&[
        ("de-pt", &pair("de", "pt")),
        ("fr-en", &pair("fr", "en")),
        ("de-en", &pair("de", "en")),
        ("en-pt", &pair("en", "pt")),
    ]);
    let (manifest, home) = (manifest.unwrap(), tempfile::tempdir().unwrap());
    let found = |from, to| {
        let legs = manifest.translation(&language(from), &language(to), home.path());
        let names = |legs: Vec<Leg>| legs.iter().map(Leg::name).collect::<Vec<_>>().join("+");
        legs.map_or_else(|error| format!("{error:#}"), names)
    };
    assert_eq!(
        found("de", "pt"),
        "no translation model from de to pt is installed: \
         run `amphi models fetch de-pt` or `amphi models fetch de-en en-pt` (through English)"
    );
    install("en-pt", home.path());
    assert_eq!(
        found("fr", "pt-BR"),
        "no translation model from fr to pt-BR is installed: run `amphi models fetch fr-en` (through English)"
    );
    install("de-en", home.path());
    assert_eq!(found("de", "pt"), "de-en+en-pt");
    install("de-pt", home.path());
    assert_eq!((found("de", "pt"), found("de-AT", "en")), ("de-pt".into(), "de-en".into()));
    assert_eq!(found("pt", "de"), "the manifest has no translation model from pt to de: see `amphi models list`");
}

#[test]
fn a_model_of_many_languages_goes_from_any_to_any_and_calls_them_its_own_names() {
    let tokens = "tokens = { en = \"eng_Latn\", fr = \"fra_Latn\", zh = \"zho_Hans\", zh-Hant = \"zho_Hant\" }";
    let manifest = manifest(&[("many", tokens), ("ko-en", "languages = [\"ko\", \"en\"]")]).unwrap();
    assert_eq!(manifest.models[0].languages, ["en", "fr", "zh", "zh-Hant"].map(language));
    let home = tempfile::tempdir().unwrap();
    install("many", home.path());
    install("ko-en", home.path());
    let found = |from, to| {
        let legs = manifest.translation(&language(from), &language(to), home.path()).unwrap();
        legs.iter().map(Leg::name).collect::<Vec<_>>().join("+")
    };
    assert_eq!(found("en", "fr-CA"), "many eng_Latn fra_Latn");
    assert_eq!(
        (found("fr", "zh"), found("fr", "zh-Hant")),
        ("many fra_Latn zho_Hans".into(), "many fra_Latn zho_Hant".into())
    );
    assert_eq!(found("zh-Hant", "en"), "many zho_Hant eng_Latn");
    assert_eq!(found("ko", "fr"), "ko-en+many eng_Latn fra_Latn");
    assert!(manifest.translation(&language("fr"), &language("ko"), home.path()).is_err());
}

#[test]
fn an_entry_that_cannot_be_used_is_told_what_it_lacks() {
    let source = |source: &str| format!("languages = [\"ar\", \"en\"]\nsource = [{{ {source} }}]");
    let url = "url = \"https://example.org/model\"";
    for (entry, says) in [
        ("languages = [\"ar\"]".into(), "two `languages`"),
        ("languages = [\"ar\", \"en\", \"fr\"]".into(), "`tokens` with a name for each"),
        ("tokens = { en = \"__en__\" }".into(), "two or more languages"),
        (
            "languages = [\"ar\", \"en\"]\ntokens = { ar = \"__ar__\", en = \"__en__\" }".into(),
            "in place of `languages`",
        ),
        (source("folder = \"x\""), "one of `pypi`, `url` and `files`"),
        (source("pypi = \"a==1\", url = \"https://example.org\", folder = \"x\""), "one of `pypi`"),
        (source(url), "needs `folder`"),
        (source("url = \"ftp://example.org/x.zip\", folder = \"x\""), "begins with https://"),
        (source(&format!("{url}, folder = \"x\", sha256 = \"12\"")), "64 digits"),
        (source("files = [{ name = \"model.bin\" }]"), "give model.bin or its source a `url`"),
        (source(&format!("{url}, folder = \"x\", files = [{{ name = \"model.bin\" }}]")), "has no `pypi`, `folder`"),
        (source(&format!("{url}, files = [{{ name = \"a\" }}, {{ name = \"a\" }}]")), "a is there twice"),
        (source(&format!("{url}, files = [{{ name = \"a\", sha256 = \"{}\" }}]", "A".repeat(64))), "64 digits"),
        (source(&format!("{url}, files = [{{ name = \"a\", size = 1 }}]")), "unknown field `size`"),
    ] {
        let error = format!("{:#}", manifest(&[("mine", &entry)]).unwrap_err());
        assert!(error.contains(says), "{entry}: {error}");
    }
    for name in ["", "/etc/passwd", "../escape", "a/../../b", "a/./../b", "a/", "..\\\\b"] {
        let entry = source(&format!("{url}, files = [{{ name = \"{name}\" }}]"));
        let error = format!("{:#}", manifest(&[("mine", &entry)]).unwrap_err());
        assert!(error.contains("model mine") && error.contains("inside the model's folder"), "{name}: {error}");
    }
}
