-- Reads records at one moment and changes nothing.
-- ARGV[1]: prefix of attribute keys. ARGV[2]: one letter for each key:
--   a  a string                 -> its value
--   e  a field of a directory   -> its value
--   n  the same                 -> its value, and the attribute of the inode that it names
--   c  a list                   -> its elements
-- ARGV[3...]: the fields of the keys with e and n, in order. What is missing is nil. More keys than letters are not
-- read; servers that tell of changes watch them like those that are.

-- decimal gives the inode of an entry (type 1 byte, inode 8 bytes big endian) in decimal. Numbers here are
-- doubles, which hold 53 bits, and inodes of the trash have 63: those are divided by 10^6 in two halves,
-- whose intermediate results stay below 2^52.
local function decimal(entry)
  local a, b, c, d, e, f, g, h = entry:byte(2, 9)
  local hi = ((a * 256 + b) * 256 + c) * 256 + d
  local lo = ((e * 256 + f) * 256 + g) * 256 + h
  if hi < 2097152 then
    return string.format('%.0f', hi * 4294967296 + lo)
  end
  local digits = ''
  while hi > 0 or lo > 0 do
    local q = math.floor(hi / 1000000)
    local rest = (hi - q * 1000000) * 4294967296 + lo
    lo = math.floor(rest / 1000000)
    hi = q
    digits = string.format('%06d', rest - lo * 1000000) .. digits
  end
  return (digits:gsub('^0+', ''))
end

local out, n, field = {}, 0, 2
for k = 1, #ARGV[2] do
  local kind, key = ARGV[2]:sub(k, k), KEYS[k]
  n = n + 1
  if kind == 'a' then
    out[n] = redis.call('GET', key)
  elseif kind == 'c' then
    out[n] = redis.call('LRANGE', key, 0, -1)
  else
    field = field + 1
    local entry = redis.call('HGET', key, ARGV[field])
    out[n] = entry
    if kind == 'n' then
      n = n + 1
      out[n] = false
      if entry and #entry == 9 then
        out[n] = redis.call('GET', ARGV[1] .. decimal(entry))
      end
    end
  end
end
return out
