//! Word error rate, the way speech recognition counts it.

/// What two texts are compared by: lower-case words without punctuation, numbers written out.
pub fn normalise(text: &str) -> Vec<String> {
    let plain: String = text
        .to_lowercase()
        .replace('\u{2019}', "'")
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' })
        .collect();
    let mut words: Vec<String> = Vec::new();
    for word in plain.split_whitespace() {
        match word.parse::<u32>() {
            Ok(number) if number < 1_000_000 => words.extend(spell(number)),
            _ => words.push(word.to_owned()),
        }
    }
    // "three hundred and forty" and "340" are the same words.
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        if !(word == "and" && kept.last().is_some_and(|last| last == "hundred")) {
            kept.push(word);
        }
    }
    kept
}

/// Substitutions, deletions and insertions over the words of the reference.
pub fn rate(reference: &str, heard: &str) -> f64 {
    let (reference, heard) = (normalise(reference), normalise(heard));
    distance(&reference, &heard) as f64 / reference.len().max(1) as f64
}

fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

fn spell(number: u32) -> Vec<String> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let (head, rest, unit) = match number {
        0..20 => return vec![ONES[number as usize].into()],
        20..100 => (vec![TENS[number as usize / 10].to_owned()], number % 10, None),
        100..1_000 => (spell(number / 100), number % 100, Some("hundred")),
        _ => (spell(number / 1_000), number % 1_000, Some("thousand")),
    };
    let tail = if rest == 0 { Vec::new() } else { spell(rest) };
    head.into_iter().chain(unit.map(str::to_owned)).chain(tail).collect()
}

#[test]
fn numbers_case_and_punctuation_do_not_count() {
    assert_eq!(rate("About three hundred and forty meters, and two.", "about 340 meters and 2"), 0.0);
    assert_eq!(rate("a b c d", "a x c"), 0.5);
}
