-- How far the journal was forwarded to a queue of a broker: everything of the tenant up to `position` is confirmed.
-- Each process that takes over raises `epoch`; a move of an older epoch changes nothing.
CREATE TABLE forwards (
  name TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  position BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  moved_at BIGINT NOT NULL
);
