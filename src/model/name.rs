use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {given:?}: use {rule}")]
pub struct InvalidName {
    what: &'static str,
    given: String,
    rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        // A refused name may be 64 KB of anything; the message carries only its beginning.
        Self { what, given: given.chars().take(40).collect(), rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] says the rule.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidName::new($what, text, $rule)) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

name!(
    /// A channel's name: 1–64 characters of `a-z 0-9 - _`, the first a letter or digit.
    /// Safe as a path component, a URL segment and a metric label.
    StreamName,
    "channel name",
    "1 to 64 characters of a-z, 0-9, - and _, beginning with a letter or digit",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && text.as_bytes()[0].is_ascii_alphanumeric()
    }
);

name!(
    /// One rendition of a live or recording: `source`, `480p`, `audio`, `captions-en`.
    RenditionId,
    "rendition",
    "1 to 48 characters of A-Z, a-z, 0-9 and -, beginning with a letter or digit",
    |text| {
        (1..=48).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && text.as_bytes()[0].is_ascii_alphanumeric()
    }
);

name!(
    /// A BCP 47 language tag, as far as captions use it: `en`, `pt-BR`, `zh-Hant` (RFC 5646 §2.1).
    LanguageTag,
    "language",
    "a BCP 47 tag such as en, fr or pt-BR",
    |text| {
        let mut subtags = text.split('-');
        text.len() <= 35
            && subtags.next().is_some_and(|s| (2..=3).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase()))
            && subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
    }
);

impl RenditionId {
    /// The video as the publisher sends it.
    pub fn source() -> Self {
        Self("source".into())
    }

    /// The audio rendition.
    pub fn audio() -> Self {
        Self("audio".into())
    }

    /// The `nth` audio rendition: [`Self::audio`] for 0, then `audio-2`, `audio-3`, …
    pub fn sound(nth: u8) -> Self {
        if nth == 0 { Self::audio() } else { Self(format!("audio-{}", u16::from(nth) + 1).into()) }
    }

    /// A ladder rung of so many lines, `480p`.
    pub fn rung(height: u32) -> Self {
        Self(format!("{height}p").into())
    }

    /// The caption track of a language.
    pub fn captions(language: &LanguageTag) -> Self {
        Self(format!("captions-{language}").into())
    }
}

impl LanguageTag {
    /// The primary subtag: `pt` of `pt-BR`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_pass_for_names() {
        for bad in ["", "..", "../x", "a/b", "a\0", "a\nb", "%2e%2e", "A", "-a", &"a".repeat(65)] {
            assert!(StreamName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(StreamName::parse("maths-101_b").unwrap().as_str(), "maths-101_b");
    }

    #[test]
    fn a_refusal_stays_short() {
        let message = StreamName::parse(&"../".repeat(20_000)).unwrap_err().to_string();
        assert!(message.len() < 300, "{message}");
    }

    #[test]
    fn language_tags() {
        for good in ["en", "pt-BR", "zh-Hant-TW", "kab"] {
            assert!(LanguageTag::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "e", "EN", "en-", "en--x", "en_US", "../"] {
            assert!(LanguageTag::parse(bad).is_err(), "{bad}");
        }
    }
}
