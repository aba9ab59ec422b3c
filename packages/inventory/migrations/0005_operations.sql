-- What operators do to a sale that runs: stock changes, and the switch of all sales. All times are UTC.

-- A change of stock by an operator, once per id. MySQL and Redis take it one after the other; a row that is not yet
-- `applied` or `refused` is a half that a worker finishes:
--   requested  a decrease; Redis may have taken it off already (it remembers by id), MySQL has not
--   logged     an increase; MySQL has it since `generation`, Redis perhaps not yet
CREATE TABLE stock_adjustment (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  product_id BIGINT UNSIGNED NOT NULL,
  delta BIGINT NOT NULL,
  -- SHA-256 of the request's body, hex.
  body_hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- The product's, when MySQL took an increase in: a later one in Redis holds it already.
  generation INT UNSIGNED NOT NULL,
  -- What was left when it was refused.
  left_count BIGINT NULL,
  actor_id BIGINT UNSIGNED NOT NULL,
  reason VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  finished_at DATETIME(3) NULL,
  KEY stock_adjustment_by_product (product_id, state),
  KEY stock_adjustment_unfinished (state, created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Whether all sales are paused. The shards' copies carry the revision and obey the highest.
CREATE TABLE sale_switch (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  revision BIGINT UNSIGNED NOT NULL,
  paused BOOLEAN NOT NULL,
  actor_id BIGINT UNSIGNED NOT NULL,
  reason VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  changed_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO sale_switch (id, revision, paused, actor_id, reason) VALUES (1, 0, FALSE, 0, '');

-- The console lists newest first.
ALTER TABLE product ADD KEY product_by_creation (created_at, id);
