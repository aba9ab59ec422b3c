-- The console's overview counts what was paid and cancelled within a span of time.
ALTER TABLE `order`
  ADD KEY by_paid (paid_at),
  ADD KEY by_cancelled (cancelled_at);
