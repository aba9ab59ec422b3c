-- Appends one entry to the journal that all edges tell their event streams from.
--
-- KEYS[1] the journal (stream)   KEYS[2] its counter
-- ARGV[1] how many entries are kept, about   ARGV[2] for how long after the last one (s)   ARGV[3] the entry (JSON)
-- Returns the entry's id.
--
-- Atomic, because the number in each entry is what a reader tells a gap by: entries that were trimmed before it came
-- by, or a Redis that lost some, or all, of them.
local number = redis.call('INCR', KEYS[2])
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'n', number, 'e', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return id
