-- Adds stock to a product or takes it away, once per adjustment and generation.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 adjustments of the generation ARGV[1]: id -> stock version after it, or `r` and what was left
-- ARGV  1 generation that is meant
--       2 id of the adjustment
--       3 delta
-- Returns an array (state, number, stock left, stock version): state 1 done, now or before; 0 refused, now or before,
--       and the number is what was left then; -1 the shard is fenced, nothing was done; -2 the product is at another
--       generation (the number), nothing was done.
--
-- Why atomic: of a buyer and an operator who both want the last ones only one may have them, and whoever repeats an
-- adjustment must find what became of it in the step in which it would make it. A refusal is remembered, too: two who
-- carry out the same adjustment must not come to different ends.

local fence_run_id = redis.call('HGET', KEYS[1], 'run_id')
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run_id or fence_run_id ~= run_id then return { -1, 0, 0, 0 } end

local product = redis.call('HMGET', KEYS[2], 'gen', 'stock', 'ver', 'expire')
local current = tonumber(product[1]) or 0
if current == 0 or current ~= tonumber(ARGV[1]) then return { -2, current, 0, 0 } end
local stock, version = tonumber(product[2]) or 0, tonumber(product[3]) or 0

local before = redis.call('HGET', KEYS[3], ARGV[2])
if before then
  local left = string.match(before, '^r(%d+)$')
  if left then return { 0, tonumber(left), stock, version } end
  return { 1, 0, stock, version }
end

local function remember(what)
  redis.call('HSET', KEYS[3], ARGV[2], what)
  if tonumber(product[4] or 0) > 0 then redis.call('EXPIREAT', KEYS[3], product[4]) end
end

if stock + tonumber(ARGV[3]) < 0 then
  remember('r' .. string.format('%.0f', stock))
  return { 0, stock, stock, version }
end
stock = redis.call('HINCRBY', KEYS[2], 'stock', ARGV[3])
version = redis.call('HINCRBY', KEYS[2], 'ver', 1)
remember(string.format('%.0f', version))
return { 1, 0, stock, version }
