-- Lives of the journal that a restore ended, so that a cursor of an older one is told where to go on.
CREATE TABLE timelines (
  timeline TEXT PRIMARY KEY,
  last_position BIGINT NOT NULL,      -- the last line this database has of it
  ended_at BIGINT NOT NULL
);
