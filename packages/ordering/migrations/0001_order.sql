-- Orders and tombstones. A reservation that was refused has a row too (state 'rejected'): it is what makes every later
-- copy of the same entry harmless, so it outlives every queue's retention.
CREATE TABLE `order` (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL,
  product_id BIGINT UNSIGNED NOT NULL,
  product_name VARCHAR(120) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  quantity INT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  request_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reject_reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  cancel_reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- Step one of every cancel. The sweep finishes what a crash left between this and the end.
  cancel_requested_at DATETIME(3) NULL,
  cancel_requested_reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  cancel_requested_by BIGINT UNSIGNED NULL,
  cancel_requested_note VARCHAR(500) NULL,
  -- When payment was last asked to close it: paces the sweep, and keeps two sweeps off the same order.
  cancel_asked_at DATETIME(3) NULL,
  expires_at DATETIME(3) NULL,
  paid_at DATETIME(3) NULL,
  cancelled_at DATETIME(3) NULL,
  version INT UNSIGNED NOT NULL,
  payment_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  payment_channel VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  payment_status VARCHAR(24) CHARACTER SET ascii COLLATE ascii_bin NULL,
  payment_version INT UNSIGNED NULL,
  -- The capture that paid it: any other one is refused.
  capture_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  refund_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  refund_amount BIGINT NULL,
  refund_status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  refund_reason VARCHAR(120) NULL,
  refund_created_at DATETIME(3) NULL,
  refund_succeeded_at DATETIME(3) NULL,
  -- Of the click, where it was sampled.
  traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- By the shard's Redis clock.
  reserved_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY order_num (order_num),
  KEY by_user (user_id, id),
  KEY by_product (product_id, id),
  -- Both sweeps: unpaid and past its time (no cancel asked for yet), and cancels asked for but not finished.
  KEY by_cancel (state, cancel_requested_at, expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- How much of a product a buyer holds in live orders. Written only by who holds the product's row.
CREATE TABLE purchase (
  product_id BIGINT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL,
  live_quantity INT UNSIGNED NOT NULL,
  PRIMARY KEY (product_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- The newest barrier read on each partition of the reservations topic: all produced before it is decided.
CREATE TABLE barrier (
  partition_no INT UNSIGNED NOT NULL,
  epoch BIGINT UNSIGNED NOT NULL,
  recorded_at DATETIME(3) NOT NULL,
  PRIMARY KEY (partition_no)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Messages that failed by themselves. Written before the offset moves past them.
CREATE TABLE dead_letter (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  topic VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  partition_no INT UNSIGNED NOT NULL,
  msg_offset VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  msg_key VARCHAR(255) NOT NULL,
  -- What makes copies of one message one row: the order number where there is one, else the position.
  dedup_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
  reason VARCHAR(500) NOT NULL,
  attempts INT UNSIGNED NOT NULL,
  payload MEDIUMBLOB NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  first_at DATETIME(3) NOT NULL,
  last_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY dedup_key (dedup_key),
  KEY by_state (state, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Events of payment that came before their order was visible; applied when it is.
CREATE TABLE parked_payment (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload MEDIUMTEXT NOT NULL,
  attempts INT UNSIGNED NOT NULL,
  parked_at DATETIME(3) NOT NULL,
  next_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY event_id (event_id),
  KEY by_next (next_at, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
