-- The last batch each writer of a shared database committed: looked up when the answer to COMMIT was lost.
CREATE TABLE commits (owner TEXT PRIMARY KEY, batch TEXT NOT NULL, at BIGINT NOT NULL);
