//! Where a phrase ends: a line at most, so that it is final soon, and whole, so that it reads well. Pure.

use std::time::Duration;

use super::text;
use crate::model::{LanguageTag, Word};

/// A silence that ends a phrase.
const PAUSE: Duration = Duration::from_millis(800);
/// A shorter one, which ends a phrase of at least [`SOME`] characters.
const BREATH: Duration = Duration::from_millis(250);
const SOME: usize = 12;
/// The longest phrase,
const LONGEST: Duration = Duration::from_millis(2_200);
/// and the longest one that ends with its sentence: a last word does not stand alone.
pub(super) const CLOSING: Duration = Duration::from_secs(3);
/// A phrase as long as this ends where another may begin.
const ENOUGH: Duration = Duration::from_millis(1_200);
/// One as long as this ends with its clause,
const CLAUSE: Duration = Duration::from_millis(700);
/// and one shorter than this not even with its sentence, unless a silence follows.
const CRUMB: Duration = Duration::from_millis(700);

/// A phrase of `words` ends behind the last of them, whatever follows.
pub(super) fn is_whole(words: &[Word]) -> bool {
    words.last().is_some_and(|last| text::ends_sentence(&last.text)) && spoken(words) >= CRUMB
}

/// A phrase of `words` cannot go on with `next`: a sentence ends between them or a silence is, a line does not hold
/// both, or they take too long.
pub(super) fn must_end(words: &[Word], next: &Word, lang: &LanguageTag) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
    is_whole(words)
        || next.start.since(last.end) >= PAUSE
        || next.end.since(first.start) > CLOSING
        || length(words, lang) + text::chars(&next.text) > text::LINE
}

/// A phrase of `words` had better end before `next`: a clause does, the speaker breathes, or it gets long. Rather
/// than that it ends sooner, in front of a word that leads on (`the height | of a crest`), not behind one.
///
/// It depends on nothing behind `next`, so that a boundary stays where it is when more is heard.
pub(super) fn may_end(words: &[Word], next: &Word, lang: &LanguageTag) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
    let longest = if text::ends_sentence(&next.text) { CLOSING } else { LONGEST };
    next.start.since(last.end) >= BREATH && length(words, lang) >= SOME
        || next.end.since(first.start) > longest
        || spoken(words) >= CLAUSE && text::ends_clause(&last.text)
        || spoken(words) >= ENOUGH && leads(&next.text, lang) && !leads(&last.text, lang)
}

/// Characters of `words` with a joiner behind each.
fn length(words: &[Word], lang: &LanguageTag) -> usize {
    let joiner = text::chars(text::joiner(lang));
    words.iter().map(|word| text::chars(&word.text) + joiner).sum()
}

fn spoken(words: &[Word]) -> Duration {
    words.first().zip(words.last()).map_or(Duration::ZERO, |(first, last)| last.end.since(first.start))
}

/// The word belongs to what follows it, as articles, prepositions, conjunctions and pronouns do.
fn leads(word: &str, lang: &LanguageTag) -> bool {
    let known = match lang.primary() {
        "en" => ENGLISH,
        "fr" => FRENCH,
        "es" => SPANISH,
        "pt" => PORTUGUESE,
        "it" => ITALIAN,
        "de" => GERMAN,
        "nl" => DUTCH,
        _ => "",
    };
    let word = word.to_lowercase().replace('’', "'");
    known.split(' ').any(|known| known == word)
}

const ENGLISH: &str = "a about above after against an and are as at be because before below between but by can could did do does \
    during each every for from had has have he her his how i if in into is it its may might must my no nor not \
    of on or our over shall she should since so some than that the their then there these they this those though \
    through to toward towards under unless until upon was we were what when where whether which while who whose \
    why will with within without would you your i'm it's we'll";
const FRENCH: &str = "a afin ai au aux avec c'est car ce ces cet cette chaque chez comme d'un d'une dans de depuis \
    des donc dont du dès elle elles en entre est et il ils j'ai je jusqu'au jusqu'à jusque l'on la le les leur \
    leurs lorsque ma mais mes mon n'a n'est ne ni nos notre nous on ont or ou où par pendant pour puis puisque \
    qu'elle qu'il qu'on qu'un qu'une quand que qui s'est sa sans se ses si son sont sous sur très tu un une vers \
    vos votre vous à étaient était";
const SPANISH: &str = "a al como con cuando de del desde donde el ella en entre es esta este está hacia han hasta la las le les lo \
    los me mi ni no o para pero por porque que se si sin sobre son su sus también tan un una y ya yo";
const PORTUGUESE: &str = "a ao aos as com como da das de desde do dos e ela ele em entre essa esse esta este está eu foi mas me mesmo \
    muito na nas nem no nos não o onde os ou para pela pelo por porque quando que se sem seu sobre sua são um \
    uma até é à";
const ITALIAN: &str = "a ad ai al alla alle che chi come con cui da dal dalla dei del della delle di dove e ed fra gli i il in io \
    la le lo ma ne nei nel nella non o per perché più quando se senza si sono su sul tra un una è";
const GERMAN: &str = "aber als am an auf aus bei bis da damit das dass dem den denn der des die diese diesem diesen dieser dieses \
    durch ein eine einem einen einer eines er es für gegen hat ich ihr ihre im in indem ins ist jede jeder jedes \
    mit nach nicht ob obwohl oder ohne sehr sein seine sich sie sind sondern um und unser unter vom von vor war \
    weil wenn wie wir wo während zu zum zur zwischen über bevor";
const DUTCH: &str = "aan als bij dat de deze die dit door dus een en er haar had heeft het hij hun ik in is je kan maar met na \
    naar niet of om omdat onder ons op over te tot uit van voor waar wanneer was wat we wij wordt ze zijn";
