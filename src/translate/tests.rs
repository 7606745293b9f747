//! Translators, on threads and through each other.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::{Memo, Patience, Pivot, Text, Translator, Worker, WorkerError, fx::Fx};

fn model(name: &str) -> PathBuf {
    let folder = std::env::var_os("AMPHI_MODELS_DIR").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/amphi/models");
    folder.unwrap_or_else(home).join(name)
}

/// Says what it is told behind a mark, and counts.
struct Marks(&'static str, Arc<AtomicUsize>);

impl Translator for Marks {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        self.1.fetch_add(texts.len(), Ordering::Relaxed);
        Ok(texts.iter().map(|text| format!("{}{}", self.0, text.text)).collect())
    }
}

#[test]
fn a_real_model_translates_sentences_and_lower_case_speech() {
    let mut fx = Fx::load(&model("fx-en-pt")).unwrap();
    let texts =
        ["The third question is the most interesting one.", "good morning and welcome to this lecture on waves", ""]
            .map(Text::from);
    let translated = fx.translate(&texts).unwrap();
    expect_test::expect![[r#"
        A terceira questão é a mais interessante.
        bom dia e bem-vindo a esta palestra sobre ondas
    "#]]
    .assert_eq(&translated.join("\n"));
}

#[test]
fn a_model_that_is_not_there_says_where_it_was_looked_for() {
    let error = format!("{:#}", Fx::load(&model("fx-xx-yy")).err().unwrap());
    assert!(error.contains("fx-xx-yy"), "{error}");
}

#[tokio::test]
async fn a_worker_survives_a_model_that_panics_or_cannot_be_loaded() {
    struct Mine;
    impl Translator for Mine {
        fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
            assert_ne!(texts[0].text, "boom");
            Ok(texts.iter().map(|text| text.text.clone()).collect())
        }
    }
    let worker = Worker::start("mine", Patience::default(), || Ok(Box::new(Mine))).unwrap();
    assert!(worker.translate(vec!["boom".into()]).await.unwrap_err().to_string().contains("panicked"));
    assert_eq!(worker.translate(vec!["a".into(), "b".into()]).await.unwrap(), ["a", "b"]);
    let broken = Worker::start("broken", Patience::default(), || anyhow::bail!("no such file")).unwrap();
    assert_eq!(broken.translate(vec![]).await.unwrap_err().to_string(), "translator broken: no such file");
}

#[test]
fn a_translation_goes_on_from_what_is_given_as_if_the_model_had_said_it() {
    let mut fx = Fx::load(&model("fx-en-pt")).unwrap();
    for sentence in ["When you drop a stone into a pond, the water goes up and down.", "What is a wave?"] {
        let free = fx.translate(&[sentence.into()]).unwrap().remove(0);
        for (at, _) in free.match_indices(' ') {
            let given = Text { begin: free[..=at].into(), ..sentence.into() };
            assert_eq!(fx.translate(&[given]).unwrap(), [free.as_str()]);
        }
        let wished = Text { before: Some(free.clone()), ..sentence.into() };
        assert_eq!(fx.translate(&[wished]).unwrap(), [free.as_str()]);
    }
}

#[test]
fn a_translation_obeys_what_must_be_and_weighs_what_is_wished() {
    let mut fx = Fx::load(&model("fx-en-pt")).unwrap();
    let sentence = Text::from("How fast does it travel?");
    let mut said = |begin: &str, before: Option<&str>| {
        let text = Text { begin: begin.into(), before: before.map(Into::into), ..sentence.clone() };
        fx.translate(&[text]).unwrap().remove(0)
    };
    expect_test::expect![[r#"
        Quão rápido ele viaja?
        A que é rápido?
        Quão rápido ele viaja?
    "#]]
    .assert_eq(&format!("{}\n{}\n{}\n", said("", None), said("A que ", None), said("", Some("Zebras nunca viajam")),));
}

#[test]
fn rows_of_models_share_what_their_first_one_says() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let first = Worker::start("first", Patience::default(), move || Ok(Box::new(Marks("1", counted.clone())))).unwrap();
    let row = |mark| Pivot::new(Box::new(first.clone()), Box::new(Marks(mark, Arc::default())));
    let (mut two, mut three) = (row("2"), row("3"));
    // What comes before concerns the language each of them writes.
    let text = Text { begin: "2".into(), before: Some("21".into()), ..Text::from("a") };
    assert_eq!(two.translate(&[text, "b".into()]).unwrap(), ["21a", "21b"]);
    assert_eq!(three.translate(&["a".into(), "b".into(), "c".into()]).unwrap(), ["31a", "31b", "31c"]);
    assert_eq!(count.load(Ordering::Relaxed), 3, "a and b were known");
}

#[test]
fn a_memory_is_short_and_of_the_whole_question() {
    let count = Arc::new(AtomicUsize::new(0));
    let mut memo = Memo::new(Box::new(Marks("", count.clone())));
    let asked = |memo: &mut Memo, text: Text| {
        let before = count.load(Ordering::Relaxed);
        assert_eq!(memo.translate(std::slice::from_ref(&text)).unwrap(), [text.text]);
        count.load(Ordering::Relaxed) - before
    };
    assert_eq!((asked(&mut memo, "a".into()), asked(&mut memo, "a".into())), (1, 0));
    assert_eq!(asked(&mut memo, Text { begin: "x".into(), ..Text::from("a") }), 1);
    let many: Vec<Text> = (0..100).map(|nth| nth.to_string().into()).collect();
    assert_eq!(memo.translate(&many).unwrap().len(), 100);
    assert_eq!((asked(&mut memo, "99".into()), asked(&mut memo, "a".into())), (0, 1));
}

/// A hang guard.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_tried_again_until_it_can() {
    let there = Arc::new(AtomicBool::new(false));
    let found = there.clone();
    let patience =
        Patience { first: Duration::from_millis(1), longest: Duration::from_millis(4), ..Patience::default() };
    let load = move || {
        anyhow::ensure!(found.load(Ordering::Relaxed), "no such file");
        Ok(Box::new(Marks("1", Arc::default())) as Box<_>)
    };
    let worker = Worker::start("late", patience, load).unwrap();
    let error = worker.translate(vec!["a".into()]).await.unwrap_err();
    assert!(error.to_string().contains("no such file") && worker.is_failing(), "{error}");
    there.store(true, Ordering::Relaxed);
    let works = async {
        while worker.is_failing() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, works).await.expect("nobody has asked, and it works again");
    assert_eq!(worker.translate(vec!["a".into()]).await.unwrap(), ["1a"]);
}

/// Says what it is told, is gone behind a request where it is mortal, and tells when it is let go.
struct Echo {
    mortal: bool,
    gone: mpsc::Sender<()>,
}

impl Translator for Echo {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        Ok(texts.iter().map(|text| text.text.clone()).collect())
    }

    fn refresh(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.mortal, "the engine is gone");
        Ok(())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.gone.send(());
    }
}

#[tokio::test]
async fn a_model_that_is_gone_is_loaded_anew_and_costs_no_request() {
    let start = |patience| {
        let (gone, let_go) = mpsc::channel();
        let load = move || Ok(Box::new(Echo { mortal: true, gone: gone.clone() }) as Box<_>);
        (Worker::start("mortal", patience, load).unwrap(), let_go)
    };
    // It has worked long enough to be loaded at once.
    let (worker, let_go) = start(Patience { longest: Duration::ZERO, ..Patience::default() });
    for text in ["a", "b", "c"] {
        assert_eq!(worker.translate(vec![text.into()]).await.unwrap(), [text]);
        let_go.recv_timeout(SOON).unwrap();
    }
    let (worker, let_go) = start(Patience { first: SOON, longest: SOON, ..Patience::default() });
    worker.translate(vec!["a".into()]).await.unwrap();
    let_go.recv_timeout(SOON).unwrap();
    let error = worker.translate(vec!["b".into()]).await.unwrap_err().to_string();
    assert!(error.contains("the engine is gone"), "it has not: {error}");
}

#[tokio::test]
async fn a_worker_without_users_lingers_and_then_lets_its_model_go() {
    let start = |linger| {
        let (gone, let_go) = mpsc::channel();
        let mut only = Some(Echo { mortal: false, gone });
        let load = move || Ok(Box::new(only.take().unwrap()) as Box<_>);
        let patience = Patience { linger, ..Patience::default() };
        (Worker::start("lingers", patience, load).unwrap(), let_go)
    };
    let (worker, _let_go) = start(SOON);
    let weak = worker.downgrade();
    drop(worker);
    let again = weak.upgrade().expect("it is there for a while");
    assert_eq!(again.translate(vec!["a".into()]).await.unwrap(), ["a"]);

    let (worker, let_go) = start(Duration::ZERO);
    let (weak, other) = (worker.downgrade(), worker.clone());
    drop(worker);
    assert_eq!(other.translate(vec!["a".into()]).await.unwrap(), ["a"], "somebody uses it");
    drop(other);
    let_go.recv_timeout(SOON).expect("nobody does");
    assert!(weak.upgrade().is_none());
}

/// Notes what it is asked, and waits before each answer until it may.
struct Held {
    asked: Arc<Mutex<Vec<String>>>,
    may: mpsc::Receiver<()>,
}

impl Translator for Held {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        self.asked.lock().unwrap().push(texts[0].text.clone());
        self.may.recv()?;
        Ok(texts.iter().map(|text| text.text.clone()).collect())
    }
}

#[tokio::test]
async fn sentences_go_first_and_beginnings_are_shed_where_many_wait() {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let (go, may) = mpsc::channel();
    let mut held = Some(Held { asked: asked.clone(), may });
    let load = move || Ok(Box::new(held.take().unwrap()) as Box<_>);
    let worker = Worker::start("held", Patience::default(), load).unwrap();
    let ask = |text: &str, last: bool| {
        let (worker, texts) = (worker.clone(), vec![text.into()]);
        tokio::spawn(async move {
            if last { worker.translate(texts).await } else { worker.translate_unfinished(texts).await }
        })
    };
    let mut waiting = vec![ask("first", true)];
    while asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    waiting.extend((0..4).map(|nth| ask(&format!("beginning {nth}"), false)));
    tokio::task::yield_now().await;
    assert_eq!(ask("one too many", false).await.unwrap(), Err(WorkerError::Busy));
    waiting.push(ask("sentence", true));
    tokio::task::yield_now().await;
    waiting.iter().for_each(|_| go.send(()).unwrap());
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    let order = ["first", "sentence", "beginning 0", "beginning 1", "beginning 2", "beginning 3"];
    assert_eq!(*asked.lock().unwrap(), order);
}

#[tokio::test]
async fn one_worker_is_told_between_which_languages_each_text_goes() {
    struct Told;
    impl Translator for Told {
        fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
            Ok(texts.iter().map(|text| format!("{:?} {}", text.tokens, text.text)).collect())
        }
    }
    let worker = Worker::start("many", Patience::default(), || Ok(Box::new(Told))).unwrap();
    let between = |from: &str, to: &str| worker.clone().between([from.into(), to.into()]);
    let (fr, mut pt) = (between("en", "fr"), between("en", "pt"));
    assert_eq!(fr.translate(vec!["a".into()]).await.unwrap(), [r#"Some(["en", "fr"]) a"#]);
    assert_eq!(fr.translate_unfinished(vec!["b".into()]).await.unwrap(), [r#"Some(["en", "fr"]) b"#]);
    // What was said lately is of one pair alone; a row asks from a thread of its own.
    let row = std::thread::spawn(move || Translator::translate(&mut pt, &["a".into()]).unwrap());
    assert_eq!(row.join().unwrap(), [r#"Some(["en", "pt"]) a"#]);
    assert_eq!(worker.translate(vec!["a".into()]).await.unwrap(), ["None a"]);
}
