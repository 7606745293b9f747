use std::{collections::HashMap, hash::Hash};

/// One step of an alignment, in the order of both texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The same in both.
    Equal,
    /// One for another.
    Substitute,
    /// In the reference alone.
    Delete,
    /// In the hypothesis alone.
    Insert,
}

/// The texts are too long and too different to be aligned in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} units against {1} are too many for texts so different: compare them line by line, or in shorter files")]
pub struct TooLong(pub usize, pub usize);

/// Cells of the matrix, two bits each: half a gibibyte. Texts of 46,000 words fit whatever they say, longer
/// ones as long as they are alike.
const CELLS: u64 = 1 << 31;
/// Differences that are looked for at first.
const BAND: usize = 64;
/// Larger than any distance, and addable.
const FAR: u32 = u32::MAX / 2;

/// The shortest way from `reference` to `hypothesis` (Levenshtein 1966): as few substitutions, deletions and
/// insertions as possible.
///
/// Among equally short ways it takes rapidfuzz's, which jiwer counts: from the end backwards a deletion where
/// one is possible, then an insertion where it saves something, else both move on. (rapidfuzz itself may choose
/// otherwise in texts beyond some 2,000 units, which it divides.) Computes only as wide a band around the
/// diagonal as the distance needs (Ukkonen 1985): O(length × distance).
///
/// # Errors
/// [`TooLong`]
pub fn align<T: Eq + Hash>(reference: &[T], hypothesis: &[T]) -> Result<Vec<Step>, TooLong> {
    let head = reference.iter().zip(hypothesis).take_while(|(r, h)| r == h).count();
    let (r, h) = (&reference[head..], &hypothesis[head..]);
    let tail = r.iter().rev().zip(h.iter().rev()).take_while(|(r, h)| r == h).count();
    let (r, h) = (&r[..r.len() - tail], &h[..h.len() - tail]);
    let mut steps = vec![Step::Equal; head];
    let mut band = least(r, h).max(BAND);
    loop {
        if let Some(found) = within(r, h, band)? {
            steps.extend(found);
            break;
        }
        band *= 2;
    }
    steps.resize(steps.len() + tail, Step::Equal);
    Ok(steps)
}

/// A distance that no alignment undercuts, whatever the order: of units that the other text has not, or not as often.
fn least<T: Eq + Hash>(reference: &[T], hypothesis: &[T]) -> usize {
    let mut counts: HashMap<&T, usize> = HashMap::new();
    for unit in reference {
        *counts.entry(unit).or_default() += 1;
    }
    let shared = hypothesis.iter().filter(|unit| match counts.get_mut(unit) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    });
    reference.len().max(hypothesis.len()) - shared.count()
}

/// The alignment, if its distance is at most `band`.
fn within<T: Eq>(reference: &[T], hypothesis: &[T], band: usize) -> Result<Option<Vec<Step>>, TooLong> {
    let (rows, columns) = (reference.len(), hypothesis.len());
    let width = (columns + 1).min(2 * band + 1);
    if (rows as u64 + 1) * width as u64 > CELLS {
        return Err(TooLong(rows, columns));
    }
    let mut choices = Choices::new((rows + 1) * width);
    let mut above: Vec<u32> = (0..=columns).map(|column| if column <= band { column as u32 } else { FAR }).collect();
    let mut row = vec![FAR; columns + 1];
    for i in 1..=rows {
        let (first, last) = (i.saturating_sub(band), columns.min(i + band));
        if first > 0 {
            row[first - 1] = FAR;
        }
        for j in first..=last {
            if j == 0 {
                row[0] = i as u32;
                continue;
            }
            let same = reference[i - 1] == hypothesis[j - 1];
            let (up, left, diagonal) = (above[j], row[j - 1], above[j - 1]);
            let distance = (diagonal + u32::from(!same)).min(up + 1).min(left + 1);
            row[j] = distance;
            let choice = if up + 1 == distance {
                Step::Delete
            } else if left + 1 == diagonal {
                Step::Insert
            } else if same {
                Step::Equal
            } else {
                Step::Substitute
            };
            choices.set(i * width + j - first, choice);
        }
        if last < columns {
            row[last + 1] = FAR;
        }
        std::mem::swap(&mut above, &mut row);
    }
    if above[columns] as usize > band {
        return Ok(None);
    }
    let (mut i, mut j) = (rows, columns);
    let mut steps = Vec::with_capacity(rows.max(columns));
    while i > 0 || j > 0 {
        let step = match (i, j) {
            (0, _) => Step::Insert,
            (_, 0) => Step::Delete,
            _ => choices.get(i * width + j - i.saturating_sub(band)),
        };
        i -= usize::from(step != Step::Insert);
        j -= usize::from(step != Step::Delete);
        steps.push(step);
    }
    steps.reverse();
    Ok(Some(steps))
}

/// Steps in two bits each.
struct Choices(Vec<u8>);

impl Choices {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(4)])
    }

    /// Each cell is set once.
    fn set(&mut self, at: usize, step: Step) {
        self.0[at / 4] |= (step as u8) << (at % 4 * 2);
    }

    fn get(&self, at: usize) -> Step {
        match self.0[at / 4] >> (at % 4 * 2) & 3 {
            0 => Step::Equal,
            1 => Step::Substitute,
            2 => Step::Delete,
            _ => Step::Insert,
        }
    }
}
