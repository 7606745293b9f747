//! A hypothesis against its reference.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::{figure, file::Text, percent, table};
use crate::{
    app::cli::{EvaluateTexts, Metric, Normalisation, Pair, Tokenize},
    quality::{Bleu, Chrf, Normalise, Rate, Reading, Step, Tokenizer, align, segments},
};

/// Prints the figures wanted.
pub(super) fn run(asked: &EvaluateTexts) -> Result<()> {
    let (reference, hypothesis) = (read(asked, true)?, read(asked, false)?);
    let pair = asked.pair.unwrap_or(match reference.is_lines && hypothesis.is_lines {
        true => Pair::Lines,
        false => Pair::Aligned,
    });
    let (wanted, given) = paired(asked, &reference.segments, &hypothesis.segments, pair)?;
    let pairs: Vec<(&str, &str)> = wanted.iter().map(|text| &**text).zip(given.iter().map(|text| &**text)).collect();
    let mut report = Report::new(asked, pair, pairs.len());
    for metric in metrics(asked, &hypothesis)? {
        report.add(metric, asked, &pairs, &hypothesis)?;
    }
    let errors = if asked.errors { errors(&pairs, asked.normalise.into())? } else { Vec::new() };
    report.print(asked, &errors);
    Ok(())
}

fn read(asked: &EvaluateTexts, reference: bool) -> Result<Text> {
    let path = if reference { &asked.reference } else { &asked.hypothesis };
    let text = Text::read(path, asked.language.as_ref())?;
    let says = text.segments.iter().any(|segment| !segment.trim().is_empty());
    ensure!(says || !reference, "{} holds no text to compare with", path.display());
    Ok(text)
}

type Segments<'a> = Vec<Cow<'a, str>>;

/// Segments that belong together, as many of each.
fn paired<'a>(
    asked: &EvaluateTexts,
    reference: &'a [String],
    hypothesis: &'a [String],
    pair: Pair,
) -> Result<(Segments<'a>, Segments<'a>)> {
    let borrowed = |segments: &'a [String]| segments.iter().map(|text| Cow::Borrowed(text.as_str())).collect();
    let whole = |segments: &[String]| vec![Cow::Owned(segments.join(" "))];
    Ok(match pair {
        Pair::Lines => {
            ensure!(
                reference.len() == hypothesis.len(),
                "{} has {} segments, {} has {}: give --pair aligned to cut the second where it fits the first, or \
                 --pair whole to compare them as one text each",
                asked.reference.display(),
                reference.len(),
                asked.hypothesis.display(),
                hypothesis.len()
            );
            (borrowed(reference), borrowed(hypothesis))
        }
        Pair::Aligned => {
            let cut = segments::align_to(reference, &hypothesis.join(" "))?;
            (borrowed(reference), cut.into_iter().map(Cow::Owned).collect())
        }
        Pair::Whole => (whole(reference), whole(hypothesis)),
    })
}

fn metrics(asked: &EvaluateTexts, hypothesis: &Text) -> Result<Vec<Metric>> {
    let timed = hypothesis.blocks.is_some();
    ensure!(
        timed || !asked.metric.contains(&Metric::Reading),
        "{} has no times: reading needs captions (.vtt, .srt, .json or .jsonl)",
        asked.hypothesis.display()
    );
    if !asked.metric.is_empty() {
        return Ok(asked.metric.clone());
    }
    let mut all = vec![Metric::Wer, Metric::Cer, Metric::Chrf, Metric::ChrfWords, Metric::Bleu];
    all.extend(timed.then_some(Metric::Reading));
    Ok(all)
}

/// Figures as they are found, for people and for scripts.
struct Report {
    rows: Vec<Vec<String>>,
    json: Map<String, Value>,
    head: String,
}

impl Report {
    fn new(asked: &EvaluateTexts, pair: Pair, count: usize) -> Self {
        let (normalise, how) = match asked.normalise {
            Normalisation::None => ("none", "as written"),
            Normalisation::Words => ("words", "lower case, no punctuation"),
            Normalisation::English => ("english", "lower case, no punctuation, numbers in words"),
        };
        let (pairing, so) = match pair {
            Pair::Lines => ("lines", "each with its counterpart"),
            Pair::Aligned => ("aligned", "the hypothesis cut where it fits the reference"),
            Pair::Whole => ("whole", "all text as one"),
        };
        let many = if count == 1 { "segment" } else { "segments" };
        let head = format!("{count} {many}, {so}; error rates over words {how}");
        let json = Map::from_iter([
            ("segments".into(), json!(count)),
            ("pair".into(), json!(pairing)),
            ("normalise".into(), json!(normalise)),
        ]);
        Self { rows: Vec::new(), json, head }
    }

    fn add(&mut self, metric: Metric, asked: &EvaluateTexts, pairs: &[(&str, &str)], hypothesis: &Text) -> Result<()> {
        let (name, shown, value) = match metric {
            Metric::Wer => rate("WER", "words", Rate::words(pairs.iter().copied(), asked.normalise.into())?)?,
            Metric::Cer => rate("CER", "characters", Rate::characters(pairs.iter().copied(), asked.normalise.into())?)?,
            Metric::Chrf => chrf("chrF2", 0, Chrf::corpus(pairs.iter().copied())),
            Metric::ChrfWords => chrf("chrF2++", 2, Chrf::corpus_with_words(pairs.iter().copied())),
            Metric::Bleu => bleu(pairs, asked.tokenize.into()),
            Metric::Reading => {
                let reading = Reading::of(hypothesis.blocks.iter().flatten());
                ("reading", ["".into(), read_as(&reading)], json!(reading))
            }
        };
        let key =
            if metric == Metric::ChrfWords { "chrf++".into() } else { name.to_lowercase().replace("chrf2", "chrf") };
        self.json.insert(key, value);
        self.rows.push([name.into()].into_iter().chain(shown).collect());
        Ok(())
    }

    fn print(mut self, asked: &EvaluateTexts, errors: &[Vec<Value>]) {
        if asked.json {
            if asked.errors {
                self.json.insert("errors".into(), errors.iter().flatten().cloned().collect());
            }
            println!("{:#}", Value::Object(self.json));
            return;
        }
        println!("{}\n\n{}", self.head, table(&self.rows).trim_end());
        for (nth, errors) in errors.iter().enumerate().filter(|(_, errors)| !errors.is_empty()) {
            println!("\nsegment {}", nth + 1);
            for error in errors {
                let word = |key: &str| error[key].as_str().unwrap_or("–").to_owned();
                println!("  {:12} {} → {}", word("kind"), word("reference"), word("hypothesis"));
            }
        }
    }
}

type Found = (&'static str, [String; 2], Value);

fn rate(name: &'static str, units: &str, rate: Rate) -> Result<Found> {
    let Some(share) = rate.rate() else { anyhow::bail!("the reference holds no {units}: nothing can be compared") };
    let Rate { hits, substitutions, deletions, insertions } = rate;
    let shown = format!(
        "{} {units}: {hits} right, {substitutions} substituted, {deletions} deleted, {insertions} inserted",
        rate.reference()
    );
    let value = json!({
        "rate": share, "reference": rate.reference(), "hypothesis": rate.hypothesis(), "hits": hits,
        "substitutions": substitutions, "deletions": deletions, "insertions": insertions,
    });
    Ok((name, [percent(share), shown], value))
}

fn chrf(name: &'static str, words: u8, chrf: Chrf) -> Found {
    let signature = format!("nrefs:1|case:mixed|eff:yes|nc:6|nw:{words}|space:no");
    let value = json!({ "score": chrf.score, "signature": signature });
    (name, [figure(chrf.score), signature], value)
}

fn bleu(pairs: &[(&str, &str)], tokenizer: Tokenizer) -> Found {
    let bleu = Bleu::corpus(pairs.iter().copied(), tokenizer);
    let signature = format!("nrefs:1|case:mixed|eff:no|tok:{}|smooth:exp", tokenizer.as_str());
    let precisions: Vec<String> = bleu.precisions.iter().map(|precision| format!("{precision:.1}")).collect();
    let shown = format!("{} (BP {:.3}) {signature}", precisions.join("/"), bleu.brevity);
    let value = json!({
        "score": bleu.score, "precisions": bleu.precisions, "brevity_penalty": bleu.brevity,
        "hypothesis": bleu.hypothesis, "reference": bleu.reference, "signature": signature,
    });
    ("BLEU", [figure(bleu.score), shown], value)
}

/// What a reader of captions has to put up with.
pub(super) fn read_as(reading: &Reading) -> String {
    format!(
        "{} captions, {:.1} characters/s (p95 {:.1}); {} above 20/s, {} below 1 s, {} wider than 42, {} above 2 lines",
        reading.captions,
        reading.speed_p50,
        reading.speed_p95,
        reading.too_fast,
        reading.too_short,
        reading.too_wide,
        reading.too_high
    )
}

/// The word errors of each segment.
fn errors(pairs: &[(&str, &str)], normalise: Normalise) -> Result<Vec<Vec<Value>>> {
    let of = |(nth, (wanted, given)): (usize, &(&str, &str))| {
        let (wanted, given) = (normalise.words(wanted), normalise.words(given));
        let (mut r, mut h) = (wanted.iter(), given.iter());
        let mut found = Vec::new();
        for step in align(&wanted, &given)? {
            let reference = if step == Step::Insert { None } else { r.next() };
            let hypothesis = if step == Step::Delete { None } else { h.next() };
            let kind = match step {
                Step::Equal => continue,
                Step::Substitute => "substituted",
                Step::Delete => "deleted",
                Step::Insert => "inserted",
            };
            found.push(json!({"segment": nth + 1, "kind": kind, "reference": reference, "hypothesis": hypothesis}));
        }
        Ok(found)
    };
    pairs.iter().enumerate().map(of).collect()
}

impl From<Normalisation> for Normalise {
    fn from(asked: Normalisation) -> Self {
        match asked {
            Normalisation::None => Self::None,
            Normalisation::Words => Self::Words,
            Normalisation::English => Self::English,
        }
    }
}

impl From<Tokenize> for Tokenizer {
    fn from(asked: Tokenize) -> Self {
        match asked {
            Tokenize::V13a => Self::V13a,
            Tokenize::Intl => Self::Intl,
            Tokenize::Char => Self::Char,
            Tokenize::None => Self::None,
        }
    }
}
