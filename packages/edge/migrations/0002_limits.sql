-- Limits that were changed from their defaults. `rate` tokens in the limit's own period, `burst` of them at once.
CREATE TABLE limit_setting (
  name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- 0: for all products, and for limits that know none.
  product_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rate INT UNSIGNED NOT NULL,
  burst INT UNSIGNED NOT NULL,
  -- 1 is the default, before any change.
  version INT UNSIGNED NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (name, product_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row a kind of setting, raised with every change: what edges look at to learn that there is something new.
CREATE TABLE setting_revision (
  name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  revision BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO setting_revision (name, revision) VALUES ('limits', 1);
