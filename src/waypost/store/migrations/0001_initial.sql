-- Waypost's schema, one for both engines: TEXT ids that ascend, BIGINT milliseconds since the epoch, BLOB for what
-- passes through the codec or a seal. A tenant on every row. Partial indexes keep the cost of the open work apart
-- from the size of history.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE tenants (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at BIGINT NOT NULL);

-- The one append-only sequence of events. Positions have no gaps. No content: content_id points to it.
CREATE TABLE journal (
  position INTEGER PRIMARY KEY,
  timeline TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  number_id TEXT,
  contact_id TEXT,
  content_id TEXT,
  actor TEXT NOT NULL,
  reason TEXT,
  facts BLOB NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX journal_by_aggregate ON journal (aggregate_id, version);
CREATE INDEX journal_by_tenant ON journal (tenant_id, position);

-- Content apart from the journal: immutable, through the codec, erasable.
CREATE TABLE contents (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  contact_id TEXT,
  body BLOB,
  erased_at BIGINT
);

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  label TEXT NOT NULL,
  environment TEXT NOT NULL,          -- live | test
  digest BLOB NOT NULL UNIQUE,        -- SHA-256 of the whole key
  scopes TEXT NOT NULL,               -- space separated
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT,
  revoked_at BIGINT,
  successor_id TEXT,
  version INTEGER NOT NULL
);

CREATE TABLE idempotency (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  request_digest BLOB NOT NULL,       -- route and body
  status INTEGER NOT NULL,
  answer BLOB NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Whose numbers they are at Meta: limits are the portfolio's, the secret is the app's.
CREATE TABLE portfolios (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, meta_business_id TEXT NOT NULL, messaging_limit TEXT,
  version INTEGER NOT NULL, created_at BIGINT NOT NULL, UNIQUE (tenant_id, meta_business_id)
);
CREATE TABLE apps (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, meta_app_id TEXT NOT NULL, secret BLOB NOT NULL,
  verify_token BLOB NOT NULL, version INTEGER NOT NULL, created_at BIGINT NOT NULL, last_callback_at BIGINT,
  UNIQUE (tenant_id, meta_app_id)
);
CREATE TABLE wabas (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, portfolio_id TEXT NOT NULL, app_id TEXT NOT NULL,
  meta_waba_id TEXT NOT NULL, facts BLOB NOT NULL, templates_synced_at BIGINT, version INTEGER NOT NULL,
  created_at BIGINT NOT NULL, UNIQUE (tenant_id, meta_waba_id)
);
CREATE TABLE numbers (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,                 -- cloud | linked
  waba_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  portfolio_id TEXT NOT NULL,
  phone_number_id TEXT NOT NULL,
  phone TEXT,                         -- E.164
  label TEXT NOT NULL,
  base_url TEXT NOT NULL,
  graph_version TEXT NOT NULL,
  auth_header TEXT NOT NULL,          -- e.g. "Authorization: Bearer" or "D360-API-KEY"
  token BLOB NOT NULL,                -- sealed
  state TEXT NOT NULL,                -- active | paused | stopped | removed
  state_reason TEXT,
  pace_per_second INTEGER NOT NULL,
  verified_name TEXT,
  quality_rating TEXT,
  throughput_level TEXT,
  messaging_limit TEXT,
  health BLOB NOT NULL,               -- as read from Meta, JSON
  health_at BIGINT,
  version INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  removed_at BIGINT
);
CREATE UNIQUE INDEX numbers_live ON numbers (phone_number_id) WHERE state <> 'removed';

-- The sending of one number: one holder at a time.
CREATE TABLE lanes (
  number_id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  owner TEXT,
  epoch INTEGER NOT NULL,
  lease_until BIGINT NOT NULL,
  slow_until BIGINT NOT NULL,         -- Meta asked the whole number to wait
  slow_reason TEXT,
  slow_count INTEGER NOT NULL
);

-- GCRA: the theoretical arrival time of the next spend, in microseconds, per constraint (n: number, p: pair).
CREATE TABLE pace (key TEXT PRIMARY KEY, arrival_us BIGINT NOT NULL);

CREATE TABLE templates (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, waba_id TEXT NOT NULL, meta_template_id TEXT NOT NULL,
  name TEXT NOT NULL, language TEXT NOT NULL, category TEXT NOT NULL, status TEXT NOT NULL, quality TEXT,
  parameter_format TEXT NOT NULL, components BLOB NOT NULL, reason TEXT, synced_at BIGINT NOT NULL,
  removed_at BIGINT, version INTEGER NOT NULL
);
CREATE UNIQUE INDEX templates_live ON templates (waba_id, name, language) WHERE removed_at IS NULL;
CREATE INDEX templates_by_meta_id ON templates (meta_template_id);

CREATE TABLE contacts (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, profile BLOB, merged_into TEXT, version INTEGER NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE aliases (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  contact_id TEXT NOT NULL,
  kind TEXT NOT NULL,                 -- phone | bsuid | parent_bsuid | username | lid
  portfolio_id TEXT NOT NULL,         -- a BSUID means something within one portfolio only; '' for the others
  blind_index BLOB NOT NULL,          -- keyed hash: found without being readable
  value BLOB NOT NULL,                -- through the codec
  valid_from BIGINT NOT NULL,
  valid_to BIGINT
);
CREATE UNIQUE INDEX aliases_current ON aliases (tenant_id, blind_index) WHERE valid_to IS NULL;
CREATE INDEX aliases_by_contact ON aliases (contact_id, valid_from);

CREATE TABLE conversations (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  number_id TEXT NOT NULL,
  contact_id TEXT NOT NULL,
  assignee TEXT,                      -- bot | person | none (NULL)
  window_expires_at BIGINT,           -- the service window: 24 h from the customer's last word or call
  last_inbound_at BIGINT,
  last_event_at BIGINT NOT NULL,
  version INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (number_id, contact_id)
);
CREATE INDEX conversations_recent ON conversations (tenant_id, last_event_at);

CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  number_id TEXT NOT NULL,
  contact_id TEXT NOT NULL,
  content_id TEXT NOT NULL,
  type TEXT NOT NULL,
  rank INTEGER NOT NULL,              -- of its class: domain/classes
  recipient_kind TEXT NOT NULL,       -- phone | bsuid
  recipient BLOB NOT NULL,            -- through the codec
  assignee TEXT,                      -- who speaks: refused when relieved
  status TEXT NOT NULL,
  reason TEXT,                        -- of the present status, as a code
  failure BLOB,                       -- code, title, detail of the last failure, JSON
  metadata BLOB,                      -- the caller's, through the codec
  on_unknown TEXT NOT NULL,
  attempts INTEGER NOT NULL,          -- spoken, not claimed
  attempt_id TEXT,                    -- the latest
  not_before BIGINT NOT NULL,         -- its place in line: accepted_at unless scheduled
  due_at BIGINT NOT NULL,             -- when to look at it; far future while somebody in line goes first
  expires_at BIGINT NOT NULL,
  overdue_at BIGINT,                  -- deliver_by, until told
  deliver_by BIGINT,
  unknown_since BIGINT,
  version INTEGER NOT NULL,
  accepted_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX messages_by_tenant ON messages (tenant_id, id);
CREATE INDEX messages_by_contact ON messages (contact_id, id);
CREATE INDEX messages_due ON messages (number_id, rank, due_at, id) WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_in_line ON messages (number_id, contact_id, rank, not_before, id)
  WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_blocking ON messages (number_id, contact_id) WHERE status IN ('sending', 'unknown');
CREATE INDEX messages_expiring ON messages (expires_at) WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_overdue ON messages (overdue_at) WHERE overdue_at IS NOT NULL;
CREATE INDEX messages_unresolved ON messages (tenant_id, id) WHERE status = 'unresolved';
CREATE INDEX messages_unknown ON messages (unknown_since) WHERE status = 'unknown';

CREATE TABLE attempts (
  id TEXT PRIMARY KEY,                -- echoed by the provider with every receipt
  tenant_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  number_id TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  state TEXT NOT NULL,                -- sending | unknown | sent | failed
  started_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL,
  answered_at BIGINT,
  provider_message_id TEXT,
  failure BLOB,
  sent_at BIGINT, delivered_at BIGINT, read_at BIGINT, played_at BIGINT, failed_at BIGINT,
  pricing BLOB
);
CREATE INDEX attempts_by_message ON attempts (message_id, ordinal);
-- Not unique: the id is the provider's word, and a nonsense answer must not keep an outcome from being recorded.
CREATE INDEX attempts_by_provider_id ON attempts (provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX attempts_open ON attempts (lease_until) WHERE state = 'sending';

-- Receipts that came before anything they could belong to.
CREATE TABLE parked_receipts (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, number_id TEXT NOT NULL, provider_message_id TEXT NOT NULL,
  body BLOB NOT NULL, parked_at BIGINT NOT NULL, expires_at BIGINT NOT NULL
);
CREATE INDEX parked_receipts_by_provider_id ON parked_receipts (provider_message_id);
CREATE INDEX parked_receipts_expiry ON parked_receipts (expires_at);

CREATE TABLE callbacks (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  digest BLOB NOT NULL,
  body BLOB,                          -- through the codec; gone seven days after reading
  state TEXT NOT NULL,                -- stored | read | parked
  fault TEXT,
  tries INTEGER NOT NULL,
  received_at BIGINT NOT NULL,
  read_at BIGINT
);
CREATE UNIQUE INDEX callbacks_by_digest ON callbacks (app_id, digest);
CREATE INDEX callbacks_unread ON callbacks (id) WHERE state = 'stored';
CREATE INDEX callbacks_parked ON callbacks (id) WHERE state = 'parked';
CREATE INDEX callbacks_read ON callbacks (read_at) WHERE state = 'read' AND body IS NOT NULL;

CREATE TABLE inbound (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  number_id TEXT NOT NULL,
  contact_id TEXT NOT NULL,
  provider_message_id TEXT NOT NULL,
  type TEXT NOT NULL,
  content_id TEXT NOT NULL,
  media_id TEXT,
  context_provider_id TEXT,
  sent_at BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  UNIQUE (number_id, provider_message_id)
);
CREATE INDEX inbound_by_tenant ON inbound (tenant_id, id);
CREATE INDEX inbound_by_contact ON inbound (contact_id, id);

CREATE TABLE media (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  number_id TEXT NOT NULL,
  contact_id TEXT,
  direction TEXT NOT NULL,            -- inbound | outbound
  state TEXT NOT NULL,                -- wanted | stored | failed | expired | uploaded | removed
  provider_media_id TEXT,
  mime_type TEXT NOT NULL,
  size_bytes BIGINT,
  sha256 TEXT,                        -- hex, of the bytes
  filename BLOB,                      -- through the codec
  tries INTEGER NOT NULL,
  next_try_at BIGINT,
  fault TEXT,
  provider_expires_at BIGINT,
  created_at BIGINT NOT NULL,
  version INTEGER NOT NULL
);
CREATE INDEX media_wanted ON media (next_try_at) WHERE state = 'wanted';
CREATE INDEX media_by_tenant ON media (tenant_id, id);

CREATE TABLE subscribers (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  url TEXT NOT NULL,
  label TEXT NOT NULL,
  kinds TEXT NOT NULL,                -- JSON array of patterns: "message.*", "inbound.received"; [] is all
  batch_events_max INTEGER NOT NULL,
  state TEXT NOT NULL,                -- active | paused | disabled | removed
  state_reason TEXT,
  position BIGINT NOT NULL,           -- low-water mark: everything up to it is told or parked
  failing_since BIGINT,
  failures INTEGER NOT NULL,          -- in a row, of the endpoint as a whole
  next_try_at BIGINT NOT NULL,
  last_success_at BIGINT,
  version INTEGER NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE subscriber_secrets (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, subscriber_id TEXT NOT NULL, scheme TEXT NOT NULL, -- v1 | v1a
  secret BLOB NOT NULL, public_key TEXT, created_at BIGINT NOT NULL, valid_until BIGINT
);
CREATE INDEX subscriber_secrets_by_subscriber ON subscriber_secrets (subscriber_id);
-- Above the low-water mark only the exceptions have rows.
CREATE TABLE subscriber_exceptions (
  subscriber_id TEXT NOT NULL,
  position BIGINT NOT NULL,
  tenant_id TEXT NOT NULL,
  conversation TEXT NOT NULL,
  state TEXT NOT NULL,                -- waiting | told | parked | replay
  tries INTEGER NOT NULL,
  first_failed_at BIGINT,
  next_try_at BIGINT NOT NULL,
  fault TEXT,
  PRIMARY KEY (subscriber_id, position)
);
