CREATE TABLE product (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(120) NOT NULL,
  description VARCHAR(2000) NOT NULL DEFAULT '',
  -- Minor units.
  price BIGINT NOT NULL,
  original_price BIGINT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'CNY',
  -- What orders may still take: the final arbiter. Redis never has more.
  stock BIGINT NOT NULL,
  initial_stock BIGINT NOT NULL,
  start_time DATETIME(3) NOT NULL,
  end_time DATETIME(3) NULL,
  per_user_limit INT UNSIGNED NOT NULL,
  image VARCHAR(2048) NOT NULL DEFAULT '',
  access_challenge BOOLEAN NOT NULL DEFAULT FALSE,
  access_waiting_room BOOLEAN NOT NULL DEFAULT FALSE,
  publisher_id BIGINT UNSIGNED NOT NULL,
  -- draft | published | withdrawn
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Rises with every warm-up and every recovery of its shard.
  generation INT UNSIGNED NOT NULL DEFAULT 0,
  version BIGINT UNSIGNED NOT NULL DEFAULT 1,
  -- When Redis was opened to buyers after the warm-up was confirmed; null where that is still to be done.
  opened_at DATETIME(3) NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  CONSTRAINT product_stock_not_negative CHECK (stock >= 0),
  KEY product_by_start (state, start_time, id),
  KEY product_by_end (state, end_time, id),
  KEY product_unopened (opened_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Every change of product.stock, once per what caused it.
CREATE TABLE stock_log (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  product_id BIGINT UNSIGNED NOT NULL,
  -- initial | order | cancel | adjust
  kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ref VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  delta BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY stock_log_once (ref, kind, product_id),
  KEY stock_log_by_product (product_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Idempotency keys of publishing, and the guard against the same form sent twice without one.
CREATE TABLE idempotency (
  scope VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  product_id BIGINT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (scope, key_hash),
  KEY idempotency_age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
