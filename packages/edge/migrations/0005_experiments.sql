-- Experiments and gray releases: what they change, for whom, and whom it met.
CREATE TABLE experiment (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  experiment_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- limit | risk | storefront
  kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- draft | running | stopped
  status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  salt VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Hundredths of a percent, 0 to 10,000.
  share SMALLINT UNSIGNED NOT NULL,
  allow_users_json TEXT CHARACTER SET ascii NOT NULL,
  variants_json TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  started_at DATETIME(3) NULL,
  stopped_at DATETIME(3) NULL,
  -- The numbers of people by variant, kept when the people are forgotten.
  results_json TEXT CHARACTER SET ascii NULL,
  UNIQUE KEY experiment_by_key (experiment_key),
  KEY experiment_by_status (status, stopped_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Who met an experiment, and what became of them. One row a person, so that everybody counts once however often and on
-- however many edges something happens. Ids only; forgotten some time after the experiment's end.
CREATE TABLE experiment_user (
  experiment_id INT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL,
  -- The variant's place in the experiment's list, which doesn't change once it runs.
  variant TINYINT UNSIGNED NOT NULL,
  -- 1 exposed, 2 accepted, 4 paid, 8 limited; added up.
  seen TINYINT UNSIGNED NOT NULL,
  PRIMARY KEY (experiment_id, user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO setting_revision (name, revision) VALUES ('experiments', 1);
