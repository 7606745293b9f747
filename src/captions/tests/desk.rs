use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{at, cue, lang, script::reference, word};
use crate::{
    captions::{CorrectError, Desk, Dress, Event, Hearing, Phase, Subscription, TooSlow, TrackSpec, run},
    model::{Anchor, Cue, Hypothesis, MediaTime, Part, RenditionId, Source},
    speech::{Load, Pace},
};

fn desk(languages: &[&str]) -> Arc<Desk> {
    let anchor = Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500));
    Desk::new(anchor, languages.iter().map(|tag| spec(tag, "vosk-ko")), Duration::ZERO)
}

fn spec(tag: &str, model: &str) -> TrackSpec {
    TrackSpec { lang: lang(tag), engine: "vosk".into(), model: model.into(), dress: Dress::AsGiven }
}

fn value(event: &Event) -> Value {
    serde_json::from_slice(&event.json).unwrap()
}

fn drain(subscription: &mut Subscription) -> Vec<Value> {
    std::iter::from_fn(|| subscription.try_recv().unwrap()).map(|event| value(&event)).collect()
}

fn ids(values: &[Value]) -> Vec<(u64, u64)> {
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
    values.iter().filter(|v| v["type"] == "cue").map(|v| (number(v, "id"), number(v, "rev"))).collect()
}

fn say(desk: &Arc<Desk>, text: &str, start: i64, stable: bool, last: bool) -> Vec<Cue> {
    let words = vec![word(text, start, start + 500)];
    let stable = usize::from(stable);
    desk.apply_hypothesis(&lang("en"), &Hypothesis { words, stable, last }, at(start + 1_140))
}

#[test]
fn a_cue_is_sent_as_documented() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut subscription);
    say(&desk, "Eigen<b>", 12_480, true, false);
    let sent = drain(&mut subscription);
    assert_eq!(
        sent,
        [json!({
            "type": "cue", "lang": "en", "id": 1, "rev": 1, "final": false, "start": 12.48, "end": 12.98,
            "start_pdt": "2001-09-09T01:46:52.980Z", "text": "Eigen<b>", "stable_len": 8,
            "words": [{"text": "Eigen<b>", "start": 12.48, "end": 12.98, "confidence": 0.9}], "source": "asr"
        })]
    );
    desk.watched_by(7);
    desk.report(at(15_000));
    desk.end(at(15_000));
    assert_eq!(
        drain(&mut subscription),
        [
            json!({
                "type": "status", "state": "live", "lang": "en", "engine": "vosk", "model": "vosk-ko",
                "languages": ["en"], "load": "normal", "real_time_factor": null,
                "lag_p50_ms": 640, "lag_p95_ms": 640, "final_lag_p50_ms": null, "final_lag_p95_ms": null,
                "ahead": null, "confidence": 0.9, "erasure": null, "dropped": 0, "viewers": 7
            }),
            json!({"type": "end"})
        ]
    );
    assert_eq!(value(&Event::idle())["state"], "idle");
}

#[test]
fn a_new_subscriber_gets_the_last_30_s_and_one_that_returns_what_it_missed() {
    let desk = desk(&["en"]);
    for nth in 0..20 {
        say(&desk, "word", nth * 5_000, true, true);
    }
    let fresh = ids(&drain(&mut desk.subscribe(None, None, at(100_000))));
    assert_eq!(fresh.first(), Some(&(15, 1)));
    let back = ids(&drain(&mut desk.subscribe(Some(lang("en")), Some(8), at(100_000))));
    assert_eq!((back.first(), back.len()), (Some(&(8, 1)), 13));
    desk.correct(&lang("en"), 2, "late correction", at(100_000)).unwrap();
    let back = ids(&drain(&mut desk.subscribe(None, Some(20), at(100_000))));
    assert_eq!(back, [(2, 2), (20, 1)]);
}

#[test]
fn an_id_that_is_not_known_stands_for_the_next_one() {
    let desk = desk(&["en"]);
    for nth in 0..20 {
        // Nothing but these ids is taken by this track.
        desk.ids().next();
        say(&desk, "word", nth * 5_000, true, true);
    }
    let since = |id| ids(&drain(&mut desk.subscribe(None, Some(id), at(100_000)))).into_iter().map(|(id, _)| id);
    assert!(since(0).eq((1..=20).map(|nth| nth * 2)));
    assert!(since(31).eq((16..=20).map(|nth| nth * 2)));
    // That one is of another live.
    assert!(since(41).eq((15..=20).map(|nth| nth * 2)));
}

#[test]
fn who_comes_back_hears_of_what_was_withdrawn_and_what_was_final_meanwhile() {
    let desk = desk(&["en"]);
    let [mut first, mut second] = [cue(1, 0, 900, "one"), cue(2, 1_000, 1_900, "two")];
    (first.is_final, second.is_final) = (false, false);
    desk.apply_cues([first.clone(), second.clone()], at(2_000));
    let withdrawn = Cue { rev: 2, text: String::new(), stable_len: 0, ..second.clone() };
    desk.apply_cues([withdrawn, Cue { rev: 2, is_final: true, ..first }], at(3_000));
    let told = drain(&mut desk.subscribe(None, Some(2), at(3_000)));
    assert_eq!((ids(&told), &told[1]["text"]), (vec![(1, 2), (2, 2)], &json!("")));
    assert_eq!(ids(&drain(&mut desk.subscribe(None, None, at(3_000)))), [(1, 2)], "no news for somebody new");
    assert_eq!(desk.correct(&lang("en"), 2, "x", at(3_000)), Err(CorrectError::Unknown { lang: lang("en"), id: 2 }));
    desk.apply_cues([Cue { rev: 3, ..second }], at(4_000));
    assert_eq!(ids(&drain(&mut desk.subscribe(None, Some(2), at(4_000)))), [(1, 2), (2, 3)]);
}

#[test]
fn whoever_no_track_concerns_is_told_the_state() {
    let without = desk(&[]);
    let mut subscription = without.subscribe(None, None, at(0));
    let told = drain(&mut subscription);
    assert_eq!((told.len(), &told[0]["state"], told[0].get("lang")), (1, &json!("live"), None));
    without.set_phase(Phase::Reconnecting, at(1));
    assert_eq!(drain(&mut subscription)[0]["state"], "reconnecting");
    let english = desk(&["en"]);
    let told = drain(&mut english.subscribe(Some(lang("fr")), None, at(0)));
    assert_eq!((told.len(), &told[0]["languages"], told[0].get("lang")), (1, &json!(["en"]), None));
}

#[test]
fn whoever_comes_behind_the_end_is_told_so() {
    let desk = desk(&["en"]);
    desk.end(at(1_000));
    let mut subscription = desk.subscribe(None, None, at(2_000));
    assert_eq!(drain(&mut subscription).last(), Some(&json!({"type": "end"})));
    assert!(subscription.try_recv().unwrap().is_none());
}

#[test]
fn a_slow_subscriber_loses_revisions_first_and_is_told_how_many() {
    let desk = desk(&["en"]);
    let mut slow = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut slow);
    for nth in 0..20 {
        for guess in 0..10 {
            say(&desk, &format!("guess{guess}"), nth * 1_000, false, false);
        }
        say(&desk, "word", nth * 1_000, true, true);
    }
    desk.report(at(21_000));
    let sent = drain(&mut slow);
    let finals: Vec<u64> = sent.iter().filter(|v| v["final"] == true).map(|v| v["id"].as_u64().unwrap()).collect();
    assert_eq!(finals, (1..=20).collect::<Vec<_>>());
    assert!(sent.len() < 70, "{}", sent.len());
    let dropped = sent.last().unwrap()["dropped"].as_u64().unwrap();
    assert_eq!(dropped, 20 * 11 + 1 - sent.len() as u64);
    assert_eq!(dropped, slow.dropped());
    let revs = ids(&sent);
    assert!(revs.windows(2).all(|pair| pair[0] < pair[1]), "{revs:?}");
}

#[test]
fn thirty_seconds_of_backlog_are_too_many() {
    let desk = desk(&["en"]);
    let mut slow = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut slow);
    for nth in 0..40 {
        say(&desk, "word", nth * 1_000, true, true);
    }
    assert_eq!(slow.try_recv().unwrap_err(), TooSlow);
}

#[test]
fn corrections_reach_readers_and_the_track_but_no_published_part() {
    let desk = desk(&["en"]);
    let mut observer = desk.cues();
    let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
    say(&desk, "wrong", 0, true, false);
    assert_eq!(desk.correct(&lang("en"), 1, "right", at(900)), Err(CorrectError::Open(1)));
    say(&desk, "wrong", 0, true, true);
    let references = reference(2_000);
    let before: Vec<_> = references[..4].iter().flat_map(|reference| desk.parts(reference)).collect();
    assert!(String::from_utf8_lossy(&before[0].data).contains("wrong"));
    let corrected = desk.correct(&lang("en"), 1, " right -->\n<b> ", at(2_000)).unwrap();
    assert_eq!((corrected.rev, corrected.source, corrected.text.as_str()), (3, Source::Human, "right --> <b>"));
    for reference in &references[4..] {
        assert!(!String::from_utf8_lossy(&desk.parts(reference)[0].data).contains("right"));
    }
    assert_eq!(drain(&mut subscription).last().unwrap()["source"], "human");
    assert!(desk.document(&lang("en")).unwrap().contains("right --&gt; &lt;b&gt;"));
    assert_eq!((observer.try_recv().unwrap().rev, observer.try_recv().unwrap().rev), (2, 3));
    assert!(matches!(desk.correct(&lang("en"), 9, "x", at(0)), Err(CorrectError::Unknown { .. })));
    assert!(matches!(desk.correct(&lang("fr"), 1, "x", at(0)), Err(CorrectError::Unknown { .. })));
    assert_eq!(desk.correct(&lang("en"), 1, "\n ", at(0)), Err(CorrectError::Empty));
}

#[test]
fn corrections_behind_the_end_are_refused() {
    let desk = desk(&["en"]);
    say(&desk, "wrong", 0, true, true);
    let mut observer = desk.cues();
    desk.end(at(2_000));
    assert_eq!(desk.correct(&lang("en"), 1, "right", at(3_000)), Err(CorrectError::Over));
    assert!(observer.try_recv().is_err());
}

#[test]
fn failed_recognition_shows_until_it_works_again() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut subscription);
    desk.set_hearing(Hearing::Restarting, at(1));
    desk.set_hearing(Hearing::Failed, at(2));
    desk.set_phase(Phase::Reconnecting, at(3));
    desk.set_phase(Phase::Live, at(4));
    assert_eq!(desk.phase(), Phase::Failed);
    desk.set_hearing(Hearing::Well, at(5));
    let states: Vec<_> = drain(&mut subscription).into_iter().map(|sent| sent["state"].clone()).collect();
    assert_eq!(states, ["restarting", "failed", "live"]);
}

#[test]
fn a_translation_that_fails_is_told_of_its_track_alone_and_of_none_that_rests() {
    let desk = desk(&["en", "pt"]);
    let mut subscription = desk.subscribe(None, None, at(0));
    drain(&mut subscription);
    desk.set_failing(&lang("pt"), true, at(1));
    desk.set_failing(&lang("pt"), true, at(2));
    desk.set_failing(&lang("fr"), true, at(3));
    let told: Vec<_> = drain(&mut subscription).iter().map(|s| (s["lang"].clone(), s["state"].clone())).collect();
    assert_eq!(told, [(json!("en"), json!("live")), (json!("pt"), json!("failed"))]);
    assert_eq!((desk.phase(), desk.phase_of(&lang("pt"))), (Phase::Live, Phase::Failed));
    desk.line_up(&[spec("en", "whisper")], at(4));
    assert_eq!(desk.phase_of(&lang("pt")), Phase::Live);
    let heard = [spec("pt", "whisper")];
    desk.line_up(&heard, at(5));
    desk.make_with(&heard, at(5));
    assert_eq!(desk.phase_of(&lang("pt")), Phase::Live, "it is no translation any more");
}

#[test]
fn what_is_left_out_is_told_at_once_and_the_rest_with_the_next_report() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, at(0));
    assert_eq!(drain(&mut subscription)[0]["load"], "normal");
    let pace = |level, factor| Pace { load: Load::from_level(level).unwrap(), real_time_factor: Some(factor) };
    desk.set_pace(pace(1, 1.2), at(1_000));
    desk.set_pace(pace(1, 1.3), at(2_000));
    desk.set_pace(pace(0, 0.5), at(3_000));
    let told: Vec<_> = drain(&mut subscription).iter().map(|status| status["load"].clone()).collect();
    assert_eq!(told, ["partials", "normal"]);
    assert_eq!(desk.pace(), pace(0, 0.5));
}

#[tokio::test]
async fn words_that_may_change_are_left_out_while_the_engine_cannot_keep_up() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, at(0));
    desk.set_pace(Pace { load: Load::from_level(1).unwrap(), real_time_factor: None }, at(0));
    let (sender, hypotheses) = mpsc::channel(4);
    let starts = [("one", 0), ("two", 500), ("three", 1_000), ("four", 1_500)];
    let words: Vec<_> = starts.iter().map(|(text, start)| word(text, *start, start + 400)).collect();
    sender.send(Hypothesis { words: words.clone(), stable: 2, last: false }).await.unwrap();
    sender.send(Hypothesis { words, stable: 4, last: true }).await.unwrap();
    drop(sender);
    run(desk, lang("en"), hypotheses, Vec::new(), || at(3_000), CancellationToken::new()).await;
    let told = drain(&mut subscription);
    let texts: Vec<_> = told.iter().filter(|event| event["type"] == "cue").map(|cue| cue["text"].clone()).collect();
    assert_eq!(texts, ["one two", "one two three four"]);
}

#[test]
fn every_track_has_parts_from_the_first_one_on() {
    let desk = desk(&["en", "pt"]);
    let parts = desk.parts(&reference(250)[0]);
    let renditions: Vec<&str> = parts.iter().map(|part| part.rendition.as_str()).collect();
    assert_eq!(renditions, ["captions-en", "captions-pt"]);
}

#[test]
fn a_phase_is_reported_once_when_it_changes() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut subscription);
    desk.set_phase(Phase::Reconnecting, at(1));
    desk.set_phase(Phase::Reconnecting, at(2));
    let sent = drain(&mut subscription);
    assert_eq!((sent.len(), &sent[0]["state"]), (1, &json!("reconnecting")));
}

#[test]
fn a_track_that_comes_late_is_in_lock_step_as_far_back_as_playlists_go() {
    let desk = desk(&["en"]);
    desk.keep_parts(Duration::from_secs(10));
    let reference = reference(60_000);
    let (past, coming) = reference.split_at(137);
    for part in past {
        assert_eq!(desk.parts(part).len(), 1);
    }
    desk.line_up(&[spec("fr", "vosk-fr"), spec("en", "vosk-ko")], at(34_250));
    let mut late: Vec<Part> = Vec::new();
    for part in coming {
        let parts = desk.parts(part);
        let (french, english): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.rendition == RenditionId::captions(&lang("fr")));
        assert_eq!(english.len(), 1);
        late.extend(french);
    }
    // 10.25 s of the past, in whole segments of 2 s, and what comes.
    assert_eq!((late[0].msn, late[0].index, late.len()), (12, 0, reference.len() - 12 * 8));
    for (nth, (late, reference)) in late.iter().zip(&reference[12 * 8..]).enumerate() {
        let as_reference = Part {
            rendition: late.rendition.clone(),
            number: nth as u64,
            init: 0,
            data: late.data.clone(),
            ..reference.clone()
        };
        assert_eq!(*late, Part { independent: true, ..as_reference });
        assert!(late.data.starts_with(b"WEBVTT"));
    }
}

#[test]
fn subscribers_hear_at_once_which_tracks_words_come_to() {
    let desk = desk(&["en"]);
    let mut english = desk.subscribe(Some(lang("en")), None, MediaTime::ZERO);
    let languages = |sent: &[Value]| sent.iter().map(|status| status["languages"].clone()).collect::<Vec<_>>();
    assert_eq!(languages(&drain(&mut english)), [json!(["en"])]);
    desk.line_up(&[spec("fr", "vosk-fr"), spec("pt", "fx")], at(10));
    assert_eq!(languages(&drain(&mut english)), [json!(["fr", "pt"])], "it rests");
    let lineup = desk.lineup();
    assert_eq!((&lineup.current[..], &lineup.resting[..]), (&[lang("fr"), lang("pt")][..], &[lang("en")][..]));
    say(&desk, "end", 0, true, true);
    assert_eq!(ids(&drain(&mut english)).len(), 1, "its last words come all the same");
    assert_eq!(desk.lineup(), lineup);
}

#[test]
fn another_model_goes_on_with_the_same_track() {
    let desk = desk(&["en"]);
    let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
    drain(&mut subscription);
    say(&desk, "one.", 0, true, true);
    desk.make_with(&[spec("en", "vosk-ko")], at(1_000));
    desk.make_with(&[spec("en", "vosk-en"), spec("fr", "none")], at(1_000));
    say(&desk, "two.", 1_000, true, true);
    let sent = drain(&mut subscription);
    let made: Vec<_> = sent.iter().map(|sent| sent["model"].as_str().unwrap_or("a cue")).collect();
    assert_eq!(made, ["a cue", "vosk-en", "a cue"]);
    assert!(ids(&sent).is_sorted_by(|a, b| a.0 < b.0), "{sent:?}");
    assert_eq!(desk.maker(&lang("en")), Some(("vosk".into(), "vosk-en".into())));
}

#[test]
fn a_guess_that_came_to_nothing_holds_up_no_words_that_come_from_elsewhere() {
    let desk = desk(&["en"]);
    say(&desk, "Hm", 0, false, false);
    desk.apply_hypothesis(&lang("en"), &Hypothesis { words: Vec::new(), stable: 0, last: true }, at(900));
    let lineup = [spec("fr", "vosk-fr"), spec("en", "fx-fr-en")];
    desk.line_up(&lineup, at(1_000));
    desk.make_with(&lineup, at(1_000));
    let id = desk.ids().next();
    desk.apply_cues([cue(id, 1_000, 1_900, "Hello.")], at(1_900));
    let english = RenditionId::captions(&lang("en"));
    let parts = reference(4_000).into_iter().flat_map(|part| desk.parts(&part));
    let published = parts.filter(|part| part.rendition == english).any(|part| part.data.ends_with(b"Hello.\n\n"));
    assert!(published);
}

#[tokio::test]
async fn a_thousand_subscribers_hear_everything() {
    let desk = desk(&["en"]);
    let readers: Vec<_> = (0..1_000)
        .map(|_| {
            let mut subscription = desk.subscribe(None, None, MediaTime::ZERO);
            tokio::spawn(async move {
                let mut finals = 0;
                while let Some(event) = subscription.recv().await.unwrap() {
                    finals += usize::from(event.id.is_some() && !event.is_partial());
                }
                finals
            })
        })
        .collect();
    for nth in 0..100 {
        say(&desk, "partial", nth * 200, false, false);
        say(&desk, "word", nth * 200, true, true);
        tokio::task::yield_now().await;
    }
    desk.end(at(20_000));
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 100);
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let desk = desk(&["en"]);
    let cues = (1..=60_500).map(|id| cue(id, id as i64 * 1_000, id as i64 * 1_000 + 900, "x"));
    desk.apply_cues(cues, at(0));
    assert_eq!(desk.track(&lang("en")).unwrap().len(), 60_000);
}
