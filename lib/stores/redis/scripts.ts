// The steps of a lock, as they run inside the server. Arguments 1, 2 and the last one are those of all scripts.
import { type Script, script, type ScriptConstants } from './lua.js'

export type Scripts = ReturnType<typeof scriptsFor>

/** The server keeps each text, so there must not be many: one set for each way in which stores are configured. */
export function scriptsFor (constants: ScriptConstants) {
  return {
    /**
     * 3 lease, 4 l or d, 5 largest record.
     * -> [1, record] | [2, ms left, "method route" or '', held for] | [3, where to, ms ago] | [4, bytes] | [5] spoilt | [0]
     */
    acquire: script(constants, {
      alone: `
local lease, maxSize = tonumber(ARGV[3]), tonumber(ARGV[5])
local h, x, l, d = unpack(redis.pcall('HMGET', key, 'h', 'x', 'l', 'd'))
if h and x and d and (not l or l == '') and #d <= maxSize and (tonumber(x) or 0) > tonumber(ARGV[2]) then
  redis.call('HSET', key, 'l', token .. ' ' .. integer(math.floor(nowExactly()) + lease) .. '\\n')
  outlive(lease)
  return {1, h .. d}
end
`,
      shared: `
if spoilt then return {5} end
if not exists then
  local waited = redis.call('HGET', key, 'q')
  local to = waited and string.find(waited, ' ' .. token .. ' ', 1, true) and redis.call('HGET', key, 'to')
  if to then return {3, to, string.format('%.3f', exactly - tonumber(redis.call('HGET', key, 'at')))} end
  return {0}
end
local list = waiters()
if t ~= token then
  if not held and x <= clock then return {0} end
  -- Nobody goes past those who wait.
  list[placeIn(list) or #list + 1] = { till = integer(now + ${constants.alive}), token = token, ear = ARGV[4] }
  if held then keep(list) else handOver(list) end
end
if t ~= token then
  local holder, since, what = string.match(redis.call('HGET', key, 'o') or '', '^(%S+) (%d+) (.*)$')
  if holder ~= t then return {2, integer(e - now), '', 0} end
  return {2, integer(e - now), what, integer(now - tonumber(since))}
end
local size = redis.call('HSTRLEN', key, 'd')
local text = size <= maxSize and payload() or ''
if text == '' then
  handOver(list)
  if size > maxSize then return {4, size} end
  return {5}
end
e = now + lease
keep(list)
outlive(lease)
return {1, text}
`
    }),

    /**
     * 3 version that was loaded, 4 save, touch or none, 5 release?, 6 id of this write, 7 ms to live, 8 x,
     * 9 h (save) or lastAccessedAt (touch), 10 d.
     * -> 1 done, and nobody waits; 2 done; 0 lost
     */
    write: script(constants, {
      alone: `
local mode, release = ARGV[4], ARGV[5] == '1'
local function save (writes, lock)
  redis.call('HSET', key, 'h', ARGV[9], 'd', ARGV[10], 'x', ARGV[8], 'p', withWrite(writes, ARGV[6]), 'l', lock)
  redis.call('PEXPIRE', key, ARGV[7])
end
if mode ~= 'touch' then
  local lock, writes = unpack(redis.pcall('HMGET', key, 'l', 'p'))
  -- My lock, and nobody waits. This write has not released it; if it is repeated, nobody else has written since.
  if lock and string.sub(lock, 1, #token + 1) == token .. ' ' and string.find(lock, '\\n', 1, true) == #lock then
    if mode == 'none' then redis.call('HSET', key, 'l', '') else save(writes or '', release and '' or lock) end
    if not release then outlive(string.match(lock, ' (%d+)') - nowExactly()) end
    return 1
  end
end
`,
      shared: `
if mode ~= 'none' then
  -- A client repeats a command whose answer was lost. It has counted already, whatever others wrote since.
  if string.find(p, '\\n' .. ARGV[6] .. '\\n', 1, true) then return 2 end
  if not mayWrite(ARGV[3]) then return 0 end
  x = tonumber(ARGV[8])
  if mode == 'save' then
    h = ARGV[9]
    save(p, l)
  else
    h = string.gsub(h, '^(.-\\n.-\\n.-\\n).-\\n.-\\n', '%1' .. ARGV[9] .. '\\n' .. ARGV[8] .. '\\n', 1)
    redis.call('HSET', key, 'h', h, 'x', ARGV[8], 'p', withWrite(p, ARGV[6]))
    redis.call('PEXPIRE', key, ARGV[7])
  end
  if held then outlive(e - now) end
end
if release and exists and not (held and t ~= token) then handOver(waiters()) end
return 2
`
    }),

    /** 3 version that was loaded, 4 moved or gone, 5 where to ('' = nowhere). -> 1, or 0: lost */
    destroy: script(constants, {
      shared: `
if not mayWrite(ARGV[3]) then return by == token and 1 or 0 end
redis.call('DEL', key)
redis.call('HSET', key, 'by', token, 'at', string.format('%.3f', exactly), 'p', p)
if ARGV[4] == 'moved' then redis.call('HSET', key, 'to', ARGV[5], 'q', q or '') end
redis.call('PEXPIRE', key, 60000)
wakeAll(waiters())
return 1
`
    }),

    /** The ticket gives up: out of the list, or the lock goes to the next. */
    cancel: script(constants, {
      shared: `
if not exists then return 1 end
local list = waiters()
local place = placeIn(list)
if place then table.remove(list, place) end
if t == token then handOver(list) elseif place then keep(list) end
return 1
`
    }),

    /** 3 lease, 4 "method route" or '', 5 held for. -> 1, or 0: lost */
    renew: script(constants, {
      shared: `
if not exists or t ~= token then return 0 end
local lease = tonumber(ARGV[3])
if now + lease > e then
  e = now + lease
  keep(waiters())
  outlive(lease)
end
if ARGV[4] ~= '' then redis.call('HSET', key, 'o', token .. ' ' .. integer(now - tonumber(ARGV[5])) .. ' ' .. ARGV[4]) end
return 1
`
    }),

    /** 3 version, 4 ms to live, 5 x, 6 h, 7 d. -> 1, or 0: exists */
    create: script(constants, {
      shared: `
if exists or by or spoilt then return exists and version() == ARGV[3] and 1 or 0 end
redis.call('HSET', key, 'x', ARGV[5], 'h', ARGV[6], 'd', ARGV[7])
redis.call('PEXPIRE', key, ARGV[4])
return 1
`
    }),

    /** 3 largest record. -> [1, record] | [4, bytes] | [5] spoilt | [0] */
    read: script(constants, {
      alone: `
local maxSize = tonumber(ARGV[3])
local h, x, d = unpack(redis.pcall('HMGET', key, 'h', 'x', 'd'))
if h and x and d and #d <= maxSize and (tonumber(x) or 0) > tonumber(ARGV[2]) then return {1, h .. d} end
`,
      shared: `
if spoilt then return {5} end
if not exists or (not held and x <= clock) then return {0} end
local size = redis.call('HSTRLEN', key, 'd')
if size > maxSize then return {4, size} end
local text = payload()
if text == '' then return {5} end
return {1, text}
`
    }),

    /** 3 delete those not used since, 4 really delete? -> 1 live, 2 over, 0 neither */
    sweep: script(constants, {
      shared: `
if not exists then return 0 end
if held then return 1 end
local used = tonumber(string.match(h, '^.-\\n.-\\n.-\\n(%d+)\\n') or '')
if not used then return 0 end
if x > clock and used >= tonumber(ARGV[3]) then return 1 end
if ARGV[4] == '1' then
  redis.call('DEL', key)
  wakeAll(waiters())
end
return 2
`
    })
  } satisfies Record<string, Script>
}
