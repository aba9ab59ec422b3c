-- Sets timers of unpaid orders; one that is set already stays as it is.
--
-- KEYS  1 timers of a bucket: order number by the Unix ms at which its time is over
-- ARGV  1 how many timers the bucket may hold
--       2 how long the bucket lives when nobody touches it (ms)
--       3… per timer: Unix ms, order number
-- Returns how many were set now; what doesn't fit is left out.
--
-- Why atomic: how many there are and what is added must be of one moment, or several writers pass the bound together.

local room = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])
local added = 0
for i = 3, #ARGV, 2 do
  if added >= room then break end
  added = added + redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return added
