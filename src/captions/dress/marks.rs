use std::time::Duration;

use super::{
    Style, korean,
    rules::{Endings, PAUSES, Rules, has, has_start},
};
use crate::captions::text;

/// A sentence in progress. Bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Phrase {
    /// Its first words.
    first: Vec<String>,
    last: String,
    count: usize,
    /// Words since its last comma.
    clause: usize,
    commas: usize,
    /// It began with a question's opening mark.
    asked: bool,
}

/// What stands behind a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Comma,
    Stop,
    Question,
}

/// A main clause comes within so many words.
const OPENING: usize = 11;
/// Words behind a word that may tell whether a sentence ends there.
pub(super) const AHEAD: usize = 3;
/// Words that tell a question.
const FIRST: usize = 5;
/// A sentence of so many words ends at a shorter pause,
const LONG: usize = 16;
/// and one of so many at any that can be heard.
const VERY_LONG: usize = 28;

impl Phrase {
    /// Its last word; empty where it has none.
    pub fn last(&self) -> &str {
        &self.last
    }

    /// Writes the next word: its casing and the mark behind it. `next` are the words after `gap`, [`AHEAD`] at
    /// most; with a gap and no words nothing is said for that long, without a gap it is not known.
    pub fn write(&mut self, style: &Style, word: &str, next: &[&str], gap: Option<Duration>) -> String {
        let rules = style.rules;
        let begins = self.count == 0;
        self.count += 1;
        self.clause += 1;
        word.clone_into(&mut self.last);
        if self.first.len() < FIRST {
            self.first.push(word.to_owned());
        }
        let cased = style.cased(word);
        let mut out = if begins { text::capitalise(&cased) } else { cased };
        if begins && !rules.question_opens.is_empty() {
            let start: Vec<&str> = std::iter::once(word).chain(next.iter().copied()).collect();
            self.asked = rules.asks(&start);
            if self.asked {
                out.insert_str(0, rules.question_opens);
            }
        }
        match gap.map_or(Mark::None, |gap| self.mark(rules, next, gap)) {
            Mark::None => {}
            Mark::Comma => {
                out.push(',');
                self.clause = 0;
                self.commas += 1;
            }
            Mark::Stop => self.end(&mut out, text::full_stop(&style.lang)),
            Mark::Question => self.end(&mut out, "?"),
        }
        out
    }

    fn end(&mut self, out: &mut String, mark: &str) {
        // `3.` and the like are complete.
        if out.ends_with(|c: char| c.is_alphanumeric() || c == '%' || c == '\'') {
            out.push_str(mark);
        }
        *self = Self::default();
    }

    fn mark(&self, rules: &Rules, upcoming: &[&str], gap: Duration) -> Mark {
        let Some(next) = upcoming.first() else {
            return if self.may_end(rules) { self.stop(rules) } else { Mark::None };
        };
        if rules.endings == Endings::Korean {
            return match korean::ending(&self.last) {
                korean::Ending::Sentence if gap >= PAUSES.breath => self.stop(rules),
                korean::Ending::Likely if gap >= PAUSES.clear => self.stop(rules),
                korean::Ending::Clause if gap >= PAUSES.likely && self.clause > 2 => Mark::Comma,
                _ => Mark::None,
            };
        }
        if has(rules.dangling, &self.last) {
            return Mark::None;
        }
        if self.ends_before(rules, next, gap) || gap >= PAUSES.likely && rules.asks(upcoming) && self.count > 2 {
            return self.stop(rules);
        }
        let breath = gap >= PAUSES.breath;
        let main = self.count > 1 && (has_start(rules.starting, next) || has_start(rules.beginning, next));
        let joined = has_start(rules.clauses, next) && (self.clause > 2 || self.clause > 1 && gap >= 2 * PAUSES.breath);
        let comma =
            has_start(rules.always, next) && self.clause > 1 || breath && (joined || self.is_opened(rules) && main);
        if comma { Mark::Comma } else { Mark::None }
    }

    /// A pause as long as this before this word ends the sentence.
    fn ends_before(&self, rules: &Rules, next: &str, gap: Duration) -> bool {
        if has_start(rules.following, next) {
            return gap >= PAUSES.very_long;
        }
        let wanted = match (has_start(rules.starting, next), has_start(rules.beginning, next)) {
            // The main clause is still to come.
            _ if self.is_opened(rules) => PAUSES.long,
            // It may as well join another clause.
            _ if has_start(rules.clauses, next) => PAUSES.clause,
            (true, _) => PAUSES.clear,
            (_, true) => PAUSES.likely,
            _ => PAUSES.long,
        };
        let wanted = match self.count {
            0..3 => PAUSES.long.min(wanted * 2),
            3..LONG => wanted,
            LONG..VERY_LONG => wanted * 3 / 4,
            _ => wanted / 2,
        };
        gap >= wanted
    }

    /// It began with a clause or a phrase that its main clause follows, and that has not come yet.
    fn is_opened(&self, rules: &Rules) -> bool {
        self.commas == 0
            && self.count < OPENING
            && self.first.first().is_some_and(|first| has_start(rules.opening, first))
    }

    /// Silence follows, and it may be the end.
    fn may_end(&self, rules: &Rules) -> bool {
        match rules.endings {
            Endings::Korean => !matches!(korean::ending(&self.last), korean::Ending::Clause | korean::Ending::Particle),
            Endings::None => !has(rules.dangling, &self.last),
        }
    }

    fn stop(&self, rules: &Rules) -> Mark {
        let asks = match rules.endings {
            Endings::Korean => korean::asks(&self.last),
            Endings::None if !rules.question_opens.is_empty() => self.asked,
            Endings::None => rules.asks_behind_lead(&self.first),
        };
        if asks { Mark::Question } else { Mark::Stop }
    }
}
