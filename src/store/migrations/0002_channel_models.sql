ALTER TABLE channels ADD COLUMN model TEXT;    -- a speech model's id; NULL: the manifest's choice for the language
