use std::time::Duration;

use super::text;
use crate::model::{Cue, Source};

/// The longest caption.
const LONGEST: Duration = Duration::from_secs(6);
/// Phrases with a longer silence between them stay apart.
const PAUSE: Duration = Duration::from_millis(800);

/// The cues of one track as they read well when all of them are known: the phrases of a sentence in captions of at
/// most two lines of 42 characters and six seconds, each with the id of its first phrase. What people corrected stays
/// by itself, under the id they know it by. In order of time; joining again changes nothing.
pub fn join<'a>(cues: impl IntoIterator<Item = &'a Cue>) -> Vec<Cue> {
    let mut cues: Vec<&Cue> = cues.into_iter().filter(|cue| !cue.text.trim().is_empty()).collect();
    cues.sort_by_key(|cue| (cue.start, cue.id));
    let mut out = Vec::new();
    let mut rest = cues.as_slice();
    while !rest.is_empty() {
        let count = caption(rest);
        let (caption, behind) = rest.split_at(balanced(count, rest));
        out.extend(whole(caption));
        rest = behind;
    }
    out
}

/// How many of the first phrases make a caption.
fn caption(cues: &[&Cue]) -> usize {
    (1..cues.len())
        .find(|count| !continues(cues[count - 1], cues[*count]) || !fits(&cues[..=*count]))
        .unwrap_or(cues.len())
}

/// As many, or one less if the sentence's end would otherwise stand alone.
fn balanced(count: usize, cues: &[&Cue]) -> usize {
    let [.., before, last] = &cues[..count] else { return count };
    let Some(crumb) = cues.get(count) else { return count };
    let alone =
        text::chars(&crumb.text) < text::LINE / 2 && cues.get(count + 1).is_none_or(|next| !continues(crumb, next));
    let moves = alone && continues(before, last) && continues(last, crumb) && fits(&[*last, *crumb]);
    if moves { count - 1 } else { count }
}

/// `next` goes on with the sentence of `cue`.
fn continues(cue: &Cue, next: &Cue) -> bool {
    let people = [cue.source, next.source].contains(&Source::Human);
    let said = |cue: &Cue| cue.words.last().map_or(cue.end, |word| word.end);
    !people && !text::ends_sentence(cue.text.trim_end()) && next.start.since(said(cue)) < PAUSE
}

/// A caption holds these phrases.
fn fits(cues: &[&Cue]) -> bool {
    let (Some(first), Some(last)) = (cues.first(), cues.last()) else { return true };
    last.end.since(first.start) <= LONGEST && text::fits(&joined(cues), &first.lang)
}

fn joined(cues: &[&Cue]) -> String {
    let texts: Vec<&str> = cues.iter().map(|cue| cue.text.trim()).collect();
    texts.join(cues.first().map_or("", |first| text::joiner(&first.lang)))
}

fn whole(cues: &[&Cue]) -> Option<Cue> {
    let (first, last) = (cues.first()?, cues.last()?);
    let text = joined(cues);
    Some(Cue {
        start: first.start,
        end: last.end.max(first.end),
        stable_len: if cues.len() == 1 { first.stable_len } else { text::chars(&text) },
        words: cues.iter().flat_map(|cue| cue.words.iter().cloned()).collect(),
        text,
        ..Cue::clone(first)
    })
}
