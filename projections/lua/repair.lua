-- Replaces one key by what it must be, if it still holds what was found wrong.
--
-- Most of what its worker has written to it since would show, but not all: a field that was missing
-- when the key was looked at may have been removed meanwhile, and would be put back here. Who
-- repairs must therefore look once more.
--
-- KEYS: build, index, the key.
-- ARGV: build that must be current, the key's name if the projector loads it again (else ''),
--       channel of keys, number of cells that were found (-1: a key of another type), field, text,
--       …, field, text, … of what it must hold.
-- Answers 'repaired' or 'changed'.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'changed'
end
local found = tonumber(ARGV[4])
local kind = redis.call('TYPE', KEYS[3]).ok
if (kind == 'hash' or kind == 'none') ~= (found >= 0) then
  return 'changed'
end
if found >= 0 and redis.call('HLEN', KEYS[3]) ~= found then
  return 'changed'
end
local at = 5
for _ = 1, found do
  if redis.call('HGET', KEYS[3], ARGV[at]) ~= ARGV[at + 1] then
    return 'changed'
  end
  at = at + 2
end
redis.call('DEL', KEYS[3])
if ARGV[2] ~= '' and at < #ARGV then
  redis.call('SADD', KEYS[2], ARGV[2])
end
while at < #ARGV do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('PUBLISH', ARGV[3], KEYS[3])
return 'repaired'
