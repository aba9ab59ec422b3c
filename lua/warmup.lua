-- Writes a product, as MySQL holds it, under a generation higher than the one that is here.
--
-- KEYS  1 fence of the shard
--       2 product
-- ARGV  1 epoch of the recovery that rebuilds the shard, or empty where an open shard gets a product
--       2 generation
--       3 expire (Unix s; 0 never)
--       then pairs of field and value for the product's hash (gen excepted)
-- Returns an array (state, generation that is here now): state 1 written; 0 refused, there is this generation or a
--       higher one; -1 refused, the shard is fenced, or claimed by another recovery.
--
-- Why atomic: a product is there whole or not at all, and a writer that slept through a newer generation must find it
-- in the same step in which it would write.

local fence = redis.call('HMGET', KEYS[1], 'run_id', 'claim')
if ARGV[1] == '' then
  local run_id = fence[1] and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if not run_id or fence[1] ~= run_id then return { -1, 0 } end
elseif fence[2] ~= ARGV[1] or fence[1] then
  return { -1, 0 }
end

local current = tonumber(redis.call('HGET', KEYS[2], 'gen') or 0)
if tonumber(ARGV[2]) <= current then return { 0, current } end

redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'gen', ARGV[2], 'expire', ARGV[3], unpack(ARGV, 4))
if tonumber(ARGV[3]) > 0 then redis.call('EXPIREAT', KEYS[2], ARGV[3]) end
return { 1, tonumber(ARGV[2]) }
