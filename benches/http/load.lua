-- What wrk asks for: `wrk -s load.lua URL -- list PATH COUNT`, or `... -- unique PATH`.
--
-- `list` asks for PATH/0 to PATH/(COUNT - 1) in turn, `unique` for PATH/<thread>/<n> with a new n each time. The last
-- line of the output is the summary as JSON.

local threads = 0

function setup(thread)
    thread:set("number", threads)
    threads = threads + 1
end

function init(args)
    local kind, path = args[1], args[2]
    if kind == "list" then
        local count = tonumber(args[3])
        local requests = {}
        for n = 0, count - 1 do
            requests[n] = wrk.format("GET", path .. "/" .. n)
        end
        local next = 0
        request = function()
            local made = requests[next]
            next = (next + 1) % count
            return made
        end
    elseif kind == "unique" then
        local prefix = path .. "/" .. number .. "/"
        local next = 0
        request = function()
            local made = wrk.format("GET", prefix .. next)
            next = next + 1
            return made
        end
    else
        error("write list PATH COUNT or unique PATH")
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "duration_us": %d, "bytes": %d, "latency_us": {"p50": %d, "p99": %d, "max": %d}, ' ..
        '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
        summary.requests, summary.duration, summary.bytes,
        latency:percentile(50), latency:percentile(99), latency.max,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
