-- Refunds that an operator asks for, payments into a wallet, providers that are asked.
ALTER TABLE intent
  -- order | topup
  ADD COLUMN purpose VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'order',
  -- The provider's own id of the payment, where it differs from ours.
  ADD COLUMN provider_ref VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- 1 once the provider has confirmed that it knows the payment: from then on it is asked, not told.
  ADD COLUMN accepted TINYINT NOT NULL DEFAULT 0,
  ADD KEY intent_by_time (created_at, payment_id);

UPDATE intent SET accepted = 1, next_try_at = CURRENT_TIMESTAMP(3)
  WHERE state = 'processing' AND pay_url IS NOT NULL;

ALTER TABLE capture
  -- When the money of a top-up is next tried to be credited; null for money of orders, which ordering answers.
  ADD COLUMN next_try_at DATETIME(3) NULL,
  ADD COLUMN tries INT UNSIGNED NOT NULL DEFAULT 0,
  ADD KEY capture_due (next_try_at),
  ADD KEY capture_by_order (order_num);

ALTER TABLE provider_event ADD COLUMN tries INT UNSIGNED NOT NULL DEFAULT 0;

-- A refund that failed for good may be followed by another; at most one of a capture is pending or has succeeded.
ALTER TABLE refund
  ADD COLUMN attempt INT UNSIGNED NOT NULL DEFAULT 1,
  ADD COLUMN actor_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN failure VARCHAR(200) NULL,
  ADD COLUMN live TINYINT GENERATED ALWAYS AS (CASE WHEN state = 'failed' THEN NULL ELSE 1 END) STORED,
  ADD UNIQUE KEY refund_attempt (capture_id, attempt),
  ADD UNIQUE KEY refund_live (capture_id, live),
  DROP KEY refund_once,
  ADD KEY refund_by_payment (payment_id),
  ADD KEY refund_by_order (order_num),
  ADD KEY refund_by_time (created_at, refund_id);
