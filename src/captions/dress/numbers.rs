use super::{
    korean,
    numerals::{And, Numerals},
};
use crate::model::LanguageTag;

/// A number at the beginning of some words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// As it is written: digits, or the words themselves if it is small. The percent sign may stand apart.
    pub texts: Vec<String>,
    /// Words it was said with.
    pub count: usize,
    /// The words end where it may go on.
    pub open: bool,
}

/// Words that are looked at for a number.
pub(super) const REACH: usize = 16;

/// Bytes of the longest word that may be a number: siebenhundertsiebenundsiebzigtausend… has 66.
const LONGEST: usize = 100;

/// Reads a number said at the beginning of `words`, behind the word `before`.
pub(super) fn read(lang: &LanguageTag, before: &str, words: &[&str]) -> Option<Number> {
    if lang.primary() == "ko" {
        return korean::number(words);
    }
    let numerals = Numerals::of(lang)?;
    let digit = |word: &str| pieces(numerals, word).is_some_and(|pieces| matches!(pieces[..], [Piece::Small(0..=9)]));
    // What goes on with a number that stands there in words stays in words.
    let multiplies = words.first().is_some_and(|word| has(numerals.hundred, word) || has(numerals.thousand, word));
    let goes_on = match pieces(numerals, before).as_deref() {
        Some([.., Piece::Small(0..=9)]) => multiplies,
        Some([.., Piece::And | Piece::Oh]) | None => has(numerals.large, before),
        Some(_) => true,
    };
    if goes_on {
        return None;
    }
    let whole = Sum::read(numerals, before, words)?;
    let mut number =
        Number { texts: Vec::new(), count: whole.words, open: whole.words == words.len() || whole.dangles };
    let decimals = decimals(numerals, &words[whole.words..]);
    let percent = |at: usize| percent(numerals, words.get(at..).unwrap_or_default());
    let mut text = grouped(whole.value(), numerals);
    let decimal = matches!(decimals, Some(Decimals::Known { .. }));
    match decimals {
        Some(Decimals::Known { digits, count, open }) => {
            text = format!("{}{}{digits}", whole.value(), numerals.point.1);
            number.count += count;
            number.open = open;
        }
        Some(Decimals::Open) => number.open = true,
        None => {}
    }
    match percent(number.count) {
        Some(Sign::Known(count)) => {
            number.count += count;
            number.open = false;
            number.texts = if numerals.percent_apart { vec![text, "%".into()] } else { vec![format!("{text}%")] };
            return Some(number);
        }
        Some(Sign::Open) => number.open = true,
        None => {}
    }
    let small = !decimal && whole.value() < numerals.least;
    let row = whole.words == 1 && digit(words[0]) && digit(before);
    if small || row || whole.is_bare() && !decimal {
        number.texts = words[..number.count].iter().map(|word| (*word).to_owned()).collect();
        return Some(number);
    }
    if whole.ordinal {
        text.push_str(suffix(whole.value()));
    }
    number.texts = vec![text];
    Some(number)
}

/// What a part of a number word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// 0 to 19, and 21 to 29 where these are one word.
    Small(u64),
    /// 20 to 90.
    Tens(u64),
    /// 100 to 900.
    Hundreds(u64),
    Hundred,
    Thousand,
    And,
    /// Nineteen oh five.
    Oh,
}

/// A whole number as it is put together.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    thousands: u64,
    /// What is said of the part below a thousand.
    group: u64,
    last: Option<Piece>,
    pieces: usize,
    year: bool,
    ordinal: bool,
    /// Words up to the last that completes a number.
    words: usize,
    /// An `and` follows it, and then nothing.
    dangles: bool,
}

impl Sum {
    fn read(numerals: &Numerals, before: &str, words: &[&str]) -> Option<Self> {
        let mut sum = Self::default();
        let mut whole: Option<Self> = None;
        for (nth, word) in words.iter().enumerate() {
            let article = numerals.english && nth == 0 && *word == "a";
            if article {
                let follows = words.get(1).is_some_and(|next| has("hundred thousand", next));
                if !follows {
                    return None;
                }
                sum = sum.with(numerals, Piece::Small(1))?;
                continue;
            }
            if numerals.english
                && let Some(piece) = ordinal(numerals, if nth == 0 { before } else { words[nth - 1] }, word)
                && let Some(next) = sum.with(numerals, piece)
                && !sum.year
            {
                return Some(Self { words: nth + 1, ordinal: true, ..next });
            }
            let next = pieces(numerals, word)
                .and_then(|pieces| pieces.into_iter().try_fold(sum, |sum, piece| sum.with(numerals, piece)));
            let Some(next) = next else { break };
            sum = next;
            if !matches!(sum.last, Some(Piece::And | Piece::Oh)) {
                whole = Some(Self { words: nth + 1, ..sum });
            } else if nth + 1 == words.len()
                && let Some(whole) = &mut whole
            {
                whole.dangles = true;
            }
        }
        whole
    }

    fn value(&self) -> u64 {
        self.thousands + self.group
    }

    /// A hundred or a thousand without a number before it.
    fn is_bare(&self) -> bool {
        self.pieces == 1 && matches!(self.last, Some(Piece::Hundred | Piece::Thousand | Piece::Hundreds(100)))
    }

    /// With one more piece, if it can follow.
    fn with(mut self, numerals: &Numerals, piece: Piece) -> Option<Self> {
        let (rest, start) = (self.group % 100, self.pieces == 0);
        let joined = self.last == Some(Piece::And);
        let reversed = matches!(numerals.and, And::Reversed(_));
        match piece {
            Piece::And => {
                let may = match numerals.and {
                    And::Hundred(_) => matches!(self.last, Some(Piece::Hundred | Piece::Thousand)),
                    And::Tens(_) => matches!(self.last, Some(Piece::Tens(_))),
                    And::Any(_) => {
                        matches!(
                            self.last,
                            Some(Piece::Tens(_) | Piece::Hundreds(_) | Piece::Hundred | Piece::Thousand)
                        )
                    }
                    And::Reversed(_) => matches!(self.last, Some(Piece::Small(1..=9))),
                };
                if !may {
                    return None;
                }
            }
            Piece::Oh if numerals.english && self.pieces == 1 && matches!(self.group, 17..=20) => {}
            Piece::Oh => return None,
            Piece::Small(n) if self.last == Some(Piece::Oh) && (1..=9).contains(&n) => {
                self.group = self.group * 100 + n;
                self.year = true;
            }
            Piece::Small(n) | Piece::Tens(n) if numerals.english && self.begins_year() && n >= 10 => {
                self.group = self.group * 100 + n;
                self.year = true;
            }
            Piece::Small(0) if start => {}
            Piece::Small(0) => return None,
            Piece::Small(n) => {
                let unit = matches!(self.last, Some(Piece::Tens(_))) && n < 10 && !numerals.strict;
                let linked = joined && rest.is_multiple_of(10) && rest != 10 && n < 10;
                // Soixante-dix, quatre-vingt-dix-sept, soixante et onze.
                let sixty = numerals.point.0 == "virgule" && matches!(rest, 60 | 80) && (10..20).contains(&n);
                let apart =
                    numerals.point.0 == "virgule" && self.last == Some(Piece::Small(10)) && (7..10).contains(&n);
                let begins = start || rest == 0 && !matches!(self.last, Some(Piece::Small(_)));
                if joined && reversed || !(begins || apart || sixty || linked || unit && !reversed) {
                    return None;
                }
                self.group += n;
            }
            Piece::Tens(20) if rest == 4 && numerals.point.0 == "virgule" => self.group += 76,
            Piece::Tens(n) => {
                let linked = joined && reversed && (1..=9).contains(&rest);
                if !(linked || rest == 0 && !(joined && reversed)) {
                    return None;
                }
                self.group += n;
            }
            Piece::Hundreds(n) if self.group == 0 => self.group = n,
            Piece::Hundreds(_) => return None,
            Piece::Hundred if !joined && matches!(self.group, 1..=9 | 11..=19) => self.group *= 100,
            Piece::Hundred if self.group == 0 && numerals.bare => self.group = 100,
            Piece::Thousand if !joined && self.thousands == 0 && (1..1_000).contains(&self.group) => {
                (self.thousands, self.group) = (self.group * 1_000, 0);
            }
            Piece::Thousand if start && numerals.bare => self.thousands = 1_000,
            Piece::Hundred | Piece::Thousand => return None,
        }
        self.last = Some(piece);
        self.pieces += 1;
        Some(self)
    }

    /// It may be the first half of a year: seventeen to twenty.
    fn begins_year(&self) -> bool {
        self.pieces == 1 && matches!(self.last, Some(Piece::Small(17..=19) | Piece::Tens(20)))
    }
}

enum Decimals {
    Known {
        digits: String,
        count: usize,
        open: bool,
    },
    /// It cannot be told yet.
    Open,
}

/// What follows a whole number: a decimal point and digits.
fn decimals(numerals: &Numerals, words: &[&str]) -> Option<Decimals> {
    if *words.first()? != numerals.point.0 {
        return None;
    }
    let mut digits = String::new();
    let mut count = 1;
    for word in &words[1..] {
        match pieces(numerals, word).as_deref() {
            Some([Piece::Small(digit @ 0..=9)]) => digits.push_str(&digit.to_string()),
            _ => break,
        }
        count += 1;
    }
    if digits.is_empty()
        && !numerals.english
        && let Some(sum) = words.get(1..).and_then(|words| Sum::read(numerals, "", words))
    {
        count += sum.words;
        digits = sum.value().to_string();
    }
    match (digits.is_empty(), count == words.len()) {
        (false, open) => Some(Decimals::Known { digits, count, open }),
        (true, true) => Some(Decimals::Open),
        (true, false) => None,
    }
}

enum Sign {
    /// A percent sign of so many words.
    Known(usize),
    /// The words may go on to say one.
    Open,
}

fn percent(numerals: &Numerals, words: &[&str]) -> Option<Sign> {
    numerals.percent.split('/').find_map(|phrase| {
        let said: Vec<&str> = phrase.split(' ').collect();
        let same = said.iter().zip(words).take_while(|(said, word)| said == word).count();
        match () {
            () if same == said.len() => Some(Sign::Known(same)),
            () if same > 0 && same == words.len() => Some(Sign::Open),
            () => None,
        }
    })
}

/// A word's parts, if it says a number or belongs to one.
fn pieces(numerals: &Numerals, word: &str) -> Option<Vec<Piece>> {
    if let Some(piece) = piece(numerals, word) {
        return Some(vec![piece]);
    }
    if word.contains('-') {
        // Dix-sept is one; the longest part is tried first.
        let at = word.rmatch_indices('-').find_map(|(at, _)| Some((at, piece(numerals, &word[..at])?)));
        let (at, first) = at?;
        let mut out = vec![first];
        out.extend(pieces(numerals, &word[at + 1..])?);
        return Some(out);
    }
    if !numerals.joined || word.len() > LONGEST {
        return None;
    }
    let cuts = word.char_indices().map(|(at, _)| at).skip(1);
    cuts.collect::<Vec<_>>().into_iter().rev().find_map(|at| {
        let first = piece(numerals, &word[..at])?;
        let mut out = vec![first];
        out.extend(pieces(numerals, &word[at..])?);
        Some(out)
    })
}

fn piece(numerals: &Numerals, word: &str) -> Option<Piece> {
    let place = |list: &str| {
        list.split_ascii_whitespace().position(|words| words.split('/').any(|known| known == word)).map(|at| at as u64)
    };
    let (And::Hundred(and) | And::Tens(and) | And::Any(and) | And::Reversed(and)) = numerals.and;
    if has(and, word) {
        return Some(Piece::And);
    }
    place(numerals.small)
        .map(Piece::Small)
        .or_else(|| place(numerals.tens).filter(|at| *at > 0).map(|at| Piece::Tens(10 * (at + 1))))
        .or_else(|| place(numerals.twenties).map(|at| Piece::Small(21 + at)))
        .or_else(|| place(numerals.hundreds).map(|at| Piece::Hundreds(100 * (at + 1))))
        .or_else(|| has(numerals.hundred, word).then_some(Piece::Hundred))
        .or_else(|| has(numerals.thousand, word).then_some(Piece::Thousand))
        .or_else(|| (numerals.english && word == "oh").then_some(Piece::Oh))
}

/// An English ordinal, as the number it belongs to.
fn ordinal(numerals: &Numerals, before: &str, word: &str) -> Option<Piece> {
    // A tenth, and three tenths.
    if before == "a" || matches!(piece(numerals, before), Some(Piece::Small(_))) {
        return None;
    }
    let irregular = [("first", 1), ("third", 3), ("fifth", 5), ("eighth", 8), ("ninth", 9), ("twelfth", 12)];
    if let Some((_, number)) = irregular.iter().find(|(known, _)| *known == word) {
        return Some(Piece::Small(*number));
    }
    let stem = word.strip_suffix("th")?;
    match stem.strip_suffix("ie") {
        Some(tens) => piece(numerals, &format!("{tens}y")).filter(|piece| matches!(piece, Piece::Tens(_))),
        None => piece(numerals, stem).filter(|piece| matches!(piece, Piece::Small(_))),
    }
}

fn suffix(number: u64) -> &'static str {
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

/// Digits, in groups from 10,000 on.
fn grouped(number: u64, numerals: &Numerals) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    format!("{}{}{:03}", number / 1_000, numerals.group, number % 1_000)
}

fn has(list: &str, word: &str) -> bool {
    list.split([' ', '/']).any(|known| known == word && !word.is_empty())
}
