use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::app::{
    cli,
    config::Config,
    models::{Manifest, Model, Options, Quality, Task, fetch, verify},
};

/// `amphi models`.
pub(in crate::app) fn run(config: &Config, command: cli::Models) -> Result<()> {
    let manifest = Manifest::load(&config.models_dir)?;
    match command {
        cli::Models::List { json } => list(config, &manifest, json),
        cli::Models::Fetch { ids, accept_unverified } => {
            let options = Options { models_dir: config.models_dir.clone(), accept_unverified };
            // Every id is looked up before anything is fetched.
            let models = ids.iter().map(|id| manifest.get(id)).collect::<Result<Vec<_>>>()?;
            for model in models {
                fetch(model, &options, &|line| eprintln!("{line}"))?;
            }
            Ok(())
        }
        cli::Models::Verify => {
            let mut broken = 0;
            for model in manifest.models.iter().filter(|model| model.installed(&config.models_dir)) {
                match verify(model, &config.models_dir) {
                    Ok(()) => println!("{:22} good", model.id),
                    Err(error) => {
                        broken += 1;
                        println!("{:22} {error:#}", model.id);
                    }
                }
            }
            ensure!(broken == 0, "{broken} models are damaged");
            Ok(())
        }
    }
}

fn list(config: &Config, manifest: &Manifest, json: bool) -> Result<()> {
    if json {
        let items: Vec<_> = manifest
            .models
            .iter()
            .map(|model| {
                json!({
                    "id": model.id, "task": model.task, "engine": model.engine, "languages": model.languages,
                    "licence": model.licence, "about": model.about, "quality": model.quality, "installed": model.installed(&config.models_dir),
                })
            })
            .collect();
        println!("{}", json!({ "items": items }));
        return Ok(());
    }
    for model in &manifest.models {
        let mark = if model.installed(&config.models_dir) { "installed" } else { "-" };
        println!(
            "{:22} {mark:10} {:8} {:16} {:12} {}",
            model.id,
            model.engine.as_str(),
            languages(model),
            model.licence,
            model.about
        );
        println!("{:22} {}", "", measured(model));
    }
    Ok(())
}

fn measured(model: &Model) -> String {
    if model.quality.is_empty() {
        return "not measured here".into();
    }
    let figure = |quality: &Quality| {
        let file = Path::new(&quality.of).file_name().unwrap_or_default().to_string_lossy();
        let value = match quality.metric.as_str() {
            metric @ ("WER" | "CER") => format!("{metric} {} %", quality.value),
            metric @ "words/s" => format!("{} {metric} a core", quality.value),
            metric => format!("{metric} {}", quality.value),
        };
        format!("{value} of {file}")
    };
    format!("measured: {}", model.quality.iter().map(figure).collect::<Vec<_>>().join(", "))
}

fn languages(model: &Model) -> String {
    if !model.tokens.is_empty() {
        return format!("{} to any other", model.tokens.len());
    }
    let between = if model.task == Task::Translation { "→" } else { "," };
    model.languages.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
