-- Takes, renews or gives up a lease.
--
-- KEYS  1 lease
-- ARGV  1 token of the holder
--       2 how long (ms); 0 gives it up
-- Returns 1 where the lease is the token's now (or was given up), 0 where another holds it.
--
-- Why atomic: between seeing who holds it and writing, it may run out and become another's.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  if holder then redis.call('DEL', KEYS[1]) end
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
