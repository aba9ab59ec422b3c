-- One recovery of Redis at a time. The epoch rises with every recovery and never returns.
CREATE TABLE recovery_lease (
  scope VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  epoch BIGINT UNSIGNED NOT NULL,
  holder VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  expires_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

INSERT INTO recovery_lease (scope, epoch, holder, expires_at) VALUES ('redis', 0, '', '2000-01-01 00:00:00.000');
