-- An erased account has no name: its name is free again, its id stays with its orders and its ledger.
ALTER TABLE user
  MODIFY username VARCHAR(32) CHARACTER SET ascii COLLATE ascii_general_ci NULL,
  -- active, banned or erased; a ban whose ban_until_ms has passed counts as active.
  ADD COLUMN state VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
  ADD COLUMN banned_reason VARCHAR(500) NULL,
  -- Unix ms; null: until it is lifted.
  ADD COLUMN ban_until_ms BIGINT NULL,
  -- Counts the changes of state and roles; an editor sends the one it has seen.
  ADD COLUMN version BIGINT UNSIGNED NOT NULL DEFAULT 1,
  -- Access tokens issued before this (Unix ms) are revoked; no later one is issued before it.
  ADD COLUMN tokens_not_before_ms BIGINT NOT NULL DEFAULT 0,
  ADD KEY user_by_state (state, id);

-- Numbers handed out in the order of the commits: the row stays locked until its transaction ends.
CREATE TABLE counter (
  name VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  value BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO counter (name, value) VALUES ('revocation', 0), ('signing_key', 0);

-- One row a user: the newest revocation, kept for as long as a token that it concerns could live.
CREATE TABLE revocation (
  user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  revision BIGINT UNSIGNED NOT NULL,
  not_before_ms BIGINT NOT NULL,
  -- ban, unban, password, roles, logout_all or erase
  reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  banned BOOLEAN NOT NULL,
  ban_until_ms BIGINT NULL,
  at DATETIME(3) NOT NULL,
  UNIQUE KEY revocation_revision (revision),
  KEY revocation_at (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The keys of access tokens, newest last by signs_from. Each signs until the next one does.
CREATE TABLE signing_key (
  kid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  created_at DATETIME(3) NOT NULL,
  signs_from DATETIME(3) NOT NULL,
  -- RFC 7517, without private members.
  public_jwk VARCHAR(2000) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Which key-encryption key sealed it: the start of that key's hash.
  kek_id CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- AES-256-GCM of the private JWK: nonce (12 bytes), tag (16), ciphertext; the kid is authenticated with it.
  sealed_private_jwk VARBINARY(8192) NOT NULL,
  UNIQUE KEY signing_key_order (signs_from)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The oldest session ends where there are too many, and all of them where everything is revoked.
ALTER TABLE refresh_family ADD KEY refresh_family_live (user_id, revoked_at, id);
ALTER TABLE refresh_family DROP KEY refresh_family_user;
