use std::{fs, io, net::TcpListener, path::Path, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use crate::{
    access::Secrets,
    app::{
        cli,
        config::Config,
        models::{Manifest, Task},
        speech,
    },
    egress, media,
    model::Chain,
    store::Store,
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
    match media::Templates::load(config.ladder.pipelines_dir.as_deref()) {
        Ok(_) => add("gstreamer", true, "every element is there".into()),
        Err(media::Error::Missing(missing)) => missing.iter().for_each(|m| add("gstreamer", false, m.to_string())),
        Err(error) => add("pipelines", false, Chain(&error).to_string()),
    }
    if config.rtsp.listen.is_some() {
        let missing = egress::rtsp::check().err().map(|error| Chain(&error).to_string());
        add("rtsp readers", missing.is_none(), missing.unwrap_or_else(|| "every element is there".into()));
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
    let manifest = Manifest::load(&config.models_dir)?;
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
    for (name, listener) in [("http", &config.http), ("rtmp", &config.rtmp), ("rtsp", &config.rtsp)] {
        let Some(address) = listener.listen else {
            if name == "http" {
                let detail = "http.listen is empty: without it nobody can watch".into();
                findings.push(Finding { what: "http port".into(), needed: true, good: false, detail });
            }
            continue;
        };
        let (good, detail) = match TcpListener::bind(address) {
            Ok(_) => (true, format!("{address} is free")),
            Err(error) => (false, format!("{address}: {error}; set {name}.listen, or stop what listens there")),
        };
        findings.push(Finding { what: format!("{name} port"), needed: true, good, detail });
    }
}

/// The data directory is made by `serve`, not by looking.
fn data(config: &Config, findings: &mut Vec<Finding>) {
    let folder = &config.data_dir;
    let mut add = |what: &str, problem: Option<String>| {
        let good = problem.is_none();
        let detail = problem.unwrap_or_else(|| folder.display().to_string());
        findings.push(Finding { what: what.into(), needed: true, good, detail });
    };
    let writable = writable(folder);
    add("data directory", writable.err().map(|error| format!("{}: {error}; set data_dir", folder.display())));
    if !folder.exists() {
        return;
    }
    let database = cli::block_on(async { Ok(Store::check(folder).await?) });
    let advice = "put back a backup, or run the version that made it";
    add("database", database.err().map(|error| format!("{error:#}: {advice}")));
    add("secrets", Secrets::check(folder).err().map(|error| Chain(&error).to_string()));
}

/// Whether files can be made in a folder, or in what it would be made in.
fn writable(folder: &Path) -> io::Result<()> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let probe = there.join(format!(".amphi-check-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}
