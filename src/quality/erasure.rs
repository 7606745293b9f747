use super::words::{is_space, is_unspaced};

/// What a reader sees as a word: what stands between spaces, or one character of a script that writes none.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let mut begun = 0;
        for (at, c) in word.char_indices().filter(|(_, c)| is_unspaced(*c)) {
            out.extend((begun < at).then(|| &word[begun..at]));
            begun = at + c.len_utf8();
            out.push(&word[at..begun]);
        }
        out.extend((begun < word.len()).then(|| &word[begun..]));
    }
    out
}

/// Words of `before` that `after` takes back: all behind what both begin with. A mark put behind a word takes
/// nothing back.
///
/// Normalized erasure (Arivazhagan et al. 2020, arXiv 2004.03643 §3.2) is the sum of these over all revisions,
/// for each word of the final texts: 0 where text only grows, 1 where every word is rewritten once. The texts
/// here are those of one cue, since what stays in its cue does not flicker.
pub fn erased(before: &str, after: &str) -> usize {
    let before = pieces(before);
    let grew = |before: &str, after: &str| {
        after.strip_prefix(before).is_some_and(|more| more.chars().all(|c| !c.is_alphanumeric()))
    };
    before.len() - before.iter().zip(pieces(after)).take_while(|(before, after)| grew(before, after)).count()
}
