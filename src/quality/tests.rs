use super::*;

fn ends(normalise: Normalise, text: &str) -> Vec<(String, usize)> {
    normalise.tokens(text).into_iter().map(|token| (token.word, token.end)).collect()
}

fn pair(word: &str, end: usize) -> (String, usize) {
    (word.to_owned(), end)
}

#[test]
fn words_are_compared_as_stated() {
    let text = "  Don’t wait, 340 m!";
    assert_eq!(ends(Normalise::None, text), [pair("Don’t", 7), pair("wait,", 13), pair("340", 17), pair("m!", 20)]);
    assert_eq!(ends(Normalise::Words, text), [pair("don't", 7), pair("wait", 12), pair("340", 17), pair("m", 19)]);
    assert_eq!(
        Normalise::English.words("1,340 and 70"),
        ["one", "thousand", "three", "hundred", "and", "forty", "and", "seventy"]
    );
    assert_eq!(ends(Normalise::Words, "AB波の x"), [pair("ab", 2), pair("波", 3), pair("の", 4), pair("x", 6)]);
    // Lower case that is longer than what it was made of moves no end.
    let dotted = "i\u{307}".repeat(3);
    assert_eq!(ends(Normalise::Words, "xあİİİ y"), [pair("x", 1), pair("あ", 2), pair(&dotted, 5), pair("y", 7)]);
    assert_eq!(ends(Normalise::Words, "İİİ波x"), [pair(&dotted, 3), pair("波", 4), pair("x", 5)]);
    assert_eq!(Normalise::English.words("½ of 2²M"), ["½", "of", "two", "²m"]);
    // Vowel signs are part of their word.
    assert_eq!(Normalise::Words.words("हिन्दी में").len(), 2);
    assert_eq!(Normalise::Words.characters("Ab, 波 の. cd").iter().collect::<String>(), "ab 波の cd");
}

#[test]
fn errors_are_counted_by_kind() {
    let rate = Rate::words([("the cat sat on the mat", "well the cat sit on mat")], Normalise::Words).unwrap();
    assert_eq!(rate, Rate { hits: 4, substitutions: 1, deletions: 1, insertions: 1 });
    assert_eq!(rate.rate(), Some(0.5));
    assert_eq!(Rate::words([("", "noise")], Normalise::Words).unwrap().rate(), None);
}

#[test]
fn a_wider_band_is_taken_where_texts_differ_more() {
    // 300 words that moved from the beginning to the end: far outside the first band.
    let moved: Vec<u32> = (0..300).collect();
    let kept: Vec<u32> = (1_000..2_000).collect();
    let (one, two) = ([moved.clone(), kept.clone()].concat(), [kept, moved].concat());
    let steps = align(&one, &two).unwrap();
    let count = |step| steps.iter().filter(|other| **other == step).count();
    assert_eq!((count(Step::Equal), count(Step::Delete), count(Step::Insert)), (1_000, 300, 300));
    let (long, other) = (vec![0_u8; 50_000], vec![1_u8; 50_000]);
    assert_eq!(align(&long, &other), Err(TooLong(50_000, 50_000)));
    assert_eq!(align(&long, &long).unwrap().len(), 50_000);
}

#[test]
fn captions_are_cut_where_their_reference_is() {
    let reference = ["Good morning, and welcome.", "What is a wave?", "Nothing of this was heard.", "Let us begin."];
    let said = "good morning and (welcome) what is, er, the wave? let us Begin.";
    let cut = segments::align_to(&reference, said).unwrap();
    assert_eq!(cut, ["good morning and (welcome)", "what is, er, the wave?", "", "let us Begin."]);
    assert_eq!(segments::align_to(&reference, "").unwrap(), ["", "", "", ""]);
    assert_eq!(cut.iter().filter(|piece| !piece.is_empty()).cloned().collect::<Vec<_>>().join(" "), said);
}

#[test]
fn what_is_taken_back_is_counted() {
    assert_eq!(erased("", "a wave"), 0);
    assert_eq!(erased("a wave", "a wave is"), 0);
    assert_eq!(erased("a wave is big", "a wave was big"), 2);
    assert_eq!(erased("a wave is", "a wave. Is"), 1, "a mark takes nothing back, another word does");
    assert_eq!(erased("a wave.", "a wave"), 1);
    assert_eq!(erased("波の速さ", "波は速さ"), 3);
    assert_eq!(erased("a wave", ""), 2);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let block = |start: f64, end: f64, text: &str| Block { start, end, text: text.into() };
    let reading = Reading::of(&[
        block(0.0, 2.0, "Good morning,\nand welcome."),
        block(2.0, 2.5, "Now"),
        block(3.0, 4.0, "twenty-one characters"),
        block(4.0, 9.0, "a line that is longer than the forty-two allowed\nb\nc"),
        block(9.0, 10.0, "exactly 20 characters"[..20].into()),
        block(9.0, 10.0, " "),
    ]);
    let counts = (reading.captions, reading.too_short, reading.too_fast, reading.too_wide, reading.too_high);
    assert_eq!(counts, (5, 1, 1, 1, 1));
    assert_eq!(reading.widest, 48);
}

/// Three revisions of one cue and a second cue; media time 0 is at 10:00:00.
const LOG: &str = r#"
{"type":"status","state":"live","lang":"en","dropped":0}
{"type":"cue","lang":"en","id":1,"rev":1,"final":false,"start":1.0,"end":2.0,"start_pdt":"2026-11-21T10:00:01.000Z","text":"a whale","stable_len":1,"words":[{"text":"a","start":1.0,"end":1.2},{"text":"whale","start":1.2,"end":2.0}],"source":"asr","received":"2026-11-21T10:00:02.500Z"}
{"type":"cue","lang":"en","id":1,"rev":2,"final":false,"start":1.0,"end":2.0,"start_pdt":"2026-11-21T10:00:01.000Z","text":"a wave","stable_len":6,"words":[{"text":"a","start":1.0,"end":1.2},{"text":"wave","start":1.2,"end":2.0}],"source":"asr","received":"2026-11-21T10:00:03.000Z"}
{"type":"cue","lang":"en","id":1,"rev":3,"final":true,"start":1.0,"end":2.0,"start_pdt":"2026-11-21T10:00:01.000Z","text":"a wave","stable_len":6,"words":[{"text":"a","start":1.0,"end":1.2},{"text":"wave","start":1.2,"end":2.0}],"source":"asr","received":"2026-11-21T10:00:04.000Z"}
{"type":"cue","lang":"en","id":1,"rev":4,"final":true,"start":1.0,"end":2.0,"text":"a corrected wave","stable_len":16,"words":[],"source":"human","received":"2026-11-21T10:00:09.000Z"}
{"type":"cue","lang":"pt","id":2,"rev":1,"final":true,"start":1.0,"end":2.0,"start_pdt":"2026-11-21T10:00:01.000Z","text":"uma onda","stable_len":8,"words":[],"source":"mt","received":"2026-11-21T10:00:05.000Z"}
{"type":"status","state":"live","lang":"en","lag_p50_ms":900,"dropped":3}
{"type":"end"}
"#;

#[test]
fn a_log_tells_when_words_came_and_which_were_taken_back() {
    let log = Log::parse(LOG).unwrap();
    let en = &log.tracks["en"];
    assert_eq!((en.revisions, en.words(), en.erased, en.dropped), (3, 2, 1, 3));
    assert_eq!((en.erasure(), en.text()), (Some(0.5), "a wave".into()));
    let lags = |lags: Option<Lags>| lags.map(|lags| (lags.words, (lags.p50 * 1e3).round(), (lags.max * 1e3).round()));
    let arrivals = en.arrivals();
    assert_eq!(lags(arrivals.shown), Some((2, 1_000.0, 1_300.0)));
    assert_eq!(lags(arrivals.stable), Some((2, 1_000.0, 1_300.0)));
    assert_eq!(lags(arrivals.last), Some((2, 2_000.0, 2_800.0)));
    // The recording begins a second into the live.
    let said = Sentence { start: 0.0, end: 0.9, text: "The wave".into(), words: Vec::new() };
    let known = en.against(&[said], 1.0).unwrap();
    let (all, last) = (lags(known.words.stable), lags(known.sentences.stable));
    assert_eq!((all, last), (Some((1, 1_100.0, 1_100.0)), Some((1, 1_100.0, 1_100.0))));
    // "The" was misheard; "wave" ends at 2 s where the sentence ends at 1.9 s.
    assert_eq!(known.starts, None);
    assert!(known.ends.is_some_and(|off| off.words == 1 && (off.p95 - 0.1).abs() < 1e-9), "{:?}", known.ends);
    let said = Sentence { start: 0.3, end: 1.0, text: "wave".into(), words: Vec::new() };
    let known = en.against(&[said], 1.0).unwrap();
    assert!(known.starts.is_some_and(|off| (off.max - 0.1).abs() < 1e-9), "{:?}", known.starts);
    // A translation has no word times: its words are spread over its cue, which came at 5 s.
    let pt = &log.tracks["pt"];
    assert_eq!((lags(pt.arrivals().last), pt.erasure()), (Some((2, 3_000.0, 3_571.0)), Some(0.0)));
}

#[test]
fn what_is_replayed_to_a_new_subscriber_has_no_lag() {
    let said = |id: u64| {
        let cue = r#"{"type":"cue","lang":"en","id":ID,"rev":1,"final":true,"start":1.0,"end":2.0,"start_pdt":"2026-11-21T10:00:01.000Z","text":"wave","stable_len":4,"words":[{"text":"wave","end":2.0}],"source":"asr","received":"2026-11-21T10:00:20.000Z"}"#;
        cue.replace("ID", &id.to_string())
    };
    let lagging = |log: &str| Log::parse(log).unwrap().tracks["en"].arrivals().stable.map(|lags| lags.words);
    let status = r#"{"type":"status","state":"live","lang":"en","dropped":0}"#;
    assert_eq!(lagging(&[&said(1), &said(2), status].join("\n")), None);
    assert_eq!(lagging(&[&said(1), status, &said(2)].join("\n")), Some(1));
    // Nor has a word that was stable then, when its cue goes on.
    let open = said(1).replace(r#""final":true"#, r#""final":false"#);
    let further = said(1).replace(r#""rev":1"#, r#""rev":2"#);
    assert_eq!(lagging(&[&open, status, &further].join("\n")), None);
    // Whoever recorded without statuses recorded what he received.
    assert_eq!(lagging(&[said(1), said(2)].join("\n")), Some(2));
}

#[test]
fn a_log_that_is_none_is_refused_with_the_line() {
    let error = Log::parse("{\"type\":\"end\"}\n\nWEBVTT\n").unwrap_err();
    assert!(error.to_string().starts_with("line 3 "), "{error}");
    assert!(matches!(Log::parse("{\"type\":\"end\"}"), Err(LogError::Empty)));
}
