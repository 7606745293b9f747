use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::manifest::{Model, Source};

/// Written last into a model's folder: a sum and a name a line, as `sha256sum -c` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";

/// How a fetch goes about its work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where models lie.
    pub models_dir: PathBuf,
    /// Takes archives whose sum the manifest does not state.
    pub accept_unverified: bool,
}

/// Fetches a model, checks it and lays it out; resumes where an earlier try stopped.
/// `progress` gets lines for people.
///
/// # Errors
/// Says what failed and what to do; nothing half-made is ever taken for a model.
pub fn fetch(model: &Model, options: &Options, progress: &dyn Fn(&str)) -> Result<()> {
    let folder = model.folder(&options.models_dir);
    if model.installed(&options.models_dir) {
        progress(&format!("{}: already here", model.id));
        return Ok(());
    }
    let downloads = options.models_dir.join(".downloads");
    fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    let draft = downloads.join(format!("{}.draft", model.id));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    for source in &model.source {
        let archive =
            obtain(source, &downloads, options, progress).with_context(|| format!("fetching {}", model.id))?;
        progress(&format!("{}: unpacking", model.id));
        unpack(&archive, &source.folder, &draft).with_context(|| format!("unpacking {}", archive.display()))?;
    }
    if let Some(name) = &model.join {
        join(&draft, name)?;
    }
    if let Some(append) = &model.append {
        append_line(&draft.join(&append.file), &append.line)?;
    }
    write_sums(&draft)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&draft, &folder).with_context(|| format!("cannot move the model to {}", folder.display()))?;
    progress(&format!("{}: ready", model.id));
    Ok(())
}

/// Reads an installed model again and compares it with its sums.
///
/// # Errors
/// Names the file that differs, and the command that mends it.
pub fn verify(model: &Model, models_dir: &Path) -> Result<()> {
    let folder = model.folder(models_dir);
    let mend = || format!("remove {} and run `amphi models fetch {}`", folder.display(), model.id);
    let sums = fs::read_to_string(folder.join(SUMS)).with_context(|| format!("{} is not installed", model.id))?;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").with_context(|| format!("{SUMS} is damaged: {}", mend()))?;
        let found = sum_of(&folder.join(name)).with_context(|| format!("{name} cannot be read: {}", mend()))?;
        ensure!(found == sum, "{name} has changed since it was fetched: {}", mend());
    }
    Ok(())
}

fn obtain(source: &Source, downloads: &Path, options: &Options, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let archive = match (&source.pypi, &source.url) {
        (Some(package), _) => from_pypi(package, source, downloads, progress)?,
        (None, Some(url)) => {
            if source.sha256.is_none() && !options.accept_unverified {
                bail!("the manifest states no SHA-256 for {url}: add --accept-unverified if you trust it");
            }
            from_url(url, downloads, progress)?
        }
        (None, None) => bail!("the manifest names no source"),
    };
    let found = sum_of(&archive)?;
    match &source.sha256 {
        Some(sum) if *sum != found => {
            fs::remove_file(&archive)?;
            bail!("the archive's SHA-256 is {found}, the manifest says {sum}: it was not used; try again")
        }
        Some(_) => {}
        None => progress(&format!("SHA-256 of {}: {found}", archive.display())),
    }
    Ok(archive)
}

/// Archives are kept by package, so that two models from one archive fetch it once.
fn from_pypi(package: &str, source: &Source, downloads: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let folder = downloads.join(package);
    let present = || -> Option<PathBuf> {
        let entries = fs::read_dir(&folder).ok()?;
        entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"))
    };
    if let Some(archive) = present() {
        return Ok(archive);
    }
    progress(&format!("fetching {package} from PyPI"));
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest"])
        .arg(&folder)
        .args(&source.pip)
        .arg(package)
        // pip draws its progress bar itself; standard output belongs to the command's result.
        .stdout(io::stderr())
        .status()
        .context("python3 with pip is needed to fetch from PyPI: apt install python3-pip")?;
    ensure!(status.success(), "pip could not fetch {package}: see its message above, check the network, try again");
    present().with_context(|| format!("pip left no wheel in {}", folder.display()))
}

fn from_url(url: &str, downloads: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let name = url.rsplit('/').next().filter(|name| !name.is_empty()).context("the URL names no file")?;
    let (whole, partial) = (downloads.join(name), downloads.join(format!("{name}.partial")));
    if whole.is_file() {
        return Ok(whole);
    }
    let have = fs::metadata(&partial).map_or(0, |meta| meta.len());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let mut response = request.call().with_context(|| format!("cannot fetch {url}: check the network, try again"))?;
    let resumed = response.status() == 206;
    let mut file = OpenOptions::new().create(true).append(resumed).write(true).truncate(!resumed).open(&partial)?;
    let mut done = if resumed { have } else { 0 };
    let total = response.body().content_length().map(|rest| rest + done);
    let mut body = response.body_mut().as_reader();
    let (mut buffer, mut shown) = (vec![0; 1 << 16], 0);
    loop {
        let read =
            body.read(&mut buffer).with_context(|| format!("{url} broke off: run the command again to go on"))?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])?;
        done += read as u64;
        let percent = total.map_or(0, |total| done * 100 / total.max(1));
        if percent >= shown + 5 {
            shown = percent;
            progress(&format!("{name}: {percent} % of {} MB", total.unwrap_or(0) / 1_000_000));
        }
    }
    ensure!(total.is_none_or(|total| done == total), "{url} broke off: run the command again to go on");
    file.sync_all()?;
    fs::rename(&partial, &whole)?;
    Ok(whole)
}

/// Unpacks what lies below `folder` in the archive.
fn unpack(archive: &Path, folder: &str, into: &Path) -> Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(archive)?).context("not a zip archive")?;
    let mut found = false;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index)?;
        let Some(name) = entry.enclosed_name() else { continue };
        let Ok(relative) = name.strip_prefix(folder) else { continue };
        if entry.is_dir() || relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            continue;
        }
        found = true;
        let target = into.join(relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(&target)?)?;
    }
    ensure!(found, "it has no folder {folder}");
    Ok(())
}

/// `NAME.part1`, `NAME.part2`, … become `NAME`.
fn join(folder: &Path, name: &str) -> Result<()> {
    let mut whole = File::create(folder.join(name))?;
    let mut number = 1;
    loop {
        let piece = folder.join(format!("{name}.part{number}"));
        if !piece.exists() {
            break;
        }
        io::copy(&mut File::open(&piece)?, &mut whole)?;
        fs::remove_file(&piece)?;
        number += 1;
    }
    ensure!(number > 1, "no {name}.part1 to join");
    Ok(())
}

fn append_line(file: &Path, line: &str) -> Result<()> {
    let mut text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if !text.lines().any(|present| present.trim() == line) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        fs::write(file, text)?;
    }
    Ok(())
}

fn write_sums(folder: &Path) -> Result<()> {
    let mut sums = String::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            // An archive may bring a list of its own, in whose place this one comes.
            if name == SUMS {
                continue;
            }
            sums.push_str(&format!("{}  {name}\n", sum_of(&path)?));
        }
    }
    let mut file = File::create(folder.join(SUMS))?;
    file.write_all(sums.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn sum_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
