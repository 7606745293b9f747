CREATE TABLE channels (
    name        TEXT PRIMARY KEY NOT NULL,
    title       TEXT NOT NULL,
    language    TEXT NOT NULL,
    translate   TEXT NOT NULL DEFAULT '',       -- tags joined by commas
    key_cipher  BLOB NOT NULL,                  -- the stream key, sealed by access::Keys
    key_digest  BLOB NOT NULL UNIQUE,           -- its keyed digest, for look-up
    takeover    INTEGER NOT NULL DEFAULT 0,
    mode        TEXT NOT NULL DEFAULT 'fast',   -- captions: fast | accurate
    created_at  INTEGER NOT NULL                -- milliseconds since 1970
) STRICT;

CREATE TABLE recordings (
    id          TEXT PRIMARY KEY NOT NULL,
    channel     TEXT NOT NULL,                  -- outlives the channel, so no foreign key
    title       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('recording', 'processing', 'ready', 'failed')),
    started_at  INTEGER NOT NULL,               -- milliseconds since 1970
    duration    INTEGER,                        -- milliseconds
    reason      TEXT,
    languages   TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX recordings_by_start ON recordings (started_at DESC);
