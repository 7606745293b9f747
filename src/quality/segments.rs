//! Pairs a text that is cut in its own way with the lines of its reference.

use super::{Normalise, Step, TooLong, align};

/// The hypothesis, as many pieces as `reference` has lines: cut where the fewest word errors arise, as
/// mwerSegmenter does (Matusov et al. 2005), so that captions can be compared with a text of sentences.
/// Words are matched without casing and punctuation and keep theirs.
///
/// # Errors
/// [`TooLong`]
pub fn align_to<S: AsRef<str>>(reference: &[S], hypothesis: &str) -> Result<Vec<String>, TooLong> {
    let mut wanted = Vec::new();
    // Which line a word of the reference is in, and whether it is the line's last.
    let mut lines = Vec::new();
    for (line, text) in reference.iter().enumerate() {
        let words = Normalise::Words.words(text.as_ref());
        lines.extend((1..=words.len()).map(|nth| (line, nth == words.len())));
        wanted.extend(words);
    }
    let given = Normalise::Words.tokens(hypothesis);
    let words: Vec<&str> = given.iter().map(|token| token.word.as_str()).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    // Characters of the hypothesis that belong to the lines up to each.
    let mut cuts = vec![0; reference.len()];
    let (mut at, mut taken, mut ended) = (0, 0, None);
    for step in align(&wanted, &words)? {
        let reads = step != Step::Insert;
        if step != Step::Delete {
            taken += 1;
        }
        // What is inserted between two lines goes with the line before.
        let line = if reads { Some(lines[at].0) } else { ended.or_else(|| lines.get(at).map(|(line, _)| *line)) };
        if let Some(line) = line.filter(|_| taken > 0) {
            cuts[line] = given[taken - 1].end;
        }
        if reads {
            ended = lines[at].1.then_some(lines[at].0);
            at += 1;
        }
    }
    Ok(cut(hypothesis, &cuts))
}

/// The pieces up to each cut; the last takes the rest. Marks behind a cut go with the word before them, opening
/// ones with the word they open.
fn cut(text: &str, cuts: &[usize]) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut from = 0;
    let piece = |(nth, until): (usize, &usize)| {
        let is_last = nth + 1 == cuts.len();
        let mut until = if is_last { characters.len() } else { (*until).max(from) };
        while until > from
            && until < characters.len()
            && !characters[until].is_whitespace()
            && is_mark(characters[until])
        {
            until += 1;
        }
        let piece: String = characters[from..until].iter().collect();
        from = until;
        piece.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    cuts.iter().enumerate().map(piece).collect()
}

fn is_mark(c: char) -> bool {
    !c.is_alphanumeric() && !matches!(c, '(' | '[' | '{' | '¿' | '¡' | '«' | '“' | '「' | '『')
}
