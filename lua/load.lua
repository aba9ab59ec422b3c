-- Loads a part of the buyers' records of a product under its next generation, while the shard is closed.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 buyers of the generation ARGV[2]
-- ARGV  1 epoch of the recovery that holds the claim
--       2 generation, higher than the one that is here
--       3 1 for the first part (what an earlier try left is dropped), else 0
--       4 expire (Unix s; 0 never)
--       then rows of five: user id, order number, quantity, request id, l (live) or r (released), oldest first
-- Returns 1 loaded; 0 refused, the shard is open or another's, or the generation is here already.
--
-- Why atomic: a recovery that was overtaken must find so in the step in which it would write. A part that is sent twice
-- changes nothing: an order number that a record already holds is left alone.

local fence = redis.call('HMGET', KEYS[1], 'run_id', 'claim')
if fence[1] or fence[2] ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) <= tonumber(redis.call('HGET', KEYS[2], 'gen') or 0) then return 0 end

if ARGV[3] == '1' then redis.call('DEL', KEYS[3]) end
for i = 5, #ARGV, 5 do
  local record = redis.call('HGET', KEYS[3], ARGV[i]) or ''
  if not string.find(record, ARGV[i + 1] .. ',', 1, true) then
    redis.call('HSET', KEYS[3], ARGV[i],
      record .. ARGV[i + 1] .. ',' .. ARGV[i + 2] .. ',' .. ARGV[i + 3] .. ',' .. ARGV[i + 4] .. ';')
  end
end
if tonumber(ARGV[4]) > 0 then redis.call('EXPIREAT', KEYS[3], ARGV[4]) end
return 1
