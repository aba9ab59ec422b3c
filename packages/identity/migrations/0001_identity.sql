-- Names are ASCII; two that differ in letter case only are one name.
CREATE TABLE user (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  username VARCHAR(32) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY user_name (username)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE credential (
  user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  -- PHC text: algorithm, its cost, salt and hash.
  password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  changed_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE role_binding (
  user_id BIGINT UNSIGNED NOT NULL,
  role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  granted_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (user_id, role)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row a login: all refresh tokens that descend from it end together. Every use of one of them locks this row.
CREATE TABLE refresh_family (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id BIGINT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  -- When the newest of its tokens does.
  expires_at DATETIME(3) NOT NULL,
  revoked_at DATETIME(3) NULL,
  KEY refresh_family_user (user_id),
  KEY refresh_family_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row a token ever handed out, until it expires: a spent one that comes back betrays its theft.
CREATE TABLE refresh_token (
  token_hash BINARY(32) NOT NULL PRIMARY KEY,
  family_id BIGINT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  expires_at DATETIME(3) NOT NULL,
  used_at DATETIME(3) NULL,
  successor_hash BINARY(32) NULL,
  KEY refresh_token_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Amounts are minor units. Every change of a balance locks this row first.
CREATE TABLE wallet (
  user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  balance BIGINT NOT NULL DEFAULT 0,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'CNY',
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  CONSTRAINT wallet_never_negative CHECK (balance >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The ledger, append-only: the amounts of a user add up to the balance.
CREATE TABLE wallet_entry (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id BIGINT UNSIGNED NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount BIGINT NOT NULL,
  balance_after BIGINT NOT NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- What made it: a payment that was debited, or a credit; each makes one entry.
  payment_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  credit_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY wallet_entry_payment (payment_id),
  UNIQUE KEY wallet_entry_credit (credit_id),
  KEY wallet_entry_by_user (user_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- What was decided about a payment, once and for ever: debited, declined, or void.
CREATE TABLE wallet_decision (
  payment_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  user_id BIGINT UNSIGNED NOT NULL,
  outcome VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Null where a void came before any debit.
  amount BIGINT NULL,
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
  balance_after BIGINT NOT NULL,
  decided_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY wallet_decision_by_user (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
