-- Commits a transaction: checks first, then requirements, then writes; the caller gives them in this order.
-- Each item of ARGV is a letter, the number of its key in KEYS, and operands. In the result the first
-- element is 0 when all is done, 1 when a record is no longer as it was read, 2 when a directory has to be
-- empty and is not; in the last two cases nothing is written. After 0 follow the attributes of the touched
-- directories, and the sizes that were asked for.
--
-- Layout of an attribute, first byte 1: ... 24 mtime 8+4, 36 ctime 8+4, 48 nlink 4, ... 64 parent and rest;
-- a permission depends on [1,11] and [64,end].

local function unsigned(s, at)
  local a, b, c, d = s:byte(at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- seconds is a signed number of 8 bytes; exact for all years that matter.
local function seconds(s, at)
  local hi = unsigned(s, at)
  if hi >= 2147483648 then
    hi = hi - 4294967296
  end
  return hi * 4294967296 + unsigned(s, at + 4)
end

local function bytes4(n)
  return string.char(math.floor(n / 16777216) % 256, math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
end

-- touch gives the attribute v with new mtime and ctime and nlink more links; v itself when only times would
-- change and its mtime is after the limit.
local function touch(v, now, nlink, sec, nsec)
  if nlink == 0 and sec ~= '' then
    local m, l = seconds(v, 24), tonumber(sec)
    if m > l or m == l and unsigned(v, 32) > tonumber(nsec) then
      return v
    end
  end
  local links = unsigned(v, 48) + nlink
  if links < 0 then
    links = 0
  end
  return v:sub(1, 23) .. now .. now .. bytes4(links) .. v:sub(52)
end

-- Values that this run has seen and not written since: each command costs, and a tracked one most.
local values = {}

local function get(key)
  local v = values[key]
  if v == nil then
    v = redis.call('GET', key)
    values[key] = v
  end
  return v
end

local out, i = {0}, 1
while ARGV[i] do
  local op, key = ARGV[i], KEYS[tonumber(ARGV[i + 1])]
  i = i + 2
  if op == '!' then -- command, count, arguments
    local n = tonumber(ARGV[i + 1])
    redis.call(ARGV[i], key, unpack(ARGV, i + 2, i + 1 + n))
    values[key] = nil
    for j = i + 2, i + 1 + n do -- other keys, of a command that takes several
      values[ARGV[j]] = nil
    end
    i = i + 2 + n
  elseif op == '=' then -- the value is
    if get(key) ~= ARGV[i] then return {1} end
    i = i + 1
  elseif op == '~' then -- the value begins with and ends with
    local v = get(key)
    if not v or v:sub(1, 11) ~= ARGV[i] or v:sub(64) ~= ARGV[i + 1] then return {1} end
    i = i + 2
  elseif op == 'f' then -- field, its value
    if redis.call('HGET', key, ARGV[i]) ~= ARGV[i + 1] then return {1} end
    i = i + 2
  elseif op == 'F' then -- no such field
    if redis.call('HEXISTS', key, ARGV[i]) == 1 then return {1} end
    i = i + 1
  elseif op == '-' then -- no such key
    if redis.call('EXISTS', key) == 1 then return {1} end
  elseif op == 'l' then -- all elements of the list, joined
    if table.concat(redis.call('LRANGE', key, 0, -1)) ~= ARGV[i] then return {1} end
    i = i + 1
  elseif op == 'k' then -- count, all names in the hash
    local n = tonumber(ARGV[i])
    if redis.call('HLEN', key) ~= n then return {1} end
    for j = i + 1, i + n do
      if redis.call('HEXISTS', key, ARGV[j]) == 0 then return {1} end
    end
    i = i + 1 + n
  elseif op == 'h' then -- count, all names in the hash with their values
    local n = tonumber(ARGV[i])
    if redis.call('HLEN', key) ~= n then return {1} end
    for j = i + 1, i + 2 * n, 2 do
      if redis.call('HGET', key, ARGV[j]) ~= ARGV[j + 1] then return {1} end
    end
    i = i + 1 + 2 * n
  elseif op == 'z' then -- member, its score or ''
    if (redis.call('ZSCORE', key, ARGV[i]) or '') ~= ARGV[i + 1] then return {1} end
    i = i + 2
  elseif op == 'e' then -- the directory is empty
    if redis.call('EXISTS', key) == 1 then return {2} end
  elseif op == 't' then -- now, links, limit of mtime in seconds and nanoseconds
    local v = get(key)
    if v then
      local w = touch(v, ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3])
      if w ~= v then
        redis.call('SET', key, w)
        values[key] = w
      end
      out[#out + 1] = w
    else
      out[#out + 1] = ''
    end
    i = i + 4
  elseif op == 'a' then -- field, count, keys with numbers: added to the field of each if the first key has it
    local field, n = ARGV[i], tonumber(ARGV[i + 1])
    if redis.call('HEXISTS', key, field) == 1 then
      for j = i + 2, i + 2 * n, 2 do
        redis.call('HINCRBY', KEYS[tonumber(ARGV[j])], field, ARGV[j + 1])
      end
    end
    i = i + 2 + 2 * n
  elseif op == 'w' then -- write the value again, so that whoever watches the key sees a change
    local v = get(key)
    if v then
      redis.call('SET', key, v)
    end
  elseif op == 'n' then -- how many fields the hash has
    out[#out + 1] = redis.call('HLEN', key)
  elseif op == 'u' then -- remove the fields with this prefix
    for _, f in ipairs(redis.call('HKEYS', key)) do
      if f:sub(1, #ARGV[i]) == ARGV[i] then
        redis.call('HDEL', key, f)
      end
    end
    i = i + 1
  else
    return redis.error_reply('ERR unknown operation')
  end
end
return out
