use super::{ngrams::Matches, words::is_space};

/// Corpus chrF2 (Popović 2015): F-score of one to six characters without spaces, recall counting twice, as
/// sacrebleu computes it by default. With word n-grams it is chrF2++ (Popović 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chrf {
    /// 0 to 100.
    pub score: f64,
}

const CHARACTERS: usize = 6;
const WORDS: usize = 2;
/// β², the weight of recall.
const FACTOR: f64 = 4.0;
/// Python's `string.punctuation`.
const MARKS: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Chrf {
    /// chrF2 over segments, hypothesis and reference paired as they are.
    pub fn corpus<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::of(pairs, false)
    }

    /// chrF2++: one and two words count as well.
    pub fn corpus_with_words<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::of(pairs, true)
    }

    fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, with_words: bool) -> Self {
        let orders = CHARACTERS + if with_words { WORDS } else { 0 };
        let mut matches = vec![Matches::default(); orders];
        for (wanted, given) in pairs {
            let (characters, words) = matches.split_at_mut(CHARACTERS);
            count(&unspaced(given), &unspaced(wanted), characters);
            count(&divided(given), &divided(wanted), words);
        }
        Self { score: score(&matches) }
    }
}

fn count<T: std::hash::Hash + Eq>(hypothesis: &[T], reference: &[T], orders: &mut [Matches]) {
    for (order, matches) in (1..).zip(orders) {
        let mut found = Matches::count(hypothesis, reference, order);
        // What a reference is too short for is nobody's mistake.
        if found.reference == 0 {
            found.hypothesis = 0;
        }
        matches.add(found);
    }
}

/// F-score of the precision and recall that all orders have on average, those left out for which a text is too
/// short.
fn score(matches: &[Matches]) -> f64 {
    let known: Vec<_> = matches.iter().filter(|matches| matches.hypothesis > 0 && matches.reference > 0).collect();
    let average = |share: fn(&Matches) -> f64| match known.len() {
        0 => 0.0,
        count => known.iter().map(|matches| share(matches)).sum::<f64>() / count as f64,
    };
    let precision = average(|matches| matches.both as f64 / matches.hypothesis as f64);
    let recall = average(|matches| matches.both as f64 / matches.reference as f64);
    if precision + recall == 0.0 {
        return 0.0;
    }
    100.0 * ((1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall))
}

fn unspaced(segment: &str) -> Vec<char> {
    segment.chars().filter(|c| !is_space(*c)).collect()
}

/// Words, with one mark at their end or else at their beginning apart.
fn divided(segment: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in segment.split(is_space).filter(|word| !word.is_empty()) {
        let (first, last) = (word.chars().next(), word.chars().next_back());
        let is_mark = |c: Option<char>| c.is_some_and(|c| MARKS.contains(c));
        let cut = match word.chars().nth(1) {
            None => word.len(),
            // The marks are ASCII: one byte.
            Some(_) if is_mark(last) => word.len() - 1,
            Some(_) if is_mark(first) => 1,
            Some(_) => word.len(),
        };
        let (head, tail) = word.split_at(cut);
        words.push(head);
        words.extend((!tail.is_empty()).then_some(tail));
    }
    words
}
