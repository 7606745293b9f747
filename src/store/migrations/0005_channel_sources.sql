ALTER TABLE channels ADD COLUMN source BLOB;    -- URL that the server fetches the channel from, sealed by access::Keys; NULL: none
