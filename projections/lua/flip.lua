-- Makes a build the current one, if the lock of rebuilds is still held by who asks.
--
-- KEYS: lock, build.
-- ARGV: token of the lock, build that becomes current.
-- Answers 'flipped' or 'lost'.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'lost'
end
redis.call('SET', KEYS[2], ARGV[2])
return 'flipped'
