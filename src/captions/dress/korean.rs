//! Korean puts the verb last, and its ending says whether a sentence or a clause is over.

/// What a word's ending tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The sentence is over: 합니다, 해요, 할까요.
    Sentence,
    /// It is, if a pause follows: 한다, 하네, 하죠.
    Likely,
    /// A clause is, and another follows: 하지만, 하는데, 해서.
    Clause,
    /// A noun is, and its verb follows: 파동은, 물에서.
    Particle,
    /// Nothing.
    None,
}

const SENTENCE: [&str; 13] =
    ["니다", "세요", "어요", "아요", "에요", "예요", "해요", "이요", "네요", "까요", "나요", "지요", "데요"];
const LIKELY: [&str; 5] = ["다", "죠", "요", "네", "까"];
/// Nouns, adverbs and particles that only look like verbs.
const OTHER: [&str; 14] =
    ["필요", "중요", "주요", "수요", "보다", "마다", "에다", "다", "네", "요", "바다", "그러니까", "니까", "동네"];
const CLAUSE: [&str; 10] = ["지만", "는데", "은데", "니까", "면서", "려고", "으면", "아서", "어서", "해서"];
const PARTICLE: [&str; 7] = ["은", "는", "을", "를", "의", "에서", "으로"];

/// What the ending of a word tells.
pub(super) fn ending(word: &str) -> Ending {
    let ends = |list: &[&str]| list.iter().any(|ending| word.ends_with(ending));
    if formal_question(word) || ends(&SENTENCE) {
        Ending::Sentence
    } else if ends(&CLAUSE) {
        Ending::Clause
    } else if ends(&LIKELY)
        && !OTHER.iter().any(|other| word == *other || other.chars().count() > 1 && word.ends_with(other))
    {
        Ending::Likely
    } else if ends(&PARTICLE) {
        Ending::Particle
    } else {
        Ending::None
    }
}

/// A sentence that ends so is a question.
pub(super) fn asks(word: &str) -> bool {
    formal_question(word)
        || ["나요", "가요", "까요"].iter().any(|ending| word.ends_with(ending)) && word.chars().count() > 2
        || word.strip_suffix('까').is_some_and(|stem| stem.ends_with(|c| coda(c) == Some(RIEUL)))
}

/// 합니까, 입니까, 있습니까; but not 하니까, which gives a reason.
fn formal_question(word: &str) -> bool {
    word.strip_suffix("니까").is_some_and(|stem| stem.ends_with(|c| coda(c) == Some(PIEUP)))
}

/// Consonants that close a syllable, in Unicode's order (The Unicode Standard, 3.12).
const RIEUL: u32 = 8;
const PIEUP: u32 = 17;

/// Which consonant closes a syllable; 0 is none.
fn coda(syllable: char) -> Option<u32> {
    let place = (syllable as u32).checked_sub(0xac00).filter(|place| *place < 11_172)?;
    Some(place % 28)
}

/// Units that follow a number of Chinese origin.
const UNITS: [&str; 26] = [
    "퍼센트",
    "프로",
    "킬로미터",
    "센티미터",
    "밀리미터",
    "미터",
    "킬로그램",
    "그램",
    "킬로",
    "센티",
    "헤르츠",
    "볼트",
    "와트",
    "개월",
    "페이지",
    "도",
    "년",
    "월",
    "일",
    "분",
    "초",
    "원",
    "배",
    "명",
    "층",
    "쪽",
];
/// Behind a unit: to, in, about, as a subject or an object, …
const BEHIND: [&str; 16] =
    ["", "에", "에서", "의", "은", "는", "이", "가", "을", "를", "로", "으로", "부터", "까지", "마다", "입니다"];

/// A number of Chinese origin with its unit, at the beginning of `words`: 이십오 미터, 삼백사십미터. Most of its
/// syllables are words of their own, so what has no unit, and what has neither ten, hundred nor thousand in
/// it, stays as it is.
pub(super) fn number(words: &[&str]) -> Option<super::numbers::Number> {
    use super::numbers::Number;
    let word = *words.first()?;
    let split = word
        .char_indices()
        .find(|(_, c)| !"영공일이삼사오육칠팔구십백천만".contains(*c))
        .map_or(word.len(), |(at, _)| at);
    // 일 is one and a day: the unit is what is left when the number is as long as it can be.
    let ends = word[..split].char_indices().map(|(at, c)| at + c.len_utf8()).rev();
    let is_unit =
        |text: &str| UNITS.iter().any(|unit| text.strip_prefix(unit).is_some_and(|rest| BEHIND.contains(&rest)));
    for end in ends {
        let (said, rest) = word.split_at(end);
        let Some(value) = value(said).filter(|_| said.contains(['십', '백', '천', '만'])) else { continue };
        let (apart, attached) = (rest.is_empty(), is_unit(rest));
        if attached {
            return Some(Number { texts: vec![format!("{value}{rest}")], count: 1, open: false });
        }
        if apart && said.chars().count() > 1 {
            let follows = words.get(1).is_some_and(|next| is_unit(next));
            let text = if follows { value.to_string() } else { word.to_owned() };
            return Some(Number { texts: vec![text], count: 1, open: words.len() == 1 });
        }
    }
    None
}

/// What Korean numerals of Chinese origin say, below a hundred million.
fn value(said: &str) -> Option<u64> {
    let (mut total, mut group, mut digit, mut least) = (0, 0, None, u64::MAX);
    for c in said.chars() {
        let unit = match c {
            '십' => 10,
            '백' => 100,
            '천' => 1_000,
            '만' if total == 0 => {
                group += digit.take().unwrap_or(0);
                total = group.max(1) * 10_000;
                (group, least) = (0, u64::MAX);
                continue;
            }
            '만' => return None,
            _ => {
                let known = "영일이삼사오육칠팔구".chars().position(|known| known == c)? as u64;
                if digit.replace(known).is_some() {
                    return None;
                }
                continue;
            }
        };
        if unit >= least {
            return None;
        }
        least = unit;
        group += digit.take().unwrap_or(1) * unit;
    }
    Some(total + group + digit.unwrap_or(0))
}
