use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use crate::{
    app::{
        config::Config,
        models::{Manifest, Task},
        speech,
    },
    media,
};

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    /// Without it `serve` does not work.
    needed: bool,
    good: bool,
    /// What was found, or how to get it.
    detail: String,
}

/// `amphi check`: exit 0 only if `serve` would work.
pub(in crate::app) fn run(config: &Config, json: bool) -> Result<ExitCode> {
    let mut findings = Vec::new();
    gstreamer(config, &mut findings);
    engine(config, &mut findings);
    models(config, &mut findings)?;
    ports(config, &mut findings);
    data(config, &mut findings);
    let good = findings.iter().all(|finding| finding.good || !finding.needed);
    if json {
        println!("{}", serde_json::json!({ "good": good, "items": findings }));
    } else {
        for finding in &findings {
            let mark = match (finding.good, finding.needed) {
                (true, _) => "ok  ",
                (false, true) => "FAIL",
                (false, false) => "note",
            };
            println!("{mark}  {:22} {}", finding.what, finding.detail);
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn gstreamer(config: &Config, findings: &mut Vec<Finding>) {
    let mut add =
        |what: &str, good, detail: String| findings.push(Finding { what: what.into(), needed: true, good, detail });
    if let Err(error) = media::init() {
        add("gstreamer", false, format!("{error}: install GStreamer 1.22 or newer"));
        return;
    }
    let missing = media::check(config.ladder.pipelines_dir.as_deref());
    if missing.is_empty() {
        add("gstreamer", true, "every element is there".into());
    }
    for missing in missing {
        add("gstreamer", false, missing.to_string());
    }
    let encoders: Vec<_> = media::Encoder::available().into_iter().map(media::Encoder::element).collect();
    add(
        "encoders",
        !encoders.is_empty(),
        if encoders.is_empty() { "none: apt install gstreamer1.0-plugins-ugly".into() } else { encoders.join(", ") },
    );
}

fn engine(config: &Config, findings: &mut Vec<Finding>) {
    let (good, detail) = match speech::try_engine(config) {
        Ok(detail) => (true, detail),
        Err(error) => (false, format!("{error:#}")),
    };
    findings.push(Finding { what: "amphi-engine".into(), needed: config.captions.enabled, good, detail });
}

fn models(config: &Config, findings: &mut Vec<Finding>) -> Result<()> {
    let manifest = Manifest::builtin()?;
    let installed: Vec<_> = manifest.models.iter().filter(|model| model.installed(&config.models_dir)).collect();
    let ids: Vec<_> = installed.iter().map(|model| model.id.as_str()).collect();
    let hears = installed.iter().any(|model| model.task == Task::Speech);
    let detail =
        if hears { ids.join(", ") } else { "no speech model: run `amphi models fetch whisper-tiny.en`".into() };
    findings.push(Finding { what: "models".into(), needed: config.captions.enabled, good: hears, detail });
    if config.captions.enabled
        && let Err(error) = manifest.speech(&config.captions.language, &config.captions.models, &config.models_dir)
    {
        findings.push(Finding {
            what: "captions.language".into(),
            needed: false,
            good: false,
            detail: error.to_string(),
        });
    }
    Ok(())
}

fn ports(config: &Config, findings: &mut Vec<Finding>) {
    for (name, listener) in [("http", &config.http), ("rtmp", &config.rtmp)] {
        let Some(address) = listener.listen else { continue };
        let (good, detail) = match TcpListener::bind(address) {
            Ok(_) => (true, format!("{address} is free")),
            Err(error) => (false, format!("{address}: {error}; set {name}.listen, or stop what listens there")),
        };
        findings.push(Finding { what: format!("{name} port"), needed: true, good, detail });
    }
}

fn data(config: &Config, findings: &mut Vec<Finding>) {
    let folder = &config.data_dir;
    let tried = std::fs::create_dir_all(folder).and_then(|()| {
        let probe = folder.join(".probe");
        std::fs::write(&probe, b"")?;
        std::fs::remove_file(&probe)
    });
    let (good, detail) = match tried {
        Ok(()) => (true, folder.display().to_string()),
        Err(error) => (false, format!("{}: {error}; set data_dir", folder.display())),
    };
    findings.push(Finding { what: "data directory".into(), needed: true, good, detail });
}
