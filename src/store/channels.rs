use std::time::SystemTime;

use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{Error, Result, failed, join, millis, split, time};
use crate::model::{LanguageTag, StreamName};

/// A channel's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
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
    /// The sealed stream key; `access::Keys` opens it.
    pub key_cipher: Vec<u8>,
    /// Keyed digest of the stream key; unique.
    pub key_digest: Vec<u8>,
    /// The key of a second publisher that stands by, if the channel has one.
    pub backup: Option<SealedKey>,
    /// A second publisher replaces the first.
    pub takeover: bool,
    /// Viewers stay far enough behind for captions to be there before their picture (`accurate`), or as
    /// near as they can (`fast`).
    pub accurate: bool,
    /// The sealed URL that the server fetches it from; `access::Keys` opens it.
    pub source: Option<Vec<u8>>,
    /// When it was made, to the millisecond.
    pub created_at: SystemTime,
}

/// A stream key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The sealed key; `access::Keys` opens it.
    pub cipher: Vec<u8>,
    /// Its keyed digest; unique among the keys of its kind.
    pub digest: Vec<u8>,
}

/// The table of channels.
#[derive(Debug)]
pub struct Channels<'a> {
    pub(super) pool: &'a SqlitePool,
}

impl Channels<'_> {
    /// Adds a channel.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is taken.
    pub async fn add(&self, channel: &Channel) -> Result<()> {
        let added = sqlx::query(
            "INSERT INTO channels
             (name, title, language, model, translate, key_cipher, key_digest, takeover, mode, source, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(channel.name.as_str())
        .bind(&channel.title)
        .bind(channel.language.as_str())
        .bind(&channel.model)
        .bind(join(&channel.translate))
        .bind(&channel.key_cipher)
        .bind(&channel.key_digest)
        .bind(channel.takeover)
        .bind(if channel.accurate { "accurate" } else { "fast" })
        .bind(&channel.source)
        .bind(millis(channel.created_at))
        .execute(self.pool)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::Exists(format!("channel {}", channel.name)))
            }
            other => other.map(drop).map_err(failed("add a channel")),
        }
    }

    /// Every channel, by name.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn list(&self) -> Result<Vec<Channel>> {
        sqlx::query("SELECT * FROM channels ORDER BY name")
            .fetch_all(self.pool)
            .await
            .map_err(failed("list channels"))?
            .iter()
            .map(read)
            .collect()
    }

    /// One channel.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn get(&self, name: &StreamName) -> Result<Option<Channel>> {
        let row = sqlx::query("SELECT * FROM channels WHERE name = ?").bind(name.as_str()).fetch_optional(self.pool);
        row.await.map_err(failed("read a channel"))?.as_ref().map(read).transpose()
    }

    /// The channel one of whose keys has this digest.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn by_digest(&self, digest: &[u8]) -> Result<Option<Channel>> {
        let row = sqlx::query("SELECT * FROM channels WHERE key_digest = ?1 OR backup_digest = ?1");
        let row = row.bind(digest).fetch_optional(self.pool).await;
        row.map_err(failed("look up a stream key"))?.as_ref().map(read).transpose()
    }

    /// Replaces title, languages, model, takeover, caption mode and source; name, key and age stay.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update(&self, channel: &Channel) -> Result<()> {
        let done = sqlx::query(
            "UPDATE channels SET title = ?, language = ?, model = ?, translate = ?, takeover = ?, mode = ?,
             source = ? WHERE name = ?",
        )
        .bind(&channel.title)
        .bind(channel.language.as_str())
        .bind(&channel.model)
        .bind(join(&channel.translate))
        .bind(channel.takeover)
        .bind(if channel.accurate { "accurate" } else { "fast" })
        .bind(&channel.source)
        .bind(channel.name.as_str())
        .execute(self.pool)
        .await
        .map_err(failed("change a channel"))?;
        found(done.rows_affected(), &channel.name)
    }

    /// Gives a channel another key.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_key(&self, name: &StreamName, key: &SealedKey) -> Result<()> {
        let done = sqlx::query("UPDATE channels SET key_cipher = ?, key_digest = ? WHERE name = ?")
            .bind(&key.cipher)
            .bind(&key.digest)
            .bind(name.as_str())
            .execute(self.pool)
            .await
            .map_err(failed("change a stream key"))?;
        found(done.rows_affected(), name)
    }

    /// Gives a channel a backup key, or takes it away.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_backup_key(&self, name: &StreamName, key: Option<&SealedKey>) -> Result<()> {
        let done = sqlx::query("UPDATE channels SET backup_cipher = ?, backup_digest = ? WHERE name = ?")
            .bind(key.map(|key| &key.cipher))
            .bind(key.map(|key| &key.digest))
            .bind(name.as_str())
            .execute(self.pool)
            .await
            .map_err(failed("change a backup key"))?;
        found(done.rows_affected(), name)
    }

    /// Removes a channel. Its recordings stay.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove(&self, name: &StreamName) -> Result<()> {
        let done = sqlx::query("DELETE FROM channels WHERE name = ?").bind(name.as_str()).execute(self.pool).await;
        found(done.map_err(failed("remove a channel"))?.rows_affected(), name)
    }
}

fn found(rows: u64, name: &StreamName) -> Result<()> {
    if rows == 0 { Err(Error::NotFound(format!("channel {name}"))) } else { Ok(()) }
}

fn read(row: &SqliteRow) -> Result<Channel> {
    let columns = || -> std::result::Result<_, sqlx::Error> {
        Ok(Channel {
            name: StreamName::parse(row.try_get("name")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
            title: row.try_get("title")?,
            language: LanguageTag::parse(row.try_get("language")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
            model: row.try_get("model")?,
            translate: split(row.try_get("translate")?).ok_or_else(|| sqlx::Error::Decode("translate".into()))?,
            key_cipher: row.try_get("key_cipher")?,
            key_digest: row.try_get("key_digest")?,
            backup: match (row.try_get("backup_cipher")?, row.try_get("backup_digest")?) {
                (Some(cipher), Some(digest)) => Some(SealedKey { cipher, digest }),
                _ => None,
            },
            takeover: row.try_get("takeover")?,
            accurate: row.try_get::<&str, _>("mode")? == "accurate",
            source: row.try_get("source")?,
            created_at: time(row.try_get("created_at")?),
        })
    };
    columns().map_err(|error| {
        tracing::error!(%error, "a channel's row cannot be read");
        Error::Broken("channel")
    })
}
