-- A database as the first release wrote it (schema 1): two messages sent, one unknown, one waiting.

BEGIN TRANSACTION;

-- Table  aliases
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
INSERT INTO aliases VALUES('ali_01m81j18g08hqwxgn3v09bdrm1','ten_1','con_01m81j18g08hqwxgn3v0941d0z','phone','',X'B79591B56060267B1B0EA05E81C5DE3C',X'002B34393135353530303031313131',1795348800000,NULL);
-- Triggers and indices on  aliases
CREATE INDEX aliases_by_contact ON aliases (contact_id, valid_from);
CREATE UNIQUE INDEX aliases_current ON aliases (tenant_id, blind_index) WHERE valid_to IS NULL;

-- Table  api_keys
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

-- Table  apps
CREATE TABLE apps (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, meta_app_id TEXT NOT NULL, secret BLOB NOT NULL,
  verify_token BLOB NOT NULL, version INTEGER NOT NULL, created_at BIGINT NOT NULL, last_callback_at BIGINT,
  UNIQUE (tenant_id, meta_app_id)
);
INSERT INTO apps VALUES('app_1','ten_1','900001',X'F5B165224A58B791DF6AF1D8663491209AE3866DD2C2E237C6ED7C71C6C0B9A290795B0DFFDA',X'303E61CDC4BB86C3D1C42710E6160308636AF27A9A821D6F7E62C60FF6C25D29F07164A83E',1,1795348800000,NULL);

-- Table  attempts
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
INSERT INTO attempts VALUES('att_01m81j18g08hqwxgn3v0a1f2w1','ten_1','msg_01m81j18g08hqwxgn3v08q7sbr','num_1',1,1,'sent',1795348800000,1795348820000,1795348800000,'wamid.1',NULL,1795348800000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO attempts VALUES('att_01m81j1j8ghgq0e6425kjehwfc','ten_1','msg_01m81j1j8ghgq0e6425kj7rg87','num_1',1,1,'sent',1795348810000,1795348830000,1795348810000,'wamid.2',NULL,1795348810000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO attempts VALUES('att_01m81j1w10pasz9ncdgb574jra','ten_1','msg_01m81j1w10pasz9ncdgb567jbe','num_1',1,1,'unknown',1795348820000,1795348840000,1795348820000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
-- Triggers and indices on  attempts
CREATE INDEX attempts_by_message ON attempts (message_id, ordinal);
CREATE INDEX attempts_by_provider_id ON attempts (provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX attempts_open ON attempts (lease_until) WHERE state = 'sending';

-- Table  callbacks
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
-- Triggers and indices on  callbacks
CREATE UNIQUE INDEX callbacks_by_digest ON callbacks (app_id, digest);
CREATE INDEX callbacks_parked ON callbacks (id) WHERE state = 'parked';
CREATE INDEX callbacks_read ON callbacks (read_at) WHERE state = 'read' AND body IS NOT NULL;
CREATE INDEX callbacks_unread ON callbacks (id) WHERE state = 'stored';

-- Table  contacts
CREATE TABLE contacts (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, profile BLOB, merged_into TEXT, version INTEGER NOT NULL,
  created_at BIGINT NOT NULL
);
INSERT INTO contacts VALUES('con_01m81j18g08hqwxgn3v0941d0z','ten_1',NULL,NULL,2,1795348800000);

-- Table  contents
CREATE TABLE contents (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  contact_id TEXT,
  body BLOB,
  erased_at BIGINT
);
INSERT INTO contents VALUES('cnt_01m81j18g08hqwxgn3v08q7sbr','ten_1','con_01m81j18g08hqwxgn3v0941d0z',X'007B2274797065223A2274657874222C2274657874223A7B22626F6479223A2268656C6C6F227D7D',NULL);
INSERT INTO contents VALUES('cnt_01m81j1j8ghgq0e6425kj7rg87','ten_1','con_01m81j18g08hqwxgn3v0941d0z',X'007B2274797065223A2274657874222C2274657874223A7B22626F6479223A2268656C6C6F227D7D',NULL);
INSERT INTO contents VALUES('cnt_01m81j1w10pasz9ncdgb567jbe','ten_1','con_01m81j18g08hqwxgn3v0941d0z',X'007B2274797065223A2274657874222C2274657874223A7B22626F6479223A2268656C6C6F227D7D',NULL);
INSERT INTO contents VALUES('cnt_01m81j25sggq4j9gtse5jc92g0','ten_1','con_01m81j18g08hqwxgn3v0941d0z',X'007B2274797065223A2274657874222C2274657874223A7B22626F6479223A2268656C6C6F227D7D',NULL);

-- Table  conversations
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
INSERT INTO conversations VALUES('cnv_01m81j18g08hqwxgn3v09qvk2b','ten_1','num_1','con_01m81j18g08hqwxgn3v0941d0z',NULL,NULL,NULL,1795348800000,1,1795348800000);
-- Triggers and indices on  conversations
CREATE INDEX conversations_recent ON conversations (tenant_id, last_event_at);

-- Table  idempotency
CREATE TABLE idempotency (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  request_digest BLOB NOT NULL,       -- route and body
  status INTEGER NOT NULL,
  answer BLOB NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
-- Triggers and indices on  idempotency
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Table  inbound
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
-- Triggers and indices on  inbound
CREATE INDEX inbound_by_contact ON inbound (contact_id, id);
CREATE INDEX inbound_by_tenant ON inbound (tenant_id, id);

-- Table  journal
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
INSERT INTO journal VALUES(1,'t1','ten_1','contact.created','con_01m81j18g08hqwxgn3v0941d0z',1,NULL,'con_01m81j18g08hqwxgn3v0941d0z',NULL,'key:key_1',NULL,X'7B7D',1795348800000);
INSERT INTO journal VALUES(2,'t1','ten_1','contact.changed','con_01m81j18g08hqwxgn3v0941d0z',2,NULL,'con_01m81j18g08hqwxgn3v0941d0z',NULL,'key:key_1',NULL,X'7B22616C6961735F6164646564223A22616C695F30316D38316A313867303868717778676E337630396264726D31222C22616C6961735F6B696E64223A2270686F6E65227D',1795348800000);
INSERT INTO journal VALUES(3,'t1','ten_1','conversation.opened','cnv_01m81j18g08hqwxgn3v09qvk2b',1,'num_1','con_01m81j18g08hqwxgn3v0941d0z',NULL,'key:key_1',NULL,X'7B7D',1795348800000);
INSERT INTO journal VALUES(4,'t1','ten_1','message.accepted','msg_01m81j18g08hqwxgn3v08q7sbr',1,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j18g08hqwxgn3v08q7sbr','key:key_1',NULL,X'7B2274797065223A2274657874222C2272616E6B223A317D',1795348800000);
INSERT INTO journal VALUES(5,'t1','ten_1','lane.taken','lane:num_1',1,'num_1',NULL,NULL,'gateway',NULL,X'7B2265706F6368223A317D',1795348800000);
INSERT INTO journal VALUES(6,'t1','ten_1','message.attempted','msg_01m81j18g08hqwxgn3v08q7sbr',2,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j18g08hqwxgn3v08q7sbr','gateway',NULL,X'7B22617474656D70745F6964223A226174745F30316D38316A313867303868717778676E337630613166327731222C226F7264696E616C223A317D',1795348800000);
INSERT INTO journal VALUES(7,'t1','ten_1','message.sent','msg_01m81j18g08hqwxgn3v08q7sbr',3,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j18g08hqwxgn3v08q7sbr','gateway',NULL,X'7B22617474656D70745F6964223A226174745F30316D38316A313867303868717778676E337630613166327731222C2270726F76696465725F6D6573736167655F6964223A2277616D69642E31227D',1795348800000);
INSERT INTO journal VALUES(8,'t1','ten_1','message.accepted','msg_01m81j1j8ghgq0e6425kj7rg87',1,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1j8ghgq0e6425kj7rg87','key:key_1',NULL,X'7B2274797065223A2274657874222C2272616E6B223A317D',1795348810000);
INSERT INTO journal VALUES(9,'t1','ten_1','message.attempted','msg_01m81j1j8ghgq0e6425kj7rg87',2,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1j8ghgq0e6425kj7rg87','gateway',NULL,X'7B22617474656D70745F6964223A226174745F30316D38316A316A38676867713065363432356B6A6568776663222C226F7264696E616C223A317D',1795348810000);
INSERT INTO journal VALUES(10,'t1','ten_1','message.sent','msg_01m81j1j8ghgq0e6425kj7rg87',3,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1j8ghgq0e6425kj7rg87','gateway',NULL,X'7B22617474656D70745F6964223A226174745F30316D38316A316A38676867713065363432356B6A6568776663222C2270726F76696465725F6D6573736167655F6964223A2277616D69642E32227D',1795348810000);
INSERT INTO journal VALUES(11,'t1','ten_1','message.accepted','msg_01m81j1w10pasz9ncdgb567jbe',1,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1w10pasz9ncdgb567jbe','key:key_1',NULL,X'7B2274797065223A2274657874222C2272616E6B223A317D',1795348820000);
INSERT INTO journal VALUES(12,'t1','ten_1','message.attempted','msg_01m81j1w10pasz9ncdgb567jbe',2,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1w10pasz9ncdgb567jbe','gateway',NULL,X'7B22617474656D70745F6964223A226174745F30316D38316A317731307061737A396E636467623537346A7261222C226F7264696E616C223A317D',1795348820000);
INSERT INTO journal VALUES(13,'t1','ten_1','message.unknown','msg_01m81j1w10pasz9ncdgb567jbe',3,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1w10pasz9ncdgb567jbe','gateway','timed out',X'7B22617474656D70745F6964223A226174745F30316D38316A317731307061737A396E636467623537346A7261227D',1795348820000);
INSERT INTO journal VALUES(14,'t1','ten_1','message.accepted','msg_01m81j25sggq4j9gtse5jc92g0',1,'num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j25sggq4j9gtse5jc92g0','key:key_1',NULL,X'7B2274797065223A2274657874222C2272616E6B223A317D',1795348830000);
-- Triggers and indices on  journal
CREATE INDEX journal_by_aggregate ON journal (aggregate_id, version);
CREATE INDEX journal_by_tenant ON journal (tenant_id, position);

-- Table  lanes
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
INSERT INTO lanes VALUES('num_1','ten_1','life-1',1,1795348850000,0,NULL,0);

-- Table  media
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
-- Triggers and indices on  media
CREATE INDEX media_by_tenant ON media (tenant_id, id);
CREATE INDEX media_wanted ON media (next_try_at) WHERE state = 'wanted';

-- Table  messages
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
INSERT INTO messages VALUES('msg_01m81j18g08hqwxgn3v08q7sbr','ten_1','num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j18g08hqwxgn3v08q7sbr','text',1,'phone',X'002B34393135353530303031313131',NULL,'sent',NULL,NULL,NULL,'wait',1,'att_01m81j18g08hqwxgn3v0a1f2w1',1795348800000,1795348800000,1795435200000,NULL,NULL,NULL,3,1795348800000,1795348800000);
INSERT INTO messages VALUES('msg_01m81j1j8ghgq0e6425kj7rg87','ten_1','num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1j8ghgq0e6425kj7rg87','text',1,'phone',X'002B34393135353530303031313131',NULL,'sent',NULL,NULL,NULL,'wait',1,'att_01m81j1j8ghgq0e6425kjehwfc',1795348810000,1795348810000,1795435210000,NULL,NULL,NULL,3,1795348810000,1795348810000);
INSERT INTO messages VALUES('msg_01m81j1w10pasz9ncdgb567jbe','ten_1','num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j1w10pasz9ncdgb567jbe','text',1,'phone',X'002B34393135353530303031313131',NULL,'unknown','timed out',NULL,NULL,'wait',1,'att_01m81j1w10pasz9ncdgb574jra',1795348820000,1795348820000,1795435220000,NULL,NULL,1795348820000,3,1795348820000,1795348820000);
INSERT INTO messages VALUES('msg_01m81j25sggq4j9gtse5jc92g0','ten_1','num_1','con_01m81j18g08hqwxgn3v0941d0z','cnt_01m81j25sggq4j9gtse5jc92g0','text',1,'phone',X'002B34393135353530303031313131',NULL,'accepted',NULL,NULL,NULL,'wait',0,NULL,1795348830000,1795348830000,1795435230000,NULL,NULL,NULL,1,1795348830000,1795348830000);
-- Triggers and indices on  messages
CREATE INDEX messages_blocking ON messages (number_id, contact_id) WHERE status IN ('sending', 'unknown');
CREATE INDEX messages_by_contact ON messages (contact_id, id);
CREATE INDEX messages_by_tenant ON messages (tenant_id, id);
CREATE INDEX messages_due ON messages (number_id, rank, due_at, id) WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_expiring ON messages (expires_at) WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_in_line ON messages (number_id, contact_id, rank, not_before, id)
  WHERE status IN ('accepted', 'held', 'retrying');
CREATE INDEX messages_overdue ON messages (overdue_at) WHERE overdue_at IS NOT NULL;
CREATE INDEX messages_unknown ON messages (unknown_since) WHERE status = 'unknown';
CREATE INDEX messages_unresolved ON messages (tenant_id, id) WHERE status = 'unresolved';

-- Table  meta
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO meta VALUES('schema_version','1');
INSERT INTO meta VALUES('timeline','t1');

-- Table  numbers
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
INSERT INTO numbers VALUES('num_1','ten_1','cloud','wab_1','app_1','pfo_1','100000000001','+49300000001','test','http://127.0.0.1:1','v26.0','Authorization: Bearer',X'3C344C4189EB2F1E7BD5D47EB59DB4ABC1072BE1AA96C128FE6DBFDF3A153B5595','active',NULL,80,NULL,NULL,NULL,NULL,'{}',NULL,1,1795348800000,NULL);
-- Triggers and indices on  numbers
CREATE UNIQUE INDEX numbers_live ON numbers (phone_number_id) WHERE state <> 'removed';

-- Table  pace
CREATE TABLE pace (key TEXT PRIMARY KEY, arrival_us BIGINT NOT NULL);
INSERT INTO pace VALUES('p:num_1:con_01m81j18g08hqwxgn3v0941d0z',1795348826000000);
INSERT INTO pace VALUES('n:num_1',1795348820012500);

-- Table  parked_receipts
CREATE TABLE parked_receipts (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, number_id TEXT NOT NULL, provider_message_id TEXT NOT NULL,
  body BLOB NOT NULL, parked_at BIGINT NOT NULL, expires_at BIGINT NOT NULL
);
-- Triggers and indices on  parked_receipts
CREATE INDEX parked_receipts_by_provider_id ON parked_receipts (provider_message_id);
CREATE INDEX parked_receipts_expiry ON parked_receipts (expires_at);

-- Table  portfolios
CREATE TABLE portfolios (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, meta_business_id TEXT NOT NULL, messaging_limit TEXT,
  version INTEGER NOT NULL, created_at BIGINT NOT NULL, UNIQUE (tenant_id, meta_business_id)
);
INSERT INTO portfolios VALUES('pfo_1','ten_1','1','TIER_250',1,1795348800000);

-- Table  subscriber_exceptions
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

-- Table  subscriber_secrets
CREATE TABLE subscriber_secrets (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, subscriber_id TEXT NOT NULL, scheme TEXT NOT NULL, -- v1 | v1a
  secret BLOB NOT NULL, public_key TEXT, created_at BIGINT NOT NULL, valid_until BIGINT
);
-- Triggers and indices on  subscriber_secrets
CREATE INDEX subscriber_secrets_by_subscriber ON subscriber_secrets (subscriber_id);

-- Table  subscribers
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

-- Table  templates
CREATE TABLE templates (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, waba_id TEXT NOT NULL, meta_template_id TEXT NOT NULL,
  name TEXT NOT NULL, language TEXT NOT NULL, category TEXT NOT NULL, status TEXT NOT NULL, quality TEXT,
  parameter_format TEXT NOT NULL, components BLOB NOT NULL, reason TEXT, synced_at BIGINT NOT NULL,
  removed_at BIGINT, version INTEGER NOT NULL
);
-- Triggers and indices on  templates
CREATE INDEX templates_by_meta_id ON templates (meta_template_id);
CREATE UNIQUE INDEX templates_live ON templates (waba_id, name, language) WHERE removed_at IS NULL;

-- Table  tenants
CREATE TABLE tenants (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at BIGINT NOT NULL);
INSERT INTO tenants VALUES('ten_1','Test',1795348800000);

-- Table  wabas
CREATE TABLE wabas (
  id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, portfolio_id TEXT NOT NULL, app_id TEXT NOT NULL,
  meta_waba_id TEXT NOT NULL, facts BLOB NOT NULL, templates_synced_at BIGINT, version INTEGER NOT NULL,
  created_at BIGINT NOT NULL, UNIQUE (tenant_id, meta_waba_id)
);
INSERT INTO wabas VALUES('wab_1','ten_1','pfo_1','app_1','200000000001','{}',NULL,1,1795348800000);

COMMIT TRANSACTION;
