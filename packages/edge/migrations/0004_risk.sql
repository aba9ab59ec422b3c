-- Risk rules, address lists, and what was decided by them.
CREATE TABLE risk_rule (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  params_json TEXT CHARACTER SET utf8mb4 NOT NULL,
  -- observe | challenge | block
  mode VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  enabled TINYINT UNSIGNED NOT NULL,
  -- Null: about every product.
  product_id BIGINT UNSIGNED NULL,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  updated_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- What is watched from the start. None of it refuses anybody: numbers come before verdicts.
INSERT INTO risk_rule (kind, params_json, mode, enabled, updated_at) VALUES
  ('new-account', '{"max_age_s":600}', 'observe', 1, UTC_TIMESTAMP(3)),
  ('regular-timing', '{"samples":8,"max_jitter_ms":8}', 'observe', 1, UTC_TIMESTAMP(3)),
  ('account-addresses', '{"max":5,"window_s":3600}', 'observe', 1, UTC_TIMESTAMP(3)),
  ('account-devices', '{"max":5,"window_s":3600}', 'observe', 1, UTC_TIMESTAMP(3)),
  ('device-accounts', '{"max":5,"window_s":3600}', 'observe', 1, UTC_TIMESTAMP(3)),
  ('address-accounts', '{"max":300,"window_s":600}', 'observe', 1, UTC_TIMESTAMP(3));

CREATE TABLE ip_list (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  -- As ipaddr.js writes it: `192.0.2.0/24`, `2001:db8::/32`.
  cidr VARCHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- black | grey | white
  list VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason VARCHAR(500) CHARACTER SET utf8mb4 NOT NULL,
  expires_at DATETIME(3) NULL,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  UNIQUE KEY ip_list_cidr (cidr),
  KEY ip_list_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Kept for as long as the edge says, then deleted. No names: ids, the address, the edge's own device id.
CREATE TABLE risk_record (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at DATETIME(3) NOT NULL,
  -- Null where it stands for many.
  user_id BIGINT UNSIGNED NULL,
  ip VARCHAR(45) CHARACTER SET ascii COLLATE ascii_bin NULL,
  device_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  route VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  rule_id BIGINT UNSIGNED NULL,
  decision VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  code SMALLINT UNSIGNED NULL,
  evidence_json VARCHAR(1000) CHARACTER SET utf8mb4 NOT NULL,
  KEY risk_record_at (at),
  KEY risk_record_user (user_id, id),
  KEY risk_record_ip (ip, id),
  KEY risk_record_device (device_id, id),
  KEY risk_record_rule (rule_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO setting_revision (name, revision) VALUES ('risk', 1);
