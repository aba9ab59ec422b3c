-- Endpoints of others that are told what became of orders.
CREATE TABLE webhook (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Event types, with commas between.
  events VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  description VARCHAR(200) NOT NULL DEFAULT '',
  -- The secret that signs, sealed: which key seals it, then nonce, tag and ciphertext.
  secret_kek CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  secret_sealed VARBINARY(255) NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  -- Removed endpoints stay for the audit trail, and are told nothing.
  deleted_at DATETIME(3) NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One message for one endpoint.
CREATE TABLE webhook_delivery (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  webhook_id BIGINT UNSIGNED NOT NULL,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  body TEXT NOT NULL,
  -- pending | delivered | failed
  state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending',
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  last_status SMALLINT UNSIGNED NULL,
  last_error VARCHAR(200) NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  next_try_at DATETIME(3) NULL,
  delivered_at DATETIME(3) NULL,
  UNIQUE KEY webhook_delivery_once (webhook_id, event_id),
  KEY webhook_delivery_by_state (webhook_id, state, id),
  KEY webhook_delivery_due (next_try_at, webhook_id),
  KEY webhook_delivery_of_due (webhook_id, next_try_at),
  KEY webhook_delivery_age (state, created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
