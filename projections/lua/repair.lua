-- Replaces one key by what it must be, if the partition that feeds it still stands at a sequence.
--
-- KEYS: build, position, index, the key.
-- ARGV: build that must be current, cseq that the position must have, the key's name if the
--       projector loads it again (else ''), channel of keys, field, text, …
-- Answers 'repaired' or 'moved'.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'moved'
end
if (redis.call('HGET', KEYS[2], 'cseq') or '0') ~= ARGV[2] then
  return 'moved'
end
redis.call('DEL', KEYS[4])
for at = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
end
if ARGV[3] ~= '' and #ARGV > 4 then
  redis.call('SADD', KEYS[3], ARGV[3])
end
redis.call('PUBLISH', ARGV[4], KEYS[4])
return 'repaired'
