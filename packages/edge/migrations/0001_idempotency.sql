-- What was answered to an Idempotency-Key, for the routes whose service keeps no row for it. Kept for 24 hours.
CREATE TABLE idempotency (
  -- SHA-256 of user, method, path and key.
  id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  -- SHA-256 of the canonical body.
  body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Whose attempt it is: an attempt that was given up must not store its answer over its successor's.
  attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Until when the attempt may be at work; then another may take its place.
  lease_until DATETIME(3) NOT NULL,
  -- Null while in flight.
  status SMALLINT UNSIGNED NULL,
  content_type VARCHAR(128) CHARACTER SET ascii NULL,
  headers_json TEXT CHARACTER SET utf8mb4 NULL,
  body MEDIUMTEXT CHARACTER SET utf8mb4 NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY idempotency_age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
