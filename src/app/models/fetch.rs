mod download;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::{manifest::Model, source::Source};

/// Written last into a model's folder: a sum and a name a line, as `sha256sum -c` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";

/// How a fetch goes about its work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where models lie.
    pub models_dir: PathBuf,
    /// Takes files whose sum the manifest does not state.
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
    ensure!(!model.source.is_empty(), "the manifest names no source for {}", model.id);
    let limits = if model.is_non_commercial() { ", which allows no commercial use" } else { "" };
    progress(&format!("{}: licence {}{limits}", model.id, model.licence));
    let downloads = options.models_dir.join(".downloads");
    fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    let draft = downloads.join(format!("{}.draft", model.id));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    let job = Job { id: &model.id, downloads: &downloads, options, progress };
    let obtained = job.obtain(&model.source).with_context(|| format!("fetching {}", model.id))?;
    for (source, found) in model.source.iter().zip(&obtained) {
        job.lay_out(source, found, &draft)?;
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
    for (source, found) in model.source.iter().zip(&obtained) {
        // Packages are there for other models as well.
        if source.pypi.is_none() {
            // Only room is lost where that fails.
            found.iter().for_each(|file| drop(fs::remove_file(file)));
        }
    }
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

/// One model's fetch.
struct Job<'a> {
    id: &'a str,
    downloads: &'a Path,
    options: &'a Options,
    progress: &'a dyn Fn(&str),
}

impl Job<'_> {
    /// Downloads and checks what sources are made of: their archive, or each of their files. Nothing is downloaded
    /// before all of it may be.
    fn obtain(&self, sources: &[Source]) -> Result<Vec<Vec<PathBuf>>> {
        let plan = sources.iter().map(Source::downloads).collect::<Result<Vec<_>>>()?;
        for (url, sum) in plan.iter().flatten() {
            ensure!(
                sum.is_some() || self.options.accept_unverified,
                "the manifest states no SHA-256 for {url}: add --accept-unverified if you trust it"
            );
        }
        let obtain = |(source, files): (&Source, Vec<(String, Option<&str>)>)| match &source.pypi {
            Some(package) => self.package(package, source).map(|archive| vec![archive]),
            None => files.iter().map(|(url, sum)| self.download(url, *sum)).collect(),
        };
        sources.iter().zip(plan).map(obtain).collect()
    }

    fn package(&self, package: &str, source: &Source) -> Result<PathBuf> {
        let archive = from_pypi(package, source, self.downloads, self.progress)?;
        self.check(&archive, source.sha256.as_deref(), package)?;
        Ok(archive)
    }

    /// Keeps a download by model and URL until the model is laid out: many files are called `model.bin`.
    fn download(&self, url: &str, sum: Option<&str>) -> Result<PathBuf> {
        let kept = self.downloads.join(format!("{}-{}", self.id, &hex(&Sha256::digest(url))[..16]));
        download::from_url(url, &kept, &|line| (self.progress)(&format!("{}: {line}", self.id)))?;
        self.check(&kept, sum, url)?;
        Ok(kept)
    }

    fn check(&self, file: &Path, sum: Option<&str>, what: &str) -> Result<()> {
        let found = sum_of(file)?;
        match sum {
            Some(sum) if sum != found => {
                fs::remove_file(file)?;
                bail!("the SHA-256 of {what} is {found}, the manifest says {sum}: it was not used; try again")
            }
            Some(_) => {}
            None => (self.progress)(&format!("SHA-256 of {what}: {found}")),
        }
        Ok(())
    }

    /// Puts into the draft what was obtained of a source.
    fn lay_out(&self, source: &Source, obtained: &[PathBuf], draft: &Path) -> Result<()> {
        if let (Some(folder), [archive]) = (&source.folder, obtained) {
            (self.progress)(&format!("{}: unpacking", self.id));
            return unpack(archive, folder, draft).with_context(|| format!("unpacking {}", archive.display()));
        }
        for (file, from) in source.files.iter().zip(obtained) {
            let target = draft.join(&file.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            // Not every file system has links.
            fs::hard_link(from, &target)
                .or_else(|_| fs::copy(from, &target).map(drop))
                .with_context(|| format!("cannot make {}", target.display()))?;
        }
        Ok(())
    }
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
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
