-- The second publisher's stream key, sealed, and its keyed digest; NULL: the channel has none.
ALTER TABLE channels ADD COLUMN backup_cipher BLOB;
ALTER TABLE channels ADD COLUMN backup_digest BLOB;
CREATE UNIQUE INDEX channels_by_backup_digest ON channels (backup_digest);
