-- A number's messages of a status, newest first: without it a status nobody has is looked for in the whole history. Of
-- the two that every message passes through on its way out, what is open is found by the indexes of open work.
CREATE INDEX IF NOT EXISTS messages_by_status ON messages (number_id, status, id)
  WHERE status NOT IN ('accepted', 'sending');
-- A number's messages, newest first: without it a number that sends little is looked for among all the others'.
CREATE INDEX IF NOT EXISTS messages_by_number ON messages (tenant_id, number_id, id);
