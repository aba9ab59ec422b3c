-- What the reconciler finds, and who looks. All times are UTC, by the database's clock.

-- One row for as long as a difference lasts; the same difference found again later is another row.
CREATE TABLE drift (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  kind VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- What it is about: product:<id>, order:<number>, payment:<id>, user:<id>, outbox:<service>, adjustment:<id>.
  subject VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- 0 while it is open, else the row's own id: so there is one open row of a kind and subject.
  closed BIGINT UNSIGNED NOT NULL DEFAULT 0,
  product_id BIGINT UNSIGNED NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- What each store says, in units of goods, minor units of money or ms; null where it isn't asked.
  redis BIGINT NULL,
  mysql BIGINT NULL,
  ledger BIGINT NULL,
  details TEXT CHARACTER SET utf8mb4 NOT NULL,
  first_seen DATETIME(3) NOT NULL,
  last_seen DATETIME(3) NOT NULL,
  repaired_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY drift_open (closed, kind, subject),
  KEY drift_repaired (repaired_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Who looks: one process of all. The epoch rises with every new holder.
CREATE TABLE reconcile_lease (
  id TINYINT UNSIGNED NOT NULL,
  holder VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  expires_at DATETIME(3) NOT NULL DEFAULT '1970-01-02 00:00:00.000',
  -- When the last round ended, and whether it could read everything.
  checked_at DATETIME(3) NULL,
  complete BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

INSERT INTO reconcile_lease (id) VALUES (1);

-- When a shard was last rebuilt for a difference: whoever holds the lease keeps the pace.
CREATE TABLE reconcile_repair (
  shard SMALLINT UNSIGNED NOT NULL,
  asked_at DATETIME(3) NOT NULL,
  PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
