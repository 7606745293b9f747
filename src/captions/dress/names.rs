use std::{fs, io, path::Path, sync::Arc};

use spellbook::Dictionary;

use crate::{captions::text, model::LanguageTag};

/// Which words a language writes with capitals: those that its Hunspell dictionary knows only so, as
/// `Monday`, `Europe`, `DNA`, German nouns. Without a dictionary there are none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Names {
    dictionary: Option<Arc<Dictionary>>,
}

/// Why a dictionary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// Its files cannot be read.
    #[error("{0} cannot be read")]
    Read(String, #[source] io::Error),
    /// They are larger than any dictionary, or in an encoding other than UTF-8 and ISO 8859-1.
    #[error("{0} is no dictionary in UTF-8 or ISO 8859-1 of at most 32 MiB")]
    Encoding(String),
    /// They are not what Hunspell reads.
    #[error("{0} is no Hunspell dictionary: {1}")]
    Format(String, String),
}

/// Larger files are no dictionaries.
const LARGEST: u64 = 32 << 20;
/// Longer words are no names.
const LONGEST: usize = 40;

impl Names {
    /// Those of `lang`, from the first dictionary for it in `folder`; none where it has none.
    /// Takes some 50 to 500 ms.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub fn load(folder: &Path, lang: &LanguageTag) -> Result<Self, NamesError> {
        let Some(path) = find(folder, lang) else { return Ok(Self::default()) };
        let name = path.display().to_string();
        let (affixes, words) = (read(&path.with_extension("aff"))?, read(&path)?);
        let latin = affixes.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"SET ISO8859-1");
        let decode = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(error) if latin => Ok(error.into_bytes().into_iter().map(char::from).collect()),
            Err(_) => Err(NamesError::Encoding(name.clone())),
        };
        let dictionary = Dictionary::new(&decode(affixes)?.replace("SET ISO8859-1", "SET UTF-8"), &decode(words)?)
            .map_err(|error| NamesError::Format(name.clone(), error.to_string()))?;
        Ok(Self { dictionary: Some(Arc::new(dictionary)) })
    }

    /// A lower-case word as it is written within a sentence.
    pub(super) fn cased(&self, word: &str) -> String {
        let Some(dictionary) = &self.dictionary else { return word.into() };
        let plain = word.chars().all(|c| c.is_lowercase() || c == '-');
        if !plain || word.len() > LONGEST || text::chars(word) < 2 || dictionary.check(word) {
            return word.into();
        }
        let capital = text::capitalise(word);
        if dictionary.check(&capital) {
            return capital;
        }
        let all = word.to_uppercase();
        if text::chars(word) <= 5 && dictionary.check(&all) { all } else { word.into() }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("dictionary", &self.dictionary.is_some()).finish_non_exhaustive()
    }
}

/// The dictionary named like the language, or the first in order of those for a country that speaks it.
fn find(folder: &Path, lang: &LanguageTag) -> Option<std::path::PathBuf> {
    let exact = lang.as_str().replace('-', "_");
    let country = format!("{}_", lang.primary());
    let mut found: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "dic"));
    found.sort();
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let named = |name: &str| found.iter().find(|path| stem(path) == name);
    let first = found.iter().find(|path| stem(path).starts_with(&country));
    named(&exact).or_else(|| named(lang.primary())).or(first).cloned()
}

fn read(path: &Path) -> Result<Vec<u8>, NamesError> {
    let name = path.display().to_string();
    let size = fs::metadata(path).map_err(|error| NamesError::Read(name.clone(), error))?.len();
    if size > LARGEST {
        return Err(NamesError::Encoding(name));
    }
    fs::read(path).map_err(|error| NamesError::Read(name, error))
}
