-- Who serves this database, and who does what only one process at a time may do.

-- One row for each life of a process, kept while it beats and an hour longer.
CREATE TABLE processes (
  id TEXT PRIMARY KEY,                -- the name its leases are held by
  started_at BIGINT NOT NULL,
  beat_at BIGINT NOT NULL,
  seen_until BIGINT NOT NULL,         -- its leases end then unless it beats again
  draining INTEGER NOT NULL,          -- 1: takes nothing more
  capacity INTEGER NOT NULL,          -- its weight when lanes are spread
  release TEXT NOT NULL
);

-- Work that one process does at a time: telling subscribers, reading callbacks, sweeping. Leased like a lane.
CREATE TABLE roles (
  name TEXT PRIMARY KEY,
  owner TEXT,
  epoch INTEGER NOT NULL,             -- raised by every change of hands
  lease_until BIGINT NOT NULL         -- without an owner: since when it is free
);
