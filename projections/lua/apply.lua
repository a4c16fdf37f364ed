-- Applies the changes of one partition if the store stands where they begin. One atomic step:
-- cells, position and index together, then the news.
--
-- KEYS: build, position, index, then each key that changes.
-- ARGV: build that must be current ('' for one under construction), cseq before, cseq after,
--       offset, time_us, channel of sequences, channel of keys, and for each changed key:
--       its name if the projector loads it again (else ''), number of cells, field, text, …,
--       number of cells that go, field, …
-- Answers 'applied', 'duplicate' or 'gap'.

if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'gap'
end
local stands = redis.call('HGET', KEYS[2], 'cseq') or '0'
if stands ~= ARGV[2] then
  return stands == ARGV[3] and 'duplicate' or 'gap'
end

local at = 8
for i = 4, #KEYS do
  if ARGV[at] ~= '' then
    redis.call('SADD', KEYS[3], ARGV[at])
  end
  local cells = tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, cells do
    redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  local gone = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, gone do
    redis.call('HDEL', KEYS[i], ARGV[at])
    at = at + 1
  end
end

redis.call('HSET', KEYS[2], 'cseq', ARGV[3], 'offset', ARGV[4], 'time_us', ARGV[5])
redis.call('PUBLISH', ARGV[6], ARGV[3])
redis.call('PUBLISH', ARGV[7], table.concat(KEYS, ' ', 4))
return 'applied'
