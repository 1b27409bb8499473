-- People who said no. Each row is one contact's no to one purpose.
CREATE TABLE withdrawals (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  contact_id TEXT,                    -- NULL: replayed from the second place, and nobody of these aliases is known yet
  purpose TEXT NOT NULL,              -- marketing | all
  source TEXT NOT NULL,               -- api | meta | second_place
  reason TEXT,
  withdrew_at BIGINT NOT NULL,
  recorded_at BIGINT NOT NULL
);
CREATE INDEX withdrawals_by_tenant ON withdrawals (tenant_id, id);
CREATE INDEX withdrawals_by_contact ON withdrawals (contact_id, purpose) WHERE contact_id IS NOT NULL;

-- Aliases by which the contact of a replayed withdrawal will be recognised.
CREATE TABLE awaited_aliases (
  tenant_id TEXT NOT NULL,
  blind_index BLOB NOT NULL,
  withdrawal_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, blind_index, withdrawal_id)
);
CREATE INDEX awaited_aliases_by_withdrawal ON awaited_aliases (withdrawal_id);

-- Withdrawals that are not known to be in the second place.
CREATE TABLE uncopied_withdrawals (withdrawal_id TEXT PRIMARY KEY);

-- When the withdrawals of the second place were applied after the restore that ended this life of the journal. NULL: not
-- yet, and marketing waits.
ALTER TABLE timelines ADD COLUMN replayed_at BIGINT;
