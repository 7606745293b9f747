use std::time::Duration;

use super::tables;
use crate::model::LanguageTag;

/// What a language's sentences look like, as lists of lower-case words with spaces between them.
#[derive(Debug)]
pub(super) struct Rules {
    /// Behind these neither a sentence nor a clause ends: articles, prepositions, conjunctions.
    pub dangling: &'static str,
    /// Before these no sentence begins after a pause that is not long: they go on with one.
    pub following: &'static str,
    /// Many sentences begin with these, and few phrases within one.
    pub starting: &'static str,
    /// Sentences begin with these as well as phrases do: articles, some pronouns.
    pub beginning: &'static str,
    /// A comma stands before these where the speaker takes a breath.
    pub clauses: &'static str,
    /// A comma stands before these wherever they stand, unless behind a dangling word.
    pub always: &'static str,
    /// A sentence that begins with these has a comma before its main clause.
    pub opening: &'static str,
    /// They may stand before a question word: `so`, `and`.
    pub lead: &'static str,
    /// Sentences that begin so are questions.
    pub questions: &'static [Question],
    /// How sentences end tells more than how they begin.
    pub endings: Endings,
    /// A question begins with this mark.
    pub question_opens: &'static str,
}

/// Words at the beginning of a question, each from one of these lists; of a list behind `!` none of them, and
/// `*` is any word.
pub(super) type Question = &'static [&'static str];

/// What else tells the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endings {
    /// Nothing does.
    None,
    /// The verb's ending does.
    Korean,
}

/// How long the pauses are that rules ask for, in milliseconds.
#[derive(Debug)]
pub(super) struct Pauses {
    /// Before a word that clearly begins a sentence.
    pub clear: Duration,
    /// Before a word that may.
    pub likely: Duration,
    /// Before a word that may join a clause.
    pub clause: Duration,
    /// Before any word that does not clearly go on.
    pub long: Duration,
    /// Before every word.
    pub very_long: Duration,
    /// A breath.
    pub breath: Duration,
}

/// Pauses between and within sentences overlap: sentences have 0.4 s and more in read speech, and so
/// have hesitations in free speech, but these stand before content words and behind function words.
pub(super) const PAUSES: Pauses = Pauses {
    clear: Duration::from_millis(300),
    likely: Duration::from_millis(400),
    clause: Duration::from_millis(500),
    long: Duration::from_millis(600),
    very_long: Duration::from_millis(1_500),
    breath: Duration::from_millis(120),
};

impl Rules {
    /// Those of a language; of one without rules, those that hold anywhere.
    pub fn of(lang: &LanguageTag) -> &'static Self {
        match lang.primary() {
            "en" => &tables::ENGLISH,
            "fr" => &tables::FRENCH,
            "de" => &tables::GERMAN,
            "es" => &tables::SPANISH,
            "pt" => &tables::PORTUGUESE,
            "it" => &tables::ITALIAN,
            "nl" => &tables::DUTCH,
            "ko" => &tables::KOREAN,
            _ => &tables::OTHER,
        }
    }

    /// A sentence that begins with `words` is a question.
    pub fn asks<W: AsRef<str>>(&self, words: &[W]) -> bool {
        let matches = |question: &&Question| {
            words.len() >= question.len()
                && question.iter().zip(words).all(|(list, word)| match list.strip_prefix('!') {
                    Some(others) => !has(others, word.as_ref()),
                    None => *list == "*" || has(list, word.as_ref()),
                })
        };
        self.questions.iter().any(|question| matches(&question))
    }

    /// It is, or would be without what leads up to the question.
    pub fn asks_behind_lead<W: AsRef<str>>(&self, words: &[W]) -> bool {
        let lead = words.iter().take_while(|word| has(self.lead, word.as_ref())).count();
        self.asks(&words[lead..])
    }
}

/// The list has the word.
pub(super) fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

/// The list has the word, or what stands before its apostrophe: `l'`, `d'`.
pub(super) fn has_start(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word || known.ends_with('\'') && word.starts_with(known))
}
