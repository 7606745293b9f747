use std::{collections::HashMap, fmt, time::SystemTime};

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use subtle::ConstantTimeEq;

use super::{Error, Result, Secrets, random_text, secrets::mac};
use crate::{
    model::{LanguageTag, StreamName},
    store::{Channel, SealedKey, Store},
    stream::Rank,
};

/// Characters of a key before grouping: 140 random bits.
const CHARACTERS: usize = 28;
/// Keys are read aloud and typed in groups of this many.
const GROUP: usize = 4;
/// Bytes of a ChaCha20-Poly1305 nonce (RFC 8439 §2.8).
const NONCE: usize = 12;

/// A stream key as its owner sees it: `k3vq-…`, seven groups of four, URL-safe.
///
/// Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

/// Keys by channel and rank, each with the seal it was under.
pub(super) type Ring = HashMap<(StreamName, Rank), (Vec<u8>, StreamKey)>;

/// What a new channel starts with.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// Its name in every URL.
    pub name: StreamName,
    /// For people.
    pub title: String,
    /// The language spoken.
    pub language: LanguageTag,
    /// Id of the speech model that hears it; none is the manifest's choice for the language.
    pub model: Option<String>,
    /// Languages to translate captions into.
    pub translate: Vec<LanguageTag>,
    /// Viewers stay far enough behind for captions to be there before their picture.
    pub accurate: bool,
    /// The URL that the server fetches it from.
    pub source: Option<String>,
}

/// Makes, shows and checks stream keys. Cheap to clone.
///
/// A key is kept sealed (ChaCha20-Poly1305, random nonce, bound to the channel's name), so that
/// its owner can see it again, and as a keyed digest, by which it is found.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    secrets: Secrets,
}

impl StreamKey {
    /// The key itself: for its owner's eyes, never for logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn generate() -> Result<Self> {
        let text = random_text(CHARACTERS)?;
        let groups: Vec<_> = text.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
        Ok(Self(groups.join("-")))
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(…)")
    }
}

impl Keys {
    /// Keys of a store, sealed with its directory's secrets.
    pub fn new(store: Store, secrets: Secrets) -> Self {
        Self { store, secrets }
    }

    /// Adds a channel with a new key.
    ///
    /// # Errors
    /// [`Error::Store`] with [`crate::store::Error::Exists`] if the name is taken.
    pub async fn create_channel(&self, new: NewChannel) -> Result<(Channel, StreamKey)> {
        let key = StreamKey::generate()?;
        let channel = Channel {
            key_cipher: self.seal(&bound(&new.name, Rank::Main), key.reveal())?,
            source: new.source.map(|url| self.seal_source(&new.name, &url)).transpose()?,
            key_digest: self.digest(key.reveal()).to_vec(),
            backup: None,
            name: new.name,
            title: new.title,
            language: new.language,
            model: new.model,
            translate: new.translate,
            takeover: false,
            accurate: new.accurate,
            created_at: SystemTime::now(),
        };
        self.store.channels().add(&channel).await?;
        // As kept: to the millisecond.
        let kept = self.store.channels().get(&channel.name).await?;
        Ok((kept.ok_or(Error::UnknownChannel(channel.name))?, key))
    }

    /// The key of a channel, and that of its backup publisher if it has one.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`], or [`Error::Sealed`] if one was sealed for another channel or
    /// with another secret.
    pub async fn reveal(&self, name: &StreamName) -> Result<(StreamKey, Option<StreamKey>)> {
        let channel = self.store.channels().get(name).await?.ok_or_else(|| Error::UnknownChannel(name.clone()))?;
        let main = self.unseal(&channel, Rank::Main, &channel.key_cipher)?;
        let backup = channel.backup.as_ref().map(|key| self.unseal(&channel, Rank::Backup, &key.cipher)).transpose()?;
        Ok((main, backup))
    }

    /// Gives a channel a new key for its main or backup publisher; the old one opens nothing any more.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`].
    pub async fn rotate(&self, name: &StreamName, rank: Rank) -> Result<StreamKey> {
        let key = StreamKey::generate()?;
        let sealed = SealedKey {
            cipher: self.seal(&bound(name, rank), key.reveal())?,
            digest: self.digest(key.reveal()).to_vec(),
        };
        let done = match rank {
            Rank::Main => self.store.channels().set_key(name, &sealed).await,
            Rank::Backup => self.store.channels().set_backup_key(name, Some(&sealed)).await,
        };
        known(name, done).map(|()| key)
    }

    /// Takes a channel's backup key away.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`].
    pub async fn remove_backup(&self, name: &StreamName) -> Result<()> {
        known(name, self.store.channels().set_backup_key(name, None).await)
    }

    /// The channel that a publisher's key opens, the named one or whichever the key belongs to; and which of its
    /// keys it is.
    ///
    /// Case, hyphens and the look-alikes `o`, `i` and `l` do not matter in a key. Comparison takes
    /// constant time.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`] and [`Error::WrongKey`] where the channel is named,
    /// [`Error::UnknownKey`] where it is not.
    pub async fn identify(&self, channel: Option<&StreamName>, key: &str) -> Result<(Channel, Rank)> {
        let digest = self.digest(key);
        let found = match channel {
            Some(name) => self.store.channels().get(name).await?.ok_or_else(|| Error::UnknownChannel(name.clone()))?,
            // The look-up's time depends on the digest alone, which nobody without the secret can steer.
            None => self.store.channels().by_digest(&digest).await?.ok_or(Error::UnknownKey)?,
        };
        let opens = |kept: &[u8]| bool::from(kept.ct_eq(&digest));
        if opens(&found.key_digest) {
            Ok((found, Rank::Main))
        } else if found.backup.as_ref().is_some_and(|key| opens(&key.digest)) {
            Ok((found, Rank::Backup))
        } else {
            Err(Error::WrongKey(found.name))
        }
    }

    /// Every channel's keys, as protocols need them that answer at once. A seal that `known` has open already is not
    /// opened again, and a key that cannot be opened is left out.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(super) async fn ring(&self, known: &Ring) -> Result<Ring> {
        let mut ring = Ring::new();
        for channel in self.store.channels().list().await? {
            let backup = channel.backup.as_ref().map(|key| (Rank::Backup, &key.cipher));
            for (rank, seal) in [(Rank::Main, &channel.key_cipher)].into_iter().chain(backup) {
                let of = (channel.name.clone(), rank);
                let key = match known.get(&of) {
                    Some((known, key)) if known == seal => Some(key.clone()),
                    _ => self.unseal(&channel, rank, seal).ok(),
                };
                ring.extend(key.map(|key| (of, (seal.clone(), key))));
            }
        }
        Ok(ring)
    }

    /// The named channel, if `proof` knows one of its keys; and which.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`], [`Error::WrongKey`], and [`Error::Sealed`] as [`Keys::reveal`].
    pub async fn identify_by_proof(&self, name: &StreamName, proof: impl Fn(&str) -> bool) -> Result<(Channel, Rank)> {
        let found = self.store.channels().get(name).await?.ok_or_else(|| Error::UnknownChannel(name.clone()))?;
        if proof(self.unseal(&found, Rank::Main, &found.key_cipher)?.reveal()) {
            return Ok((found, Rank::Main));
        }
        let backup = found.backup.as_ref().map(|key| self.unseal(&found, Rank::Backup, &key.cipher)).transpose()?;
        match backup {
            Some(key) if proof(key.reveal()) => Ok((found, Rank::Backup)),
            _ => Err(Error::WrongKey(found.name)),
        }
    }

    /// The URL of a channel's source, as it is kept: it may hold a password.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn seal_source(&self, name: &StreamName, url: &str) -> Result<Vec<u8>> {
        self.seal(&format!("source {name}"), url)
    }

    /// The URL that the server fetches a channel from, if it has one.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it was sealed for another channel or with another secret.
    pub fn source(&self, channel: &Channel) -> Result<Option<String>> {
        let sealed = channel.source.as_ref();
        let open = |sealed| self.open(&format!("source {}", channel.name), sealed);
        sealed.map(|sealed| open(sealed).ok_or_else(|| Error::Sealed(channel.name.clone()))).transpose()
    }

    fn digest(&self, key: &str) -> [u8; 32] {
        mac(&self.secrets.derive("amphi stream key digest 1"), canonical(key).as_bytes())
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(Key::from_slice(&self.secrets.derive("amphi stream key seal 1")))
    }

    /// `text`, bound to what it is of.
    fn seal(&self, of: &str, text: &str) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        let payload = Payload { msg: text.as_bytes(), aad: of.as_bytes() };
        let sealed = self.cipher().encrypt(Nonce::from_slice(&nonce), payload);
        let sealed = sealed.expect("a key or URL is far below the cipher's limit");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, of: &str, sealed: &[u8]) -> Option<String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let payload = Payload { msg: sealed, aad: of.as_bytes() };
        String::from_utf8(self.cipher().decrypt(Nonce::from_slice(nonce), payload).ok()?).ok()
    }

    fn unseal(&self, channel: &Channel, rank: Rank, cipher: &[u8]) -> Result<StreamKey> {
        let key = self.open(&bound(&channel.name, rank), cipher);
        key.map(StreamKey).ok_or_else(|| Error::Sealed(channel.name.clone()))
    }
}

/// What a sealed key is bound to. No channel's name has a space.
fn bound(name: &StreamName, rank: Rank) -> String {
    match rank {
        Rank::Main => name.to_string(),
        Rank::Backup => format!("{name} backup"),
    }
}

fn known(name: &StreamName, done: crate::store::Result<()>) -> Result<()> {
    match done {
        Err(crate::store::Error::NotFound(_)) => Err(Error::UnknownChannel(name.clone())),
        other => Ok(other?),
    }
}

/// What a person may have typed, as it was meant. A key longer than any real one is cut: it can
/// only be wrong.
fn canonical(key: &str) -> String {
    let meant = |character: char| match character.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    key.trim().chars().filter(|&character| character != '-').take(CHARACTERS + 1).map(meant).collect()
}
