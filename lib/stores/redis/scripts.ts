// The steps of a lock, as they run inside the server.
import { script } from './lua.js'

/** 8 lease, 9 for how long a waiter counts as alive, 10 l or d. -> [1, record] | [2, ms left, holder, held for] | [3, where to, ms ago] | [4, bytes] | [5] spoilt | [0] */
export const ACQUIRE = script(`
local lease = tonumber(ARGV[8])
if spoilt then return {5} end
if not exists then
  local to = q and string.find(q, ' ' .. token .. ' ', 1, true) and redis.call('HGET', key, 'to')
  if to then return {3, to, string.format('%.3f', exactly - tonumber(redis.call('HGET', key, 'at')))} end
  return {0}
end
local list = waiters()
if t ~= token then
  if not held and x <= clock then return {0} end
  -- Nobody goes past those who wait.
  list[placeIn(list) or #list + 1] = { till = integer(now + tonumber(ARGV[9])), token = token, ear = ARGV[10] }
  if held then keep(list) else handOver(list) end
end
if t ~= token then
  local holder = redis.call('HGET', key, 'o') or ''
  local since = tonumber(string.match(holder, '^%d+') or now)
  return {2, integer(e - now), holder, integer(now - since)}
end
local size = redis.call('HSTRLEN', key, 'd')
local text = size <= maxSize and payload() or ''
if text == '' then
  handOver(list)
  if size > maxSize then return {4, size} end
  return {5}
end
redis.call('HSET', key, 't', token, 'e', integer(now + lease))
outlive(lease)
return {1, text}
`)

/** 8 version that was loaded, 9 save, touch or none, 10 release?, 11 id of this write, 12 ms to live, 13- a x, 15- k c u d. -> 1, or 0: lost */
export const WRITE = script(`
local mode, release, id = ARGV[9], ARGV[10] == '1', ARGV[11]
if mode ~= 'none' then
  local writes = lately()
  if hasCounted(id, writes) then return 1 end
  if not mayWrite(ARGV[8]) then return 0 end
  x = tonumber(ARGV[14])
  redis.call('HSET', key, 'a', ARGV[13], 'x', ARGV[14], 'p', withWrite(id, writes))
  if mode == 'save' then redis.call('HSET', key, 'v', id, 'k', ARGV[15], 'c', ARGV[16], 'u', ARGV[17], 'd', ARGV[18]) end
  redis.call('PEXPIRE', key, ARGV[12])
  if held then outlive(e - now) end
end
if release and exists and not (held and t ~= token) then handOver(waiters()) end
return 1
`)

/** 8 version that was loaded, 9 moved or gone, 10 where to ('' = nowhere). -> 1, or 0: lost */
export const DESTROY = script(`
if not mayWrite(ARGV[8]) then return by == token and 1 or 0 end
local writes = lately()
redis.call('DEL', key)
redis.call('HSET', key, 'by', token, 'at', string.format('%.3f', exactly), 'p', writes)
if ARGV[9] == 'moved' then redis.call('HSET', key, 'to', ARGV[10], 'q', q or '') end
redis.call('PEXPIRE', key, 60000)
wakeAll(waiters())
return 1
`)

/** The ticket gives up: out of the list, or the lock goes to the next. */
export const CANCEL = script(`
if not exists then return 1 end
local list = waiters()
local place = placeIn(list)
if place then table.remove(list, place) end
if t == token then handOver(list) elseif place then keep(list) end
return 1
`)

/** 8 lease, 9 "method route" or '', 10 held for. -> 1, or 0: lost */
export const RENEW = script(`
if not exists or t ~= token then return 0 end
local lease = tonumber(ARGV[8])
if now + lease > e then
  redis.call('HSET', key, 'e', integer(now + lease))
  outlive(lease)
end
if ARGV[9] ~= '' then redis.call('HSET', key, 'o', integer(now - tonumber(ARGV[10])) .. ' ' .. ARGV[9]) end
return 1
`)

/** 8 version, 9 ms to live, 10- k c a x u d. -> 1, or 0: exists */
export const CREATE = script(`
if kind ~= 'none' then return exists and v == ARGV[8] and 1 or 0 end
redis.call('HSET', key, 'v', ARGV[8], 'k', ARGV[10], 'c', ARGV[11], 'a', ARGV[12], 'x', ARGV[13], 'u', ARGV[14], 'd', ARGV[15])
redis.call('PEXPIRE', key, ARGV[9])
return 1
`)

/** -> [1, record] | [4, bytes] | [5] spoilt | [0] */
export const READ = script(`
if spoilt then return {5} end
if not exists or (not held and x <= clock) then return {0} end
local size = redis.call('HSTRLEN', key, 'd')
if size > maxSize then return {4, size} end
local text = payload()
if text == '' then return {5} end
return {1, text}
`)

/** 8 delete those not used since, 9 really delete? -> 1 live, 2 over, 0 neither */
export const SWEEP = script(`
if not exists then return 0 end
if held then return 1 end
local used = tonumber(redis.call('HGET', key, 'a') or '')
if not used then return 0 end
if x > clock and used >= tonumber(ARGV[8]) then return 1 end
if ARGV[9] == '1' then
  redis.call('DEL', key)
  wakeAll(waiters())
end
return 2
`)
