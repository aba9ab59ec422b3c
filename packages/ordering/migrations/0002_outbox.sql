-- The outbox and inbox of a service: copied into its migrations as it stands.
-- All times are UTC, by the database's clock.

-- What the service has to tell others, written in the transaction that made it true. A row is one message.
CREATE TABLE outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  -- hash(aggregate) mod 16: rows of one aggregate are sent by one relay, in id order.
  bucket TINYINT UNSIGNED NOT NULL,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  topic VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  aggregate VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  type VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  -- NULL until the bus has it; the row stays for 24 h after.
  sent_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  KEY unsent (bucket, sent_at, id)
) ENGINE = InnoDB;

-- Who sends which bucket. epoch rises with every new holder; a holder of an older epoch marks nothing.
CREATE TABLE outbox_lease (
  bucket TINYINT UNSIGNED NOT NULL,
  owner VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  expires_at DATETIME(3) NOT NULL DEFAULT '1970-01-02 00:00:00.000',
  -- The life of the bus that sent_at refers to; another one may have lost what was sent since checkpoint_at.
  bus VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  checkpoint_at DATETIME(3) NOT NULL DEFAULT '1970-01-02 00:00:00.000',
  PRIMARY KEY (bucket)
) ENGINE = InnoDB;

INSERT INTO outbox_lease (bucket)
VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15);

-- Events that a consumer has taken in, so that a repetition changes nothing. Outlives the bus' retention.
CREATE TABLE inbox (
  consumer VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seen_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (consumer, event_id),
  KEY seen (seen_at)
) ENGINE = InnoDB;
