ALTER TABLE recordings ADD COLUMN estimates TEXT;    -- JSON list of model::Estimate; NULL: none were made
