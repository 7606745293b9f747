//! `amphi evaluate`: figures of texts and of event logs, as tables or as JSON.

mod file;
mod log;
mod record;
mod texts;

use anyhow::Result;

use crate::app::cli::{Evaluate, EvaluateWhat};

/// `amphi evaluate`.
pub(in crate::app) fn run(evaluate: Evaluate) -> Result<()> {
    match (evaluate.what, evaluate.texts) {
        (Some(EvaluateWhat::Log { events, reference_times, offset, language, json }), _) => {
            let truth = reference_times.as_deref().map(|file| (file, offset));
            log::run(&events, truth, language.as_ref(), json)
        }
        (Some(EvaluateWhat::Record { channel, server, language, output }), _) => {
            record::run(&channel, &server, language.as_ref(), &output)
        }
        (None, Some(texts)) => texts::run(&texts),
        (None, None) => anyhow::bail!("give --reference and --hypothesis, or see `amphi evaluate --help`"),
    }
}

/// A figure in the width people compare at: 3.31.
fn figure(value: f64) -> String {
    format!("{value:.2}")
}

/// A share as people say it: 3.3 %.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Rows under a head, in columns as wide as they need.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for (column, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
        widths[column] = widths[column].max(cell.chars().count());
    }
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
