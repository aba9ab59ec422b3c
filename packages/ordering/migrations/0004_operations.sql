-- The console's lists of orders, newest first: by state, and the ids that a span of time lies between.
ALTER TABLE `order`
  ADD KEY by_state (state, id),
  ADD KEY by_created (created_at);

ALTER TABLE dead_letter
  -- The number that the message names; order_num only where the number was really issued to that buyer.
  ADD COLUMN claimed_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL AFTER order_num,
  ADD COLUMN settled_at DATETIME(3) NULL,
  -- 0 where the system did it.
  ADD COLUMN settled_by BIGINT UNSIGNED NULL,
  ADD COLUMN settled_reason VARCHAR(500) NULL,
  ADD KEY by_claimed (claimed_num, id),
  ADD KEY by_first (state, first_at),
  ADD KEY by_time (first_at);

UPDATE dead_letter SET claimed_num = order_num WHERE order_num IS NOT NULL;
