-- How much may be accepted: for a tenant as a whole ('t:ten_…') and for a number ('n:num_…'). What is
-- spent stands in `pace` under 'q:' and the key, so every process of a shared database spends from the same.
CREATE TABLE quotas (
  key TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  accepts_per_second BIGINT,          -- NULL: no longer limited
  burst BIGINT NOT NULL,              -- at once, after a pause
  version INTEGER NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX quotas_by_tenant ON quotas (tenant_id, key);
