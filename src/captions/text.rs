//! What makes text readable, whatever the engine gives: sentence ends, casing, lines.

use crate::model::LanguageTag;

/// Characters a line holds.
pub const LINE: usize = 42;
/// Characters a cue of two lines holds.
pub const CUE: usize = 2 * LINE;

/// How words of a language join: with a space, or with nothing where the script writes none.
pub fn joiner(lang: &LanguageTag) -> &'static str {
    if spaceless(lang) { "" } else { " " }
}

/// The language writes no spaces between words.
pub fn spaceless(lang: &LanguageTag) -> bool {
    matches!(lang.primary(), "zh" | "ja" | "yue" | "th" | "lo" | "km" | "my")
}

/// Unicode scalar values.
pub fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A line may break at it. French has spaces in front of its marks at which none may (`Vraiment\u{202f}?`).
pub fn is_break(c: char) -> bool {
    (c.is_whitespace() || c.is_control() || c == '\u{feff}') && !is_bond(c)
}

/// A space that keeps what is around it together.
fn is_bond(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{202f}')
}

/// The words of a text; a mark behind a space at which no line may break belongs to its word.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_break).filter(|word| !word.is_empty())
}

/// Text without control characters and with single spaces, at most `limit` characters.
pub fn plain(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * limit));
    let mut kept = 0;
    for c in text.chars() {
        let c = if is_break(c) { ' ' } else { c };
        if (c == ' ' || is_bond(c)) && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        if kept == limit {
            break;
        }
        out.push(c);
        kept += 1;
    }
    out.truncate(out.trim_end().len());
    out
}

/// The word ends a sentence: `waves.` does, `Dr.`, `e.g.` and `J.` do not.
pub fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']', '」', '』']);
    let Some(last) = bare.chars().last() else { return false };
    match last {
        '!' | '?' | '…' | '。' | '！' | '？' | '؟' | '।' | '۔' | '։' => true,
        '.' => {
            let stem = bare.trim_end_matches('.').trim_start_matches(['"', '\'', '“', '«', '(', '[']);
            let initial = stem.chars().count() == 1 && stem.chars().all(char::is_alphabetic);
            let listed = ABBREVIATIONS.iter().any(|known| stem.eq_ignore_ascii_case(known));
            !(stem.is_empty() || initial && stem != "I" || listed)
        }
        _ => false,
    }
}

const ABBREVIATIONS: [&str; 18] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "fig", "eq", "cf", "mme", "mlle", "sr", "sra", "approx",
    "no",
];

/// The word ends a clause.
pub fn ends_clause(word: &str) -> bool {
    word.ends_with([',', ';', ':', '、', '，', '；', '،'])
}

/// A word without the marks behind it; all of it if it is nothing else.
pub fn unmarked(word: &str) -> &str {
    let mark = |c| is_bond(c) || matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '…' | '。' | '、');
    let bare = word.trim_end_matches(mark);
    if bare.is_empty() { word } else { bare }
}

/// Two words differ in casing and marks at most.
pub fn sound_alike(one: &str, other: &str) -> bool {
    let sound =
        |word: &str| -> String { word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    sound(one) == sound(other)
}

/// The first letter large, where the script has large letters and writes sentences so.
pub fn capitalise(word: &str) -> String {
    let mut rest = word.chars();
    match rest.next() {
        Some(first) if first.is_lowercase() && matches!(first as u32, 0x61..=0x52f | 0x1e00..=0x1fff) => {
            first.to_uppercase().chain(rest).collect()
        }
        _ => word.into(),
    }
}

/// What closes a sentence in a language.
pub fn full_stop(lang: &LanguageTag) -> &'static str {
    match lang.primary() {
        "zh" | "ja" | "yue" => "。",
        "hi" | "bn" | "mr" | "ne" => "।",
        "hy" => "։",
        "ur" => "۔",
        "th" | "lo" | "km" | "my" => "",
        _ => ".",
    }
}

/// The text fits two lines.
pub fn fits(text: &str, lang: &LanguageTag) -> bool {
    let length = chars(text);
    length <= LINE || length <= CUE && (spaceless(lang) || balanced(text).is_some())
}

/// The text in lines: as it is if it fits one, else in two lines of about the same length.
/// What does not fit two lines flows into more.
pub fn lines(text: &str) -> String {
    if chars(text) <= LINE {
        return text.into();
    }
    if let Some(at) = balanced(text) {
        return format!("{}\n{}", text[..at].trim_end(), text[at..].trim_start());
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut width = 0;
    for word in text.split(' ') {
        for (nth, piece) in pieces(word, LINE).into_iter().enumerate() {
            let length = chars(piece);
            if width > 0 && width + length + usize::from(nth == 0) > LINE {
                out.push('\n');
                width = 0;
            } else if width > 0 && nth == 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(piece);
            width += length;
        }
    }
    out
}

/// Byte position of the space that splits the text into two lines, the second no shorter if possible.
fn balanced(text: &str) -> Option<usize> {
    let total = chars(text);
    let mut best: Option<(usize, usize)> = None;
    for (before, (at, c)) in text.char_indices().enumerate() {
        if c == ' ' && before <= LINE && total - before - 1 <= LINE {
            let clause = if ends_clause(&text[..at]) { 0 } else { 6 };
            let cost = (2 * before + 1).abs_diff(total) + clause;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, at));
            }
        }
    }
    best.map(|(_, at)| at)
}

/// A word cut into pieces of at most `limit` characters; one piece if it fits.
pub fn pieces(word: &str, limit: usize) -> Vec<&str> {
    let mut out = Vec::with_capacity(1);
    let mut rest = word;
    while let Some((at, _)) = rest.char_indices().nth(limit) {
        out.push(&rest[..at]);
        rest = &rest[at..];
    }
    out.push(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_people_end_them() {
        for end in ["waves.", "other?", "\"no!\"", "파동입니다.", "波。", "exam.)", "I."] {
            assert!(ends_sentence(end), "{end}");
        }
        for not in ["Dr.", "e.g.", "J.", "3.5", "and", "", "..."] {
            assert!(!ends_sentence(not), "{not}");
        }
    }

    #[test]
    fn lines_are_balanced_and_never_too_long() {
        let two = lines("When you drop a stone into a pond, the water goes up and down");
        assert_eq!(two, "When you drop a stone into a pond,\nthe water goes up and down");
        let long = lines(&"abcdefghij ".repeat(20));
        assert!(long.lines().all(|line| chars(line) <= LINE), "{long}");
        assert!(lines(&"x".repeat(100)).lines().all(|line| chars(line) <= LINE));
        assert_eq!(lines("short"), "short");
        let french = format!("{} comprend\u{202f}? Oui", "mot ".repeat(8).trim_end());
        assert!(lines(&french).lines().all(|line| !line.starts_with('?')), "{french}");
        assert_eq!(
            words("Tu viens\u{202f}? «\u{a0}Non\u{a0}»").collect::<Vec<_>>(),
            ["Tu", "viens\u{202f}?", "«\u{a0}Non\u{a0}»"]
        );
        assert_eq!(unmarked("viens\u{202f}?"), "viens");
    }

    #[test]
    fn plain_text_has_no_breaks_and_an_end() {
        assert_eq!(plain("  a\r\n\n b\u{0}c\u{2028}d  ", 100), "a b c d");
        assert_eq!(plain("\u{a0}Vraiment\u{202f}? \u{202f}Oui\u{a0}", 100), "Vraiment\u{202f}? Oui");
        assert_eq!(chars(&plain(&"é".repeat(1_000), 10)), 10);
    }
}
