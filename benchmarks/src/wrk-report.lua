-- Loaded by wrk: prints its result as one line of JSON, exact and easy to parse. Unless the load is paced, only `done` is
-- defined, so nothing runs for each request.
local pause = tonumber(os.getenv("BENCH_WRK_PAUSE_MS"))
if pause then
  -- Random pauses, because with equal ones all connections would send at once. Runs before the request's clock starts.
  delay = function()
    return math.random(1, 2 * pause - 1)
  end
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nwrk-report {"requests":%.0f,"durationUs":%.0f,"bytes":%.0f,"p50Us":%.0f,"p99Us":%.0f,' ..
    '"errors":{"connect":%.0f,"read":%.0f,"write":%.0f,"status":%.0f,"timeout":%.0f}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
