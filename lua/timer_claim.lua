-- Takes timers that went off by this server's clock, for the caller alone for a while.
--
-- KEYS  1 timers of a bucket: order number by the Unix ms at which its time is over
-- ARGV  1 how long they are the caller's (ms); after that they go off again
--       2 how many at most
-- Returns the order numbers, the longest overdue first.
--
-- Why atomic: between reading and moving them another process would read the same.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])
local again = string.format('%.0f', now + ARGV[1])
for _, order_num in ipairs(due) do
  redis.call('ZADD', KEYS[1], 'XX', again, order_num)
end
return due
