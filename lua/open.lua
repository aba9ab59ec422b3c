-- Opens or closes a product to new reservations.
--
-- KEYS  1 fence of the shard
--       2 product
-- ARGV  1 generation that is meant
--       2 1 to open, 0 to close
--       3 version of the product's row that says so
-- Returns an array (state, generation that is here): state 1 it is so now; 2 a later version has spoken, nothing was
--       done; 0 refused, another generation is here; -1 the shard is fenced.
--
-- Why atomic: generation and version are compared in the step that opens, so that a publisher who slept through a
-- rebuild can't open what it didn't load, nor one who slept through a withdrawal what was withdrawn.

local fence_run_id = redis.call('HGET', KEYS[1], 'run_id')
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run_id or fence_run_id ~= run_id then return { -1, 0 } end

local current = tonumber(redis.call('HGET', KEYS[2], 'gen') or 0)
if current ~= tonumber(ARGV[1]) then return { 0, current } end
local spoken = tonumber(redis.call('HGET', KEYS[2], 'open_ver') or 0)
if tonumber(ARGV[3]) < spoken then return { 2, current } end
redis.call('HSET', KEYS[2], 'open', ARGV[2], 'open_ver', ARGV[3])
return { 1, current }
