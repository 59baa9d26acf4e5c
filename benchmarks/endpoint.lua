-- Load for wrk: requests the paths of a file in turn, with the body after a tab if there is one; each connection waits
-- so that all together keep a rate.
--   wrk ... -s endpoint.lua URL -- FILE CONNECTIONS REQUESTS_PER_SECOND

local paths = {}
local at = 0
local wait = 0

function init(args)
  for line in io.lines(args[1]) do
    local path, body = line:match("^([^\t]*)\t?(.*)$")
    paths[#paths + 1] = { path = path, body = body ~= "" and body or nil }
  end
  wait = 1000 * tonumber(args[2]) / tonumber(args[3])
  math.randomseed(1)
end

function request()
  at = at % #paths + 1
  local one = paths[at]
  if one.body then return wrk.format("POST", one.path, { ["Content-Type"] = "application/json" }, one.body) end
  return wrk.format("GET", one.path)
end

function delay() return math.random() * 2 * wait end

function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50_ms": %f, "p90_ms": %f, "p99_ms": %f, "max_ms": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
