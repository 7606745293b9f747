use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{Error, Result, failed, join, millis, split, time};
use crate::model::{Estimate, LanguageTag, StreamName};

/// Names a recording: 20 characters of `0-9 a-z` without `i l o u`, 100 random bits, so that its
/// URL cannot be guessed. Safe as a path component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordingId(String);

/// Not the form of a recording's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a recording: an id has 20 letters and digits")]
pub struct InvalidRecordingId;

/// Where a recording is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingState {
    /// The live is on, or the server died while it was.
    Recording,
    /// The live is over; playlists are being made.
    Processing,
    /// It plays. A reason says what is missing, if something is.
    Ready,
    /// It does not play; the reason says why.
    Failed,
}

/// What the list of recordings shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Names it.
    pub id: RecordingId,
    /// The channel it was made of, which may be gone.
    pub channel: StreamName,
    /// For people.
    pub title: String,
    /// Where it is in its life.
    pub state: RecordingState,
    /// Wall clock of the live's first packet, to the millisecond.
    pub started_at: SystemTime,
    /// Playing time, once ready, to the millisecond.
    pub duration: Option<Duration>,
    /// Why it failed, or what it lacks.
    pub reason: Option<String>,
    /// Languages that have captions.
    pub languages: Vec<LanguageTag>,
}

/// The table of recordings.
#[derive(Debug)]
pub struct Recordings<'a> {
    pub(super) pool: &'a SqlitePool,
}

impl RecordingId {
    /// Characters in an id.
    const LEN: usize = 20;
    /// Five bits a character (Crockford's base 32).
    const ALPHABET: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// The id that these random bytes make; five bits of each are used.
    pub fn from_random(random: [u8; Self::LEN]) -> Self {
        Self(random.iter().map(|byte| char::from(Self::ALPHABET[usize::from(byte & 31)])).collect())
    }

    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`InvalidRecordingId`].
    pub fn parse(text: &str) -> std::result::Result<Self, InvalidRecordingId> {
        let valid = text.len() == Self::LEN && text.bytes().all(|byte| Self::ALPHABET.contains(&byte));
        if valid { Ok(Self(text.into())) } else { Err(InvalidRecordingId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RecordingId {
    type Error = InvalidRecordingId;
    fn try_from(text: String) -> std::result::Result<Self, InvalidRecordingId> {
        Self::parse(&text)
    }
}

impl From<RecordingId> for String {
    fn from(id: RecordingId) -> Self {
        id.0
    }
}

impl RecordingState {
    /// As the database and the API write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Recording, Self::Processing, Self::Ready, Self::Failed].into_iter().find(|s| s.as_str() == text)
    }
}

impl Recordings<'_> {
    /// Adds a recording.
    ///
    /// # Errors
    /// [`Error::Exists`] if the id is taken.
    pub async fn insert(&self, recording: &Recording) -> Result<()> {
        let added = sqlx::query(
            "INSERT INTO recordings (id, channel, title, state, started_at, duration, reason, languages)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(recording.id.as_str())
        .bind(recording.channel.as_str())
        .bind(&recording.title)
        .bind(recording.state.as_str())
        .bind(millis(recording.started_at))
        .bind(recording.duration.map(whole_millis))
        .bind(&recording.reason)
        .bind(join(&recording.languages))
        .execute(self.pool)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::Exists(format!("recording {}", recording.id)))
            }
            other => other.map(drop).map_err(failed("add a recording")),
        }
    }

    /// Every recording, the newest first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn list(&self) -> Result<Vec<Recording>> {
        sqlx::query("SELECT * FROM recordings ORDER BY started_at DESC, id")
            .fetch_all(self.pool)
            .await
            .map_err(failed("list recordings"))?
            .iter()
            .map(read)
            .collect()
    }

    /// One recording.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn get(&self, id: &RecordingId) -> Result<Option<Recording>> {
        let row = sqlx::query("SELECT * FROM recordings WHERE id = ?").bind(id.as_str()).fetch_optional(self.pool);
        row.await.map_err(failed("read a recording"))?.as_ref().map(read).transpose()
    }

    /// Moves a recording on, without a result yet.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_state(&self, id: &RecordingId, state: RecordingState, reason: Option<&str>) -> Result<()> {
        let done = sqlx::query("UPDATE recordings SET state = ?, reason = ? WHERE id = ?")
            .bind(state.as_str())
            .bind(reason)
            .bind(id.as_str())
            .execute(self.pool)
            .await
            .map_err(failed("change a recording"))?;
        found(done.rows_affected(), id)
    }

    /// Makes a recording ready.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_ready(
        &self,
        id: &RecordingId,
        duration: Duration,
        languages: &[LanguageTag],
        reason: Option<&str>,
    ) -> Result<()> {
        let done =
            sqlx::query("UPDATE recordings SET state = 'ready', duration = ?, languages = ?, reason = ? WHERE id = ?")
                .bind(whole_millis(duration))
                .bind(join(languages))
                .bind(reason)
                .bind(id.as_str())
                .execute(self.pool)
                .await
                .map_err(failed("change a recording"))?;
        found(done.rows_affected(), id)
    }

    /// What its live's captions are estimated to be worth; none before that is known.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn estimates(&self, id: &RecordingId) -> Result<Option<Vec<Estimate>>> {
        let row = sqlx::query_scalar::<_, Option<String>>("SELECT estimates FROM recordings WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.pool);
        let json = row.await.map_err(failed("read estimates"))?.flatten();
        json.map(|json| serde_json::from_str(&json).map_err(|_| Error::Broken("estimate"))).transpose()
    }

    /// Keeps estimates of a recording's live.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_estimates(&self, id: &RecordingId, estimates: &[Estimate]) -> Result<()> {
        let json = serde_json::to_string(estimates).map_err(|_| Error::Broken("estimate"))?;
        let done = sqlx::query("UPDATE recordings SET estimates = ? WHERE id = ?").bind(json).bind(id.as_str());
        found(done.execute(self.pool).await.map_err(failed("change a recording"))?.rows_affected(), id)
    }

    /// Renames a recording.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_title(&self, id: &RecordingId, title: &str) -> Result<()> {
        let done = sqlx::query("UPDATE recordings SET title = ? WHERE id = ?").bind(title).bind(id.as_str());
        found(done.execute(self.pool).await.map_err(failed("change a recording"))?.rows_affected(), id)
    }

    /// Removes a recording's row; its files are the archive's to remove.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove(&self, id: &RecordingId) -> Result<()> {
        let done = sqlx::query("DELETE FROM recordings WHERE id = ?").bind(id.as_str()).execute(self.pool).await;
        found(done.map_err(failed("remove a recording"))?.rows_affected(), id)
    }
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn found(rows: u64, id: &RecordingId) -> Result<()> {
    if rows == 0 { Err(Error::NotFound(format!("recording {id}"))) } else { Ok(()) }
}

fn read(row: &SqliteRow) -> Result<Recording> {
    let columns = || -> std::result::Result<_, sqlx::Error> {
        let duration: Option<i64> = row.try_get("duration")?;
        Ok(Recording {
            id: RecordingId::parse(row.try_get("id")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
            channel: StreamName::parse(row.try_get("channel")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
            title: row.try_get("title")?,
            state: RecordingState::parse(row.try_get("state")?).ok_or_else(|| sqlx::Error::Decode("state".into()))?,
            started_at: time(row.try_get("started_at")?),
            duration: duration.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0))),
            reason: row.try_get("reason")?,
            languages: split(row.try_get("languages")?).ok_or_else(|| sqlx::Error::Decode("languages".into()))?,
        })
    };
    columns().map_err(|error| {
        tracing::error!(%error, "a recording's row cannot be read");
        Error::Broken("recording")
    })
}
