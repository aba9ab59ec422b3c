-- The audit trail of a service: copied into its migrations as it stands.
-- All times are UTC, by the database's clock. The service's user may insert into `audit` and `audit_seal`, and read
-- them; it may not change or delete a row of theirs.

-- Who changed what, and why; written in the transaction of the change. Ids only, no names.
CREATE TABLE audit (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  -- 0 where the system acted for itself.
  actor_id BIGINT UNSIGNED NOT NULL,
  action VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  target_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  target_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Text, not JSON: the seal is over exactly these characters, and an engine may write JSON anew.
  before_json TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  after_json TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  reason VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  trace_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- A request makes one change, however often it is repeated.
  request_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (id),
  UNIQUE KEY audit_request (request_id, action),
  KEY by_at (at),
  KEY by_target (target_id, at),
  KEY by_actor (actor_id, at),
  KEY by_action (action, at)
) ENGINE = InnoDB;

-- The chain over the rows, in the order in which the sealer met them: hash = SHA-256(the hash before, the row).
CREATE TABLE audit_seal (
  seq BIGINT UNSIGNED NOT NULL,
  audit_id BIGINT UNSIGNED NOT NULL,
  hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (seq),
  UNIQUE KEY audit_id (audit_id)
) ENGINE = InnoDB;

-- Who seals. epoch rises with every new holder; a holder of an older epoch seals nothing.
CREATE TABLE audit_lease (
  id TINYINT UNSIGNED NOT NULL,
  owner VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  expires_at DATETIME(3) NOT NULL DEFAULT '1970-01-02 00:00:00.000',
  -- Up to this id every row that was ever committed has its seal.
  floor_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT INTO audit_lease (id) VALUES (1);
