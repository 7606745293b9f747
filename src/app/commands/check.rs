use std::{
    fs, io,
    net::{TcpListener, UdpSocket},
    path::Path,
    process::ExitCode,
};

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
    egress,
    ingest::srt,
    media,
    model::Chain,
    store::Store,
    tls::Certificate,
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
    certificate(config, &mut findings);
    ports(config, &mut findings);
    findings.push(Finding { what: "libsrt".into(), needed: true, good: true, detail: srt::version() });
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
    if let Err(error) = media::init() {
        findings.push(needed("gstreamer", false, format!("{error}: install GStreamer 1.22 or newer")));
        return;
    }
    match media::Templates::load(config.ladder.pipelines_dir.as_deref()) {
        Ok(templates) => {
            findings.push(needed("gstreamer", true, "every element is there".into()));
            findings.push(decoders(&templates));
        }
        Err(media::Error::Missing(missing)) => {
            findings.extend(missing.iter().map(|missing| needed("gstreamer", false, missing.to_string())));
        }
        Err(error) => findings.push(needed("pipelines", false, Chain(&error).to_string())),
    }
    if config.rtsp.listen.is_some() {
        let missing = egress::rtsp::check().err().map(|error| Chain(&error).to_string());
        let good = missing.is_none();
        findings.push(needed("rtsp readers", good, missing.unwrap_or_else(|| "every element is there".into())));
    }
    let encoders: Vec<_> = media::Encoder::available().into_iter().map(media::Encoder::element).collect();
    let (good, detail) = match &encoders[..] {
        [] => (false, "none: apt install gstreamer1.0-plugins-ugly".into()),
        encoders => (true, encoders.join(", ")),
    };
    findings.push(needed("encoders", good, detail));
}

fn needed(what: &str, good: bool, detail: String) -> Finding {
    Finding { what: what.into(), needed: true, good, detail }
}

/// Codecs that publishers may send and that smaller renditions can be made of.
fn decoders(templates: &media::Templates) -> Finding {
    let missing: Vec<_> = templates.undecodable().iter().map(|codec| codec.name()).collect();
    let detail = match &missing[..] {
        [] => "H.264, H.265, AV1".into(),
        missing => format!(
            "{} without smaller renditions: apt install gstreamer1.0-libav gstreamer1.0-plugins-bad",
            missing.join(" and ")
        ),
    };
    Finding { what: "decoders".into(), needed: false, good: missing.is_empty(), detail }
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

fn certificate(config: &Config, findings: &mut Vec<Finding>) {
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else { return };
    let (good, detail) = match Certificate::load(certificate, key) {
        Ok(_) => (true, certificate.display().to_string()),
        Err(error) => (false, format!("{}; set tls.certificate and tls.key", Chain(&error))),
    };
    findings.push(needed("certificate", good, detail));
}

fn ports(config: &Config, findings: &mut Vec<Finding>) {
    let secure = |address| if config.tls.certificate.is_some() { address } else { None };
    for (name, key, address) in [
        ("http", "http.listen", config.http.listen),
        ("https", "http.tls_listen", secure(config.http.tls_listen)),
        ("rtmp", "rtmp.listen", config.rtmp.listen),
        ("rtmps", "rtmp.tls_listen", secure(config.rtmp.tls_listen)),
        ("webrtc", "webrtc.listen", config.webrtc.listen),
        ("srt", "srt.listen", config.srt.listen),
        ("rtsp", "rtsp.listen", config.rtsp.listen),
    ] {
        let Some(address) = address else {
            if name == "http" {
                let detail = "http.listen is empty: without it nobody can watch".into();
                findings.push(Finding { what: "http port".into(), needed: true, good: false, detail });
            }
            continue;
        };
        let udp = || UdpSocket::bind(address).map(drop);
        let tcp = || TcpListener::bind(address).map(drop);
        let bound = match name {
            // It listens on both.
            "webrtc" => udp().and_then(|()| tcp()),
            "srt" => udp(),
            _ => tcp(),
        };
        let (good, detail) = match bound {
            Ok(()) => (true, format!("{address} is free")),
            Err(error) => (false, format!("{address}: {error}; set {key}, or stop what listens there")),
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
