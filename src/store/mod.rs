//! What outlives a restart: the database (SQLite, `amphi.db`) and the folder recordings lie in.
//!
//! Several processes may hold one store at once: the command line works while the server runs.

mod channels;
mod recordings;
#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use sqlx::{
    Connection as _, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::model::LanguageTag;

pub use channels::{Channel, Channels, SealedKey};
pub use recordings::{InvalidRecordingId, Recording, RecordingId, RecordingState, Recordings};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// The database and the object folder of one data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    dir: Arc<Path>,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A channel or recording of that name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// No such channel or recording.
    #[error("there is no {0}")]
    NotFound(String),
    /// A row holds what this version never writes.
    #[error("the database holds a broken {0}")]
    Broken(&'static str),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("cannot {doing} in the database")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: sqlx::Error,
    },
    /// The tables could not be brought to this version.
    #[error("cannot bring the database to this version")]
    Migrate(#[source] MigrateError),
}

/// What a store operation gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Store {
    /// Opens the store of a data directory, creating (mode 0700) and migrating what is missing.
    ///
    /// # Errors
    /// [`Error::Directory`], [`Error::Database`] or [`Error::Migrate`].
    pub async fn open(data_dir: &Path) -> Result<Self> {
        let at = |source| Error::Directory { path: data_dir.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(at)?;
        // Two processes that open a new database at once would both create its tables.
        let guard = File::create(data_dir.join("amphi.db.lock")).map_err(at)?;
        let guard = tokio::task::spawn_blocking(move || guard.lock().map(|()| guard))
            .await
            .map_err(|panic| at(std::io::Error::other(panic)))?
            .map_err(at)?;
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join("amphi.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Writes are few and a channel's new key must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|source| Error::Database { doing: "open the tables", source })?;
        MIGRATIONS.run(&pool).await.map_err(Error::Migrate)?;
        drop(guard);
        Ok(Self { pool, dir: data_dir.into() })
    }

    /// Whether [`Store::open`] would take what is there. Without a database there is nothing to object
    /// to, and none is made or changed.
    ///
    /// # Errors
    /// [`Error::Database`] if it is damaged, [`Error::Migrate`] if another version made it.
    pub async fn check(data_dir: &Path) -> Result<()> {
        let file = data_dir.join("amphi.db");
        if !file.exists() {
            return Ok(());
        }
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(false).busy_timeout(BUSY);
        let unreadable = || failed("read the tables");
        let mut database = SqliteConnection::connect_with(&options).await.map_err(unreadable())?;
        let said: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut database).await.map_err(unreadable())?;
        if said != "ok" {
            return Err(Error::Broken("page"));
        }
        let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations")
            .fetch_all(&mut database)
            .await
            .map_err(unreadable())?;
        for (version, checksum) in applied {
            let known = MIGRATIONS.iter().find(|known| known.version == version);
            let known = known.ok_or(Error::Migrate(MigrateError::VersionMissing(version)))?;
            if *known.checksum != *checksum {
                return Err(Error::Migrate(MigrateError::VersionMismatch(version)));
            }
        }
        database.close().await.map_err(unreadable())
    }

    /// The channels.
    pub fn channels(&self) -> Channels<'_> {
        Channels { pool: &self.pool }
    }

    /// The recordings' rows; their media lies in [`Store::recordings_dir`].
    pub fn recordings(&self) -> Recordings<'_> {
        Recordings { pool: &self.pool }
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.dir
    }

    /// Where each recording has its folder.
    pub fn recordings_dir(&self) -> PathBuf {
        self.dir.join("recordings")
    }

    /// Waits for running statements and closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |source| Error::Database { doing, source }
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn join(tags: &[LanguageTag]) -> String {
    tags.iter().map(LanguageTag::as_str).collect::<Vec<_>>().join(",")
}

fn split(tags: &str) -> Option<Vec<LanguageTag>> {
    tags.split(',').filter(|tag| !tag.is_empty()).map(|tag| LanguageTag::parse(tag).ok()).collect()
}
